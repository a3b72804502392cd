//! A connection with or without TLS, which knows whether it had served before.

use crate::reuse::Meter;
use crate::transport::connect::h2_flood::Frames;
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

/// What a connector of the user's makes.
pub(in crate::transport) trait Io: Read + Write + Connection + Send + Unpin {}

impl<T: Read + Write + Connection + Send + Unpin> Io for T {}

pub(in crate::transport) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<Stream>>),
    /// Of a connector that is not ours.
    Foreign(TokioIo<Box<dyn Io>>),
}

impl Stream {
    pub(super) fn foreign(io: impl Io + 'static) -> Stream {
        Stream::Foreign(TokioIo::new(Box::new(io)))
    }

    /// What the two ends agreed on while they shook hands.
    fn agreed_on_h2(&self) -> bool {
        match self {
            Stream::Plain(_) => false,
            Stream::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
            Stream::Foreign(io) => io.inner().connected().is_negotiated_h2(),
        }
    }

    fn connected(&self) -> Connected {
        match self {
            Stream::Plain(tcp) => tcp.connected(),
            Stream::Tls(tls) => tls.get_ref().0.connected(),
            Stream::Foreign(io) => io.inner().connected(),
        }
    }
}

/// Does the same with whatever is inside.
macro_rules! inside {
    ($stream:expr, $it:ident => $do:expr) => {
        match $stream {
            Stream::Plain($it) => $do,
            Stream::Tls($it) => $do,
            Stream::Foreign($it) => $do,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        inside!(&mut *self, it => Pin::new(it).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        inside!(&mut *self, it => Pin::new(it).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        inside!(&mut *self, it => Pin::new(it).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        inside!(self, it => it.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inside!(&mut *self, it => Pin::new(it).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inside!(&mut *self, it => Pin::new(it).poll_shutdown(cx))
    }
}

/// What connecting has made.
pub(in crate::transport) struct Made {
    pub(super) stream: Stream,
    /// At its end is a proxy, which wants to see whole URLs.
    pub(super) proxied: bool,
}

impl From<Stream> for Made {
    fn from(stream: Stream) -> Made {
        Made { stream, proxied: false }
    }
}

/// A connection that tells its [`Meter`] of the plain bytes above TLS.
pub(in crate::transport) struct Metered {
    stream: Stream,
    meter: Meter,
    number: u64,
    /// Where HTTP/2 is spoken.
    frames: Option<Box<Frames>>,
    proxied: bool,
}

thread_local! {
    // The connection that was read last on this thread, and the one that is to be read no more: hyper calls back for an
    // informational response from inside the read that brought it, says not of which connection, and offers no other way
    // to end such a connection. A cap on informational responses in hyper's `client::conn::http1::Builder`, or a callback
    // that may refuse, would replace both.
    static READ_LAST: Cell<u64> = const { Cell::new(0) };
    static ENDED: Cell<u64> = const { Cell::new(0) };
}

/// Called by code that hyper runs on what it has just read: the next read of that connection is an error.
///
/// hyper reads on, in one poll, for as long as there is something to read and nothing to hand over. A server that sends
/// informational responses as fast as they are read would keep the thread from the call that has had enough of them.
/// (On HTTP/2 nothing calls this: hyper passes those responses over, and [`Frames`] counts them.)
pub(in crate::transport) fn end_this_connection() {
    ENDED.set(READ_LAST.get());
}

impl Metered {
    /// `h2` where HTTP/2 is spoken without being agreed on.
    pub(super) fn new(made: Made, h2: bool) -> Metered {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let Made { stream, proxied } = made;
        let h2 = h2 || stream.agreed_on_h2();
        let meter = if h2 { Meter::of_streams() } else { Meter::default() };
        Metered { stream, meter, number, frames: h2.then(Box::default), proxied }
    }

    fn wrote(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(n @ 1..)) = polled {
            self.meter.wrote();
            if let Some(frames) = &mut self.frames {
                frames.wrote(n);
            }
        }
        polled
    }
}

impl Connection for Metered {
    fn connected(&self) -> Connected {
        let connected = self.stream.connected();
        let connected = if self.frames.is_some() { connected.negotiated_h2() } else { connected };
        let connected = if self.proxied { connected.proxy(true) } else { connected };
        connected.extra(self.meter.clone())
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if ENDED.get() == self.number {
            return Poll::Ready(Err(io::Error::other("what was read is more than what may come")));
        }
        READ_LAST.set(self.number);
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.meter.read();
            if let Some(frames) = &mut self.frames {
                if let Err(flood) = frames.read(&buf.filled()[before..], Instant::now) {
                    buf.set_filled(before);
                    return Poll::Ready(Err(io::Error::other(flood)));
                }
            }
        }
        polled
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
