//! What a call asks before an attempt: the breaker, then the health check.

use crate::breaker;
use crate::error::Error;
use crate::error::ErrorKind;
use crate::error::Phase;
use crate::health::Answer;
use crate::origin::table::Entry;
use crate::stack::call::CallState;
use crate::stack::call::health::Probe;
use crate::stack::origin_state::OriginState;
use crate::target::{Label, Target};
use crate::telemetry;
use crate::telemetry::End;
use http::Request;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a probe of the circuit may wait for its turn.
pub(in crate::stack) const TURN: Duration = Duration::from_secs(1);
/// What a call does after it asked for admission.
pub(in crate::stack) enum Admission {
    /// Send the request.
    Go,
    /// Send the health check first.
    Lead,
    /// Wait for another caller's health check.
    Wait,
    /// Ask again at this moment.
    Later(Instant),
    Refused(Error),
    /// Refused, and told so at this moment.
    RefusedAt(Instant, Error),
}

/// What [`CallState::admit`] would tell a call in front of an open circuit, where it is certain before the call has a life:
/// nothing is entered anywhere for a crowd that is only sent away.
#[inline]
pub(in crate::stack) fn turned_away<B>(
    origin_state: &Arc<Entry<OriginState>>,
    request: &Request<B>,
    (attempts_allowed, endless): (u32, bool),
    (started, now): (Instant, Instant),
) -> Option<Error> {
    let context = &origin_state.context;
    if !context.parts.breaker {
        return None;
    }
    let retry_in = origin_state.breaker.refuses(now)?;
    let waited_out = context.parts.retry && !endless && context.retry.waits_out(retry_in);
    if waited_out || !origin_state.refusals.at_once(now) {
        return None;
    }
    let mut error = Error::new(ErrorKind::Open { retry_in }, "");
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let target = Target { method, uri, label: request.extensions().get::<Label>().cloned() };
    drop(telemetry::call(&origin_state.origin, &target.method, || target.url()).entered());
    let end = End { status: None, error: Some(error.kind().as_str()) };
    origin_state.meter.called(&target.method, end, false, || now - started);
    let inner = error.inner_mut();
    inner.target = Some(target);
    inner.attempts_allowed = attempts_allowed;
    Some(error)
}

impl CallState {
    /// Breaker, then health check; the start of an attempt.
    pub(in crate::stack) fn admit(&mut self, now: Instant) -> Admission {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            let error =
                Error::new(ErrorKind::Deadline, "the deadline had passed before an attempt could begin");
            let phase = if self.attempt == 0 { Phase::Ready } else { Phase::BackOff };
            return Admission::Refused(error.at(phase));
        }
        if self.heeds_gates() {
            if let Some(stopped) = self.pass_gate(now) {
                return stopped;
            }
        }
        if let Some(until) = self.gap_until(now) {
            self.enter(Phase::BackOff, now);
            return Admission::Later(until);
        }
        if self.origin_state.context.parts.breaker {
            match self.origin_state.breaker.admit(now, self.lease()) {
                Ok(mut permit) => {
                    permit.unsent();
                    self.permit = Some(permit);
                }
                Err(refused) => return self.refused(ErrorKind::Open { retry_in: refused.retry_in }, now),
            }
        }
        let Some(flight) =
            self.origin_state.health.as_ref().filter(|_| self.origin_state.context.parts.health)
        else {
            return self.admitted(Admission::Go, now);
        };
        let half_open = self.permit.as_ref().and_then(|permit| permit.half_open_generation());
        match flight.ask(half_open, now) {
            Answer::Go => self.admitted(Admission::Go, now),
            Answer::Lead(number) => {
                self.probe = Probe::Leading(number);
                self.admitted(Admission::Lead, now)
            }
            Answer::Wait(waiting) => {
                self.probe = Probe::Waiting(waiting);
                self.admitted(Admission::Wait, now)
            }
            Answer::Refuse { since, retry_in } => {
                self.settle(breaker::Outcome::Nothing, now);
                self.refused(ErrorKind::Unhealthy { since, retry_in }, now)
            }
        }
    }

    pub(in crate::stack) fn admitted(&mut self, admission: Admission, now: Instant) -> Admission {
        self.origin_state.refusals.end();
        self.attempt += 1;
        self.began = now;
        admission
    }

    pub(in crate::stack) fn lease(&self) -> breaker::Lease {
        if self.long_poll.is_some() {
            return breaker::Lease::poll();
        }
        let context = &self.origin_state.context;
        let check = if context.parts.health { TURN + context.check_limit() } else { Duration::ZERO };
        breaker::Lease::unsent(TURN + check)
    }

    /// When a call that is to be a probe has waited for its turn for too long: a full pool of the caller's own says
    /// nothing about the server, and must not keep others from asking it.
    pub(in crate::stack) fn place_ends(&self, since: Instant) -> Option<Instant> {
        self.permit.as_ref()?.half_open_generation().map(|_| since + TURN)
    }

    pub(in crate::stack) fn give_place_back(&mut self, now: Instant) {
        self.settle(breaker::Outcome::Nothing, now);
        self.attempt -= 1;
        if let (Probe::Leading(number), Some(flight)) = (&self.probe, &self.origin_state.health) {
            flight.abandon(*number);
        }
        self.probe = Probe::None;
    }

    /// It is the turn of this call. False where it has to ask for admission again, since it is no longer admitted.
    #[inline]
    pub(in crate::stack) fn may_send(&mut self, probe: bool, now: Instant) -> bool {
        let Some(permit) = &mut self.permit else { return !self.origin_state.context.parts.breaker };
        if probe {
            // The lease of a probe begins with its own request.
            permit.sent_at(now);
            return true;
        }
        let attempt = self.own.as_deref().unwrap_or(&self.origin_state.context.bounds).attempt;
        let may = permit.hand_over(&self.origin_state.breaker, attempt, now);
        if !may {
            self.give_place_back(now);
        }
        may
    }
}
