//! Any stream of tokio's as a connection of hyper's.

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};

/// A stream of tokio's as what a [`connector`](crate::client::ClientBuilder::connector) has to make: Unix sockets, vsock, serial
/// lines, TLS of your own.
///
/// hyper-util's `TokioIo` does the same for the streams whose addresses it knows (TCP, Unix sockets, named pipes).
///
/// ```
/// use unwedge::client::TokioStream;
///
/// let (near, far) = tokio::io::duplex(4096);
/// let connection = TokioStream::new(near).http2();
/// ```
#[derive(Debug)]
pub struct TokioStream<T> {
    io: TokioIo<T>,
    http2: bool,
}

impl<T> TokioStream<T> {
    /// This stream, over which HTTP/1.1 is spoken.
    pub fn new(stream: T) -> TokioStream<T> {
        TokioStream { io: TokioIo::new(stream), http2: false }
    }

    /// HTTP/2 is spoken: the two ends have agreed on it, as by ALPN.
    #[must_use]
    pub fn http2(mut self) -> TokioStream<T> {
        self.http2 = true;
        self
    }
}

impl<T> Connection for TokioStream<T> {
    fn connected(&self) -> Connected {
        let connected = Connected::new();
        if self.http2 { connected.negotiated_h2() } else { connected }
    }
}

impl<T: AsyncRead + Unpin> Read for TokioStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> Write for TokioStream<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        Write::is_write_vectored(&self.io)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
