//! The body of a response: read inside the attempt, or handed over while it streams.

use crate::body::Attempts;
use crate::body::Body;
use crate::breaker;
use crate::collect::Buffer;
use crate::error::Error;
use crate::error::Phase;
use crate::error::Story;
use crate::retry::Evidence;
use crate::retry::Outcome;
use crate::stack::call::CallState;
use crate::stack::call::timers::Clock;
use crate::stack::context::Parts;
use crate::stack::pacing::polls::End;
use bytes::Bytes;
use http::response;
use http_body::Frame;
use std::time::Duration;
use tokio::time::Instant;

impl CallState {
    /// Some of the body came while it is collected.
    pub(in crate::stack) fn got(&mut self, bytes: usize, clock: &mut Clock) {
        let waited = self.flow.is_waiting();
        self.flow.got(bytes, clock.now());
        if waited {
            // What came with the head was heard with it.
            self.origin_state.heard.note(clock.now());
            if let Some(permit) = self.permit.as_mut() {
                permit.heard_at(clock.now());
            }
        }
    }

    /// There is no more of the body yet.
    pub(in crate::stack) fn enter_body(&mut self, clock: &mut Clock) {
        self.idle(Phase::Body, clock);
        if !self.flow.is_waiting() {
            self.flow.wait(clock.now());
        }
    }

    /// A piece of a streamed body came, and its reader has it.
    pub(in crate::stack) fn streamed(&mut self, frame: &Frame<Bytes>, now: Instant) {
        let data = frame.data_ref().map_or(&[][..], |data| data);
        self.flow.got(data.len(), now);
        if !self.polled.is_idle() {
            self.polled.data(data);
        }
        self.consumer_has_it();
    }

    /// The body is complete.
    pub(in crate::stack) fn complete(&mut self, now: Instant) {
        self.poll_ended(End::Over, now);
        self.record(Evidence::Success, None, now);
    }

    /// How the response came about; it settles the budget.
    pub(in crate::stack) fn attempts(&mut self, head: &mut response::Parts, now: Instant) -> Attempts {
        let earned = match &self.origin_state.context.retry.budget {
            // What was repeated for free is as good as a first try.
            Some(budget) if self.retries == 0 => budget.refund,
            _ => self.paid,
        };
        self.end.status = Some(head.status);
        self.origin_state.meter.attempted(self.end.status, None);
        if self.good {
            self.deposit(earned);
        }
        self.paid = 0;
        self.last = None;
        self.told(head, now)
    }

    /// What the caller is told of how the response came about.
    #[inline]
    pub(in crate::stack) fn told(&self, head: &mut response::Parts, now: Instant) -> Attempts {
        let mut attempts = Attempts {
            count: self.attempt,
            elapsed: now - self.started,
            retry_after: self.wanted,
            retry_in: self.retry_in.max(self.wanted),
            cut: self.cut,
        };
        if attempts.count <= 1 && !head.extensions.is_empty() {
            // A layer that made but one attempt has nothing to add to the story of the one beneath.
            if let Some(beneath) = head.extensions.get_mut::<Attempts>() {
                attempts.count = attempts.count.max(beneath.count);
                attempts.retry_after = attempts.retry_after.or(beneath.retry_after);
                attempts.retry_in = attempts.retry_in.max(beneath.retry_in);
                attempts.cut |= beneath.cut;
                *beneath = attempts;
                return attempts;
            }
        }
        if attempts.count > 1 || attempts.retry_in.is_some() {
            self.tell_story(head, attempts);
        }
        attempts
    }

    #[cold]
    pub(in crate::stack) fn tell_story(&self, head: &mut response::Parts, attempts: Attempts) {
        head.extensions.insert(attempts);
        // Cloned, since a body that streams may still end in an error that tells it.
        let (attempts_allowed, journal) = (self.allowed, self.journal.clone());
        head.extensions.insert(Story { attempts_allowed, journal });
    }

    /// The response with the body that was collected.
    pub(in crate::stack) fn respond(
        &mut self,
        mut head: response::Parts,
        mut read: Buffer,
        now: Instant,
    ) -> http::Response<Body> {
        let attempts = self.attempts(&mut head, now);
        let body = Body::collected(read.take(), read.trailers.take());
        http::Response::from_parts(head, body.with_attempts(attempts))
    }

    /// From here on the body belongs to its reader.
    pub(in crate::stack) fn streams(&mut self, now: Instant) {
        self.streaming = true;
        self.enter(Phase::Body, now);
        self.consumer_has_it();
        if let Some(permit) = &mut self.permit {
            permit.streams(&self.origin_state.breaker, now);
        }
    }

    /// How long a body may stream, for one that has such a limit: only a part that bounds a call or its body sets one,
    /// and a long poll has none, since its body may have nothing to say for as long as its head.
    pub(in crate::stack) fn stream_limit(&self) -> Option<Duration> {
        let Parts { total, stall, .. } = self.origin_state.context.parts;
        let bounded = (total || stall) && !self.endless && self.long_poll.is_none();
        bounded.then_some(self.bounds().stream)
    }

    /// When a body that streams is cut off at the latest.
    pub(in crate::stack) fn ends(&self, at: Option<Instant>) {
        if let Some(slot) = &self.slot {
            self.origin_state.context.table.ends(slot, at);
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
        if error.is_deadline() {
            // A limit of a layer beneath.
            return self.cut(error, now);
        }
        self.poll_ended(End::Bad, now);
        if self.long_poll.is_some() {
            // Its head was the verdict; what comes after it may be parked, and be ended by anybody.
            self.settle(breaker::Outcome::Nothing, now);
            return self.finally(error, now);
        }
        let class = self.class(&Outcome::Error(&error));
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
        self.poll_ended(End::Over, now);
        if let Some(permit) = self.permit.take() {
            permit.leave_stream(&self.origin_state.breaker, now);
        }
        self.finally(error, now)
    }

    /// What a retry cost that never left.
    pub(in crate::stack) fn give_back(&mut self) {
        let paid = std::mem::take(&mut self.paid);
        if paid > 0 && !self.left {
            self.deposit(paid);
        }
    }
}
