//! The in-memory connection: a connector for hyper-util's client whose other end is a [`Peer`](super::Peer).

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::watch;
use tower_service::Service;

use super::service::Behind;
use super::state::{Door, State};
use super::wire::Wire;
use crate::error::BoxError;
use crate::reuse::Meter;

/// What fits into the pipe in each direction before a writer has to wait, as a socket buffer would make it wait.
const BUFFER: usize = 64 * 1024;

/// An in-memory connector for hyper-util's legacy client (a `tower` service of [`Uri`]).
///
/// No socket and no thread is involved, hence a test on a paused tokio clock is exact to the millisecond: the clock
/// moves only when client and peer both wait. Every connect gives the server's half to the [`Peer`](crate::testing::Peer) the pipe was made
/// by, whatever host the address names, unless [`host`](Pipe::host) says otherwise. The scheme is not looked at: there
/// is no TLS in the pipe. HTTP/2 is spoken with a client that is told so: `Client::builder(..).http2_only(true)`.
///
/// A connect can be refused ([`Reply::refuse`](super::Reply::refuse)), hang
/// ([`Reply::connect_hang`](super::Reply::connect_hang)) or take its time ([`connect_takes`](Pipe::connect_takes)).
/// Dropping a connect that waits leaves nothing behind. A pipe outlives its peer only to refuse. Its connections say
/// whether they had served before, as those of the crate's own client do. In place of a peer a service of your own can stand
/// at the other end: [`serve`](Pipe::serve).
#[derive(Clone, Debug)]
pub struct Pipe {
    pub(super) main: End,
    pub(super) hosts: Vec<(Arc<str>, End)>,
    takes: Duration,
    busy: Option<Duration>,
}

/// What is at the other end.
#[derive(Clone, Debug)]
pub(super) enum End {
    Peer(Gate),
    Service(Arc<Behind>),
}

impl End {
    async fn connect(self, takes: Duration) -> io::Result<PipeStream> {
        match self {
            End::Peer(gate) => gate.connect(takes).await,
            End::Service(service) => {
                if !takes.is_zero() {
                    tokio::time::sleep(takes).await;
                }
                let (client, server) = PipeStream::pair();
                let served = service.connection(server.io);
                served.then_some(client).ok_or_else(|| refused("the service has too many connections"))
            }
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Gate {
    state: Arc<State>,
    /// Closed when the peer is dropped; nothing is ever sent.
    alive: watch::Receiver<()>,
}

impl Pipe {
    pub(super) fn new(state: Arc<State>, alive: watch::Receiver<()>) -> Pipe {
        Pipe::to(End::Peer(Gate { state, alive }))
    }

    fn to(main: End) -> Pipe {
        Pipe { main, hosts: Vec::new(), takes: Duration::ZERO, busy: None }
    }

    /// Every connect takes `d` before it is accepted or refused. Zero by default.
    #[must_use]
    pub fn connect_takes(mut self, d: Duration) -> Pipe {
        self.takes = d;
        self
    }

    /// A connect never comes to an end and always has something ready: each poll spends the whole cooperative budget of its
    /// task and moves a paused clock on by `pace`, which would not move by itself while a task is busy.
    pub(super) fn connect_busy(mut self, pace: Duration) -> Pipe {
        self.busy = Some(pace);
        self
    }

    fn end(&self, uri: &Uri) -> &End {
        let named =
            uri.host().and_then(|host| self.hosts.iter().find(|(name, _)| name.eq_ignore_ascii_case(host)));
        named.map_or(&self.main, |(_, end)| end)
    }
}

impl Pipe {
    /// An in-memory connector to a service of your own, served by hyper: an axum router, or whatever hyper can serve. Its
    /// handlers run on the same paused clock as the client, which a server on a real socket does not: a paused clock jumps to
    /// the next timer while bytes are on their way through the kernel.
    ///
    /// HTTP/1.1 is spoken, and HTTP/2 with a client that begins so. Every connection gets a clone of the service, on the
    /// runtime that connects. It has no limits, as no server has that a client must be able to bear. Where the service fails,
    /// or panics, its connection ends. Connections end with the last clone of the pipe, and handlers with the client that
    /// leaves.
    ///
    #[cfg_attr(
        all(feature = "admin", feature = "client"),
        doc = r#"
```
use axum::{Router, routing::get};
use std::time::Duration;
use unwedge::{Client, testing::Pipe};

# async fn checked() {
# #[allow(dead_code)]
// #[tokio::test(start_paused = true)]
async fn a_handler_that_sleeps_is_left_after_ten_seconds_four_times() {
    let slow = || tokio::time::sleep(Duration::from_secs(60));
    let pipe = Pipe::serve(Router::new().route("/jobs", get(slow)));
    let client = Client::builder().pipe(pipe).build().unwrap();
    let error = client.get("http://broker.test/jobs").send().await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
}
# a_handler_that_sleeps_is_left_after_ten_seconds_four_times().await
# }
# tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(checked());
```
"#
    )]
    #[doc(alias("wiremock", "axum", "mock"))]
    pub fn serve<S, B>(service: S) -> Pipe
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        Pipe::to(End::Service(Arc::new(Behind::new(service))))
    }
}

impl Service<Uri> for Pipe {
    type Response = TokioIo<PipeStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let end = self.end(&uri).clone();
        let (takes, busy) = (self.takes, self.busy);
        Box::pin(async move {
            match (busy, end) {
                (Some(pace), End::Peer(gate)) => Err(gate.never_idle(pace).await),
                (_, end) => end.connect(takes).await.map(TokioIo::new),
            }
        })
    }
}

impl Gate {
    /// Busy for as long as there is a peer.
    async fn never_idle(self, pace: Duration) -> io::Error {
        self.state.knocked();
        poll_fn(|cx| {
            if self.alive.has_changed().is_err() {
                return Poll::Ready(());
            }
            // It moves the clock when it is polled first.
            let _ = pin!(tokio::time::advance(pace)).poll(cx);
            let mut spends = pin!(async {
                loop {
                    tokio::task::coop::consume_budget().await;
                }
            });
            spends.as_mut().poll(cx)
        })
        .await;
        refused("the peer was dropped")
    }

    async fn connect(mut self, takes: Duration) -> io::Result<PipeStream> {
        self.state.knocked();
        if !takes.is_zero() {
            let _ = tokio::time::timeout(takes, self.alive.changed()).await;
        }
        let silent = match self.state.door() {
            Door::Refuse => {
                return Err(refused("the peer refuses the connection, as its script says"));
            }
            Door::Hang => {
                let _ = self.alive.changed().await;
                return Err(refused("the peer was dropped"));
            }
            Door::Silent => true,
            Door::Serve => false,
        };
        let (client, half) = PipeStream::pair();
        if !self.state.serve(half, silent) {
            return Err(refused("the peer was dropped, or has too many connections"));
        }
        Ok(client)
    }
}

fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionRefused, why)
}

/// The client's half of a [`Pipe`]'s connection.
///
/// It behaves like a socket: what was sent before a reset can still be read, then the reset is an error of kind
/// [`ConnectionReset`](io::ErrorKind::ConnectionReset).
#[derive(Debug)]
pub struct PipeStream {
    io: DuplexStream,
    reset: Arc<AtomicBool>,
    meter: Meter,
    /// Dropped with the stream, which is how the server's half hears of it without reading.
    _here: watch::Sender<()>,
}

impl PipeStream {
    fn pair() -> (PipeStream, ServerHalf) {
        let (client, server) = tokio::io::duplex(BUFFER);
        let reset = Arc::new(AtomicBool::new(false));
        let (here, there) = watch::channel(());
        let half = ServerHalf { io: server, reset: reset.clone(), client: there };
        (PipeStream { io: client, reset, meter: Meter::default(), _here: here }, half)
    }

    fn was_reset(&self) -> Option<io::Error> {
        let reset = self.reset.load(Ordering::Acquire);
        reset.then(|| io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by peer"))
    }
}

impl Connection for PipeStream {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.meter.clone())
    }
}

impl AsyncRead for PipeStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.meter.read();
        }
        let end = buf.filled().len() == before && buf.remaining() > 0;
        Poll::Ready(if end { self.was_reset().map_or(Ok(()), Err) } else { Ok(()) })
    }
}

impl AsyncWrite for PipeStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf));
        self.meter.wrote();
        Poll::Ready(written.map_err(|e| self.was_reset().unwrap_or(e)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs));
        self.meter.wrote();
        Poll::Ready(written.map_err(|e| self.was_reset().unwrap_or(e)))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

pub(super) struct ServerHalf {
    io: DuplexStream,
    reset: Arc<AtomicBool>,
    client: watch::Receiver<()>,
}

impl Wire for ServerHalf {
    type Io = DuplexStream;

    fn io(&mut self) -> &mut DuplexStream {
        &mut self.io
    }

    async fn gone(&mut self) {
        let _ = self.client.changed().await;
    }

    fn reset(self) {
        // The flag first: the drop of the half is what wakes the reader.
        self.reset.store(true, Ordering::Release);
    }
}
