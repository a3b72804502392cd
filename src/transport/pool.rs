//! hyper-util's client with every limit named, and connections that are not used again.

use crate::body::Body;
use crate::suspend::{Wall, Watch};
use crate::sync::{Mutex, lock};
use crate::telemetry;
use crate::transport::connect::Connector;
use crate::transport::versions::{Http1, Http2};
use http::Request;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Shorter than the minute or more that servers and balancers keep an idle connection, so that it is mostly the client
/// that closes and a request seldom meets a connection that is going away.
const IDLE: Duration = Duration::from_secs(50);
const IDLE_PER_ORIGIN: usize = 64;
/// A response head larger than this is an error, and no buffer of a connection grows beyond it. (hyper's own limit on
/// the number of headers is 100 for HTTP/1.1.)
pub(super) const HEAD: u32 = 64 * 1024;

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
/// Streams that may be opened before the server has said how many it takes (RFC 9113, 6.5.2 asks for no fewer).
const STREAMS_AT_FIRST: usize = 100;

/// A call that was given up while it waited for head or body takes its HTTP/2 connection out of use if it had heard
/// nothing for this long; sooner, the caller changed its mind. (On HTTP/1.1 giving up always closes the connection.)
const RETIRED_AFTER: Duration = Duration::from_secs(1);

type Hyper = Client<Connector, Body>;

#[allow(clippy::disallowed_methods, reason = "the stack around it bounds every call")]
fn hyper(connector: Connector, spoken: Spoken, idle: usize) -> Hyper {
    let (http1, http2) = spoken;
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(idle)
        .http1_max_buf_size(HEAD as usize)
        .http1_title_case_headers(http1.title_case)
        .http1_allow_obsolete_multiline_headers_in_responses(http1.folded)
        .http1_ignore_invalid_headers_in_responses(http1.ignore_invalid)
        .http1_allow_spaces_after_header_name_in_responses(http1.spaces)
        .http2_only(connector.http2_only())
        .http2_adaptive_window(http2.adaptive)
        .http2_initial_stream_window_size(http2.stream)
        .http2_initial_connection_window_size(http2.connection)
        .http2_max_frame_size(http2.frame)
        .http2_keep_alive_interval(PING_AFTER)
        .http2_keep_alive_timeout(PING_WITHIN)
        .http2_keep_alive_while_idle(true)
        .http2_max_header_list_size(HEAD)
        .http2_max_concurrent_reset_streams(RESET_HERE)
        .http2_max_local_error_reset_streams(FAULTY)
        .http2_max_pending_accept_reset_streams(RESET_THERE)
        .http2_initial_max_send_streams(STREAMS_AT_FIRST)
        .build(connector)
}

/// How both versions of HTTP are spoken.
type Spoken = (Http1, Http2);

/// The connections of a client; all of them are left behind when the machine has slept.
pub(super) struct Pool {
    pub(super) connector: Connector,
    current: Mutex<Arc<Hyper>>,
    /// Keeps no connection: for what no idle one may carry.
    alone: Hyper,
    spoken: Spoken,
    watch: Watch,
}

impl Pool {
    pub(super) fn new(connector: Connector, http1: Http1, http2: Http2, wall: Wall) -> Pool {
        let spoken = (http1, http2);
        let current = Mutex::new(Arc::new(hyper(connector.clone(), spoken, IDLE_PER_ORIGIN)));
        let alone = hyper(connector.clone(), spoken, 0);
        Pool { connector, current, alone, spoken, watch: Watch::new(wall) }
    }

    /// `fresh` for a connection of its own.
    pub(super) fn request(&self, request: Request<Body>, fresh: bool) -> ResponseFuture {
        if let Some(gap) = self.watch.slept() {
            telemetry::log::slept(gap);
            // hyper-util's pool cannot be emptied. Calls in flight keep what they use of the old one.
            let new = Arc::new(hyper(self.connector.clone(), self.spoken, IDLE_PER_ORIGIN));
            let old = std::mem::replace(&mut *lock(&self.current), new);
            drop(old);
        }
        if fresh {
            return self.alone.request(request);
        }
        let current = Arc::clone(&lock(&self.current));
        current.request(request)
    }
}

/// Takes the connection of a call that waited in vain out of use.
pub(super) struct Retire {
    connection: CaptureConnection,
    since: Instant,
}

impl Retire {
    /// Follows this request to its connection.
    pub(super) fn with(request: &mut Request<Body>) -> Retire {
        Retire { connection: capture_connection(request), since: Instant::now() }
    }

    /// The head was there, and now the body is waited for.
    pub(super) fn wait_begins(&mut self) {
        self.since = Instant::now();
    }

    /// The call was given up in mid-wait.
    pub(super) fn given_up(&self) {
        if self.since.elapsed() >= RETIRED_AFTER {
            self.now();
        }
    }

    /// No further call uses the connection; those that are on it end there.
    pub(super) fn now(&self) {
        if let Some(connected) = self.connection.connection_metadata().as_ref() {
            if connected.is_negotiated_h2() {
                connected.poison();
            }
        }
    }
}

impl fmt::Debug for Retire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Retire").field(&self.since).finish()
    }
}
