//! The error type of this crate: cause, phase, attempt, and the outcomes of the earlier attempts.

mod disconnect;
mod display;
mod fault;
mod foreign;
mod kind;

pub(crate) use display::Bytes;
pub(crate) use fault::Fault;
pub(crate) use foreign::of_this_machine;
pub use kind::{ErrorKind, Phase};

use crate::target::Target;
use http::StatusCode;
use std::borrow::Cow;
use std::time::Duration;

/// A boxed error, as tower services use it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The error of a call: its kind, the phase in which it failed, and the outcome of each earlier attempt.
///
/// It is one pointer wide, `Send + Sync + 'static`. [`Display`](std::fmt::Display) writes one line:
///
/// ```text
/// GET https://broker/session: no response headers after 10 s (attempt 3 of 4; before: 502 after 12 ms, connection refused)
/// ```
///
/// User names, passwords and query strings of a URL are never part of it. The predicates (`is_..`) examine the whole
/// chain of sources, so they also find an `unwedge` error that was wrapped by other layers.
pub struct Error(Box<Inner>);

pub(crate) struct Inner {
    pub(crate) kind: ErrorKind,
    pub(crate) phase: Option<Phase>,
    /// Replaces the sentence that kind and phase would give.
    pub(crate) detail: Cow<'static, str>,
    /// The bound that was hit, where one was.
    pub(crate) limit: Option<Duration>,
    pub(crate) received: u64,
    pub(crate) target: Option<Target>,
    /// The attempt that was under way (1-based), and how many there could have been; 0 when none began.
    pub(crate) attempt: u32,
    pub(crate) attempts_allowed: u32,
    pub(crate) journal: Vec<Attempt>,
    /// The status that a caller did not want.
    pub(crate) status: Option<StatusCode>,
    /// The beginning of the body of a refusal: for the caller, never for the log.
    #[cfg(feature = "sse")]
    pub(crate) body: bytes::Bytes,
    /// How many redirects were followed before.
    pub(crate) redirects: u32,
    /// For how long the circuit is open, or the health check stands against a new call, where that is not its kind.
    pub(crate) retry_in: Option<Duration>,
    pub(crate) fault: Fault,
    pub(crate) source: Option<BoxError>,
}

/// The outcome of one attempt: an entry of [`Error::journal`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// The status, if a response head arrived.
    pub status: Option<StatusCode>,
    /// The kind of error, if there was one.
    pub error: Option<ErrorKind>,
    /// The phase in which the attempt ended.
    pub phase: Phase,
    /// The duration of the attempt.
    pub took: Duration,
    /// One short phrase for people: `connection refused`.
    pub cause: Cow<'static, str>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<Cow<'static, str>>) -> Error {
        Error(Box::new(Inner {
            kind,
            phase: None,
            detail: detail.into(),
            limit: None,
            received: 0,
            target: None,
            attempt: 0,
            attempts_allowed: 0,
            journal: Vec::new(),
            status: None,
            #[cfg(feature = "sse")]
            body: bytes::Bytes::new(),
            redirects: 0,
            retry_in: None,
            fault: Fault::default(),
            source: None,
        }))
    }

    /// A setting or an argument that cannot work. The message names the value and the rule.
    pub(crate) fn config(detail: impl Into<Cow<'static, str>>) -> Error {
        Error::new(ErrorKind::Config, detail)
    }

    /// An error made by hand, for mocks of a client and for your own services. Its predicates follow from the kind;
    /// `message` replaces the standard sentence of the kind, unless it is empty.
    ///
    /// ```
    /// use std::time::Duration;
    /// use unwedge::{Error, ErrorKind};
    ///
    /// let open = Error::from_kind(ErrorKind::Open { retry_in: Duration::from_secs(7) }, "");
    /// assert!(open.is_open() && open.is_retriable());
    /// assert_eq!(open.retry_in(), Some(Duration::from_secs(7)));
    /// let reset = Error::from_kind(ErrorKind::Transport, "connection reset by the mock");
    /// assert!(reset.to_string().contains("connection reset by the mock"));
    /// ```
    pub fn from_kind(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(kind, message)
    }

    /// Of this request. Without a host it was the URL that could not be read; the error shows what there is of it.
    #[cfg(feature = "client")]
    pub(crate) fn about(mut self, target: Target) -> Error {
        if target.uri.host().is_some() {
            self.0.target = Some(target);
        }
        self
    }

    pub(crate) fn at(mut self, phase: Phase) -> Error {
        self.0.phase = Some(phase);
        self
    }

    pub(crate) fn limit(mut self, limit: Duration) -> Error {
        self.0.limit = Some(limit);
        self
    }

    pub(crate) fn received(mut self, bytes: u64) -> Error {
        self.0.received = bytes;
        self
    }

    #[cfg_attr(
        not(any(feature = "client", feature = "reqwest")),
        expect(dead_code, reason = "connectors name their causes")
    )]
    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Error {
        self.0.source = Some(source.into());
        self
    }

    /// Whether it is about a connection of the pool alone, and says nothing of the server: another one may be tried at
    /// once.
    pub(crate) fn is_of_the_connection(&self) -> bool {
        let Fault { reused, unseen, pool, .. } = self.0.fault;
        (self.0.kind == ErrorKind::Transport && (reused || unseen))
            || (self.0.kind == ErrorKind::Connect && pool)
    }

    /// Whether this machine had no descriptor, memory, port, route or name for it: nothing that the server did.
    pub(crate) fn is_of_this_machine(&self) -> bool {
        self.0.kind == ErrorKind::Connect && self.0.fault.local
    }

    #[cfg_attr(
        not(any(feature = "admin", feature = "client", feature = "reqwest")),
        expect(dead_code, reason = "those who connect know")
    )]
    pub(crate) fn of_this_machine(mut self) -> Error {
        self.0.fault.local = true;
        self
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    pub(crate) fn inner_mut(&mut self) -> &mut Inner {
        &mut self.0
    }

    /// The class of failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The phase in which the call failed, if that is known.
    pub fn phase(&self) -> Option<Phase> {
        self.0.phase
    }

    /// The time after which a new call has a chance, if that is known: after a refusal by breaker or health check, after a
    /// `Retry-After` that was too long to wait for, or after a failure that left the circuit open.
    pub fn retry_in(&self) -> Option<Duration> {
        let told = match self.0.kind {
            ErrorKind::Open { retry_in }
            | ErrorKind::Unhealthy { retry_in, .. }
            | ErrorKind::RetryAfter { retry_in } => Some(retry_in),
            _ => None,
        };
        told.max(self.0.retry_in)
    }

    /// The number of attempts that were started, this one included; 0 if the call was refused before the first.
    pub fn attempts(&self) -> u32 {
        self.0.attempt
    }

    /// The outcomes of the attempts before the one that this error is about, oldest first.
    pub fn journal(&self) -> &[Attempt] {
        &self.0.journal
    }

    /// The status of the response, if the error is about a status (see `Response::error_for_status`), or the status of a
    /// proxy that refused (kind `Connect`).
    pub fn status(&self) -> Option<StatusCode> {
        self.0.status
    }

    /// The beginning of the body of the response that ended an event stream, at most 4 KiB; empty if there is none. It is
    /// in no message and no log line, because a server may quote what it was sent.
    ///
    /// ```no_run
    /// # async fn ended(stream: &mut unwedge::sse::EventStream) {
    /// if let Some(Err(error)) = stream.next().await {
    ///     eprintln!("{error}: {}", String::from_utf8_lossy(error.body()));
    /// }
    /// # }
    /// ```
    #[cfg(feature = "sse")]
    pub fn body(&self) -> &[u8] {
        &self.0.body
    }

    /// Whether a deadline (of the call, the request or an enclosing scope) ended it.
    pub fn is_deadline(&self) -> bool {
        self.0.kind == ErrorKind::Deadline
    }

    /// Whether a time limit ended it: deadline, attempt limit, stall, connect limit, or a timeout of the system or of
    /// another layer (those of tokio and hyper are known).
    pub fn is_timeout(&self) -> bool {
        let timed = matches!(self.0.kind, ErrorKind::Deadline | ErrorKind::Attempt | ErrorKind::Stall);
        timed || self.0.fault.timed_out || (self.is_connect() && self.0.limit.is_some())
    }

    /// Whether this one call ran out of its time: not with others of a connection that went silent, or of a connect.
    pub(crate) fn is_own_timeout(&self) -> bool {
        let fault = &self.0.fault;
        self.is_timeout() && !fault.shared && (self.is_connect() || !fault.connection_timed_out)
    }

    /// Whether a body stalled.
    pub fn is_stall(&self) -> bool {
        self.0.kind == ErrorKind::Stall
    }

    /// Whether no connection could be made.
    pub fn is_connect(&self) -> bool {
        self.0.kind == ErrorKind::Connect
    }

    /// Whether the circuit breaker refused the call.
    pub fn is_open(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Open { .. })
    }

    /// Whether the origin did not pass its health check.
    pub fn is_unhealthy(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Unhealthy { .. })
    }

    /// Whether the call was refused because of earlier failures (open circuit, failed health check, 429), and nothing was
    /// sent.
    pub fn is_refused(&self) -> bool {
        self.is_open() || (self.is_unhealthy() && !self.0.fault.probe) || self.0.fault.gate
    }

    /// Whether a head or body was above its cap.
    pub fn is_too_large(&self) -> bool {
        self.0.kind == ErrorKind::TooLarge
    }

    /// Whether a redirect was not followed.
    pub fn is_redirect(&self) -> bool {
        self.0.kind == ErrorKind::Redirect
    }

    /// Whether a setting or the request itself cannot work.
    pub fn is_config(&self) -> bool {
        self.0.kind == ErrorKind::Config
    }

    /// Whether shutdown ended the call.
    pub fn is_cancelled(&self) -> bool {
        self.0.kind == ErrorKind::Cancelled
    }

    /// Whether a later call may succeed, even if this crate must not repeat it by itself (a POST that timed out).
    ///
    /// False for lasting failures: a wrong setting, a redirect that is not followed, a body above its cap, a refused
    /// certificate, a status that blames the request (4xx except 408, 425 and 429) or will not change (501, 505, 506, 508,
    /// 510, 511), and a program that is shutting down.
    #[doc(alias("is_transient", "is_retryable"))]
    pub fn is_retriable(&self) -> bool {
        match self.0.kind {
            ErrorKind::Deadline
            | ErrorKind::Attempt
            | ErrorKind::Stall
            | ErrorKind::Open { .. }
            | ErrorKind::Unhealthy { .. }
            | ErrorKind::RetryAfter { .. } => true,
            ErrorKind::Connect | ErrorKind::Transport => {
                !self.0.fault.certificate && !self.0.fault.caller && self.0.status.is_none_or(may_pass)
            }
            ErrorKind::Redirect | ErrorKind::TooLarge | ErrorKind::Config | ErrorKind::Cancelled => false,
        }
    }
}

/// Whether the same request may get another status later.
pub(crate) fn may_pass(status: StatusCode) -> bool {
    match status.as_u16() {
        408 | 425 | 429 => true,
        // The server is well, and will say the same again: it does not do this, or somebody has to log in first.
        501 | 505 | 506 | 508 | 510 | 511 => false,
        code => code >= 500,
    }
}

/// A response extension if there was more than one attempt: the outcomes of the earlier ones.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "client"), expect(dead_code, reason = "the client tells it"))]
pub(crate) struct Story {
    pub(crate) attempts_allowed: u32,
    pub(crate) journal: Vec<Attempt>,
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}

#[cfg(test)]
mod tests;
