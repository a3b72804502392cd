//! One bound around whatever makes a connection: resolution, TCP and TLS together.

pub(super) mod tcp;
pub(super) mod tls;

use crate::deadline::Timer;
use crate::error::{BoxError, Error, ErrorKind, Phase};
use crate::inflight::{observe, report};
use crate::wire::Meter;
use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tower_service::Service;

/// A connector under the connect bound.
///
/// The bound stands here and not around the call, because the pool goes on connecting in a task of its own when
/// another connection was free sooner. For the same reason the ambient deadline is not looked at.
#[derive(Clone, Debug)]
pub(crate) struct Connector<C> {
    inner: C,
    limit: Duration,
}

impl<C> Connector<C> {
    pub(crate) fn new(inner: C, limit: Duration) -> Connector<C> {
        Connector { inner, limit }
    }
}

impl<C, T> Service<Uri> for Connector<C>
where
    C: Service<Uri, Response = TokioIo<T>>,
    C::Future: Send + 'static,
    C::Error: Into<BoxError> + 'static,
    T: 'static,
{
    type Response = TokioIo<Metered<T>>;
    type Error = Error;
    // The pool asks for a future that can be moved.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(|error| failed(error.into()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let ends = Instant::now() + self.limit;
        Box::pin(bounded(self.inner.call(uri), self.limit, ends))
    }
}

async fn bounded<T, E: Into<BoxError>>(
    connecting: impl Future<Output = Result<TokioIo<T>, E>>,
    limit: Duration,
    ends: Instant,
) -> Result<TokioIo<Metered<T>>, Error> {
    let mut connecting = pin!(connecting);
    let mut timer = pin!(Timer::default());
    let mut phase = Phase::Connect;
    poll_fn(|cx| {
        let (polled, doing) = observe(|| connecting.as_mut().poll(cx));
        match polled {
            Poll::Ready(Ok(io)) => {
                let io = Metered { io: io.into_inner(), meter: Meter::default() };
                return Poll::Ready(Ok(TokioIo::new(io)));
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(failed(error.into()))),
            Poll::Pending => {}
        }
        // A connector that reports nothing is taken to be connecting.
        phase = if doing == Phase::Headers { Phase::Connect } else { doing };
        report(phase);
        timer.as_mut().poll(ends, cx).map(|fired| {
            fired?;
            Err(Error::new(ErrorKind::Connect, "").at(phase).limit(limit))
        })
    })
    .await
}

/// An error of the inner connector as one of ours.
fn failed(error: BoxError) -> Error {
    let mut error = Error::from(error);
    let inner = error.inner_mut();
    if inner.kind == ErrorKind::Transport {
        inner.kind = ErrorKind::Connect;
    }
    inner.phase.get_or_insert(Phase::Connect);
    error
}

pin_project_lite::pin_project! {
    /// A connection that knows whether it had served before: see [`Meter`].
    #[derive(Debug)]
    pub(crate) struct Metered<T> {
        #[pin]
        io: T,
        meter: Meter,
    }
}

impl<T: Connection> Connection for Metered<T> {
    fn connected(&self) -> Connected {
        self.io.connected().extra(self.meter.clone())
    }
}

impl<T: AsyncRead> AsyncRead for Metered<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let before = buf.filled().len();
        let polled = this.io.poll_read(cx, buf);
        if buf.filled().len() > before {
            this.meter.read();
        }
        polled
    }
}

impl<T: AsyncWrite> AsyncWrite for Metered<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.project();
        let polled = this.io.poll_write(cx, buf);
        if matches!(polled, Poll::Ready(Ok(1..))) {
            this.meter.wrote();
        }
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        let polled = this.io.poll_write_vectored(cx, bufs);
        if matches!(polled, Poll::Ready(Ok(1..))) {
            this.meter.wrote();
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_shutdown(cx)
    }
}
