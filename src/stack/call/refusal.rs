//! Calls that are turned away: which refusals are waited out, what ends a wait early, and what a call comes to that is
//! refused after it had an attempt.

use crate::body::Body;
use crate::collect::Buffer;
use crate::error::Error;
use crate::error::ErrorKind;
use crate::error::Phase;
use crate::stack::call::CallState;
use crate::stack::call::admission::Admission;
use crate::stack::drain::Drain;
use crate::sync::lock;
use http::Response;
use http::response;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;
use tokio::sync::futures::OwnedNotified;
use tokio::time::Instant;

/// Calls that were woken come back spread over this time: as many as sleep would else arrive in the same millisecond at
/// a server that has just come back.
pub(in crate::stack) const WOKEN: Duration = Duration::from_secs(1);

/// What the attempt before came to. A call that makes no further one ends with it.
pub(in crate::stack) enum Last {
    Error(Error),
    Response { head: response::Parts, read: Buffer, cut: bool },
}

/// Resolves when the circuit closes or the health check passes again.
pub(in crate::stack) type Better = Pin<Box<OwnedNotified>>;

impl CallState {
    /// A refusal: waited out, or told.
    pub(in crate::stack) fn refused(&mut self, kind: ErrorKind, now: Instant) -> Admission {
        let mut error = Error::new(kind, "");
        if error.is_unhealthy() {
            error = error.at(Phase::HealthCheck);
        }
        match self.sit_out(&error, now) {
            // Asked once more while it listens, so that no change is missed.
            Some(_) if self.better.is_none() => {
                self.better = Some(self.listen());
                Admission::Later(now)
            }
            Some(until) => Admission::Later(until),
            None => self.turn_away(error, now),
        }
    }

    /// A refusal that is told; to a loop that does not wait, later.
    pub(in crate::stack) fn turn_away(&mut self, mut error: Error, now: Instant) -> Admission {
        if self.last.is_some() {
            return Admission::Refused(error);
        }
        let mut takes = self.origin_state.refusals.slow_down(now);
        if let Some(end) = self.waits_until() {
            // A refusal is better news than a deadline.
            let left = end.saturating_duration_since(now);
            takes = takes.min(left.saturating_sub(Duration::from_millis(1)));
        }
        if takes.is_zero() {
            return Admission::Refused(error);
        }
        if let ErrorKind::Open { retry_in }
        | ErrorKind::Unhealthy { retry_in, .. }
        | ErrorKind::RetryAfter { retry_in } = &mut error.inner_mut().kind
        {
            *retry_in = retry_in.saturating_sub(takes);
        }
        self.better = None;
        self.enter(Phase::BackOff, now);
        Admission::RefusedAt(now + takes, error)
    }

    /// When to ask again after this refusal, if it is to be waited out.
    pub(in crate::stack) fn sit_out(&mut self, refusal: &Error, now: Instant) -> Option<Instant> {
        let retry_in = refusal.retry_in().filter(|retry_in| self.waits_out(*retry_in))?;
        let until = now.checked_add(self.spread(retry_in))?;
        if self.waits_until().is_some_and(|end| until >= end) {
            return None;
        }
        self.enter(Phase::BackOff, now);
        Some(until)
    }

    /// Whether a refusal of this length is one to wait for.
    pub(in crate::stack) fn waits_out(&self, retry_in: Duration) -> bool {
        let context = &self.origin_state.context;
        context.parts.retry && !self.endless && context.retry.waits_out(retry_in)
    }

    /// For how long the circuit is open, for a call whose attempt has just failed; `beneath` is what a layer of its own
    /// beneath has said.
    pub(in crate::stack) fn shut(&self, beneath: Option<Duration>, now: Instant) -> Option<Duration> {
        let own = if self.origin_state.context.parts.breaker {
            self.origin_state.breaker.refuses(now)
        } else {
            None
        };
        own.max(beneath)
    }

    pub(in crate::stack) fn listen(&self) -> Better {
        Box::pin(Arc::clone(self.origin_state.breaker.better()).notified_owned())
    }

    /// The end of a wait; one that was begun in bad times is cut short when they get better.
    pub(in crate::stack) fn woken(&mut self, until: Instant, cx: &mut Context<'_>) -> Instant {
        let Some(better) = &mut self.better else { return until };
        if better.as_mut().poll(cx).is_pending() {
            return until;
        }
        self.better = None;
        let spread = WOKEN.mul_f64(lock(&self.origin_state.context.rng).f64());
        until.min(Instant::now() + spread)
    }

    /// The response that is about to be thrown away, should there be no other.
    pub(in crate::stack) fn set_aside<R>(&mut self, head: response::Parts, body: R, now: Instant) -> Drain<R>
    where
        R: http_body::Body + Unpin,
    {
        self.last = Some(Box::new(Last::Response { head, read: Buffer::default(), cut: true }));
        Drain::keeping(body, now)
    }

    /// What was read of it.
    pub(in crate::stack) fn drained<R: http_body::Body + Unpin>(&mut self, drain: Option<Drain<R>>) {
        let Some((bytes, complete)) = drain.and_then(Drain::read) else { return };
        if let Some(Last::Response { read, cut, .. }) = self.last.as_deref_mut() {
            (*read, *cut) = (bytes, !complete);
        }
    }

    /// How a call ends that gets no further attempt: where it was turned away after it had one, with what that came to.
    pub(in crate::stack) fn close(&mut self, error: Error, now: Instant) -> Result<Response<Body>, Error> {
        let Some(last) = self.last.take().filter(|_| is_refusal(&error)) else {
            return Err(self.finally(error, now));
        };
        // The retry that was paid for was never sent.
        self.give_back();
        // It is what the call is about, not what came before.
        self.journal.pop();
        self.retry_in = error.retry_in();
        match *last {
            Last::Error(mut error) => {
                error.inner_mut().retry_in = self.retry_in;
                Err(self.finally(error, now))
            }
            Last::Response { mut head, mut read, cut } => {
                self.cut = cut;
                self.end.status = Some(head.status);
                let attempts = self.told(&mut head, now);
                let body = Body::collected(read.take(), read.trailers.take());
                Ok(Response::from_parts(head, body.with_attempts(attempts)))
            }
        }
    }
}

/// Whether it says that nothing was sent, because of what was known before.
pub(in crate::stack) fn is_refusal(error: &Error) -> bool {
    error.is_refused() || (matches!(error.kind(), ErrorKind::RetryAfter { .. }) && error.status().is_none())
}
