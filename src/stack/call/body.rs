//! The body of a response: read inside the attempt, or handed over while it streams.

use crate::body::{Attempts, Body};
use crate::breaker;
use crate::collect::Buffer;
use crate::error::{Error, Phase, Story};
use crate::retry::{Evidence, Outcome, grpc};
use crate::stack::call::clock::Clock;
use crate::stack::call::held::GivenUp;
use crate::stack::call::state::CallState;
use crate::stack::pacing::polls::End;
use bytes::Bytes;
use http::response;
use http_body::Frame;
use tokio::time::Instant;

impl CallState {
    /// Some of the body came while it is collected.
    #[inline]
    pub(super) fn got(&mut self, bytes: usize, clock: &mut Clock) {
        let waited = self.record.flow.is_waiting();
        self.record.flow.got(bytes, clock.now());
        if waited {
            // What came with the head was heard with it.
            self.origin_state.heard.note(clock.now());
            self.held.heard(clock.now());
        }
    }

    /// There is no more of the body yet.
    pub(super) fn enter_body(&mut self, clock: &mut Clock) {
        self.idle(Phase::Body, clock);
        if !self.record.flow.is_waiting() {
            self.record.flow.wait(clock.now());
        }
    }

    /// A piece of a streamed body came, and its reader has it.
    pub(super) fn streamed(&mut self, frame: &Frame<Bytes>, now: Instant) {
        let data = frame.data_ref().map_or(&[][..], |data| data);
        self.record.flow.got(data.len(), now);
        if !self.record.polled.is_idle() {
            self.record.polled.data(data);
        }
        if self.facts.grpc {
            match frame.trailers_ref() {
                Some(trailers) => self.count(grpc::trailers(trailers), None, now),
                None => self.serves(now),
            }
        }
        self.held.quiet();
    }

    /// The body is complete.
    pub(super) fn complete(&mut self, now: Instant) {
        self.poll_ended(End::Over, now);
        self.held.settle(&self.origin_state.breaker, breaker::Outcome::Success, now);
    }

    /// A response is handed over: the budget is settled, and it is told how it came about.
    #[inline]
    pub(super) fn hand_over(&mut self, head: &mut response::Parts, now: Instant) -> Attempts {
        self.record.end.status = Some(head.status);
        self.attempted(self.record.end.status, None, now);
        let refund = self.context().retry.budget.as_ref().map_or(0, |budget| budget.refund);
        let earned = self.attempts.earned(refund);
        if self.record.good {
            self.origin_state.deposit(earned);
        }
        self.attempts.forget_last();
        self.told(head, now)
    }

    /// What the caller is told of how the response came about.
    #[inline]
    pub(super) fn told(&self, head: &mut response::Parts, now: Instant) -> Attempts {
        let mut attempts = self.attempts.told(self.limits.started, now);
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
    fn tell_story(&self, head: &mut response::Parts, attempts: Attempts) {
        head.extensions.insert(attempts);
        // Cloned, since a body that streams may still end in an error that tells it.
        let journal = self.attempts.past().map(|past| past.journal.clone()).unwrap_or_default();
        let attempts_allowed = self.attempts.allowed;
        head.extensions.insert(Story { attempts_allowed, journal });
    }

    /// The response with the body that was collected.
    #[inline]
    pub(super) fn respond(
        &mut self,
        mut head: response::Parts,
        mut read: Buffer,
        now: Instant,
    ) -> http::Response<Body> {
        let attempts = self.hand_over(&mut head, now);
        let body = Body::collected(read.take(), read.trailers.take());
        http::Response::from_parts(head, body.with_attempts(attempts))
    }

    /// From here on the body belongs to its reader.
    pub(super) fn streams(&mut self, now: Instant) {
        self.record.streaming = true;
        self.enter(Phase::Body, now);
        self.held.quiet();
        if let Some(permit) = &mut self.held.permit {
            match self.facts.grpc {
                true => permit.streams_unjudged(&self.origin_state.breaker),
                false => permit.streams(&self.origin_state.breaker, now),
            }
        }
    }

    /// No status came with the head: the server has begun to serve the call, which is all that is asked of a probe.
    fn serves(&mut self, now: Instant) {
        if let Some(permit) = &mut self.held.permit {
            permit.streams(&self.origin_state.breaker, now);
        }
    }

    /// The reader waits for more.
    pub(super) fn consumer_waits(&mut self, now: Instant) {
        if !self.record.flow.is_waiting() {
            self.record.flow.wait(now);
            self.held.heard(now);
            if self.facts.grpc {
                self.serves(now);
            }
        }
    }

    /// A streamed body failed.
    pub(super) fn broke(&mut self, error: Error, now: Instant) -> Error {
        if error.is_deadline() {
            // A limit of a layer beneath.
            return self.cut(error, now);
        }
        self.poll_ended(End::Bad, now);
        if self.limits.long_poll().is_some() {
            // Its head was the verdict; what comes after it may be parked, and be ended by anybody.
            self.settle(breaker::Outcome::Nothing, now);
            return self.finally(error, now);
        }
        let class = self.facts.class(&Outcome::Error(&error), self.context());
        // It had begun to answer: whatever broke it, the connection was not merely stale.
        let evidence = if class.evidence == Evidence::None && !error.is_config() {
            Evidence::Failure
        } else {
            class.evidence
        };
        self.count(evidence, None, now);
        self.finally(error, now)
    }

    /// A streamed body was cut off by a limit of ours: no failure of the server, as long as it flowed.
    pub(super) fn cut(&mut self, error: Error, now: Instant) -> Error {
        self.poll_ended(End::Over, now);
        self.held.leave(&self.origin_state.breaker, GivenUp::Stream, || now);
        self.finally(error, now)
    }

    /// What a retry cost that never left.
    #[inline]
    pub(super) fn give_back(&mut self) {
        let unspent = self.attempts.unspent();
        if unspent > 0 {
            self.origin_state.deposit(unspent);
        }
    }
}
