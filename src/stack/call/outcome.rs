//! What the end of an attempt means for the call: keep it, or repeat it, and when.

use crate::body::Attempts;
use crate::breaker;
use crate::collect::{Plan, plan};
use crate::error::{Error, ErrorKind};
use crate::retry::after::retry_after;
use crate::retry::free::Price;
use crate::retry::{Evidence, Outcome, Repeat, grpc};
use crate::stack::call::hop::is_redirect;
use crate::stack::call::state::CallState;
use crate::stack::context::Parts;
use crate::stack::pacing::polls::End;
use crate::stall::Flow;
use crate::telemetry::spans;
use http::response;
use std::borrow::Cow;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

impl CallState {
    /// How the attempt went, said to the circuit.
    pub(super) fn settle(&mut self, outcome: breaker::Outcome, now: Instant) {
        self.held.settle(&self.origin_state.breaker, outcome, now);
    }

    /// What the attempt says of the server, counted by circuit and health check.
    pub(super) fn count(&mut self, evidence: Evidence, asked: Option<Duration>, now: Instant) {
        if self.held.permit.is_some() {
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

    /// As [`count`](CallState::count) for an attempt that ended with an error. Calls that time out did so each for itself;
    /// one broken connection ends many at once.
    fn count_error(&mut self, evidence: Evidence, error: &Error, now: Instant) {
        if evidence == Evidence::Failure && error.is_own_timeout() {
            self.settle(breaker::Outcome::TimedOut, now);
        }
        self.count(evidence, None, now);
    }

    /// A response head: kept and read further, kept as a stream, or `Err(until)` to be repeated at that moment.
    pub(super) fn head(&mut self, head: &response::Parts, copy: bool, now: Instant) -> Result<Plan, Instant> {
        self.origin_state.heard.note(now);
        if let Some(span) = &self.attempts.span {
            spans::head(span, head);
            let status = grpc::status(&head.headers).filter(|_| self.facts.grpc && head.status.is_success());
            if let Some(status) = status {
                spans::rpc_status(span, grpc::name(status));
            }
        }
        let mut class = self.facts.class(&Outcome::Head(head), self.context());
        let mut price = Price::Full;
        if class.repeat != Repeat::Never {
            (class, price) = self.weigh_head(head, class, now);
        }
        let class = self.judged_head(head, class, now);
        self.record.flow = Flow::new(self.limits.least(self.context()));
        self.held.heard(now);
        self.record.good = class.evidence == Evidence::Success;
        self.poll_head(head.status, now);
        if self.speaks_of_quota(head) {
            self.note_quota(head, class.evidence, now);
        }
        if self.record.good {
            self.origin_state.claims.served(self.attempts.began, now);
        }
        if class.repeat == Repeat::Never {
            let mut plan = plan(&self.facts.method, head, self.limits.collect);
            if self.facts.follows && is_redirect(head) {
                // Its body is nobody's answer: the head is the verdict, and the rest is drained.
                plan = Plan::Stream { endless: true };
            }
            let endless = plan == Plan::Stream { endless: true } && !self.facts.is_open(head);
            let at_head = self.limits.long_poll().is_some() || endless;
            if class.evidence != Evidence::Success || at_head {
                self.count(class.evidence, None, now);
            }
            return Ok(plan);
        }
        #[expect(clippy::disallowed_methods, reason = "a date in Retry-After is wall-clock time")]
        let asked = retry_after(&head.headers, SystemTime::now());
        let asked = asked.or_else(|| self.facts.asked(head));
        let (binding, open_for) = self.binding(asked, head.status, now);
        self.count(class.evidence, open_for, now);
        let beneath = head.extensions.get::<Attempts>().and_then(|attempts| attempts.retry_in);
        match self.next(class, price, (binding, beneath), copy, now) {
            Some(until) => {
                let cause = Cow::Owned(head.status.as_u16().to_string());
                self.remember(Some(head.status), None, cause, until, now);
                Err(until)
            }
            None => {
                if asked.is_some() {
                    self.attempts.past_mut().wanted = asked;
                }
                Ok(Plan::Stream { endless: false })
            }
        }
    }

    /// An attempt ended with an error: `Ok(until)` to repeat it at that moment, else what to [`close`](CallState::close) the
    /// call with.
    pub(super) fn failed(&mut self, mut error: Error, copy: bool, now: Instant) -> Result<Instant, Error> {
        if error.is_refused() {
            // A service beneath refused it, and nothing was sent.
            if let Some(until) = self.sit_out_beneath(&error, now).filter(|_| copy) {
                self.settle(breaker::Outcome::Nothing, now);
                self.end_span(Some(&error));
                self.attempts.refused_beneath();
                self.turned_down(error.kind(), Some(until), now);
                return Ok(until);
            }
            if self.attempts.has_last() {
                self.settle(breaker::Outcome::Nothing, now);
                self.end_span(Some(&error));
                self.attempts.refused_beneath();
                self.turned_down(error.kind(), None, now);
                return Err(error);
            }
        }
        let (class, price) = self.weigh_error(&error, now);
        let class = self.judged_error(&error, class, now);
        if error.kind() != ErrorKind::Deadline {
            self.count_error(class.evidence, &error, now);
        }
        self.poll_ended(if error.kind() == ErrorKind::Deadline { End::Over } else { End::Bad }, now);
        match self.next(class, price, (None, error.inner().retry_in), copy, now) {
            Some(until) => Ok(self.again(error, until, now)),
            None => {
                let inner = error.inner_mut();
                inner.retry_in = inner.retry_in.max(self.attempts.past().and_then(|past| past.retry_in));
                Err(error)
            }
        }
    }

    /// An attempt that ran into its limit while its body flowed: `None` where the response is worth more than what
    /// could follow, since the request cannot be repeated.
    pub(super) fn outlived(
        &mut self,
        limit: Duration,
        copy: bool,
        now: Instant,
    ) -> Option<Result<Instant, Error>> {
        let error = self.too_slow(limit, now);
        let Parts { total, retry, .. } = self.context().parts;
        // One layer of several does not know whether another repeats it, and what ends it then.
        if !(total && retry && self.flows(now)) {
            return Some(self.failed(error, copy, now));
        }
        let (class, price) = self.weigh_error(&error, now);
        let until = self.next(class, price, (None, error.inner().retry_in), copy, now)?;
        self.count_error(class.evidence, &error, now);
        Some(Ok(self.again(error, until, now)))
    }
}
