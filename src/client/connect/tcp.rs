//! Resolution and TCP, by hyper-util.

use crate::error::{Error, ErrorKind, Phase};
use crate::inflight::report;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiFuture, GaiResolver, Name};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tower_service::Service;

pub(crate) type Tcp = HttpConnector<Resolver>;

/// What an idle connection waits before it is probed, and between probes: shorter than the idle time-outs of the
/// middleboxes that forget connections, so that a dead peer is known within a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const PROBES: u32 = 3;
/// How long sent bytes may stay unacknowledged before the kernel gives the connection up (Linux).
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// How long one address family has before the other is tried beside it (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);

pub(crate) fn connector() -> Tcp {
    let mut tcp = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEP_ALIVE));
    tcp.set_keepalive_interval(Some(KEEP_ALIVE));
    tcp.set_keepalive_retries(Some(PROBES));
    tcp.set_happy_eyeballs_timeout(Some(HEAD_START));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    tcp
}

/// The resolver of the system, on tokio's blocking threads; it says that it is the one who waits.
#[derive(Clone, Debug)]
pub(crate) struct Resolver(GaiResolver);

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = Error;
    type Future = Resolving;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(cx).map_err(failed)
    }

    fn call(&mut self, name: Name) -> Resolving {
        Resolving(self.0.call(name))
    }
}

#[derive(Debug)]
pub(crate) struct Resolving(GaiFuture);

impl Future for Resolving {
    type Output = Result<GaiAddrs, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = Pin::new(&mut self.0).poll(cx);
        if polled.is_pending() {
            report(Phase::Resolve);
        }
        Poll::Ready(ready!(polled).map_err(failed))
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Connect, "").at(Phase::Resolve).with_source(error)
}
