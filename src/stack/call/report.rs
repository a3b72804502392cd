//! The errors of a call: what happened, where, and the story of the attempts before.

use crate::breaker;
use crate::duration::human;
use crate::error::{Bytes, Error, ErrorKind, Phase};
use crate::retry::Evidence;
use crate::stack::call::held::GivenUp;
use crate::stack::call::state::CallState;
use crate::stack::pacing::polls::End;
use crate::stall::Stall;
use crate::telemetry;
use std::borrow::Cow;
use std::time::Duration;
use tokio::time::Instant;

/// What to do about a body that flowed when a limit ended it.
const A_STREAM: &str = "(a stream? mark it LongPoll or Collect::never())";

/// The body flowed, and the total of the call was over.
pub(super) fn beyond_the_total(total: Duration, received: u64) -> String {
    let (total, received) = (human(total), Bytes(received));
    format!(
        "the response body was not complete within the total of {total:#}, {received} received {A_STREAM}"
    )
}

impl CallState {
    /// The error of an attempt that ran into its limit.
    pub(super) fn too_slow(&self, limit: Duration, now: Instant) -> Error {
        let received = self.record.flow.received();
        let error = |detail| {
            Error::new(ErrorKind::Attempt, detail).at(self.record.phase).limit(limit).received(received)
        };
        if let Some(poll) = self.limits.long_poll() {
            let (limit, why) = (human(limit), poll.reason());
            return error(Cow::Owned(format!("the long poll was not answered within {limit:#} ({why})")));
        }
        if self.record.phase == Phase::Ready {
            return error(Cow::Owned(format!(
                "no connection had room for the request within {:#}",
                human(limit)
            )));
        }
        if self.flows(now) {
            let (limit, received) = (human(limit), Bytes(received));
            return error(Cow::Owned(format!(
                "the response body was not complete after {limit:#}, {received} received {A_STREAM}"
            )));
        }
        let silent = self.record.flow.silent_for(now);
        if self.record.phase != Phase::Body || silent < self.bounds().idle / 2 {
            return error(Cow::Borrowed(""));
        }
        // The idle limit would have ended it a moment later: what it died of is silence.
        if silent >= self.bounds().idle {
            return self.short_of(Stall::Idle(self.bounds().idle));
        }
        let detail = format!(
            "the response body stalled: no byte for {:#} after {} (attempt limit of {:#})",
            human(silent),
            Bytes(received),
            human(limit)
        );
        Error::new(ErrorKind::Stall, detail).at(Phase::Body).limit(silent).received(received)
    }

    /// Whether bytes of a body that is collected were still arriving when its time was up.
    pub(super) fn flows(&self, now: Instant) -> bool {
        self.record.flows(self.bounds().idle, now)
    }

    /// The deadline of the call fell inside an attempt: a failure of the origin only if the attempt had its full time,
    /// or was silent for long enough to count as hung.
    pub(super) fn out_of_time(&mut self, now: Instant) -> Error {
        let limit = self.limits.attempt(self.context());
        let full = limit.is_some_and(|limit| now - self.attempts.began >= limit);
        match self.record.phase {
            Phase::Ready | Phase::BackOff | Phase::Resolve => self.settle(breaker::Outcome::Nothing, now),
            _ if self.limits.long_poll().is_some() => self.settle(breaker::Outcome::Nothing, now),
            phase if full && phase != Phase::HealthCheck => {
                self.settle(breaker::Outcome::TimedOut, now);
                self.count(Evidence::Failure, None, now);
            }
            // The permit judges by how long it has heard nothing.
            _ => self.held.leave(&self.origin_state.breaker, GivenUp::Dropped, || now),
        }
        self.poll_ended(End::Over, now);
        let received = self.record.flow.received();
        let total = self.limits.deadline.filter(|total| self.limits.hard_deadline != Some(*total));
        let detail = if let Some(total) = total.filter(|_| self.flows(now)) {
            Cow::Owned(beyond_the_total(total - self.limits.started, received))
        } else {
            Cow::Borrowed("")
        };
        Error::new(ErrorKind::Deadline, detail)
            .at(self.record.phase)
            .limit(now - self.attempts.began)
            .received(received)
    }

    /// The error that the caller gets, with target and story.
    pub(super) fn finally(&mut self, mut error: Error, now: Instant) -> Error {
        self.record.end.error = Some(error.kind().as_str());
        // Of a path that is known no more once the call has left the table.
        self.poll_ended(End::Over, now);
        let attempting =
            !matches!(self.record.phase, Phase::BackOff | Phase::Ready) && !self.record.streaming;
        self.tell(&mut error);
        if attempting && !error.is_refused() && !error.is_config() {
            self.attempted(None, Some(&error), now);
        }
        self.end_span(Some(&error));
        self.origin_state.meter.ended(&error);
        self.ended(Some(error.kind()), || now);
        if !error.is_refused() && !error.is_config() {
            if let Some(left_out) = self.origin_state.warned.due(now) {
                telemetry::failed(self.origin_state.endpoint(), &error, left_out);
            }
        }
        error
    }

    pub(super) fn tell(&mut self, error: &mut Error) {
        let left = self.record.leave(&self.origin_state.context.table);
        let inner = error.inner_mut();
        if inner.phase.is_none() && !matches!(inner.kind, ErrorKind::Open { .. } | ErrorKind::Config) {
            inner.phase = Some(self.record.phase);
        }
        if inner.target.is_none() {
            inner.target = Some(left.map_or_else(|| self.target(), |left| left.target));
        }
        // A layer that made but one attempt has nothing to add to the story of the one beneath.
        if self.attempts.number > 1 || inner.attempt == 0 {
            inner.attempt = self.attempts.number;
            inner.attempts_allowed = self.attempts.allowed;
            let past = self.attempts.known_past();
            let mut journal = past.map(|past| std::mem::take(&mut past.journal)).unwrap_or_default();
            journal.append(&mut inner.journal);
            inner.journal = journal;
        }
    }
}
