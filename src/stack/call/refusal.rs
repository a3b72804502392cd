//! Calls that are turned away: which refusals are waited out, what ends a wait early, and what a call comes to that is
//! refused after it had an attempt.

use crate::body::Body;
use crate::collect::Buffer;
use crate::error::{Error, ErrorKind, Phase};
use crate::stack::call::admission::Admission;
use crate::stack::call::attempts::Last;
use crate::stack::call::state::CallState;
use crate::stack::drain::Drain;
use crate::sync::lock;
use http::{Response, response};
use rand::RngExt;
use std::future::Future;
use std::task::Context;
use std::time::Duration;
use tokio::time::Instant;

/// Calls that were woken come back spread over this time: as many as sleep would else arrive in the same millisecond at
/// a server that has just come back.
const WOKEN: Duration = Duration::from_secs(1);
/// No wait is shorter: whoever refuses at once, and asks for no time, would be asked again and again in one turn of its
/// task.
const LEAST: Duration = Duration::from_millis(1);

impl CallState {
    /// A refusal: waited out, or told.
    pub(super) fn refused(&mut self, kind: ErrorKind, now: Instant) -> Admission {
        let mut error = Error::new(kind, "");
        if error.is_unhealthy() {
            error = error.at(Phase::HealthCheck);
        }
        match self.sit_out(&error, LEAST, now) {
            // Asked once more while it listens, so that no change is missed.
            Some(_) if self.attempts.past().is_none_or(|past| past.better.is_none()) => {
                self.attempts.past_mut().better = Some(self.origin_state.listen());
                Admission::Later(now)
            }
            Some(until) => {
                self.attempts.past_mut().sat_out = true;
                self.turned_down(kind, Some(until), now);
                Admission::Later(until)
            }
            None => self.turn_away(error, now),
        }
    }

    /// A refusal that is told; to a loop that does not wait, later.
    pub(super) fn turn_away(&mut self, mut error: Error, now: Instant) -> Admission {
        self.turned_down(error.kind(), None, now);
        if self.attempts.has_last() {
            return Admission::Refused(error);
        }
        let mut takes = self.origin_state.refusals.slow_down(now);
        if let Some(end) = self.limits.waits_until(self.attempts.asked, self.context()) {
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
        self.stop_listening();
        self.enter(Phase::BackOff, now);
        Admission::RefusedAt(now + takes, error)
    }

    /// When to ask again after this refusal, if it is to be waited out: in no less than `least`.
    pub(super) fn sit_out(&mut self, refusal: &Error, least: Duration, now: Instant) -> Option<Instant> {
        let context = self.context();
        let retry_in = refusal.retry_in()?;
        let again = self.attempts.past().is_some_and(|past| past.sat_out);
        // Whoever has waited comes back after the others, by up to a tenth: what is left of the next wait then looks
        // shorter than it is, and would keep this call for another round of a long outage.
        let whole = if again { retry_in.saturating_mul(10) / 9 } else { retry_in };
        if !self.limits.waits_out(whole, context) {
            return None;
        }
        let until = now.checked_add(context.spread(retry_in).max(least))?;
        if self.limits.waits_until(self.attempts.asked, self.context()).is_some_and(|end| until >= end) {
            return None;
        }
        self.enter(Phase::BackOff, now);
        Some(until)
    }

    /// As [`sit_out`](CallState::sit_out), of a refusal by a service beneath. One that asks for no time gets a back-off.
    pub(super) fn sit_out_beneath(&mut self, refusal: &Error, now: Instant) -> Option<Instant> {
        let context = self.context();
        let asks = refusal.retry_in().is_some_and(|retry_in| retry_in >= LEAST);
        let least = match asks {
            true => LEAST,
            false => context.retry.backoff.draw(0, None, &mut lock(&context.rng)).max(LEAST),
        };
        self.sit_out(refusal, least, now)
    }

    /// The end of a wait; one that was begun in bad times is cut short when they get better.
    pub(super) fn woken(&mut self, until: Instant, cx: &mut Context<'_>) -> Instant {
        let listening = self.attempts.known_past().and_then(|past| past.better.as_mut());
        let Some(better) = listening else { return until };
        if better.as_mut().poll(cx).is_pending() {
            return until;
        }
        self.stop_listening();
        let spread = WOKEN.mul_f64(lock(&self.context().rng).random::<f64>());
        until.min(Instant::now() + spread)
    }

    fn stop_listening(&mut self) {
        if let Some(past) = self.attempts.known_past() {
            past.better = None;
        }
    }

    /// The response that is about to be thrown away, should there be no other.
    pub(super) fn set_aside<R>(&mut self, head: response::Parts, body: R, now: Instant) -> Drain<R>
    where
        R: http_body::Body + Unpin,
    {
        let last = Last::Response { head: Box::new(head), read: Buffer::default(), cut: true };
        self.attempts.past_mut().last = Some(last);
        Drain::keeping(body, now)
    }

    /// What was read of it.
    pub(super) fn drained<R: http_body::Body + Unpin>(&mut self, drain: Option<Drain<R>>) {
        let Some((bytes, complete)) = drain.and_then(Drain::read) else { return };
        let last = self.attempts.known_past().and_then(|past| past.last.as_mut());
        if let Some(Last::Response { read, cut, .. }) = last {
            (*read, *cut) = (bytes, !complete);
        }
    }

    /// How a call ends that gets no further attempt: where it was turned away after it had one, with what that came to.
    pub(super) fn close(&mut self, error: Error, now: Instant) -> Result<Response<Body>, Error> {
        let past = self.attempts.known_past().filter(|_| is_refusal(&error));
        let Some((past, last)) = past.and_then(|past| past.last.take().map(|last| (past, last))) else {
            return Err(self.finally(error, now));
        };
        // It is what the call is about, not what came before.
        past.journal.pop();
        past.retry_in = error.retry_in();
        if let Last::Response { cut, .. } = &last {
            past.cut = *cut;
        }
        // The retry that was paid for was never sent.
        self.give_back();
        match last {
            Last::Error(mut last) => {
                last.inner_mut().retry_in = error.retry_in();
                Err(self.finally(last, now))
            }
            Last::Response { mut head, mut read, .. } => {
                self.record.end.status = Some(head.status);
                let told = self.told(&mut head, now);
                let body = Body::collected(read.take(), read.trailers.take());
                Ok(Response::from_parts(*head, body.with_attempts(told)))
            }
        }
    }
}

/// Whether it says that nothing was sent, because of what was known before.
fn is_refusal(error: &Error) -> bool {
    error.is_refused() || (matches!(error.kind(), ErrorKind::RetryAfter { .. }) && error.status().is_none())
}
