//! How a connection is made, and how HTTP is spoken on it.

use super::connection::{Carries, Kind, Rules};
use super::leaving::Leaving;
use super::link::{Card, Hyper, Sender};
use super::unread::Unread;
use crate::error::{BoxError, Error, ErrorKind, Phase};
use crate::retry::backoff::Rng;
use crate::sync::{Mutex, lock};
use crate::transport::connect::Connector;
use crate::transport::versions::{Http1, Http2};
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper_util::client::legacy::connect::Connection;
use hyper_util::rt::TokioTimer;
use rand::RngExt;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::task::AbortHandle;
use tower_service::Service;

/// A response head larger than this is an error, and no buffer of a connection grows beyond it. (hyper's own limit on
/// the number of headers is 100 for HTTP/1.1.)
pub(in crate::transport) const HEAD: u32 = 64 * 1024;

/// How long an HTTP/2 connection may bring nothing before it is asked whether it is alive, idle ones too: what died
/// while nobody looked is known before the next request is sent into it.
const PING_AFTER: Duration = Duration::from_secs(30);
/// How long the answer may take before the connection and all that waits on it end.
const PING_WITHIN: Duration = Duration::from_secs(15);
/// Streams that this client reset and for which frames may still come: more are forgotten, and frames for those end
/// the connection.
const RESET_HERE: usize = 50;
/// Streams that this client had to reset because of what the server did on them, before the connection ends.
const FAULTY: usize = 256;
/// Streams that the server opened and reset before anybody looked, before the connection ends. (No client of this
/// crate lets a server open one.)
const RESET_THERE: usize = 20;
/// What hyper lets a server send on one connection before it is read.
const WINDOW: u32 = 5 << 20;
/// How far the lives of connections are spread, so that those of a fleet do not all end together.
const SPREAD: f64 = 0.1;

/// How connections are made, whoever they are for.
pub(super) struct Dialer {
    connector: Connector,
    http1: http1::Builder,
    many: Http2,
    /// Of all bodies of a connection of HTTP/2; none where it grows and shrinks.
    window: Option<u32>,
    age: Duration,
    rng: Mutex<Rng>,
    /// Connections that are left, until they have ended.
    pub(super) leaving: Leaving,
}

/// Where hyper begins its tasks of one connection of HTTP/2; the first of them carries it.
#[derive(Clone)]
struct Tasks(Arc<OnceLock<AbortHandle>>);

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[expect(
        clippy::disallowed_methods,
        reason = "they end with their connection, and that with its last handle"
    )]
    fn execute(&self, task: F) {
        let task = tokio::spawn(task);
        let _ = self.0.get_or_init(|| task.abort_handle());
    }
}

impl Dialer {
    #[allow(clippy::disallowed_methods, reason = "the stack around it bounds every call")]
    pub(super) fn new(connector: Connector, spoken: (Http1, Http2), rules: Rules, rng: Rng) -> Dialer {
        let (one, many) = spoken;
        let mut http1 = http1::Builder::new();
        http1
            .max_buf_size(HEAD as usize)
            .title_case_headers(one.title_case)
            .allow_obsolete_multiline_headers_in_responses(one.folded)
            .ignore_invalid_headers_in_responses(one.ignore_invalid)
            .allow_spaces_after_header_name_in_responses(one.spaces);
        let window = (!many.adaptive).then(|| many.connection.unwrap_or(WINDOW));
        let (age, rng, leaving) = (rules.age, Mutex::new(rng), Leaving::default());
        Dialer { connector, http1, many, window, age, rng, leaving }
    }

    #[allow(clippy::disallowed_methods, reason = "as above")]
    fn http2(&self, tasks: Tasks) -> http2::Builder<Tasks> {
        let many = self.many;
        let mut http2 = http2::Builder::new(tasks);
        http2
            .timer(TokioTimer::new())
            .adaptive_window(many.adaptive)
            .initial_stream_window_size(many.stream)
            .initial_connection_window_size(many.connection)
            .max_frame_size(many.frame)
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_WITHIN)
            .keep_alive_while_idle(true)
            .max_header_list_size(HEAD)
            .max_concurrent_reset_streams(RESET_HERE)
            .max_local_error_reset_streams(FAULTY)
            .max_pending_accept_reset_streams(RESET_THERE);
        http2
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    pub(super) fn http2_only(&self) -> bool {
        self.connector.http2_only()
    }

    /// How long the connection lives that is opened now.
    pub(super) fn life(&self) -> Duration {
        let share = lock(&self.rng).random_range(0.0..1.0);
        self.age.mul_f64(1.0 - SPREAD + 2.0 * SPREAD * share)
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dialer")
    }
}

/// hyper's side of a connection.
pub(super) type Connected = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

impl Dialer {
    /// Of a task that `task` is told of.
    pub(super) async fn connect(
        &self,
        uri: http::Uri,
        task: Arc<OnceLock<AbortHandle>>,
    ) -> Result<(Hyper, Carries, Connected), Error> {
        let io = self.connector.clone().call(uri).await?;
        let connected = io.connected();
        let meter = io.inner().meter().clone();
        let many = connected.is_negotiated_h2();
        let card = |window, carrier| {
            let (unread, turning) = (Unread::new(window), AtomicBool::new(false));
            Arc::new(Card { connected, meter, unread, turning, task, carrier })
        };
        if many {
            let carrier = Arc::new(OnceLock::new());
            let http2 = self.http2(Tasks(Arc::clone(&carrier)));
            let (sender, connection) = http2.handshake(io).await.map_err(broken)?;
            let link = Hyper { sender: Sender::Many(sender), card: card(self.window, Some(carrier)) };
            // Shared by no two kinds: whose it is says who adds it.
            let carries = Carries::Many { kind: Kind::Prompt, limit: None };
            return Ok((link, carries, Box::pin(connection)));
        }
        let (sender, connection) = self.http1.handshake(io).await.map_err(broken)?;
        let connection = connection.with_upgrades();
        let link = Hyper { sender: Sender::One(sender), card: card(None, None) };
        Ok((link, Carries::One, Box::pin(connection)))
    }
}

fn broken(error: hyper::Error) -> Error {
    let error: BoxError = error.into();
    let mut error = Error::from(error);
    error.inner_mut().kind = ErrorKind::Connect;
    error.at(Phase::Connect)
}
