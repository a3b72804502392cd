//! What is told of a call to those who listen to its stack.

use crate::body::Body;
use crate::error::{Error, ErrorKind, Phase};
use crate::origin::table::Entry;
use crate::retry::grpc;
use crate::stack::call::state::CallState;
use crate::stack::events::{Event, EventKind};
use crate::stack::origin_state::OriginState;
use crate::target::{Label, Target};
use crate::telemetry::spans;
use http::{Method, Response, StatusCode, response};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::Span;

impl CallState {
    /// An attempt ended with this status, or with this error.
    #[inline]
    pub(super) fn attempted(&mut self, status: Option<StatusCode>, error: Option<&Error>, now: Instant) {
        self.origin_state.meter.attempted(status, error);
        self.end_span(error);
        if self.context().listeners.any() {
            self.tell_attempt(status, error, now);
        }
    }

    #[cold]
    fn tell_attempt(&mut self, status: Option<StatusCode>, error: Option<&Error>, now: Instant) {
        let took = now.saturating_duration_since(self.attempts.began);
        let phase = match error {
            Some(error) => error.phase().unwrap_or(self.record.phase),
            None => Phase::Body,
        };
        let error = error.map(Error::kind);
        self.tell_listeners(now, EventKind::Attempt { status, error, phase, took });
    }

    /// The attempt is over, and so is its span. What its head said of it was recorded before.
    #[inline]
    pub(super) fn end_span(&mut self, error: Option<&Error>) {
        if let (Some(span), Some(error)) = (self.attempts.span.take(), error) {
            spans::failed(&span, error);
        }
    }

    /// The same of a health check, which its answer or an error ended.
    pub(super) fn end_check_span(&mut self, head: Option<&response::Parts>, checked: &Result<(), Error>) {
        if let Some(span) = self.attempts.span.take() {
            spans::checked(&span, head, checked.as_ref().err());
        }
    }

    /// The attempt is repeated.
    pub(super) fn retried(&mut self, cause: &str, delay: Duration, now: Instant) {
        self.tell_of(now, || EventKind::Retry { cause: cause.into(), delay });
    }

    /// It is refused, and asks again at this moment; at none where it ends with that.
    pub(super) fn turned_down(&mut self, refusal: ErrorKind, until: Option<Instant>, now: Instant) {
        self.tell_of(now, || refused(refusal, until.map(|until| until.saturating_duration_since(now))));
    }

    /// It is over.
    #[inline]
    pub(super) fn ended(&mut self, error: Option<ErrorKind>, now: impl FnOnce() -> Instant) {
        if self.context().listeners.any() {
            let status = self.record.end.status;
            self.tell_of(now(), || EventKind::End { status, error });
        }
    }

    #[inline]
    fn tell_of(&mut self, now: Instant, kind: impl FnOnce() -> EventKind) {
        if self.context().listeners.any() {
            self.tell_listeners(now, kind());
        }
    }

    #[cold]
    fn tell_listeners(&mut self, now: Instant, kind: EventKind) {
        if self.record.number == 0 {
            self.record.number = self.context().listeners.next_call();
        }
        let about = About {
            call: self.record.number,
            attempt: self.attempts.number,
            elapsed: now.saturating_duration_since(self.limits.started),
        };
        about.tell(&self.origin_state, &self.facts.method, self.facts.label.as_ref(), kind);
    }
}

/// The call has a result, and its span ends. That of a call of gRPC goes on to its status.
#[cold]
pub(super) fn end_call_span(span: Box<Span>, result: &mut Result<Response<Body>, Error>) {
    match result {
        Ok(response) if spans::is_rpc(&span) => drop(response.extensions_mut().insert(spans::Rpc(*span))),
        Ok(_) => spans::ended(&span, result),
        Err(error) => {
            name_status(&span, error);
            spans::ended(&span, result);
        }
    }
}

/// In gRPC an error is a status to the caller.
pub(super) fn name_status(span: &Span, error: &Error) {
    if spans::is_rpc(span) {
        spans::rpc_status_made(span, grpc::name(grpc::of_error(error.kind())));
    }
}

/// A call in front of an open circuit that is sent away before it begins.
#[inline]
pub(super) fn turned_away(
    origin_state: &Entry<OriginState>,
    target: &Target,
    refusal: ErrorKind,
    elapsed: Duration,
) {
    let listeners = &origin_state.context.listeners;
    if listeners.any() {
        let about = About { call: listeners.next_call(), attempt: 0, elapsed };
        let tell = |kind| about.tell(origin_state, &target.method, target.label.as_ref(), kind);
        tell(refused(refusal, None));
        tell(EventKind::End { status: None, error: Some(refusal) });
    }
}

fn refused(error: ErrorKind, delay: Option<Duration>) -> EventKind {
    let retry_in = match error {
        ErrorKind::Open { retry_in }
        | ErrorKind::Unhealthy { retry_in, .. }
        | ErrorKind::RetryAfter { retry_in } => retry_in,
        _ => Duration::ZERO,
    };
    EventKind::Refusal { error, retry_in, delay }
}

/// Which call it is, and how far it has come.
#[derive(Clone, Copy)]
struct About {
    call: u64,
    attempt: u32,
    elapsed: Duration,
}

impl About {
    #[cold]
    fn tell(
        self,
        origin_state: &Entry<OriginState>,
        method: &Method,
        label: Option<&Label>,
        kind: EventKind,
    ) {
        let About { call, attempt, elapsed } = self;
        let context = &origin_state.context;
        context.listeners.tell(Event {
            call,
            client: Arc::clone(context.labels.client.name()),
            origin: Arc::clone(origin_state.breaker.name()),
            group: origin_state.group.clone(),
            method: method.clone(),
            label: label.cloned(),
            attempt,
            elapsed,
            kind,
        });
    }
}
