//! One connection to the admin endpoints, and what it is doing: in a flood one that does nothing gives way first.

use super::page::EVENTS;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http_body::{Frame, SizeHint};
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
    /// It is being answered, and nobody reads what is written already.
    Unread,
    /// What is left of the answer goes out.
    Flushing,
    /// It is being answered, to the end of the body.
    Answering,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Activity(Arc<AtomicU8>);

impl Activity {
    pub(super) fn get(&self) -> ConnState {
        match self.0.load(Ordering::Relaxed) {
            0 => ConnState::Idle,
            1 => ConnState::Reading,
            2 => ConnState::Unread,
            3 => ConnState::Flushing,
            _ => ConnState::Answering,
        }
    }

    fn set(&self, doing: ConnState) {
        self.0.store(doing as u8, Ordering::Relaxed);
    }
}

/// Notes that something came, and that all of an answer has gone.
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
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        match (self.activity.get(), polled.is_ready()) {
            (ConnState::Answering, false) => self.activity.set(ConnState::Unread),
            (ConnState::Unread, true) => self.activity.set(ConnState::Answering),
            _ => {}
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes when it has nothing more to write.
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        if polled.is_ready() && self.activity.get() == ConnState::Flushing {
            self.activity.set(ConnState::Idle);
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Notes that a request is answered, until the body of its response is over.
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
            let answer = answer.await?;
            // A page that stays open to be told what changes connects again by itself.
            if answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == EVENTS) {
                activity.set(ConnState::Idle);
                return Ok(answer);
            }
            Ok(answer.map(|body| Body::new(Sending { body, activity })))
        })
    }
}

/// The body of an answer, which notes its end.
struct Sending {
    body: Body,
    activity: Activity,
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        http_body::Body::poll_frame(Pin::new(&mut self.body), cx)
    }

    fn is_end_stream(&self) -> bool {
        http_body::Body::is_end_stream(&self.body)
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.body)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.activity.set(ConnState::Flushing);
    }
}
