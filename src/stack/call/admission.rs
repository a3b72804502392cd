//! What a call asks before an attempt: the breaker, then the health check.

use crate::breaker;
use crate::error::{Error, ErrorKind, Phase};
use crate::health::Answer;
use crate::origin::table::Entry;
use crate::retry::grpc;
use crate::stack::call::events;
use crate::stack::call::facts::Facts;
use crate::stack::call::held::Probe;
use crate::stack::call::limits::CallLimits;
use crate::stack::call::state::CallState;
use crate::stack::origin_state::OriginState;
use crate::telemetry::{End, spans};
use http::Request;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a probe of the circuit may wait for its turn.
const TURN: Duration = Duration::from_secs(1);

/// What a call does after it asked for admission.
pub(super) enum Admission {
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

/// What [`CallState::admit`] would tell a call in front of an open circuit, where it is certain before the call begins:
/// nothing is entered anywhere for a crowd that is only sent away.
#[inline]
pub(super) fn turned_away<B>(
    origin_state: &Arc<Entry<OriginState>>,
    request: &Request<B>,
    limits: &CallLimits,
    attempts_allowed: u32,
    now: Instant,
) -> Option<Error> {
    let context = &origin_state.context;
    if !context.parts.breaker {
        return None;
    }
    let retry_in = origin_state.breaker.refuses(now)?;
    if limits.waits_out(retry_in, context) || !origin_state.refusals.at_once(now) {
        return None;
    }
    let mut error = Error::new(ErrorKind::Open { retry_in }, "");
    let target = Facts::target(request, Some(request.extensions()), &origin_state.origin);
    let is_grpc = request.extensions().get::<grpc::Call>().is_some();
    let span = spans::call(&origin_state.origin, || target.clone(), request.extensions(), is_grpc);
    if let Some(span) = span {
        events::name_status(&span, &error);
        spans::failed(&span, &error);
    }
    let end = End { status: None, error: Some(error.kind().as_str()) };
    events::turned_away(origin_state, &target, error.kind(), now - limits.started);
    origin_state.meter.called(&target.method, end, false, || now - limits.started);
    let inner = error.inner_mut();
    inner.target = Some(target);
    inner.attempts_allowed = attempts_allowed;
    Some(error)
}

impl CallState {
    /// Breaker, then health check; the start of an attempt.
    pub(super) fn admit(&mut self, now: Instant) -> Admission {
        if self.limits.is_over(now) {
            let error =
                Error::new(ErrorKind::Deadline, "the deadline had passed before an attempt could begin");
            let phase = if self.attempts.number == 0 { Phase::Ready } else { Phase::BackOff };
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
        if self.context().parts.breaker {
            match self.origin_state.breaker.admit(now, self.lease()) {
                Ok(mut permit) => {
                    permit.unsent();
                    self.held.permit = Some(permit);
                }
                Err(refused) => return self.refused(ErrorKind::Open { retry_in: refused.retry_in }, now),
            }
        }
        let Some(flight) = self.origin_state.health.as_ref().filter(|_| self.context().parts.health) else {
            return self.admitted(Admission::Go, now);
        };
        let half_open = self.held.half_open();
        match flight.ask(half_open, now) {
            Answer::Go => self.admitted(Admission::Go, now),
            Answer::Lead(number) => {
                self.held.probe = Probe::Leading(number);
                self.admitted(Admission::Lead, now)
            }
            Answer::Wait(waiting) => {
                self.held.probe = Probe::Waiting(Box::new(waiting));
                self.admitted(Admission::Wait, now)
            }
            Answer::Refuse { since, retry_in } => {
                self.settle(breaker::Outcome::Nothing, now);
                self.refused(ErrorKind::Unhealthy { since, retry_in }, now)
            }
        }
    }

    fn admitted(&mut self, admission: Admission, now: Instant) -> Admission {
        self.origin_state.refusals.end();
        self.attempts.begin(now);
        admission
    }

    /// How long it may hold a place among the probes of the circuit before it sends something.
    fn lease(&self) -> breaker::Lease {
        if self.limits.long_poll().is_some() {
            return breaker::Lease::poll();
        }
        let context = self.context();
        let check = if context.parts.health { TURN + context.check_limit() } else { Duration::ZERO };
        breaker::Lease::unsent(TURN + check)
    }

    /// When a call that is to be a probe has waited for its turn for too long: a full pool of the caller's own says
    /// nothing about the server, and must not keep others from asking it.
    pub(super) fn turn_ends(&self, since: Instant) -> Option<Instant> {
        self.held.half_open().map(|_| since + TURN)
    }

    /// It is admitted no longer, and has to ask again.
    pub(super) fn give_place_back(&mut self, now: Instant) {
        self.settle(breaker::Outcome::Nothing, now);
        self.attempts.take_back();
        if let Probe::Leading(_) = self.held.probe {
            self.held.leave_probe(self.origin_state.health.as_deref());
        }
    }

    /// It is the turn of this call. False where it has to ask for admission again, since it is no longer admitted.
    #[inline]
    pub(super) fn may_send(&mut self, probe: bool, now: Instant) -> bool {
        let Some(permit) = &mut self.held.permit else { return !self.origin_state.context.parts.breaker };
        if probe {
            // The lease of a probe begins with its own request.
            permit.sent_at(now);
            return true;
        }
        let attempt = self.limits.bounds(&self.origin_state.context).attempt;
        let may = permit.hand_over(&self.origin_state.breaker, attempt, now);
        if !may {
            self.give_place_back(now);
        }
        may
    }
}
