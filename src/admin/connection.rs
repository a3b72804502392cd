//! One connection to the admin endpoints, and what it is doing: in a flood one that does nothing gives way first.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower_service::Service;

/// What a connection is doing, the most dispensable first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ConnState {
    /// Nothing came yet, or nothing since the last answer.
    Idle,
    /// A request is on its way.
    Reading,
    /// It is being answered.
    Answering,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Activity(Arc<AtomicU8>);

impl Activity {
    pub(super) fn get(&self) -> ConnState {
        match self.0.load(Ordering::Relaxed) {
            0 => ConnState::Idle,
            1 => ConnState::Reading,
            _ => ConnState::Answering,
        }
    }

    fn set(&self, doing: ConnState) {
        self.0.store(doing as u8, Ordering::Relaxed);
    }
}

/// Notes that something came.
pub(super) struct WatchedStream {
    pub(super) stream: TcpStream,
    pub(super) activity: Activity,
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before && self.activity.get() == ConnState::Idle {
            self.activity.set(ConnState::Reading);
        }
        polled
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Notes that a request is answered, until its response is there.
#[derive(Clone)]
pub(super) struct Answering {
    pub(super) router: Router,
    pub(super) activity: Activity,
}

impl Service<Request<hyper::body::Incoming>> for Answering {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<hyper::body::Incoming>) -> Self::Future {
        let (activity, answer) = (self.activity.clone(), self.router.call(request));
        Box::pin(async move {
            activity.set(ConnState::Answering);
            let answer = answer.await;
            // A page that stays open to be told what changes connects again by itself.
            activity.set(ConnState::Idle);
            answer
        })
    }
}
