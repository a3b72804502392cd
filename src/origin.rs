//! Whom a call is for: [`Origin`], the redacted [`Target`], and the one bounded map keyed by origin.

mod authority;
mod table;

pub(crate) use crate::options::Label;
pub(crate) use table::{Entry, Evictable, PerOrigin};

use crate::Error;
use crate::sync::Arc;
use authority::{host_and_port, is_port, parts};
use http::{Method, Uri};
use std::fmt;

/// Scheme, host and port of a URL, normalised (RFC 6454): lower-case host, default port filled in.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    https: bool,
    host: Arc<str>,
    port: u16,
}

impl Origin {
    /// The origin of a URL.
    ///
    /// # Errors
    /// Kind `Config` where the URL has no host or a scheme other than http and https.
    pub fn of(uri: &Uri) -> Result<Origin, Error> {
        let (https, host, port) = parts(uri)?;
        Ok(Origin { https, host: host.to_ascii_lowercase().into(), port })
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    /// The host in lower case, an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, also where the URL left it to the scheme.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn is(&self, (https, host, port): (bool, &str, u16)) -> bool {
        self.port == port && self.https == https && self.host.eq_ignore_ascii_case(host)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.host)?;
        if self.port == default_port(self.https) { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self})")
    }
}

fn default_port(https: bool) -> u16 {
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
    Error::config(format!("the URL {shown:?} has no scheme and host: it must be absolute"))
}

/// What an operator may read of a request: method and URL without credentials, query and fragment, or its label.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) label: Option<Label>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.method)?;
        fmt_redacted(&self.uri, self.label.as_ref(), f)
    }
}

/// `scheme://host:port/path`, or with a label `scheme://host:port [label]`.
fn fmt_redacted(uri: &Uri, label: Option<&Label>, f: &mut impl fmt::Write) -> fmt::Result {
    if let Some(scheme) = uri.scheme_str() {
        write!(f, "{scheme}://")?;
    }
    if let Some(authority) = uri.authority() {
        let (host, port) = host_and_port(authority.as_str());
        f.write_str(host)?;
        if is_port(port) {
            f.write_str(port)?;
        }
    }
    match label {
        Some(label) => write!(f, " [{}]", label.as_str()),
        None => f.write_str(uri.path()),
    }
}

impl Target {
    pub(crate) fn url(&self) -> String {
        struct Url<'a>(&'a Target);
        impl fmt::Display for Url<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt_redacted(&self.0.uri, self.0.label.as_ref(), f)
            }
        }
        Url(self).to_string()
    }
}

#[cfg(test)]
mod tests;
