//! What one call carries through its life, independent of the types of request and service. Dropping it at any
//! moment gives back what it holds: table slot, permit, the place in a health check.

mod outcome;

use super::builder::Shared;
use super::lane::Lane;
use super::wait::Clock;
use crate::breaker::{self, Permit};
use crate::collect::Collect;
use crate::deadline::Deadline;
use crate::duration::human;
use crate::error::{Attempt, Error, ErrorKind, Phase};
use crate::inflight::{Details, Slot};
use crate::longpoll::LongPoll;
use crate::origin::{Entry, Label, Target};
use crate::preflight::{Answer, Ended, Waiting};
use crate::retry::classify::is_idempotent;
use crate::stall::Flow;
use crate::telemetry;
use http::{Method, Request, StatusCode};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

pub(super) struct Life {
    pub(super) shared: Arc<Shared>,
    pub(super) lane: Arc<Entry<Lane>>,
    slot: Option<Slot>,
    pub(super) permit: Option<Permit>,
    probe: Probe,
    pub(super) method: Method,
    idempotent: bool,
    pub(super) long_poll: Option<LongPoll>,
    collect: u64,
    pub(super) started: Instant,
    /// Everything up to the end of the collected body.
    pub(super) deadline: Option<Instant>,
    /// An enclosing scope or the request's own: binds a streamed body as well.
    pub(super) hard_deadline: Option<Instant>,
    /// When the attempt under way began; before the first, when the call did.
    pub(super) began: Instant,
    /// When the call began, or the back-off before the attempt under way.
    asked: Instant,
    pub(super) attempt: u32,
    allowed: u32,
    retries: u32,
    last_wait: Option<Duration>,
    /// What the retry under way cost the budget: given back when it succeeds, and when it is given up.
    paid: u32,
    wanted: Option<Duration>,
    pub(super) phase: Phase,
    pub(super) flow: Flow,
    /// The body was handed over while it streams.
    streaming: bool,
    /// The response head was a success: its retry gets its cost back.
    good: bool,
    journal: Vec<Attempt>,
}

/// This call's part in a health check.
#[derive(Debug)]
enum Probe {
    None,
    Leading,
    Waiting(Waiting),
}

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
}

impl Life {
    pub(super) fn begin<B>(
        shared: Arc<Shared>,
        lane: Option<Arc<Entry<Lane>>>,
        request: &Request<B>,
        made_under: Option<Deadline>,
    ) -> Result<Life, Error> {
        let lane = match lane {
            Some(lane) => lane,
            None => shared.lane(request.uri())?,
        };
        let now = Instant::now();
        let extensions = request.extensions();
        let wishes = !extensions.is_empty();
        let long_poll = if wishes { extensions.get::<LongPoll>().cloned() } else { None };
        if let Some(poll) = &long_poll {
            poll.check()?;
        }
        let wished = if wishes { extensions.get::<Deadline>().map(|d| d.instant()) } else { None };
        let scope = |deadline: Option<Deadline>| deadline.map(Deadline::instant);
        let ambient = Deadline::nearest(scope(made_under), scope(Deadline::current()));
        let hard_deadline = Deadline::nearest(wished, ambient);
        let total = (shared.parts.total && long_poll.is_none()).then(|| now + shared.bounds.total);
        let deadline = Deadline::nearest(hard_deadline, total);
        let collect = match (&long_poll, wishes) {
            (Some(_), _) => 0,
            (None, true) => extensions.get::<Collect>().map_or(shared.bounds.collect, |c| c.0),
            (None, false) => shared.bounds.collect,
        };
        let allowed = if shared.parts.retry { shared.retry.max_retries.saturating_add(1) } else { 1 };
        let slot = shared.table.enter(Details {
            target: Target {
                method: request.method().clone(),
                uri: request.uri().clone(),
                label: if wishes { extensions.get::<Label>().cloned() } else { None },
            },
            started: now,
            deadline,
            attempts_allowed: allowed,
            long_poll: long_poll.clone(),
        });
        if long_poll.as_ref().is_some_and(LongPoll::is_unbounded) {
            telemetry::unbounded(&lane.origin, long_poll.as_ref().map_or("", |poll| poll.reason()));
        }
        Ok(Life {
            slot: Some(slot),
            permit: None,
            probe: Probe::None,
            method: request.method().clone(),
            idempotent: is_idempotent(request),
            long_poll,
            collect,
            started: now,
            deadline,
            hard_deadline,
            began: now,
            asked: now,
            attempt: 0,
            allowed,
            retries: 0,
            last_wait: None,
            paid: 0,
            wanted: None,
            phase: Phase::Ready,
            flow: Flow::new(None, None),
            streaming: false,
            good: false,
            journal: Vec::new(),
            shared,
            lane,
        })
    }

    pub(super) fn url(&self) -> String {
        let mut url = String::new();
        if let Some(slot) = &self.slot {
            self.shared.table.with(slot, |details| url = details.target.url());
        }
        url
    }

    /// Whether a copy of the request is worth making.
    pub(super) fn may_repeat(&self) -> bool {
        self.attempt < self.allowed || (self.shared.parts.retry && self.shared.retry.wait_when_refused)
    }

    pub(super) fn enter(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        if let Some(slot) = &self.slot {
            self.shared.table.phase(slot, phase, self.attempt, now);
        }
    }

    /// Pending in this phase: the clock is read only where that is news.
    pub(super) fn idle(&mut self, phase: Phase, clock: &mut Clock) {
        if self.phase != phase {
            self.enter(phase, clock.now());
        }
    }

    /// Breaker, then health check; the start of an attempt.
    pub(super) fn admit(&mut self, uri: Option<&http::Uri>, now: Instant) -> Admission {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            let error =
                Error::new(ErrorKind::Deadline, "the deadline had passed before an attempt could begin");
            return Admission::Refused(error.at(self.phase));
        }
        if let (Some(_), Some(uri)) = (&self.long_poll, uri) {
            if let Some(until) = self.lane.state.gaps.until(&self.shared.hasher, uri, now) {
                self.enter(Phase::BackOff, now);
                return Admission::Later(until);
            }
        }
        if self.shared.parts.breaker {
            match self.lane.state.breaker.clone().admit_owned(now, self.lease()) {
                Ok(permit) => self.permit = Some(permit),
                Err(refused) => return self.refused(ErrorKind::Open { retry_in: refused.retry_in }, now),
            }
        }
        let Some(flight) = self.lane.state.health.as_ref().filter(|_| self.shared.parts.health) else {
            return self.admitted(Admission::Go, now);
        };
        let half_open = self.permit.as_ref().and_then(|permit| permit.half_open_generation());
        match flight.ask(half_open, now) {
            Answer::Go => self.admitted(Admission::Go, now),
            Answer::Lead => {
                self.probe = Probe::Leading;
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

    fn admitted(&mut self, admission: Admission, now: Instant) -> Admission {
        self.attempt += 1;
        self.began = now;
        admission
    }

    fn refused(&mut self, kind: ErrorKind, now: Instant) -> Admission {
        let error = Error::new(kind, "");
        match self.sit_out(&error, now) {
            Some(until) => Admission::Later(until),
            None => Admission::Refused(error),
        }
    }

    /// When to ask again after this refusal, if it is to be waited out.
    pub(super) fn sit_out(&mut self, refusal: &Error, now: Instant) -> Option<Instant> {
        if !(self.shared.parts.retry && self.shared.retry.wait_when_refused) {
            return None;
        }
        let until = now + self.spread(refusal.retry_in()?);
        if self.waits_until().is_some_and(|end| until >= end) {
            return None;
        }
        self.enter(Phase::BackOff, now);
        Some(until)
    }

    fn lease(&self) -> breaker::Lease {
        let bounds = &self.shared.bounds;
        match &self.long_poll {
            None => breaker::Lease { length: self.shared.rules.lease, records: true },
            Some(poll) => {
                let health = self.shared.health.as_ref().map_or(Duration::from_secs(5), |h| h.timeout);
                let own = poll.bound(bounds.long_poll).unwrap_or(Duration::from_secs(600));
                let length = health + bounds.connect + own + Duration::from_secs(1);
                breaker::Lease { length, records: false }
            }
        }
    }

    /// The request is on its way: from now on its silence counts.
    pub(super) fn sent(&mut self, probe: bool, now: Instant) {
        self.began = now;
        self.enter(if probe { Phase::HealthCheck } else { Phase::Headers }, now);
        if let Some(permit) = &mut self.permit {
            permit.heard_at(now);
        }
    }

    /// When the attempt has to have its headers, and, unless it is a long poll, its collected body.
    pub(super) fn attempt_ends(&self) -> Option<(Instant, Duration)> {
        let limit = match &self.long_poll {
            Some(poll) => poll.bound(self.shared.bounds.long_poll)?,
            None if self.shared.parts.attempt => self.shared.bounds.attempt,
            None => return None,
        };
        Some((self.began + limit, limit))
    }

    /// The end of every wait but the one for an answer, which is all that a long poll is exempt from.
    pub(super) fn waits_until(&self) -> Option<Instant> {
        let total = self.long_poll.is_some() && self.shared.parts.total;
        Deadline::nearest(self.deadline, total.then(|| self.asked + self.shared.bounds.total))
    }

    pub(super) fn probe_ends(&self) -> Option<Instant> {
        let timeout = self.shared.health.as_ref()?.timeout;
        Some(self.began + timeout.min(self.shared.bounds.attempt))
    }

    /// What another caller's health check came to.
    ///
    /// `Ok(true)` where its leader left and this call leads the next.
    pub(super) fn poll_health(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        let (Probe::Waiting(waiting), Some(flight)) = (&self.probe, &self.lane.state.health) else {
            return Poll::Ready(Ok(false));
        };
        let Poll::Ready(ended) = flight.poll(waiting, cx) else { return Poll::Pending };
        flight.leave(waiting);
        self.probe = Probe::None;
        Poll::Ready(match ended {
            Ended::Passed => Ok(false),
            Ended::Lead => {
                self.probe = Probe::Leading;
                self.began = Instant::now();
                Ok(true)
            }
            Ended::Failed(cause) => {
                // Counted once, by the caller that made the check.
                self.settle(breaker::Outcome::Nothing, Instant::now());
                Err(self.unhealthy(cause.to_string()))
            }
        })
    }

    /// Whether this status passes the health check.
    pub(super) fn healthy(&self, status: StatusCode) -> Result<(), String> {
        match &self.shared.health {
            Some(health) if !(health.accept)(status) => Err(status.as_u16().to_string()),
            _ => Ok(()),
        }
    }

    /// What to say of a health check that ran into its bound.
    pub(super) fn probe_silence(&self) -> String {
        let limit = self.probe_ends().map_or(Duration::ZERO, |at| at - self.began);
        format!("no answer within {:#}", human(limit))
    }

    /// The health check that this call made is over.
    pub(super) fn probed(&mut self, result: Result<(), String>, now: Instant) -> Result<(), Error> {
        self.probe = Probe::None;
        let Some(flight) = &self.lane.state.health else { return Ok(()) };
        let half_open = self.permit.as_ref().and_then(|permit| permit.half_open_generation()).is_some();
        let outcome = result.as_ref().map(|()| ()).map_err(|cause| Arc::from(cause.as_str()));
        let recovered = flight.finish(outcome, now);
        match result {
            Ok(()) => {
                if half_open || recovered.is_some() {
                    let down_for = recovered.or_else(|| self.lane.state.breaker.snapshot().opened_for);
                    telemetry::recovered(&self.lane.origin, down_for);
                }
                Ok(())
            }
            Err(cause) => Err(self.unhealthy(cause)),
        }
    }

    fn unhealthy(&self, cause: String) -> Error {
        let (since, retry_in) = match &self.lane.state.health {
            Some(flight) => flight.outlook(Instant::now()),
            None => Default::default(),
        };
        let kind = ErrorKind::Unhealthy { since, retry_in };
        let mut error = Error::new(kind, format!("health check failed: {cause}")).at(Phase::HealthCheck);
        error.inner_mut().fault.probe = true;
        error
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.shared.table.leave(&slot);
        }
        if self.paid > 0 {
            self.deposit(self.paid);
        }
        if let Some(permit) = self.permit.take() {
            let unsent = self.phase == Phase::Ready || matches!(self.probe, Probe::Waiting(_));
            if self.streaming {
                // A reader that leaves a stream has had what it wanted, unless it waited in vain.
                permit.leave_stream(Instant::now());
            } else if unsent && !std::thread::panicking() {
                // The server cannot be silent about what it was never sent.
                permit.cancel();
            }
        }
        if let Some(flight) = &self.lane.state.health {
            match &self.probe {
                Probe::None => {}
                Probe::Leading => flight.abandon(),
                Probe::Waiting(waiting) => flight.leave(waiting),
            }
        }
    }
}
