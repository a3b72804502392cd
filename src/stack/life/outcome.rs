//! What the end of an attempt means for the call: keep it, repeat it, give up; and what is told of it.

use super::Life;
use crate::body::Attempts;
use crate::breaker;
use crate::collect::{Plan, declared, plan};
use crate::duration::human;
use crate::error::{Attempt, Error, ErrorKind, Phase};
use crate::retry::after::retry_after;
use crate::retry::{Class, Evidence, Outcome, Repeat};
use crate::stack::wait::Clock;
use crate::stall::Flow;
use crate::sync::lock;
use crate::telemetry;
use http::{StatusCode, response};
use std::borrow::Cow;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// A long poll that answers with nothing in less than this is one that does not park.
const AT_ONCE: Duration = Duration::from_millis(100);
/// Jitter on waits that somebody else named, so that not all callers come back together.
const SPREAD: f64 = 0.1;

impl Life {
    pub(super) fn settle(&mut self, outcome: breaker::Outcome, now: Instant) {
        if let Some(permit) = self.permit.take() {
            permit.record(outcome, now);
        }
    }

    fn record(&mut self, evidence: Evidence, asked: Option<Duration>, now: Instant) {
        if self.permit.is_some() {
            let outcome = match evidence {
                Evidence::Success => breaker::Outcome::Success,
                Evidence::Failure => breaker::Outcome::Failure { retry_after: asked },
                Evidence::Throttled => breaker::Outcome::Neutral { retry_after: asked },
                Evidence::None => breaker::Outcome::Nothing,
            };
            self.settle(outcome, now);
        }
        if evidence == Evidence::Failure {
            if let Some(flight) = &self.lane.state.health {
                flight.doubt();
            }
        }
    }

    /// A response head: kept and read further, kept as a stream, or `Err(until)` to be repeated at that moment.
    pub(in crate::stack) fn head(
        &mut self,
        head: &response::Parts,
        copy: bool,
        now: Instant,
    ) -> Result<Plan, Instant> {
        let class = self.shared.class(&Outcome::Head(head));
        self.flow = Flow::new(self.shared.parts.stall.then_some(self.shared.bounds.idle), self.least());
        if let Some(permit) = &mut self.permit {
            permit.heard_at(now);
        }
        self.good = class.evidence == Evidence::Success;
        self.note_gap(head, class, now);
        if class.repeat == Repeat::Never {
            let plan = plan(&self.method, head, self.collect);
            let at_head = self.long_poll.is_some() || plan == Plan::Stream { endless: true };
            if class.evidence != Evidence::Success || at_head {
                self.record(class.evidence, None, now);
            }
            return Ok(plan);
        }
        let asked = retry_after(&head.headers, SystemTime::now());
        self.record(class.evidence, asked, now);
        let throttled = head.status == StatusCode::TOO_MANY_REQUESTS
            || (head.status == StatusCode::SERVICE_UNAVAILABLE && asked.is_some());
        match self.next(class, asked, throttled, copy, now) {
            Some(until) => {
                let cause = Cow::Owned(head.status.as_u16().to_string());
                self.remember(Some(head.status), None, cause, until, now);
                Err(until)
            }
            None => {
                self.wanted = asked;
                Ok(Plan::Stream { endless: false })
            }
        }
    }

    fn least(&self) -> Option<(u64, Duration)> {
        self.shared.bounds.min_progress.filter(|_| self.shared.parts.stall)
    }

    /// An attempt ended with an error: `Ok(until)` to repeat it at that moment.
    pub(in crate::stack) fn failed(
        &mut self,
        error: Error,
        copy: bool,
        now: Instant,
    ) -> Result<Instant, Error> {
        if copy && error.is_refused() {
            // A service beneath refused it, and nothing was sent.
            if let Some(until) = self.sit_out(&error, now) {
                self.settle(breaker::Outcome::Nothing, now);
                self.attempt -= 1;
                return Ok(until);
            }
        }
        let mut class = self.shared.class(&Outcome::Error(&error));
        if self.long_poll.is_some() && error.kind() == ErrorKind::Attempt {
            class = Class { repeat: Repeat::Never, evidence: Evidence::None };
        }
        if error.kind() != ErrorKind::Deadline {
            self.record(class.evidence, None, now);
        }
        if self.long_poll.is_some() {
            let base = self.shared.retry.backoff.ceiling(0);
            self.gap(base, now);
        }
        match self.next(class, None, false, copy, now) {
            Some(until) => {
                let cause = Cow::Owned(error.cause());
                self.remember(None, Some(&error), cause, until, now);
                Ok(until)
            }
            None => Err(self.finally(error, now)),
        }
    }

    /// The error of an attempt that ran into its limit.
    pub(in crate::stack) fn too_slow(&self, limit: Duration) -> Error {
        let received = self.flow.received();
        let detail = match (&self.long_poll, received) {
            (Some(poll), _) => Cow::Owned(format!(
                "the long poll was not answered within {:#} ({})",
                human(limit),
                poll.reason()
            )),
            (None, 0) => Cow::Borrowed(""),
            (None, _) => Cow::Owned(format!(
                "the response body was not complete after {:#}, {received} bytes received \
                 (a stream? mark it LongPoll or Collect::never())",
                human(limit)
            )),
        };
        Error::new(ErrorKind::Attempt, detail).at(self.phase).limit(limit).received(received)
    }

    /// The deadline of the call fell inside an attempt: a failure of the origin only if the attempt had its full time,
    /// or was silent for long enough to count as hung.
    pub(in crate::stack) fn out_of_time(&mut self, now: Instant) -> Error {
        let full = self.attempt_ends().is_some_and(|(_, limit)| now - self.began >= limit);
        match self.phase {
            Phase::Ready | Phase::HealthCheck | Phase::BackOff => self.settle(breaker::Outcome::Nothing, now),
            _ if self.long_poll.is_some() => self.settle(breaker::Outcome::Nothing, now),
            _ if full => self.record(Evidence::Failure, None, now),
            // The permit judges by how long it has heard nothing.
            _ => drop(self.permit.take()),
        }
        let error = Error::new(ErrorKind::Deadline, "").at(self.phase).limit(now - self.began);
        error.received(self.flow.received())
    }

    /// When the next attempt may leave, if there is to be one.
    fn next(
        &mut self,
        class: Class,
        asked: Option<Duration>,
        throttled: bool,
        copy: bool,
        now: Instant,
    ) -> Option<Instant> {
        let free = class.repeat == Repeat::AtOnce
            || (class.repeat == Repeat::Always && class.evidence == Evidence::None);
        let allowed = match class.repeat {
            Repeat::Never => false,
            Repeat::IfIdempotent | Repeat::AtOnce => self.idempotent,
            Repeat::Always => true,
        };
        if !allowed || !copy || self.attempt >= self.allowed {
            return None;
        }
        if free {
            self.paid = 0;
            return Some(now);
        }
        let settings = &self.shared.retry;
        let mut wait = {
            let mut rng = lock(&self.shared.rng);
            settings.backoff.draw(self.retries, self.last_wait, &mut rng)
        };
        self.last_wait = Some(wait);
        if let Some(asked) = asked {
            if asked > settings.cap() {
                return None;
            }
            if asked > Duration::ZERO {
                wait = self.spread(wait.max(asked));
            }
        }
        let until = now + wait;
        if self.deadline.is_some_and(|deadline| until >= deadline) {
            return None;
        }
        if let (Some(bucket), Some(budget)) = (&self.lane.state.budget, &settings.budget) {
            let cost = if throttled { budget.throttled_cost } else { budget.retry_cost };
            if !bucket.withdraw(cost) {
                return None;
            }
            self.paid = cost;
        }
        self.retries += 1;
        Some(until)
    }

    pub(super) fn spread(&self, wait: Duration) -> Duration {
        wait + wait.mul_f64(SPREAD * lock(&self.shared.rng).f64())
    }

    fn remember(
        &mut self,
        status: Option<StatusCode>,
        error: Option<&Error>,
        cause: Cow<'static, str>,
        until: Instant,
        now: Instant,
    ) {
        let wait = until - now;
        telemetry::retry(&self.lane.origin, self.attempt, self.allowed - 1, wait, &cause);
        self.journal.push(Attempt {
            status,
            error: error.map(Error::kind),
            phase: error.and_then(Error::phase).unwrap_or(Phase::Headers),
            took: now - self.began,
            cause,
        });
        self.asked = now;
        self.enter(Phase::BackOff, now);
    }

    /// The error that the caller gets, with target and story.
    pub(in crate::stack) fn finally(&mut self, mut error: Error, now: Instant) -> Error {
        if self.phase != Phase::BackOff {
            // The retry was made and failed; one that was refused is given back when this is dropped.
            self.paid = 0;
        }
        self.tell(&mut error);
        if !error.is_refused() && !error.is_config() {
            if let Some(left_out) = self.lane.state.warned.due(now) {
                telemetry::failed(&self.lane.origin, &error, left_out);
            }
        }
        error
    }

    fn tell(&mut self, error: &mut Error) {
        let details = self.slot.take().and_then(|slot| self.shared.table.leave(&slot));
        let inner = error.inner_mut();
        if inner.phase.is_none() && !matches!(inner.kind, ErrorKind::Open { .. } | ErrorKind::Config) {
            inner.phase = Some(self.phase);
        }
        if let (None, Some(details)) = (&inner.target, details) {
            inner.target = Some(details.target);
        }
        if self.shared.parts.retry || inner.attempt == 0 {
            inner.attempt = self.attempt;
            inner.attempts_allowed = self.allowed;
            let mut journal = std::mem::take(&mut self.journal);
            journal.append(&mut inner.journal);
            inner.journal = journal;
        }
    }

    /// Some of the body came while it is collected.
    pub(in crate::stack) fn got(&mut self, bytes: usize, clock: &mut Clock) {
        let now = clock.now();
        self.flow.got(bytes, now);
        if let Some(permit) = &mut self.permit {
            permit.heard_at(now);
        }
    }

    /// There is no more of the body yet.
    pub(in crate::stack) fn enter_body(&mut self, clock: &mut Clock) {
        self.idle(Phase::Body, clock);
        if !self.flow.is_waiting() {
            self.flow.wait(clock.now());
        }
    }

    pub(in crate::stack) fn overdue_at(&self) -> Option<Instant> {
        self.permit.as_ref()?.overdue_at()
    }

    pub(in crate::stack) fn overdue(&mut self, now: Instant) {
        if let Some(permit) = &mut self.permit {
            permit.note_overdue(now);
        }
    }

    /// From here on the body belongs to its reader.
    pub(in crate::stack) fn streams(&mut self, now: Instant) {
        self.streaming = true;
        self.enter(Phase::Body, now);
        self.consumer_has_it();
        if let Some(permit) = &mut self.permit {
            permit.untimed();
        }
    }

    /// The reader is busy with what it got: silence is its own.
    pub(in crate::stack) fn consumer_has_it(&mut self) {
        if let Some(permit) = &mut self.permit {
            permit.quiet();
        }
    }

    /// The reader waits for more.
    pub(in crate::stack) fn consumer_waits(&mut self, now: Instant) {
        if !self.flow.is_waiting() {
            self.flow.wait(now);
            if let Some(permit) = &mut self.permit {
                permit.heard_at(now);
            }
        }
    }

    /// A streamed body failed.
    pub(in crate::stack) fn broke(&mut self, error: Error, now: Instant) -> Error {
        let class = self.shared.class(&Outcome::Error(&error));
        // It had begun to answer: whatever broke it, the connection was not merely stale.
        let evidence = if class.evidence == Evidence::None && !error.is_config() {
            Evidence::Failure
        } else {
            class.evidence
        };
        self.record(evidence, None, now);
        self.finally(error, now)
    }

    /// A streamed body was cut off by a limit of ours: no failure of the server, as long as it flowed.
    pub(in crate::stack) fn cut(&mut self, error: Error, now: Instant) -> Error {
        if let Some(permit) = self.permit.take() {
            permit.leave_stream(now);
        }
        self.finally(error, now)
    }

    /// The body is complete.
    pub(in crate::stack) fn complete(&mut self, now: Instant) {
        self.record(Evidence::Success, None, now);
    }

    /// How the response came about; it settles the budget.
    pub(in crate::stack) fn attempts(&mut self, head: &mut response::Parts, now: Instant) -> Attempts {
        let earned = match &self.shared.retry.budget {
            Some(budget) if self.attempt <= 1 => budget.refund,
            _ => self.paid,
        };
        if self.good {
            self.deposit(earned);
        }
        self.paid = 0;
        let attempts =
            Attempts { count: self.attempt, elapsed: now - self.started, retry_after: self.wanted };
        if attempts.count > 1 {
            head.extensions.insert(attempts);
        }
        attempts
    }

    pub(super) fn deposit(&self, tokens: u32) {
        if let Some(bucket) = &self.lane.state.budget {
            bucket.deposit(tokens);
        }
    }

    /// A loop of long polls must not spin, whatever the server answers.
    fn note_gap(&self, head: &response::Parts, class: Class, now: Instant) {
        if self.long_poll.is_none() {
            return;
        }
        if class.repeat != Repeat::Never || class.evidence == Evidence::Failure {
            self.gap(self.shared.retry.backoff.ceiling(0), now);
        }
        let empty = matches!(head.status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT)
            || declared(&head.headers) == Some(0);
        if empty && now - self.began < AT_ONCE {
            self.gap(AT_ONCE, now);
        }
    }

    fn gap(&self, wait: Duration, now: Instant) {
        let Some(slot) = &self.slot else { return };
        let gaps = &self.lane.state.gaps;
        self.shared.table.with(slot, |details| {
            gaps.set(&self.shared.hasher, &details.target.uri, now + wait, now);
        });
    }
}
