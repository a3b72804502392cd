//! A connection with or without TLS, which knows whether it had served before.

#[cfg(feature = "testing")]
use crate::testing::PipeStream;
use crate::wire::Meter;
use hyper_util::client::legacy::connect::{Connected, Connection};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<Stream>>),
    #[cfg(feature = "testing")]
    Pipe(PipeStream),
    #[cfg(test)]
    Duplex(tokio::io::DuplexStream),
}

impl Stream {
    /// What the two ends agreed on while they shook hands.
    fn agreed_on_h2(&self) -> bool {
        matches!(self, Stream::Tls(tls) if tls.get_ref().1.alpn_protocol() == Some(b"h2"))
    }

    fn connected(&self) -> Connected {
        match self {
            Stream::Plain(tcp) => tcp.connected(),
            Stream::Tls(tls) => tls.get_ref().0.connected(),
            #[cfg(feature = "testing")]
            Stream::Pipe(pipe) => pipe.connected(),
            #[cfg(test)]
            Stream::Duplex(_) => Connected::new(),
        }
    }
}

/// Does the same with whatever is inside.
macro_rules! inside {
    ($stream:expr, $it:ident => $do:expr) => {
        match $stream {
            Stream::Plain($it) => $do,
            Stream::Tls($it) => $do,
            #[cfg(feature = "testing")]
            Stream::Pipe($it) => $do,
            #[cfg(test)]
            Stream::Duplex($it) => $do,
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
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) stream: Stream,
    /// At its end is a proxy, which wants to see whole URLs.
    pub(crate) proxied: bool,
}

impl From<Stream> for Made {
    fn from(stream: Stream) -> Made {
        Made { stream, proxied: false }
    }
}

/// A connection that tells its [`Meter`] of the plain bytes above TLS.
#[derive(Debug)]
pub(crate) struct Metered {
    stream: Stream,
    meter: Meter,
    h2: bool,
    proxied: bool,
}

impl Metered {
    /// `h2` where HTTP/2 is spoken without being agreed on.
    pub(super) fn new(made: Made, h2: bool) -> Metered {
        let Made { stream, proxied } = made;
        let h2 = h2 || stream.agreed_on_h2();
        Metered { stream, meter: if h2 { Meter::of_streams() } else { Meter::default() }, h2, proxied }
    }

    fn wrote(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(polled, Poll::Ready(Ok(1..))) {
            self.meter.wrote();
        }
        polled
    }
}

impl Connection for Metered {
    fn connected(&self) -> Connected {
        let connected = self.stream.connected();
        let connected = if self.h2 { connected.negotiated_h2() } else { connected };
        connected.proxy(self.proxied).extra(self.meter.clone())
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.meter.read();
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
