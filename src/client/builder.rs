//! The settings of a client.

use crate::client::background::Background;
use crate::client::{Client, Redirects};
use crate::deadline::Limits;
use crate::error::Error;
use crate::stack::StackBuilder;
#[cfg(feature = "testing")]
use crate::testing::Pipe;
use crate::transport::Transport;
#[cfg(test)]
use crate::transport::connect::Dial;
use crate::transport::connect::resolve::Resolver;
use crate::transport::connect::tls::{Https, Tls};
use crate::transport::connect::{Connector, Way, tcp};
use crate::transport::decode::Decoding;
use crate::transport::network::Network;
use crate::transport::pool::Pool;
use crate::transport::suspend::Wall;
use crate::{breaker, health, retry};
use http::HeaderValue;
use tower_layer::Layer;

/// What a request says of its sender where it does not say it itself.
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("unwedge/", env!("CARGO_PKG_VERSION")));

/// The settings of a [`Client`]; relations between them are checked by [`build`](ClientBuilder::build).
///
/// ```
/// use std::time::Duration;
/// use unwedge::{Client, Limits, retry};
///
/// let client = Client::builder()
///     .limits(Limits::default().total(Duration::from_secs(60)))
///     .retry(retry::Settings::default().max_retries(5))
///     .health("/health")
///     .build()?;
/// # Ok::<(), unwedge::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ClientBuilder {
    stack: StackBuilder,
    tls: Tls,
    network: Network,
    user_agent: Option<String>,
    redirects: Redirects,
    no_gzip: bool,
    #[cfg(feature = "testing")]
    pipe: Option<Pipe>,
    #[cfg(test)]
    pub(super) dial: Option<Dial>,
    #[cfg(test)]
    pub(super) resolver: Option<Resolver>,
    #[cfg(test)]
    pub(super) wall: Wall,
}

impl ClientBuilder {
    /// How long a call and its parts may take.
    pub fn limits(mut self, limits: Limits) -> ClientBuilder {
        self.stack = self.stack.limits(limits);
        self
    }

    /// How calls are repeated.
    pub fn retry(mut self, retry: retry::Settings) -> ClientBuilder {
        self.stack = self.stack.retry(retry);
        self
    }

    /// When an origin is left alone.
    pub fn breaker(mut self, breaker: breaker::Settings) -> ClientBuilder {
        self.stack = self.stack.breaker(breaker);
        self
    }

    /// Switches the health check on: a path like `"/health"`, or [`health::Settings`]. Default off, because a
    /// server without a health endpoint must not lose its clients.
    pub fn health(mut self, health: impl Into<health::Settings>) -> ClientBuilder {
        self.stack = self.stack.health(health);
        self
    }

    /// What this client is called where there are several, on the status page, in the log and in metrics: see
    /// [`StackBuilder::name`]. Default a number.
    pub fn name(mut self, name: impl Into<std::sync::Arc<str>>) -> ClientBuilder {
        self.stack = self.stack.name(name);
        self
    }

    /// All settings of the stack at once, in place of those given so far: for what has no short form here, such as
    /// [`StackBuilder::classify`].
    pub fn stack(mut self, stack: StackBuilder) -> ClientBuilder {
        self.stack = stack;
        self
    }

    /// Root certificates and identity. Default the roots of the platform, and no identity.
    pub fn tls(mut self, tls: Tls) -> ClientBuilder {
        self.tls = tls;
        self
    }

    /// The version of HTTP, and proxies. Default: the server chooses, and the environment names them; see [`Network`].
    pub fn network(mut self, network: Network) -> ClientBuilder {
        self.network = network;
        self
    }

    /// The `User-Agent` of requests, health checks among them, that bring none. Default `unwedge/` and the version of
    /// this crate.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> ClientBuilder {
        self.user_agent = Some(user_agent.into());
        self
    }

    /// Which redirects are followed. Default all, up to 10 for a call: see [`Redirects`].
    pub fn redirects(mut self, redirects: Redirects) -> ClientBuilder {
        self.redirects = redirects;
        self
    }

    /// Whether bodies in gzip are asked for and decoded. Default on: answers of APIs shrink to a fraction.
    ///
    /// `Accept-Encoding: gzip` is sent with requests that bring neither that header nor a `Range`. A response whose
    /// `Content-Encoding` is gzip is decoded and loses that header and its `Content-Length`, but not the answer to a
    /// HEAD, and no 204, 206 or 304. All limits and caps count decoded bytes; a stream that is cut or corrupt is a
    /// failed attempt.
    pub fn gzip(mut self, on: bool) -> ClientBuilder {
        self.no_gzip = !on;
        self
    }

    /// Connects through this pipe in place of the network, whatever the scheme of a URL: for tests on a paused clock.
    #[cfg(feature = "testing")]
    pub fn pipe(mut self, pipe: Pipe) -> ClientBuilder {
        self.pipe = Some(pipe);
        self
    }

    /// Checks all settings and their relations.
    ///
    /// # Errors
    /// Kind `Config`: what [`StackBuilder::build`] refuses, certificates or keys that cannot be read or do not belong
    /// together, a proxy that is no URL, a user agent that is no header value. The message names the values and the rule.
    pub fn build(self) -> Result<Client, Error> {
        let user_agent = match self.user_agent {
            None => USER_AGENT,
            Some(text) => HeaderValue::try_from(&text).map_err(|_| {
                Error::config(format!(
                    "the user agent {text:?} cannot be a header value: it must be one line of visible characters"
                ))
            })?,
        };
        let connect = self.stack.bounds()?.connect;
        let http2_only = self.network.http2_only;
        let (tls, proxies) = (self.tls.prepare(http2_only)?, self.network.proxies()?);
        let resolver = Resolver::system();
        #[cfg(test)]
        let resolver = self.resolver.unwrap_or(resolver);
        let way = Way::Network(Https::new(tcp::connector(resolver, connect), tls, proxies, http2_only));
        #[cfg(feature = "testing")]
        let way = self.pipe.map_or(way, Way::Pipe);
        #[cfg(test)]
        let way = self.dial.map_or(way, Way::Dial);
        #[cfg(not(test))]
        let wall = Wall::default();
        #[cfg(test)]
        let wall = self.wall;
        let transport = Transport::new(Pool::new(Connector::new(way, connect, http2_only), wall), user_agent);
        let background = self.stack.checks_in_background().then(Background::default);
        let transport = Decoding::new(transport, !self.no_gzip);
        let stack = self.stack.build()?.layer(transport);
        Ok(Client { stack, redirects: self.redirects, background })
    }
}
