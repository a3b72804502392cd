//! What a call does at a gate that a 429 has closed, what its own answer makes of it, and what a `Retry-After` binds it
//! to.

use crate::error::{Error, ErrorKind, Phase};
use crate::retry::after::retry_after;
use crate::retry::gate::{Answer, LONGEST};
use crate::retry::{Evidence, Remember, quota};
use crate::stack::call::admission::Admission;
use crate::stack::call::state::CallState;
use crate::stack::gates::Place;
use crate::sync::lock;
use crate::telemetry;
use http::{StatusCode, response};
use rand::RngExt;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

impl CallState {
    /// Whether this call heeds gates at all.
    #[inline]
    pub(super) fn heeds_gates(&self) -> bool {
        self.origin_state.gates.any() && self.context().parts.retry
    }

    /// Where a gate is closed for this call: when to ask again, or the refusal.
    #[cold]
    pub(super) fn pass_gate(&mut self, now: Instant) -> Option<Admission> {
        let (origin_state, key) = (&self.origin_state, self.gate_key());
        // Who bounds and repeats the call by itself waits by itself.
        let waits_until = || self.limits.waits_until(self.attempts.asked, self.context());
        let end = if self.limits.endless() { Some(now) } else { waits_until() };
        let place = self.held.place.as_ref().map(|waits| waits.place);
        let mut draw = || lock(&origin_state.context.rng).random::<f64>();
        let answer = origin_state.gates.with(|gates| gates.ask(key, place, end, now, &mut draw));
        match answer {
            Answer::Go => {}
            Answer::Wait { .. } if place.is_some() => {}
            Answer::Wait { until, .. } => {
                self.origin_state.meter.gate("waited");
                let retry_in = until.saturating_duration_since(now);
                self.turned_down(ErrorKind::RetryAfter { retry_in }, Some(until), now);
            }
            Answer::Refuse { .. } => self.origin_state.meter.gate("refused"),
        }
        self.held.place = Place::of(key, answer);
        match answer {
            Answer::Go => None,
            Answer::Wait { until, .. } => {
                self.enter(Phase::BackOff, now);
                Some(Admission::Later(until))
            }
            Answer::Refuse { retry_in } => {
                let mut error = Error::new(ErrorKind::RetryAfter { retry_in }, "");
                error.inner_mut().fault.gate = true;
                Some(self.turn_away(error, now))
            }
        }
    }

    /// What tells its gate apart.
    fn gate_key(&self) -> u64 {
        self.facts.gate_key(&self.target().uri, self.context())
    }

    /// Whether this response may open or close a gate.
    #[inline]
    pub(super) fn speaks_of_quota(&self, head: &response::Parts) -> bool {
        let context = self.context();
        let may = head.status == StatusCode::TOO_MANY_REQUESTS
            || context.retry.remember == Remember::Headers
            || self.origin_state.gates.any();
        may && context.parts.retry && context.retry.remember != Remember::Off
    }

    /// Remembers what this response says of a quota.
    #[cold]
    pub(super) fn note_quota(&mut self, head: &response::Parts, evidence: Evidence, now: Instant) {
        #[expect(clippy::disallowed_methods, reason = "dates in headers are wall-clock time")]
        let wall = SystemTime::now();
        let gates = &self.origin_state.gates;
        let wait = if head.status == StatusCode::TOO_MANY_REQUESTS {
            retry_after(&head.headers, wall).or_else(|| quota::reset(&head.headers, wall))
        } else {
            if gates.any() {
                let key = self.gate_key();
                gates.with(|gates| gates.answered(key, self.attempts.began, now));
            }
            let good = evidence == Evidence::Success && self.context().retry.remember == Remember::Headers;
            let exhausted = if good { quota::exhausted(&head.headers, wall) } else { None };
            exhausted.filter(|wait| *wait <= LONGEST)
        };
        let Some(wait) = wait else { return };
        let key = self.gate_key();
        if gates.with(|gates| gates.close(key, wait, now)) {
            self.origin_state.meter.gate_closed();
            telemetry::gate_closed(
                self.origin_state.endpoint(),
                self.origin_state.group.as_ref(),
                wait.min(LONGEST),
            );
        }
    }

    /// What a `Retry-After` binds this call to, and what the circuit that it opens. One that asks for too much ends the call,
    /// but where such a claim was disproved lately: there it is the word of one replica, another is asked after the usual
    /// back-off, and no circuit of all of them is held open by it.
    pub(super) fn binding(
        &self,
        asked: Option<Duration>,
        status: StatusCode,
        now: Instant,
    ) -> (Option<Duration>, Option<Duration>) {
        let Some(wait) = asked.filter(|wait| !wait.is_zero()) else { return (None, asked) };
        if status == StatusCode::TOO_MANY_REQUESTS {
            // A quota is counted for all replicas: that is what gates are for.
            return (asked, asked);
        }
        let longest = wait.saturating_add(wait / 10);
        let fits = wait <= self.context().retry.get_retry_after_cap() && !self.limits.is_over(now + longest);
        let disproved = self.origin_state.claims.claim(wait, now);
        ((!disproved || fits).then_some(wait), (!disproved).then_some(wait))
    }
}
