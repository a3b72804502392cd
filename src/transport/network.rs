//! How a client reaches its servers.

use crate::error::Error;
use crate::target::text::redacted;
use crate::transport::connect::proxy::Proxies;
use crate::transport::pool::Connections;
use crate::transport::versions::{Http1, Http2};
use std::fmt;

/// How a client reaches its servers: over which version of HTTP, and through which proxy.
///
/// By default a server with TLS is offered HTTP/2 and HTTP/1.1 and chooses (ALPN); without TLS HTTP/1.1 is spoken,
/// because there is no way to ask. Connections lead through the proxies that the environment names when the client is
/// built: `HTTPS_PROXY`, `HTTP_PROXY` and, for what they leave open, `ALL_PROXY` (lower case too; `http`,
/// `https`, `socks5` and `socks5h` URLs), except to the hosts of `NO_PROXY`. A variable that cannot be used is an error of
/// kind `Config` at the calls that would need it. A loopback host is never reached through a proxy, whatever is set.
///
/// `NO_PROXY` is a list with commas or blanks between its entries, read as by curl and Go: `*` for every host, addresses
/// too; `example.com` and `.example.com` for that domain and all beneath it, `*.example.com` for those beneath it alone;
/// `10.0.0.7`, `10.0.0.0/8`, `2001:db8::1`, `[2001:db8::1]` for hosts that are written as addresses; each with `:8080`
/// for that port alone. Case and a dot at the end do not count.
///
/// TCP keep-alive, the pings of HTTP/2 and the pool of connections have fixed values: see the
/// [manual](crate::manual::defaults).
///
/// ```
/// use unwedge::client::{Client, Network};
///
/// // Inside a cluster, where all servers are known to speak it without TLS.
/// let client = Client::builder().network(Network::default().http2_only().no_proxy()).build()?;
/// # Ok::<(), unwedge::Error>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
#[doc(alias("proxy", "keepalive", "connection_pool"))]
pub struct Network {
    pub(super) http2_only: bool,
    pub(super) http1: Http1,
    pub(super) http2: Http2,
    pub(super) connections: Connections,
    pub(super) proxy: Choice,
}

#[derive(Clone, Default)]
pub(super) enum Choice {
    #[default]
    Environment,
    None,
    One(String),
}

impl Network {
    /// Speaks HTTP/2 and nothing else, also without TLS and without asking (prior knowledge). Default off: a server
    /// that does not speak it answers with garbage, or not at all.
    pub fn http2_only(mut self) -> Network {
        self.http2_only = true;
        self
    }

    /// What HTTP/1.1 lets pass of peers that bend its rules. Default nothing.
    pub fn http1(mut self, http1: Http1) -> Network {
        self.http1 = http1;
        self
    }

    /// Windows and frames of HTTP/2. Default hyper's.
    pub fn http2(mut self, http2: Http2) -> Network {
        self.http2 = http2;
        self
    }

    /// How many connections there are to one origin, and for how long.
    pub fn connections(mut self, connections: Connections) -> Network {
        self.connections = connections;
        self
    }

    /// Reaches everything but loopback hosts through this proxy, whatever the environment says: an `http`, `https`,
    /// `socks5` or `socks5h` URL (SOCKS5; with `socks5` names are looked up here, with `socks5h` by the proxy). Its user name and password are sent to the proxy alone, and never printed.
    ///
    /// The connect bound includes the handshake with the proxy. One that refuses is an error of kind `Connect` which
    /// names it; the circuit breaker stays that of the target.
    pub fn proxy(mut self, url: impl Into<String>) -> Network {
        self.proxy = Choice::One(url.into());
        self
    }

    /// Connects directly, whatever the environment says.
    pub fn no_proxy(mut self) -> Network {
        self.proxy = Choice::None;
        self
    }

    pub(super) fn proxies(&self) -> Result<Proxies, Error> {
        match &self.proxy {
            Choice::None => Ok(Proxies::default()),
            Choice::One(url) => Proxies::of(url),
            Choice::Environment => Ok(Proxies::from_variables(|name| {
                std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
            })),
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxy = match &self.proxy {
            Choice::Environment => "from the environment".to_owned(),
            Choice::None => "none".to_owned(),
            Choice::One(url) => redacted(url),
        };
        f.debug_struct("Network")
            .field("http2_only", &self.http2_only)
            .field("http1", &self.http1)
            .field("http2", &self.http2)
            .field("connections", &self.connections)
            .field("proxy", &proxy)
            .finish()
    }
}
