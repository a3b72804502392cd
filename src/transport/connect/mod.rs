//! One bound around whatever makes a connection: resolution, TCP, proxy and TLS together.

mod h2_flood;
mod io;
pub(crate) mod proxy;
pub(crate) mod resolve;
pub(crate) mod tcp;
pub(crate) mod tls;

use crate::deadline::Timer;
use crate::error::{BoxError, Error, ErrorKind, Phase};
use crate::inflight::{observe, report};
#[cfg(feature = "testing")]
use crate::testing::Pipe;
use http::Uri;
use hyper_util::rt::TokioIo;
#[cfg(feature = "testing")]
use io::Stream;
pub(crate) use io::end_this_connection;
use io::{Made, Metered};
use proxy::Proxy;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;
use tower_service::Service;

/// Where connections lead.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    Network(tls::Https),
    #[cfg(feature = "testing")]
    Pipe(Pipe),
    #[cfg(test)]
    Dial(Dial),
}

/// Where the connections of a test lead.
#[cfg(test)]
#[derive(Clone)]
pub(crate) struct Dial(pub(crate) std::sync::Arc<dyn Fn() -> Dialing + Send + Sync>);

#[cfg(test)]
pub(crate) type Dialing = Pin<Box<dyn Future<Output = std::io::Result<tokio::io::DuplexStream>> + Send>>;

#[cfg(test)]
impl std::fmt::Debug for Dial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dial")
    }
}

/// Makes connections under the connect bound.
///
/// The bound stands here and not around the call, because the pool goes on connecting in a task of its own when
/// another connection was free sooner. For the same reason the ambient deadline is not looked at.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    // The pool clones its connector for every request, and uses it for few.
    way: Arc<Way>,
    limit: Duration,
    /// HTTP/2 is spoken without being agreed on.
    h2: bool,
}

impl Connector {
    pub(crate) fn new(way: Way, limit: Duration, h2: bool) -> Connector {
        Connector { way: Arc::new(way), limit, h2 }
    }

    /// Whether nothing but HTTP/2 is spoken.
    pub(crate) fn http2_only(&self) -> bool {
        self.h2
    }

    /// The proxy that has to be told the whole URL of a request to here.
    pub(crate) fn forwarder(&self, uri: &Uri) -> Option<Proxy> {
        match &*self.way {
            Way::Network(https) if !self.h2 && uri.scheme_str() == Some("http") => https.via(uri),
            _ => None,
        }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Metered>;
    type Error = Error;
    // The pool asks for a future that can be moved.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // Each connect gets an inner connector of its own and awaits its readiness under the bound.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (limit, h2) = (self.limit, self.h2);
        let ends = Instant::now() + limit;
        match &*self.way {
            Way::Network(https) => {
                let via = https.via(&uri);
                let connecting = https.clone().connect(uri);
                Box::pin(async move {
                    let connected = bounded(connecting, h2, limit, ends).await;
                    // Whose silence it was is not known to the one with the clock.
                    connected.map_err(|error| match via {
                        Some(proxy) if error.is_timeout() => proxy.silent(error),
                        _ => error,
                    })
                })
            }
            #[cfg(feature = "testing")]
            Way::Pipe(pipe) => {
                let connecting = pipe.clone().call(uri);
                let connecting =
                    async move { connecting.await.map(|io| Made::from(Stream::Pipe(io.into_inner()))) };
                Box::pin(bounded(connecting, h2, limit, ends))
            }
            #[cfg(test)]
            Way::Dial(dial) => {
                let connecting = dial.0();
                let connecting = async move { connecting.await.map(|io| Made::from(Stream::Duplex(io))) };
                Box::pin(bounded(connecting, h2, limit, ends))
            }
        }
    }
}

async fn bounded<E: Into<BoxError>>(
    connecting: impl Future<Output = Result<Made, E>>,
    h2: bool,
    limit: Duration,
    ends: Instant,
) -> Result<TokioIo<Metered>, Error> {
    let mut connecting = pin!(connecting);
    let mut timer = pin!(Timer::default());
    poll_fn(|cx| {
        let (polled, doing) = observe(|| connecting.as_mut().poll(cx));
        match polled {
            Poll::Ready(Ok(made)) => return Poll::Ready(Ok(TokioIo::new(Metered::new(made, h2)))),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(failed(error.into()))),
            Poll::Pending => {}
        }
        // Resolution and TLS say so themselves; what is left is connecting.
        let phase = if doing == Phase::Headers { Phase::Connect } else { doing };
        report(phase);
        timer.as_mut().poll(ends, cx).map(|fired| {
            fired?;
            let slow = Error::new(ErrorKind::Connect, "").at(phase).limit(limit);
            // A resolver that does not answer, or waits for a thread: no server has been asked for anything.
            Err(if phase == Phase::Resolve { slow.of_this_machine() } else { slow })
        })
    })
    .await
}

/// What went wrong while connecting as one of our errors.
fn failed(error: BoxError) -> Error {
    let mut error = Error::from(error);
    let inner = error.inner_mut();
    if inner.kind == ErrorKind::Transport {
        inner.kind = ErrorKind::Connect;
    }
    if inner.kind == ErrorKind::Connect {
        inner.phase.get_or_insert(Phase::Connect);
    }
    error
}
