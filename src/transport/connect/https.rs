//! A connection over the network.

use crate::error::{BoxError, Error, Phase};
use crate::transport::connect::connector::AnyConnector;
use crate::transport::connect::io::{Made, Stream};
use crate::transport::connect::proxy::Proxies;
use crate::transport::connect::tcp::Tcp;
use crate::transport::connect::tls::{Prepared, handshake, server_name};
use http::Uri;
use http::uri::Scheme;
use std::future::poll_fn;
use tower::util::service_fn;
use tower_service::Service;

/// TCP, a proxy where there is one, and TLS above it where the scheme asks for it.
#[derive(Clone)]
pub(in crate::transport) struct Https {
    tcp: Tcp,
    tls: Prepared,
    proxies: Proxies,
    http2_only: bool,
}

impl Https {
    pub(in crate::transport) fn new(tcp: Tcp, tls: Prepared, proxies: Proxies, http2_only: bool) -> Https {
        Https { tcp, tls, proxies, http2_only }
    }

    async fn connect(mut self, uri: Uri) -> Result<Made, Error> {
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        let name = secure.then(|| server_name(&uri));
        let proxy = self.proxies.toward(&uri)?;
        // A proxy reads HTTP/1.1 alone: everything else goes through a tunnel.
        let tunnel = secure || self.http2_only;
        let mut stream = match &proxy {
            None => self.plain(uri.clone()).await?,
            Some(proxy) => {
                let tcp = self.plain(proxy.uri().clone()).await;
                let mut stream = tcp.map_err(|error| proxy.unreachable(error))?;
                if proxy.is_secure() {
                    let shaken = handshake(self.tls.http1()?, server_name(proxy.uri())?, stream).await;
                    stream = Stream::Tls(Box::new(shaken.map_err(|e| proxy.unreachable(e.at(Phase::Tls)))?));
                }
                if !tunnel {
                    return Ok(Made { stream, proxied: true });
                }
                proxy.tunnel(&mut stream, &uri).await?;
                stream
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

    async fn plain(&mut self, uri: Uri) -> Result<Stream, Error> {
        poll_fn(|cx| self.tcp.poll_ready(cx)).await.map_err(foreign)?;
        let tcp = self.tcp.call(uri).await.map_err(foreign)?;
        Ok(Stream::Plain(tcp.into_inner()))
    }
}

fn foreign(error: impl Into<BoxError>) -> Error {
    Error::from(error.into())
}
