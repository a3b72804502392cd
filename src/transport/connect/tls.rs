//! The handshake of TLS, by rustls.

pub use crate::tls::Tls;

use crate::deadline::Timer;
use crate::error::{BoxError, Error, Phase};
use crate::tls::Trust;
use crate::transport::connect::io::Stream;
use crate::transport::connect::phase::reporting;
use http::Uri;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// So long a certificate that was refused waits for files to be read again. A disk that takes longer is sick, and the
/// error is to say what is wrong with the certificate.
const READ: Duration = Duration::from_secs(1);

/// The handshakes of one connect: with a proxy, with the server or both.
pub(super) struct Handshakes {
    trust: Trust,
    /// By what, and since when, the one was shaken that failed for a certificate.
    refused: Option<(Arc<ClientConfig>, Instant)>,
}

impl Handshakes {
    pub(super) fn new(trust: Trust) -> Handshakes {
        Handshakes { trust, refused: None }
    }

    /// With the server, over a connection to it.
    pub(super) async fn with(&mut self, name: ServerName<'static>, below: Stream) -> Result<Stream, Error> {
        self.shake(name, below, Arc::clone).await
    }

    /// With a proxy, to which nothing but HTTP/1.1 is spoken.
    pub(super) async fn with_proxy(
        &mut self,
        name: ServerName<'static>,
        below: Stream,
    ) -> Result<Stream, Error> {
        let http1 = |config: &Arc<ClientConfig>| {
            let mut config = ClientConfig::clone(config);
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Arc::new(config)
        };
        self.shake(name, below, http1).await
    }

    async fn shake(
        &mut self,
        name: ServerName<'static>,
        below: Stream,
        as_spoken: impl Fn(&Arc<ClientConfig>) -> Arc<ClientConfig>,
    ) -> Result<Stream, Error> {
        let began = Instant::now();
        let shaken = reporting(Phase::Tls, async {
            let config = self.trust.config().await?;
            let shaken = TlsConnector::from(as_spoken(&config)).connect(name, below).await;
            shaken.map_err(|error| {
                let error = Error::from(BoxError::from(error));
                if error.inner().fault.certificate {
                    self.refused = Some((config, began));
                }
                error
            })
        });
        let stream: TlsStream<Stream> = shaken.await?;
        Ok(Stream::Tls(Box::new(stream)))
    }

    /// Whether the same again may go better, because roots or identity are others by now.
    pub(super) async fn is_renewed(&mut self) -> bool {
        let Some((used, began)) = self.refused.take() else { return false };
        let ends = Instant::now() + READ;
        let mut looked = pin!(self.trust.is_renewed(&used, began));
        let mut timer = pin!(Timer::default());
        let looked = poll_fn(|cx| match looked.as_mut().poll(cx) {
            Poll::Ready(renewed) => Poll::Ready(renewed),
            Poll::Pending => timer.as_mut().poll(ends, cx).map(|_| false),
        });
        reporting(Phase::Tls, looked).await
    }
}

/// The name that the certificate has to be for; an address without the brackets of the URL.
pub(super) fn server_name(uri: &Uri) -> Result<ServerName<'static>, Error> {
    let host = uri.host().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(bare.to_owned())
        .map_err(|_| Error::config(format!("the host {host:?} is no name that a certificate could be for")))
}
