//! A connection over the network.

use crate::error::{Error, Phase};
use crate::tls::Trust;
use crate::transport::connect::io::{Made, Stream};
use crate::transport::connect::proxy::Proxies;
use crate::transport::connect::tcp::{Bound, Tcp};
use crate::transport::connect::tls::{Handshakes, server_name};
use crate::transport::connect::tunnel;
use http::Uri;
use http::uri::Scheme;
use std::net::SocketAddr;

/// TCP, a proxy where there is one, and TLS above it where the scheme asks for it.
#[derive(Clone)]
pub(in crate::transport) struct Https {
    tcp: Tcp,
    trust: Trust,
    proxies: Proxies,
    http2_only: bool,
}

impl Https {
    pub(in crate::transport) fn new(tcp: Tcp, trust: Trust, proxies: Proxies, http2_only: bool) -> Https {
        Https { tcp, trust, proxies, http2_only }
    }

    pub(super) async fn connect(mut self, uri: Uri, bound: Bound) -> Result<Made, Error> {
        let mut tls = Handshakes::new(self.trust.clone());
        match self.once(&uri, bound, &mut tls).await {
            // Nothing was sent but what was said in vain in a handshake.
            Err(_) if tls.is_renewed().await => self.once(&uri, bound, &mut tls).await,
            done => done,
        }
    }

    async fn once(&mut self, uri: &Uri, bound: Bound, tls: &mut Handshakes) -> Result<Made, Error> {
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        let name = secure.then(|| server_name(uri));
        let proxy = self.proxies.toward(uri)?;
        // A proxy reads HTTP/1.1 alone, and one of SOCKS nothing: everything else goes through a tunnel.
        let tunnel = secure || self.http2_only || proxy.as_ref().is_some_and(|proxy| proxy.is_socks());
        let mut stream = match &proxy {
            None => self.plain(uri, bound).await?,
            Some(proxy) => {
                let tcp = self.plain(&proxy.address(), bound).await;
                let mut stream = tcp.map_err(|error| proxy.unreachable(error))?;
                if proxy.is_secure() {
                    let shaken = tls.with_proxy(server_name(proxy.uri())?, stream).await;
                    stream = shaken.map_err(|error| proxy.unreachable(error.at(Phase::Tls)))?;
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
            stream = tls.with(name?, stream).await.map_err(|error| error.at(Phase::Tls))?;
        }
        Ok(Made::from(stream))
    }

    /// The first address of this host, as a URL has it.
    async fn look_up(&mut self, host: &str) -> Result<String, Error> {
        let addresses = self.tcp.look_up(host).await?;
        Ok(match addresses[0] {
            SocketAddr::V4(address) => address.ip().to_string(),
            SocketAddr::V6(address) => format!("[{}]", address.ip()),
        })
    }

    async fn plain(&mut self, uri: &Uri, bound: Bound) -> Result<Stream, Error> {
        Ok(Stream::Plain(self.tcp.connect(uri, bound).await?))
    }
}
