//! A connection over the network.

use crate::error::{BoxError, Error, ErrorKind, Phase};
use crate::transport::connect::connector::AnyConnector;
use crate::transport::connect::io::{Made, Stream};
use crate::transport::connect::proxy::Proxies;
use crate::transport::connect::resolve::AnyResolver;
use crate::transport::connect::tcp::Tcp;
use crate::transport::connect::tls::{Prepared, handshake, server_name};
use crate::transport::connect::tunnel;
use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::dns::Name;
use std::future::poll_fn;
use std::net::IpAddr;
use tower::util::service_fn;
use tower_service::Service;

/// TCP, a proxy where there is one, and TLS above it where the scheme asks for it.
#[derive(Clone)]
pub(in crate::transport) struct Https {
    tcp: Tcp,
    resolver: AnyResolver,
    tls: Prepared,
    proxies: Proxies,
    http2_only: bool,
}

impl Https {
    pub(in crate::transport) fn new(
        tcp: Tcp,
        resolver: AnyResolver,
        tls: Prepared,
        proxies: Proxies,
        http2_only: bool,
    ) -> Https {
        Https { tcp, resolver, tls, proxies, http2_only }
    }

    async fn connect(mut self, uri: Uri) -> Result<Made, Error> {
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        let name = secure.then(|| server_name(&uri));
        let proxy = self.proxies.toward(&uri)?;
        // A proxy reads HTTP/1.1 alone, and one of SOCKS nothing: everything else goes through a tunnel.
        let tunnel = secure || self.http2_only || proxy.as_ref().is_some_and(|proxy| proxy.is_socks());
        let mut stream = match &proxy {
            None => self.plain(uri.clone()).await?,
            Some(proxy) => {
                let tcp = self.plain(proxy.address()).await;
                let mut stream = tcp.map_err(|error| proxy.unreachable(error))?;
                if proxy.is_secure() {
                    let shaken = handshake(self.tls.http1()?, server_name(proxy.uri())?, stream).await;
                    stream = Stream::Tls(Box::new(shaken.map_err(|e| proxy.unreachable(e.at(Phase::Tls)))?));
                }
                if !tunnel {
                    return Ok(Made { stream, proxied: true });
                }
                let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
                let host = uri.host().unwrap_or_default();
                if proxy.wants_addresses() {
                    let host = self.look_up(host).await?;
                    tunnel::through(proxy, stream, &host, port).await?
                } else {
                    tunnel::through(proxy, stream, host, port).await?
                }
            }
        };
        if let Some(name) = name {
            let shaken = handshake(self.tls.config()?, name?, stream).await;
            stream = Stream::Tls(Box::new(shaken.map_err(|error| error.at(Phase::Tls))?));
        }
        Ok(Made::from(stream))
    }

    /// As a service of the one type that all connectors have.
    pub(in crate::transport) fn boxed(self) -> AnyConnector {
        AnyConnector::new(service_fn(move |uri| {
            let connecting = self.clone().connect(uri);
            async { connecting.await.map_err(BoxError::from) }
        }))
    }

    /// The first address of this host, as a URL has it.
    async fn look_up(&mut self, host: &str) -> Result<String, Error> {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if bare.parse::<IpAddr>().is_ok() {
            return Ok(host.to_owned());
        }
        let none = |why: String| Error::new(ErrorKind::Connect, why).at(Phase::Resolve);
        let name: Name = host.parse().map_err(|_| none(format!("the host {host:?} is no name")))?;
        poll_fn(|cx| self.resolver.poll_ready(cx)).await?;
        match self.resolver.call(name).await?.next().map(|address| address.ip()) {
            Some(IpAddr::V4(address)) => Ok(address.to_string()),
            Some(IpAddr::V6(address)) => Ok(format!("[{address}]")),
            None => Err(none(format!("the host {host:?} has no address"))),
        }
    }

    async fn plain(&mut self, uri: Uri) -> Result<Stream, Error> {
        poll_fn(|cx| self.tcp.poll_ready(cx)).await.map_err(foreign)?;
        let tcp = self.tcp.call(uri).await.map_err(foreign)?;
        Ok(Stream::Plain(tcp.into_inner()))
    }
}

fn foreign(error: impl Into<BoxError>) -> Error {
    Error::from(error.into())
}
