//! What an event stream tells about itself.

use std::time::Duration;

/// Where an event stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Nobody has asked for an event yet.
    Idle,
    /// A request is on its way.
    Connecting,
    /// Events can come.
    Connected,
    /// Waiting before the next connect.
    Waiting,
    /// Over for good.
    Ended,
}

/// Why a connection was lost, or not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// No connection, or it broke.
    Network,
    /// The server said so: by a status, by ending the stream, or by what it did before (an open circuit).
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

/// The state of an event stream, and what it has been through.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Where it is.
    pub phase: Phase,
    /// Why the last connection was lost or not made; none before that happened.
    pub cause: Option<Cause>,
    /// The last error as a message for people.
    pub error: Option<String>,
    /// Which attempt to connect this is since the last success, from 1.
    pub attempt: u32,
    /// How long the wait under way is, or the last one was.
    pub wait: Duration,
    /// How many connections were made.
    pub connected: u64,
    /// How many were lost or not made because of the network.
    pub network: u64,
    /// The same because of the server.
    pub server: u64,
    /// The same because of silence.
    pub timeout: u64,
    /// How many events were not handed out because they were duplicates.
    pub duplicates: u64,
    /// How many events were not handed out because of their size.
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
