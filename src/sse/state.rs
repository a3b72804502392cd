//! The status of an event stream.

use std::time::Duration;

/// The phase of an event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// No event was requested yet.
    Idle,
    /// A request is on its way.
    Connecting,
    /// Connected: events can arrive.
    Connected,
    /// Waiting before the next connect.
    Waiting,
    /// Over for good.
    Ended,
}

/// The cause of a lost or failed connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// No connection, or it broke.
    Network,
    /// The server: a status, the end of the stream, or earlier failures (an open circuit).
    Server,
    /// Silence.
    Timeout,
}

impl Phase {
    /// The stable name for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Idle => "idle",
            Phase::Connecting => "connecting",
            Phase::Connected => "connected",
            Phase::Waiting => "waiting",
            Phase::Ended => "ended",
        }
    }
}

impl Cause {
    /// The stable name for programs: `network`, `server` or `timeout`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::Network => "network",
            Cause::Server => "server",
            Cause::Timeout => "timeout",
        }
    }
}

/// The state of an event stream, with its history in counts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Its phase.
    pub phase: Phase,
    /// The cause of the last lost or failed connection; `None` before the first.
    pub cause: Option<Cause>,
    /// The last error as a message for people.
    pub error: Option<String>,
    /// The number of the present attempt since the last success, from 1.
    pub attempt: u32,
    /// The length of the current wait, or of the last one.
    pub wait: Duration,
    /// The number of connections.
    pub connected: u64,
    /// The number of lost or failed connections because of the network.
    pub network: u64,
    /// The same because of the server.
    pub server: u64,
    /// The same because of silence.
    pub timeout: u64,
    /// The number of events skipped as duplicates.
    pub duplicates: u64,
    /// The number of events skipped because of their size.
    pub too_large: u64,
}

impl Status {
    pub(super) fn new() -> Status {
        Status {
            phase: Phase::Idle,
            cause: None,
            error: None,
            attempt: 0,
            wait: Duration::ZERO,
            connected: 0,
            network: 0,
            server: 0,
            timeout: 0,
            duplicates: 0,
            too_large: 0,
        }
    }

    pub(super) fn lost(&mut self, cause: Cause, error: String, wait: Duration) {
        (self.phase, self.cause, self.error, self.wait) = (Phase::Waiting, Some(cause), Some(error), wait);
        match cause {
            Cause::Network => self.network += 1,
            Cause::Server => self.server += 1,
            Cause::Timeout => self.timeout += 1,
        }
    }
}
