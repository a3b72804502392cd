//! Whether an attempt is repeated, what that costs, and when the next one leaves.

use crate::error::{Attempt, Error, ErrorKind, Phase};
use crate::retry::classify::Excuse;
use crate::retry::free::{Price, STALE, UNSEEN, closes_idle};
use crate::retry::{Class, Outcome, Repeat};
use crate::reuse::Meter;
use crate::stack::call::attempts::Last;
use crate::stack::call::state::CallState;
use crate::sync::lock;
use crate::telemetry;
use http::{StatusCode, Version, response};
use std::borrow::Cow;
use std::time::Duration;
use tokio::time::Instant;

/// An origin that was heard so lately is alive: a connection that ends without a byte was idle for too long.
const LATELY: Duration = Duration::from_secs(1);

impl CallState {
    /// What an answer that is worth repeating means in this call, and what the repetition costs. A classifier of the
    /// user's that sees it in another way has its will.
    #[cold]
    pub(super) fn weigh_head(
        &mut self,
        head: &response::Parts,
        class: Class,
        now: Instant,
    ) -> (Class, Price) {
        let outcome = Outcome::Head(head);
        let served_before = || head.extensions.get::<Meter>().is_some_and(Meter::was_reused);
        let (class, excuse) = if class != outcome.class() {
            (class, Excuse::None)
        } else if head.status == 408 && closes_idle(head, served_before(), now - self.attempts.began) {
            (UNSEEN, Excuse::Unseen)
        } else {
            (class, outcome.excuse())
        };
        self.attempts.fresh = excuse == Excuse::Misdirected && head.version < Version::HTTP_2;
        self.attempts.free.judge(class, excuse)
    }

    /// As [`weigh_head`](CallState::weigh_head), of an error.
    #[cold]
    pub(super) fn weigh_error(&mut self, error: &Error, now: Instant) -> (Class, Price) {
        let outcome = Outcome::Error(error);
        let class = self.facts.class(&outcome, self.context());
        let fault = error.inner().fault;
        // Not every client tells whether a connection had served before.
        let unknown = error.kind() == ErrorKind::Transport && fault.ended && !fault.metered;
        let (class, excuse) = if class != outcome.class() {
            (class, Excuse::None)
        } else if unknown
            && class.repeat == Repeat::IfIdempotent
            && error.phase() != Some(Phase::Body)
            && self.attempts.number == 1
            && self.origin_state.heard.within(LATELY, now)
        {
            (STALE, Excuse::Stale)
        } else {
            (class, outcome.excuse())
        };
        // A connection that says nothing may be one of many that died with what they led to.
        let silent = error.is_timeout() && !error.is_connect();
        self.attempts.fresh = fault.probe || silent || fault.idle && excuse == Excuse::Stale;
        self.attempts.free.judge(class, excuse)
    }

    /// When the next attempt may leave, if there is to be one.
    pub(super) fn next(
        &mut self,
        class: Class,
        price: Price,
        (asked, beneath): (Option<Duration>, Option<Duration>),
        copy: bool,
        now: Instant,
    ) -> Option<Instant> {
        let idempotent = self.facts.idempotent;
        if !(copy && self.attempts.allow(class.repeat, price, idempotent)) {
            self.attempts.shut_for(self.origin_state.shut(beneath, now));
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
        let better = self.origin_state.listen();
        let retry_in = self.origin_state.shut(beneath, now);
        self.attempts.shut_for(retry_in);
        let context = &self.origin_state.context;
        if retry_in.is_some_and(|retry_in| !self.limits.waits_out(retry_in, context)) {
            return None;
        }
        let settings = &context.retry;
        let mut wait = self.attempts.draw(&settings.backoff, &mut lock(&context.rng));
        let asked = asked.unwrap_or_default();
        if asked > settings.get_retry_after_cap() {
            return None;
        }
        // The end of the open wait in place of the back-off.
        wait = retry_in.unwrap_or(wait).max(asked);
        if retry_in.is_some() || !asked.is_zero() {
            wait = context.spread(wait);
        }
        let until = gap.map_or(now + wait, |gap| gap.max(now + wait));
        if self.limits.is_over(until) {
            return None;
        }
        if let (Some(bucket), Some(budget)) = (&self.origin_state.budget, &settings.budget) {
            if !bucket.withdraw(budget.retry_cost, now) {
                return None;
            }
            self.origin_state.meter.budget(|| bucket.left());
            self.attempts.pay(budget.retry_cost);
        }
        self.attempts.retries += 1;
        // What the server asked for is kept to, whatever becomes of the circuit meanwhile.
        let past = self.attempts.past_mut();
        past.better = Some(better).filter(|_| asked.is_zero() && !wait.is_zero());
        // It will have been waited for.
        past.retry_in = None;
        Some(until)
    }

    /// It is repeated: what the attempt came to is logged, counted, and kept for the story.
    pub(super) fn remember(
        &mut self,
        status: Option<StatusCode>,
        error: Option<&Error>,
        cause: Cow<'static, str>,
        until: Instant,
        now: Instant,
    ) {
        let wait = until - now;
        let of = self.attempts.allowed - 1;
        telemetry::retry(self.origin_state.endpoint(), self.attempts.number, of, wait, &cause);
        self.attempted(status, error, now);
        self.origin_state.meter.retried(status, error);
        self.retried(&cause, wait, now);
        let attempt = Attempt {
            status,
            error: error.map(Error::kind),
            phase: error.and_then(Error::phase).unwrap_or(Phase::Headers),
            took: now - self.attempts.began,
            cause,
        };
        self.attempts.past_mut().journal.push(attempt);
        self.attempts.asked = now;
        self.enter(Phase::BackOff, now);
    }

    /// It is repeated after this error, which the call ends with where it is refused then.
    pub(super) fn again(&mut self, mut error: Error, until: Instant, now: Instant) -> Instant {
        let (cause, phase) = (Cow::Owned(error.cause()), self.record.phase);
        self.remember(None, Some(&error), cause, until, now);
        error.inner_mut().phase.get_or_insert(phase);
        self.attempts.past_mut().last = Some(Last::Error(error));
        until
    }
}
