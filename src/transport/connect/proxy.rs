//! Which connections lead through a proxy, and what is said to it.

use crate::error::{Error, ErrorKind, Fault, Phase};
use crate::target::text::redacted;
use crate::transport::connect::no_proxy::NoProxy;
use http::{HeaderValue, StatusCode, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Which origins are reached through which proxy.
#[derive(Clone, Default)]
pub(in crate::transport) struct Proxies(Option<Arc<Rules>>);

struct Rules {
    matcher: Matcher,
    no: NoProxy,
    /// What is wrong with the proxy for http and the one for https: said where it would be used.
    broken: [Option<String>; 2],
}

/// A proxy on the way to an origin.
#[derive(Clone)]
pub(in crate::transport) struct Proxy(Intercept);

impl Proxies {
    /// One for everything but loopback hosts.
    pub(in crate::transport) fn of(url: &str) -> Result<Proxies, Error> {
        usable(url).map_err(|rule| Error::config(format!("the proxy {:?} {rule}", redacted(url))))?;
        let matcher = Matcher::builder().all(url).build();
        Ok(Proxies(Some(Arc::new(Rules { matcher, no: NoProxy::default(), broken: [None, None] }))))
    }

    /// What the variables of the environment say; the upper-case name goes before the lower-case one.
    pub(in crate::transport) fn from_variables(value: impl Fn(&str) -> Option<String>) -> Proxies {
        // A CGI program gets the header "Proxy" of whoever calls it as HTTP_PROXY.
        if value("REQUEST_METHOD").is_some() {
            return Proxies::default();
        }
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| value(name).filter(|v| !v.is_empty()).map(|v| (name, v)))
        };
        let all = first(["ALL_PROXY", "all_proxy"]);
        let mut broken = [None, None];
        let mut urls = [String::new(), String::new()];
        for (n, names) in
            [["HTTP_PROXY", "http_proxy"], ["HTTPS_PROXY", "https_proxy"]].into_iter().enumerate()
        {
            let Some((name, url)) = first(names).or_else(|| all.clone()) else { continue };
            match usable(&url) {
                Ok(()) => urls[n] = url,
                Err(rule) => {
                    broken[n] = Some(format!("the variable {name} is {:?}, which {rule}", redacted(&url)));
                    // In its place, so that NO_PROXY is asked as well.
                    urls[n] = "http://proxy.invalid".to_owned();
                }
            }
        }
        if urls.iter().all(String::is_empty) {
            return Proxies::default();
        }
        let [http, https] = urls;
        let no = first(["NO_PROXY", "no_proxy"]).map_or(String::new(), |(_, hosts)| hosts);
        let matcher = Matcher::builder().http(http).https(https).build();
        Proxies(Some(Arc::new(Rules { matcher, no: NoProxy::read(&no), broken })))
    }

    /// The proxy on the way to this origin.
    pub(in crate::transport) fn toward(&self, uri: &Uri) -> Result<Option<Proxy>, Error> {
        let Some(rules) = &self.0 else { return Ok(None) };
        if uri.host().is_none_or(is_loopback) || rules.no.covers(uri) {
            return Ok(None);
        }
        let Some(found) = rules.matcher.intercept(uri) else { return Ok(None) };
        match &rules.broken[usize::from(uri.scheme_str() == Some("https"))] {
            Some(why) => Err(Error::config(why.clone())),
            None => Ok(Some(Proxy(found))),
        }
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("Proxies"),
            Some(rules) => f.debug_tuple("Proxies").field(&rules.matcher).field(&rules.no).finish(),
        }
    }
}

/// What the URL of a proxy has to be.
fn usable(url: &str) -> Result<(), &'static str> {
    let Ok(uri) = url.parse::<Uri>() else { return Err("is no URL: it must read http://host:port") };
    if !matches!(uri.scheme_str(), None | Some("http" | "https" | "socks5" | "socks5h")) {
        return Err("has another scheme: it must be http, https, socks5 or socks5h");
    }
    match uri.host() {
        None | Some("") => Err("names no host: it must read http://host:port"),
        Some(_) => Ok(()),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return address.to_canonical().is_loopback();
    }
    let name = bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Names the proxy, without its credentials.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uri = self.0.uri();
        write!(f, "proxy {}://", uri.scheme_str().unwrap_or("http"))?;
        write!(f, "{}", uri.authority().map_or("", |authority| authority.as_str()))
    }
}

impl Proxy {
    pub(super) fn uri(&self) -> &Uri {
        self.0.uri()
    }

    /// Where it listens: SOCKS has a port of its own that a URL may leave out.
    pub(super) fn address(&self) -> Uri {
        let uri = self.0.uri();
        match uri.authority() {
            Some(authority) if self.is_socks() && uri.port().is_none() => {
                format!("http://{}:1080/", authority.as_str()).parse().unwrap_or_else(|_| uri.clone())
            }
            _ => uri.clone(),
        }
    }

    /// Whether it is asked by SOCKS5, for whatever is spoken.
    pub(super) fn is_socks(&self) -> bool {
        self.0.uri().scheme_str().is_some_and(|scheme| scheme.starts_with("socks"))
    }

    /// Whether names are looked up here: `socks5`, where `socks5h` leaves that to the proxy, as curl has it.
    pub(super) fn wants_addresses(&self) -> bool {
        self.0.uri().scheme_str() == Some("socks5")
    }

    /// User name and password for SOCKS5.
    pub(super) fn user(&self) -> Option<(&str, &str)> {
        self.0.raw_auth()
    }

    pub(in crate::transport) fn is_secure(&self) -> bool {
        self.0.uri().scheme_str() == Some("https")
    }

    pub(in crate::transport) fn authorization(&self) -> Option<&HeaderValue> {
        self.0.basic_auth()
    }

    /// The proxy itself could not be reached.
    pub(in crate::transport) fn unreachable(&self, error: Error) -> Error {
        if error.is_config() {
            return error;
        }
        let phase = error.phase().unwrap_or(Phase::Connect);
        let detail = format!("{self}: {}", error.cause());
        let Fault { local, certificate, .. } = error.inner().fault;
        let mut failed = Error::new(ErrorKind::Connect, detail).at(phase).with_source(error);
        // What this machine lacked on the way to a proxy says nothing about anybody.
        (failed.inner_mut().fault.local, failed.inner_mut().fault.certificate) = (local, certificate);
        failed
    }

    /// The connect bound passed on the way through the proxy.
    pub(in crate::transport) fn silent(&self, mut error: Error) -> Error {
        error.inner_mut().detail = format!("{} through {self}", error.cause()).into();
        error
    }

    /// The proxy answered with this status.
    pub(in crate::transport) fn refused(&self, status: StatusCode) -> Error {
        let mut error =
            Error::new(ErrorKind::Connect, format!("{self} refused: {status}")).at(Phase::Connect);
        error.inner_mut().status = Some(status);
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Proxies {
        Proxies::from_variables(|name| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn way(proxies: &Proxies, url: &str) -> String {
        match proxies.toward(&url.parse().unwrap()) {
            Ok(None) => "direct".to_owned(),
            Ok(Some(proxy)) => proxy.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_variables_choose_a_proxy_by_scheme_and_host() {
        let proxies = from(&[
            ("HTTP_PROXY", "http://user:secret@plain:3128"),
            ("all_proxy", "all:8080"),
            ("NO_PROXY", "internal.example, 10.0.0.0/8"),
        ]);
        assert_eq!(way(&proxies, "http://api.example/"), "proxy http://plain:3128");
        assert_eq!(way(&proxies, "https://api.example/"), "proxy http://all:8080");
        for direct in ["https://internal.example/", "http://a.internal.example/", "http://10.1.2.3/"] {
            assert_eq!(way(&proxies, direct), "direct", "{direct}");
        }
        assert!(!format!("{proxies:?}").contains("secret"));
    }

    #[test]
    fn loopback_hosts_are_reached_directly_also_with_a_proxy_of_ones_own() {
        for proxies in [from(&[("ALL_PROXY", "http://p:1")]), Proxies::of("http://p:1").unwrap()] {
            for host in ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.9.9.9", "[::1]"] {
                assert_eq!(way(&proxies, &format!("http://{host}:80/")), "direct", "{host}");
            }
            for host in ["notlocalhost", "127.0.0.1.example", "[2001:db8::1]", "128.0.0.1"] {
                assert_eq!(way(&proxies, &format!("http://{host}:80/")), "proxy http://p:1", "{host}");
            }
        }
    }

    #[test]
    fn a_variable_that_is_no_url_is_an_error_where_it_would_be_used_and_keeps_its_secrets() {
        for (value, rule) in [
            ("user:hunter2@not a url", "is no URL"),
            ("socks4://user:hunter2@p:1080", "http, https, socks5 or socks5h"),
            ("/hunter2@p", "names no host"),
        ] {
            let proxies = from(&[("HTTPS_PROXY", value), ("NO_PROXY", "internal.example")]);
            let said = way(&proxies, "https://api.example/");
            assert!(said.contains("HTTPS_PROXY") && said.contains(rule), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
            assert!(proxies.toward(&"https://api.example".parse().unwrap()).is_err_and(|e| e.is_config()));
            for url in ["http://api.example/", "https://internal.example/", "https://localhost/"] {
                assert_eq!(way(&proxies, url), "direct", "{value}: {url}");
            }
            let error = Proxies::of(value).unwrap_err().to_string();
            assert!(error.contains(rule) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_this_machine_lacked_on_the_way_to_a_proxy_is_still_of_this_machine() {
        let proxies = Proxies::of("http://proxy.example:3128").unwrap();
        let proxy = proxies.toward(&Uri::from_static("http://api.example/")).unwrap().unwrap();
        let said = |error: std::io::Error| {
            let error = Error::from(crate::error::BoxError::from(error)).at(Phase::Connect);
            proxy.unreachable(error)
        };
        let lack = said(std::io::Error::from_raw_os_error(24));
        assert!(lack.is_connect() && lack.is_of_this_machine(), "{lack}");
        let down = said(std::io::ErrorKind::ConnectionRefused.into());
        assert!(down.is_connect() && !down.is_of_this_machine(), "{down}");
        assert!(down.to_string().contains("proxy http://proxy.example:3128: connection refused"), "{down}");
    }

    #[test]
    fn no_variable_or_an_empty_one_means_no_proxy_and_a_cgi_program_trusts_none() {
        for variables in [
            &[][..],
            &[("HTTP_PROXY", ""), ("ALL_PROXY", "")],
            &[("HTTP_PROXY", "http://p:1"), ("REQUEST_METHOD", "GET")],
        ] {
            assert_eq!(way(&from(variables), "http://api.example/"), "direct", "{variables:?}");
        }
    }
}
