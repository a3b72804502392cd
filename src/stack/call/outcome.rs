//! What the end of an attempt means for the call: keep it, or repeat it, and when.

use crate::body::Attempts;
use crate::breaker;
use crate::collect::Plan;
use crate::collect::plan;
use crate::error::Attempt;
use crate::error::Error;
use crate::error::ErrorKind;
use crate::error::Phase;
use crate::retry::Class;
use crate::retry::Evidence;
use crate::retry::Outcome;
use crate::retry::Repeat;
use crate::retry::after::retry_after;
use crate::retry::classify::Excuse;
use crate::retry::spared::Price;
use crate::retry::spared::STALE;
use crate::retry::spared::UNSEEN;
use crate::retry::spared::closes_idle;
use crate::reuse::Meter;
use crate::stack::call::{CallState, hop::is_redirect, refusal::Last};
use crate::stack::context::Parts;
use crate::stack::pacing::polls::End;
use crate::stall::Flow;
use crate::sync::lock;
use crate::telemetry;
use http::StatusCode;
use http::Version;
use http::response;
use std::borrow::Cow;
use std::time::Duration;
use std::time::SystemTime;
use tokio::time::Instant;

/// An origin that was heard so lately is alive: a connection that ends without a byte was idle for too long.
pub(in crate::stack) const LATELY: Duration = Duration::from_secs(1);

impl CallState {
    pub(in crate::stack) fn settle(&mut self, outcome: breaker::Outcome, now: Instant) {
        if let Some(permit) = self.permit.take() {
            permit.record(&self.origin_state.breaker, outcome, now);
        }
    }

    pub(in crate::stack) fn record(&mut self, evidence: Evidence, asked: Option<Duration>, now: Instant) {
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
            if let Some(flight) = &self.origin_state.health {
                flight.doubt();
            }
        }
    }

    /// As [`record`](CallState::record) for an attempt that ended with an error. Calls that time out did so each for itself;
    /// one broken connection ends many at once.
    pub(in crate::stack) fn record_error(&mut self, evidence: Evidence, error: &Error, now: Instant) {
        if evidence == Evidence::Failure && error.is_own_timeout() {
            self.settle(breaker::Outcome::TimedOut, now);
        }
        self.record(evidence, None, now);
    }

    /// A response head: kept and read further, kept as a stream, or `Err(until)` to be repeated at that moment.
    pub(in crate::stack) fn head(
        &mut self,
        head: &response::Parts,
        copy: bool,
        now: Instant,
    ) -> Result<Plan, Instant> {
        self.origin_state.heard.note(now);
        let mut class = self.class(&Outcome::Head(head));
        let mut price = Price::Full;
        if class.repeat != Repeat::Never {
            (class, price) = self.weigh_head(head, class, now);
        }
        let class = self.judged_head(head, class, now);
        self.flow = Flow::new(self.idle_limit(), self.least());
        if let Some(permit) = &mut self.permit {
            permit.heard_at(now);
        }
        self.good = class.evidence == Evidence::Success;
        self.poll_head(head.status, now);
        if self.speaks_of_quota(head) {
            self.note_quota(head, class.evidence, now);
        }
        if self.good {
            self.origin_state.claims.served(self.began, now);
        }
        if class.repeat == Repeat::Never {
            let mut plan = plan(&self.method, head, self.collect);
            if self.follows && is_redirect(head) {
                // Its body is nobody's answer: the head is the verdict, and the rest is drained.
                plan = Plan::Stream { endless: true };
            }
            let at_head = self.long_poll.is_some() || plan == Plan::Stream { endless: true };
            if class.evidence != Evidence::Success || at_head {
                self.record(class.evidence, None, now);
            }
            return Ok(plan);
        }
        #[expect(clippy::disallowed_methods, reason = "a date in Retry-After is wall-clock time")]
        let asked = retry_after(&head.headers, SystemTime::now());
        self.record(class.evidence, asked, now);
        let beneath = head.extensions.get::<Attempts>().and_then(|attempts| attempts.retry_in);
        let binding = self.binding(asked, head.status, now);
        match self.next(class, price, (binding, beneath), copy, now) {
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

    pub(in crate::stack) fn least(&self) -> Option<(u64, Duration)> {
        let stall = self.origin_state.context.parts.stall && !self.endless && self.long_poll.is_none();
        self.origin_state.context.bounds.min_progress.filter(|_| stall)
    }

    /// An attempt ended with an error: `Ok(until)` to repeat it at that moment, else what to [`close`](CallState::close) the
    /// call with.
    pub(in crate::stack) fn failed(
        &mut self,
        mut error: Error,
        copy: bool,
        now: Instant,
    ) -> Result<Instant, Error> {
        if error.is_refused() {
            // A service beneath refused it, and nothing was sent.
            if let Some(until) = self.sit_out(&error, now).filter(|_| copy) {
                self.settle(breaker::Outcome::Nothing, now);
                self.attempt -= 1;
                self.left = false;
                return Ok(until);
            }
            if self.last.is_some() {
                self.settle(breaker::Outcome::Nothing, now);
                self.attempt -= 1;
                self.left = false;
                return Err(error);
            }
        }
        let (class, price) = self.weigh_error(&error, now);
        let class = self.judged_error(&error, class, now);
        if error.kind() != ErrorKind::Deadline {
            self.record_error(class.evidence, &error, now);
        }
        self.poll_ended(if error.kind() == ErrorKind::Deadline { End::Over } else { End::Bad }, now);
        match self.next(class, price, (None, error.inner().retry_in), copy, now) {
            Some(until) => Ok(self.again(error, until, now)),
            None => {
                let inner = error.inner_mut();
                inner.retry_in = inner.retry_in.max(self.retry_in);
                Err(error)
            }
        }
    }

    /// An attempt that ran into its limit while its body flowed: `None` where the response is worth more than what
    /// could follow, since the request cannot be repeated.
    pub(in crate::stack) fn outlived(
        &mut self,
        limit: Duration,
        copy: bool,
        now: Instant,
    ) -> Option<Result<Instant, Error>> {
        let error = self.too_slow(limit, now);
        let Parts { total, retry, .. } = self.origin_state.context.parts;
        // One layer of several does not know whether another repeats it, and what ends it then.
        if !(total && retry && self.flows(now)) {
            return Some(self.failed(error, copy, now));
        }
        let (class, price) = self.weigh_error(&error, now);
        let until = self.next(class, price, (None, error.inner().retry_in), copy, now)?;
        self.record_error(class.evidence, &error, now);
        Some(Ok(self.again(error, until, now)))
    }

    /// It is repeated after this error, which the call ends with where it is refused then.
    pub(in crate::stack) fn again(&mut self, mut error: Error, until: Instant, now: Instant) -> Instant {
        let (cause, phase) = (Cow::Owned(error.cause()), self.phase);
        self.remember(None, Some(&error), cause, until, now);
        error.inner_mut().phase.get_or_insert(phase);
        self.last = Some(Box::new(Last::Error(error)));
        until
    }

    /// What an answer that is worth repeating means in this call, and what the repetition costs. A classifier of the
    /// user's that sees it in another way has its will.
    #[cold]
    pub(in crate::stack) fn weigh_head(
        &mut self,
        head: &response::Parts,
        class: Class,
        now: Instant,
    ) -> (Class, Price) {
        let outcome = Outcome::Head(head);
        let served_before = || head.extensions.get::<Meter>().is_some_and(Meter::was_reused);
        let (class, excuse) = if class != outcome.class() {
            (class, Excuse::None)
        } else if head.status == 408 && closes_idle(head, served_before(), now - self.began) {
            (UNSEEN, Excuse::Unseen)
        } else {
            (class, outcome.excuse())
        };
        self.fresh = excuse == Excuse::Misdirected && head.version < Version::HTTP_2;
        self.spared.judge(class, excuse)
    }

    /// As [`weigh_head`](CallState::weigh_head), of an error.
    #[cold]
    pub(in crate::stack) fn weigh_error(&mut self, error: &Error, now: Instant) -> (Class, Price) {
        let outcome = Outcome::Error(error);
        let class = self.class(&outcome);
        let fault = error.inner().fault;
        // Not every client tells whether a connection had served before.
        let unknown = error.kind() == ErrorKind::Transport && fault.ended && !fault.metered;
        let (class, excuse) = if class != outcome.class() {
            (class, Excuse::None)
        } else if unknown
            && class.repeat == Repeat::IfIdempotent
            && error.phase() != Some(Phase::Body)
            && self.attempt == 1
            && self.origin_state.heard.within(LATELY, now)
        {
            (STALE, Excuse::Stale)
        } else {
            (class, outcome.excuse())
        };
        self.fresh = excuse == Excuse::Stale && fault.idle;
        self.spared.judge(class, excuse)
    }

    /// When the next attempt may leave, if there is to be one.
    pub(in crate::stack) fn next(
        &mut self,
        class: Class,
        price: Price,
        (asked, beneath): (Option<Duration>, Option<Duration>),
        copy: bool,
        now: Instant,
    ) -> Option<Instant> {
        let allowed = match class.repeat {
            Repeat::Never => false,
            Repeat::IfIdempotent | Repeat::AtOnce => self.idempotent,
            Repeat::Always => true,
        };
        if !allowed || !copy {
            self.retry_in = self.shut(beneath, now);
            return None;
        }
        if price == Price::Nothing {
            self.allowed = self.allowed.saturating_add(1);
        }
        if self.attempt >= self.allowed {
            self.retry_in = self.shut(beneath, now);
            return None;
        }
        // A long poll keeps its distance from the one before, also inside of its call.
        let gap = self.gap_until(now);
        if price != Price::Full {
            return Some(gap.unwrap_or(now));
        }
        // What the one before cost, where it never left.
        self.give_back();
        // Before the circuit is looked at, so that no change is missed.
        let better = self.listen();
        self.retry_in = self.shut(beneath, now);
        if self.retry_in.is_some_and(|retry_in| !self.waits_out(retry_in)) {
            return None;
        }
        let settings = &self.origin_state.context.retry;
        let mut wait = {
            let mut rng = lock(&self.origin_state.context.rng);
            settings.backoff.draw(self.retries, self.last_wait, &mut rng)
        };
        self.last_wait = Some(wait);
        let asked = asked.unwrap_or_default();
        if asked > settings.get_retry_after_cap() {
            return None;
        }
        // The end of the open wait in place of the back-off.
        wait = self.retry_in.unwrap_or(wait).max(asked);
        if self.retry_in.is_some() || !asked.is_zero() {
            wait = self.spread(wait);
        }
        let until = gap.map_or(now + wait, |gap| gap.max(now + wait));
        if self.deadline.is_some_and(|deadline| until >= deadline) {
            return None;
        }
        if let (Some(bucket), Some(budget)) = (&self.origin_state.budget, &settings.budget) {
            if !bucket.withdraw(budget.retry_cost, now) {
                return None;
            }
            self.origin_state.meter.budget(|| bucket.left());
            (self.paid, self.left) = (budget.retry_cost, false);
        }
        self.retries += 1;
        // What the server asked for is kept to, whatever becomes of the circuit meanwhile.
        self.better = Some(better).filter(|_| asked.is_zero() && !wait.is_zero());
        // It will have been waited for.
        self.retry_in = None;
        Some(until)
    }

    pub(in crate::stack) fn remember(
        &mut self,
        status: Option<StatusCode>,
        error: Option<&Error>,
        cause: Cow<'static, str>,
        until: Instant,
        now: Instant,
    ) {
        let wait = until - now;
        let of = self.allowed - 1;
        telemetry::retry(self.origin_state.whose(), self.attempt, of, wait, &cause);
        self.origin_state.meter.attempted(status, error);
        self.origin_state.meter.retried(status, error);
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

    pub(in crate::stack) fn deposit(&self, tokens: u32) {
        if let Some(bucket) = &self.origin_state.budget {
            bucket.deposit(tokens);
            self.origin_state.meter.budget(|| bucket.left());
        }
    }
}
