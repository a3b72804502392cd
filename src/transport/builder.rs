//! What a transport is made of.

use crate::error::{BoxError, Error};
use crate::suspend::WallClock;
use crate::tls::{Tls, Trust};
use crate::transport::Transport;
use crate::transport::connect::Connector;
use crate::transport::connect::connector::{self, AnyConnector};
use crate::transport::connect::https::Https;
use crate::transport::connect::resolve::{self, AnyResolver, Resolver};
use crate::transport::connect::tcp::Tcp;
use crate::transport::decode::Decoding;
use crate::transport::network::Network;
use crate::transport::pool::Pool;
use http::{HeaderValue, Uri};
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::Connection;
use hyper_util::client::legacy::connect::dns::Name;
use std::net::SocketAddr;
use std::time::Duration;
use tower_service::Service;

/// What a request says of its sender where it does not say it itself.
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("unwedge/", env!("CARGO_PKG_VERSION")));

/// How servers are reached and what is said to them, whoever calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct TransportBuilder {
    pub(crate) tls: Tls,
    pub(crate) network: Network,
    pub(crate) user_agent: Option<String>,
    pub(crate) no_gzip: bool,
    connector: Option<AnyConnector>,
    resolver: Option<AnyResolver>,
}

impl TransportBuilder {
    /// In place of the network.
    pub(crate) fn connector<C>(&mut self, connector: C)
    where
        C: Service<Uri> + Clone + Send + Sync + 'static,
        C::Response: Read + Write + Connection + Send + Unpin + 'static,
        C::Error: Into<BoxError>,
        C::Future: Send + 'static,
    {
        self.connector = Some(connector::any(connector));
    }

    /// In place of that of the system.
    pub(crate) fn resolver<R>(&mut self, resolver: R)
    where
        R: Service<Name> + Clone + Send + Sync + 'static,
        R::Response: IntoIterator<Item = SocketAddr>,
        R::Error: Into<BoxError>,
        R::Future: Send + 'static,
    {
        self.resolver = Some(resolve::any(resolver));
    }

    /// `connect` bounds each connect; by the wall clock it is seen that the machine has slept.
    pub(crate) fn build(self, connect: Duration, wall: WallClock) -> Result<Decoding, Error> {
        let user_agent = match self.user_agent {
            None => USER_AGENT,
            Some(text) => HeaderValue::try_from(&text).map_err(|_| {
                Error::config(format!(
                    "the user agent {text:?} cannot be a header value: it must be one line of visible characters"
                ))
            })?,
        };
        let http2_only = self.network.http2_only;
        self.network.http2.check()?;
        if self.connector.is_some() && !self.tls.is_default() {
            return Err(Error::config(
                "a connector and TLS were given: a connector makes the whole connection, TLS too, leave one out",
            ));
        }
        if self.connector.is_some() && self.network.get_proxy().is_some() {
            return Err(Error::config(
                "a connector and a proxy were given: a connector finds its way by itself, leave one out",
            ));
        }
        let (tls, proxies) = (Trust::prepare(&self.tls, http2_only)?, self.network.proxies()?);
        let rules = self.network.connections.rules(connect)?;
        let connector = match (self.connector, self.resolver) {
            (Some(_), Some(_)) => {
                return Err(Error::config(
                    "a connector and a resolver were given: a connector finds its addresses by itself, leave one out",
                ));
            }
            (Some(connector), None) => Connector::own(connector, connect, http2_only),
            (None, resolver) => {
                let resolver = resolver.unwrap_or_else(|| AnyResolver::new(Resolver::system()));
                let network = Https::new(Tcp::new(resolver), tls, proxies.clone(), http2_only);
                Connector::network(network, proxies, connect, http2_only)
            }
        };
        let spoken = (self.network.http1, self.network.http2);
        let pool = Pool::new(connector, spoken, rules, wall);
        let transport = Transport::new(pool, user_agent);
        Ok(Decoding::new(transport, !self.no_gzip))
    }
}
