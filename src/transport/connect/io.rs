//! A connection with or without TLS, which knows whether it had served before.

use crate::reuse::Meter;
use crate::transport::connect::h2_flood::Frames;
use crate::transport::connect::heads::Heads;
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use std::io::{self, IoSlice};
use std::pin::Pin;
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
    /// Where HTTP/1 is spoken.
    heads: Heads,
    /// Where HTTP/2 is spoken.
    frames: Option<Box<Frames>>,
    proxied: bool,
}

impl Metered {
    /// `h2` where HTTP/2 is spoken without being agreed on.
    pub(super) fn new(made: Made, h2: bool) -> Metered {
        let Made { stream, proxied } = made;
        let h2 = h2 || stream.agreed_on_h2();
        let meter = if h2 { Meter::of_streams() } else { Meter::default() };
        let frames = h2.then(|| Box::new(Frames::of(meter.clone())));
        Metered { stream, meter, heads: Heads::default(), frames, proxied }
    }

    /// What is known of it, wherever it is.
    pub(in crate::transport) fn meter(&self) -> &Meter {
        &self.meter
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
        if self.proxied { connected.proxy(true) } else { connected }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            this.meter.read();
            let read = &buf.filled()[before..];
            let flood = match &mut this.frames {
                Some(frames) => frames.read(read, Instant::now).map_err(io::Error::other),
                None => this.heads.read(read, this.meter.requests()).map_err(io::Error::other),
            };
            if let Err(flood) = flood {
                buf.set_filled(before);
                return Poll::Ready(Err(flood));
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
