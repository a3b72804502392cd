//! Which hosts are reached without a proxy: the variable `NO_PROXY`.
//!
//! hyper-util reads it as curl did long ago: `*` means no host that is an address, a port or `*.` before a domain means
//! nothing at all, entries have to be parted by commas, and a dot at the end of a name makes it another name.

use http::Uri;
use ipnet::IpNet;
use std::net::IpAddr;

/// The entries of `NO_PROXY`, as curl and Go read them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NoProxy(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    hosts: Hosts,
    /// Only on this port.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    Net(IpNet),
    /// In lower case, without dots at its ends. It and all beneath it, or only those.
    Domain {
        name: Box<str>,
        itself: bool,
    },
}

impl NoProxy {
    pub(super) fn read(list: &str) -> NoProxy {
        let parts = list.split(|c: char| c == ',' || c.is_whitespace());
        NoProxy(parts.filter(|part| !part.is_empty()).filter_map(entry).collect())
    }

    /// Whether this is reached directly.
    pub(super) fn covers(&self, uri: &Uri) -> bool {
        let Some(host) = uri.host().filter(|_| !self.0.is_empty()) else { return false };
        let port = uri.port_u16().or_else(|| match uri.scheme_str() {
            Some("https") => Some(443),
            Some("http") => Some(80),
            _ => None,
        });
        let address = address(host);
        let name = name(host);
        self.0.iter().any(|entry| {
            (entry.port.is_none() || entry.port == port)
                && match &entry.hosts {
                    Hosts::All => true,
                    Hosts::Net(net) => address.is_some_and(|address| net.contains(&address)),
                    Hosts::Domain { name: domain, itself } => {
                        address.is_none() && is_within(&name, domain, *itself)
                    }
                }
        })
    }
}

fn entry(part: &str) -> Option<Entry> {
    if let Some(net) = net(part) {
        return Some(Entry { hosts: Hosts::Net(net), port: None });
    }
    let (host, port) = match part.rsplit_once(':') {
        None | Some((_, "")) => (part.trim_end_matches(':'), None),
        // One that is no number matches nothing.
        Some((host, port)) => (host, Some(port.parse::<u16>().ok()?)),
    };
    let hosts = if host == "*" {
        Hosts::All
    } else if let Some(net) = net(host) {
        Hosts::Net(net)
    } else {
        let (domain, itself) = match host.strip_prefix("*.") {
            Some(domain) => (domain, false),
            // To Go a dot in front leaves the domain itself out, to curl it does not; the latter is older.
            None => (host.strip_prefix('.').unwrap_or(host), true),
        };
        let name = name(domain);
        if name.is_empty() {
            return None;
        }
        Hosts::Domain { name: name.into(), itself }
    };
    Some(Entry { hosts, port })
}

/// An address or a block of them, in brackets or not.
fn net(text: &str) -> Option<IpNet> {
    let whole = address(text).map(IpNet::from);
    whole.or_else(|| text.parse().ok())
}

/// An IPv4 address in the form of IPv6 is that of IPv4.
fn address(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn name(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

fn is_within(name: &str, domain: &str, itself: bool) -> bool {
    match name.strip_suffix(domain) {
        Some("") => itself,
        Some(before) => before.ends_with('.'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_by_curl_and_go() {
        for (list, direct, proxied) in [
            ("", &[][..], &["http://a.example/", "http://10.0.0.1/"][..]),
            ("*", &["http://a.example/", "http://10.0.0.1/", "https://[2001:db8::1]:8443/"], &[]),
            ("a.example, *", &["http://b.example/", "http://10.0.0.1/"], &[]),
            ("*:8080", &["http://a.example:8080/", "http://10.0.0.1:8080/"], &["http://a.example/"]),
            (
                "example.com",
                &[
                    "http://example.com/",
                    "https://EXAMPLE.com:8443/",
                    "http://a.b.example.com/",
                    "http://example.com./",
                ],
                &["http://notexample.com/", "http://example.com.evil.example/", "http://com/"],
            ),
            (".example.com", &["http://example.com/", "http://a.example.com/"], &["http://notexample.com/"]),
            (
                "*.example.com",
                &["http://a.example.com/", "http://a.b.example.com."],
                &["http://example.com/", "http://notexample.com/"],
            ),
            ("Example.COM.", &["http://example.com/", "http://a.example.com./"], &["http://example.org/"]),
            (
                "a.example b.example\tc.example,d.example ,, e.example",
                &[
                    "http://a.example/",
                    "http://b.example/",
                    "http://c.example/",
                    "http://d.example/",
                    "http://e.example/",
                ],
                &["http://f.example/"],
            ),
            (
                "broker:8080",
                &["http://broker:8080/", "https://a.broker:8080/"],
                &["http://broker/", "http://broker:80/", "https://broker:8443/"],
            ),
            ("broker:443", &["https://broker/"], &["http://broker/"]),
            ("broker:80", &["http://broker/"], &["https://broker/"]),
            ("broker:", &["https://broker/", "http://broker:1/"], &[]),
            ("broker:http, broker:99999", &[], &["http://broker/"]),
            (
                "10.0.0.1",
                &["http://10.0.0.1/", "http://10.0.0.1:8080/", "http://[::ffff:10.0.0.1]/"],
                &["http://10.0.0.2/", "http://a.10.0.0.1.example/"],
            ),
            ("10.0.0.1:8080", &["http://10.0.0.1:8080/"], &["http://10.0.0.1/"]),
            (
                "10.0.0.0/8,192.168.0.0/16",
                &["http://10.255.1.2/", "http://192.168.7.7/"],
                &["http://11.0.0.1/", "http://ten.example/"],
            ),
            ("2001:db8::/32", &["http://[2001:db8::7]/"], &["http://[2001:db9::7]/"]),
            (
                "2001:db8::1",
                &["http://[2001:db8::1]/", "http://[2001:DB8:0::1]:8080/"],
                &["http://[2001:db8::2]/"],
            ),
            ("[2001:db8::1]", &["http://[2001:db8::1]/"], &["http://[2001:db8::2]/"]),
            ("[2001:db8::1]:8080", &["http://[2001:db8::1]:8080/"], &["http://[2001:db8::1]/"]),
            (
                ". ,*., :80, [, /8, 10.0.0.0/99, *a.example",
                &[],
                &["http://a.example/", "http://10.0.0.1/", "http://x/"],
            ),
        ] {
            let read = NoProxy::read(list);
            for (urls, expected) in [(direct, true), (proxied, false)] {
                for url in urls {
                    assert_eq!(read.covers(&url.parse().unwrap()), expected, "NO_PROXY={list:?}: {url}");
                }
            }
        }
    }
}
