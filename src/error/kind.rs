//! The kinds of errors, and the phases of a call.

use std::time::Duration;

/// The class of failure of an [`Error`](super::Error).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The deadline of the call, of the request, or of an enclosing [`within`](crate::within) has passed.
    Deadline,
    /// One attempt took longer than the attempt limit; for a long poll, longer than its hold.
    Attempt,
    /// A body stalled: no byte within the idle limit, or less than the minimum progress.
    Stall,
    /// No connection could be made: resolution, TCP, proxy or TLS.
    Connect,
    /// The circuit breaker of the origin refused the call; nothing was sent.
    Open {
        /// When the breaker will let a call through again.
        retry_in: Duration,
    },
    /// The origin did not pass its health check; the request was not sent.
    Unhealthy {
        /// For how long the origin has been known to be down.
        since: Duration,
        /// When the next health check is due.
        retry_in: Duration,
    },
    /// The server asked for a longer wait than the caller can give.
    RetryAfter {
        /// The wait that the server asked for.
        retry_in: Duration,
    },
    /// A redirect that was not followed: too many, forbidden, or to a place that cannot be read. Made by
    /// `Client` alone.
    Redirect,
    /// A response head or body above its cap.
    TooLarge,
    /// A setting or request that cannot work; nothing was sent.
    Config,
    /// Ended because the program is shutting down: a back-off or a long poll inside a supervised task (feature `supervise`).
    Cancelled,
    /// The connection or the protocol broke.
    Transport,
}

impl ErrorKind {
    /// The stable name for programs: `deadline`, `attempt`, `retry_after`, ...
    pub const fn as_str(&self) -> &'static str {
        match self {
            ErrorKind::Deadline => "deadline",
            ErrorKind::Attempt => "attempt",
            ErrorKind::Stall => "stall",
            ErrorKind::Connect => "connect",
            ErrorKind::Open { .. } => "open",
            ErrorKind::Unhealthy { .. } => "unhealthy",
            ErrorKind::RetryAfter { .. } => "retry_after",
            ErrorKind::Redirect => "redirect",
            ErrorKind::TooLarge => "too_large",
            ErrorKind::Config => "config",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::Transport => "transport",
        }
    }
}

/// The phase of a call: its current one, or the one in which it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
#[repr(u8)]
pub enum Phase {
    /// Waiting until the inner service accepts a request.
    Ready,
    /// Waiting for the health check of the origin.
    HealthCheck,
    /// Waiting between two attempts.
    BackOff,
    /// Resolving the host name. This and the next two only with a client that reports them, as the one of this crate
    /// does; otherwise they are part of `Headers`.
    Resolve,
    /// Connecting.
    Connect,
    /// In the TLS handshake.
    Tls,
    /// Sending the request. Part of `Headers` in this version.
    Send,
    /// Waiting for the response headers.
    Headers,
    /// Reading the response body.
    Body,
}

impl Phase {
    /// The stable name for programs: `health_check`, `back_off`, `headers`, ...
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Ready => "ready",
            Phase::HealthCheck => "health_check",
            Phase::BackOff => "back_off",
            Phase::Resolve => "resolve",
            Phase::Connect => "connect",
            Phase::Tls => "tls",
            Phase::Send => "send",
            Phase::Headers => "headers",
            Phase::Body => "body",
        }
    }

    /// Whether what it waits for is of this machine or its name servers: the server was asked for nothing yet.
    pub(crate) const fn asks_nobody(self) -> bool {
        matches!(self, Phase::Ready | Phase::Resolve)
    }

    pub(crate) const fn from_u8(n: u8) -> Phase {
        match n {
            0 => Phase::Ready,
            1 => Phase::HealthCheck,
            2 => Phase::BackOff,
            3 => Phase::Resolve,
            4 => Phase::Connect,
            5 => Phase::Tls,
            6 => Phase::Send,
            7 => Phase::Headers,
            _ => Phase::Body,
        }
    }
}
