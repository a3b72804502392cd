//! One bound around whatever makes a connection: resolution, TCP, proxy and TLS together.

pub(super) mod connector;
mod h2_flood;
mod heads;
pub(super) mod https;
mod io;
mod memory;
mod no_proxy;
mod phase;
pub(super) mod proxy;
mod race;
pub(crate) mod resolve;
mod routes;
pub(crate) mod stream;
pub(crate) mod tcp;
pub(crate) mod tls;
mod tunnel;

use crate::deadline::Timer;
use crate::error::{BoxError, Error, ErrorKind, Phase};
use crate::inflight::{observe, report};
use crate::runtime::has;
use connector::AnyConnector;
use http::Uri;
use https::Https;
use hyper_util::rt::TokioIo;
use io::{Made, Metered};
use proxy::{Proxies, Proxy};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tcp::Bound;
use tokio::time::Instant;
use tower::ServiceExt;
use tower_service::Service;

/// Makes connections under the connect bound.
///
/// The bound stands here and not around the call, because the pool goes on connecting in a task of its own when
/// another connection was free sooner. For the same reason the ambient deadline is not looked at.
#[derive(Clone)]
// The pool clones its connector for every request, and uses it for few.
pub(super) struct Connector(Arc<Inner>);

struct Inner {
    way: Way,
    /// Where the network is what it connects over.
    proxies: Proxies,
    limit: Duration,
    /// HTTP/2 is spoken without being agreed on.
    h2: bool,
}

enum Way {
    Network(Https),
    Own(AnyConnector),
}

impl Connector {
    pub(super) fn network(network: Https, proxies: Proxies, limit: Duration, h2: bool) -> Connector {
        Connector(Arc::new(Inner { way: Way::Network(network), proxies, limit, h2 }))
    }

    /// Over what the user connects by.
    pub(super) fn own(connector: AnyConnector, limit: Duration, h2: bool) -> Connector {
        Connector(Arc::new(Inner { way: Way::Own(connector), proxies: Proxies::default(), limit, h2 }))
    }

    /// Whether nothing but HTTP/2 is spoken.
    pub(super) fn http2_only(&self) -> bool {
        self.0.h2
    }

    /// The proxy that has to be told the whole URL of a request to here.
    pub(super) fn forwarder(&self, uri: &Uri) -> Option<Proxy> {
        let asked = !self.0.h2 && uri.scheme_str() == Some("http");
        if asked { self.via(uri).filter(|proxy| !proxy.is_socks()) } else { None }
    }

    fn via(&self, uri: &Uri) -> Option<Proxy> {
        self.0.proxies.toward(uri).ok().flatten()
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
        let Inner { ref way, limit, h2, .. } = *self.0;
        let bound = Bound { ends: Instant::now() + limit, limit };
        let via = self.via(&uri);
        let connecting: Pin<Box<dyn Future<Output = Result<Made, BoxError>> + Send>> = match way {
            Way::Own(connector) => Box::pin(connector.clone().oneshot(uri)),
            Way::Network(network) => {
                let connecting = network.clone().connect(uri, bound);
                Box::pin(async { connecting.await.map_err(BoxError::from) })
            }
        };
        Box::pin(async move {
            let connected = bounded(connecting, h2, bound).await;
            // Whose silence it was is not known to the one with the clock.
            connected.map_err(|error| match via {
                Some(proxy) if error.is_timeout() => proxy.silent(error),
                _ => error,
            })
        })
    }
}

async fn bounded(
    connecting: Pin<Box<dyn Future<Output = Result<Made, BoxError>> + Send>>,
    h2: bool,
    Bound { ends, limit }: Bound,
) -> Result<TokioIo<Metered>, Error> {
    let mut connecting = pin!(has(connecting));
    let mut timer = pin!(Timer::default());
    poll_fn(|cx| {
        let (polled, doing) = observe(|| connecting.as_mut().poll(cx));
        match polled {
            Poll::Ready(Ok(Ok(made))) => return Poll::Ready(Ok(TokioIo::new(Metered::new(made, h2)))),
            Poll::Ready(Ok(Err(error))) => return Poll::Ready(Err(failed(error))),
            Poll::Ready(Err(lacks)) => return Poll::Ready(Err(lacks)),
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
