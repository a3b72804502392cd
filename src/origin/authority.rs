//! The parts of an authority (RFC 3986, section 3.2), borrowed.

use crate::error::Error;
use crate::target::{fmt_redacted, host_and_port, is_port};
use http::Uri;
use http::uri::Scheme;
use std::net::Ipv6Addr;

/// Read by hand: what `Uri` offers walks over the authority for each question, and says "no port" of a port that is no
/// number, so that such a call would go to the default port.
pub(super) fn parts(uri: &Uri) -> Result<(bool, &str, u16), Error> {
    let https = uri.scheme() == Some(&Scheme::HTTPS);
    if !https && uri.scheme() != Some(&Scheme::HTTP) {
        return Err(no_scheme(uri));
    }
    let (host, port) = host_and_port(uri.authority().map_or("", |authority| authority.as_str()));
    if host.is_empty() {
        return Err(Error::config("the URL has no host"));
    }
    if is_torn(host) {
        return Err(Error::config("the host of the URL has a bracket that is not around an IPv6 address"));
    }
    check(host)?;
    match port {
        "" | ":" => Ok((https, host, default_port(https))),
        port if is_port(port) => match port[1..].parse() {
            Ok(port) => Ok((https, host, port)),
            Err(_) => Err(Error::config(format!(
                "the port of the URL is {:?}: it must be a number up to 65535",
                &port[1..]
            ))),
        },
        // Not shown: in `http://user:pass?word@host/` this is half of a password.
        _ => Err(Error::config("the port of the URL is no number: it must be one up to 65535")),
    }
}

pub(super) fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

#[cold]
fn no_scheme(uri: &Uri) -> Error {
    if let Some(other) = uri.scheme_str() {
        return Error::config(format!("the scheme of the URL is {other:?}: it must be http or https"));
    }
    let mut shown = String::new();
    // Writing to a String cannot fail.
    let _ = fmt_redacted(uri, None, &mut shown);
    Error::config(format!(
        "the URL {shown:?} has no scheme and host: it must be absolute, or the layer must say whom it is for: \
         stack_layer.origin(\"https://api.example.com\")?"
    ))
}

/// What no resolver can look up is no fault of a server, and is known before anything is asked.
fn check(host: &str) -> Result<(), Error> {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let problem = match address {
        // A zone (RFC 6874) is the system's business.
        Some(address) => {
            let address = address.split('%').next().unwrap_or_default();
            address.parse::<Ipv6Addr>().is_err().then_some("is no IPv6 address, as its brackets say")
        }
        None => {
            let name = host.strip_suffix('.').unwrap_or(host);
            name.split('.')
                .any(str::is_empty)
                .then_some("has an empty label: two dots in a row, or one in front")
        }
    };
    match problem {
        Some(problem) => Err(Error::config(format!("the host {host:?} of the URL {problem}"))),
        None => Ok(()),
    }
}

/// `Uri` sees that brackets pair up, and not that one of a pair may stand in the user information.
fn is_torn(host: &str) -> bool {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.bytes().any(|byte| matches!(byte, b'[' | b']'))
}
