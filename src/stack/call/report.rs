//! The errors of a call: what happened, where, and the story of the attempts before.

use crate::breaker;
use crate::duration::human;
use crate::error::Bytes;
use crate::error::Error;
use crate::error::ErrorKind;
use crate::error::Phase;
use crate::retry::Evidence;
use crate::stack::call::CallState;
use crate::stack::pacing::polls::End;
use crate::stall::Stall;
use crate::telemetry;
use std::borrow::Cow;
use std::time::Duration;
use tokio::time::Instant;

/// What to do about a body that flowed when a limit ended it.
pub(in crate::stack) const A_STREAM: &str = "(a stream? mark it LongPoll or Collect::never())";

/// The body flowed, and the total of the call was over.
pub(in crate::stack) fn beyond_the_total(total: Duration, received: u64) -> String {
    let (total, received) = (human(total), Bytes(received));
    format!(
        "the response body was not complete within the total of {total:#}, {received} received {A_STREAM}"
    )
}

impl CallState {
    /// The error of an attempt that ran into its limit.
    pub(in crate::stack) fn too_slow(&self, limit: Duration, now: Instant) -> Error {
        let received = self.flow.received();
        let error =
            |detail| Error::new(ErrorKind::Attempt, detail).at(self.phase).limit(limit).received(received);
        if let Some(poll) = &self.long_poll {
            let (limit, why) = (human(limit), poll.reason());
            return error(Cow::Owned(format!("the long poll was not answered within {limit:#} ({why})")));
        }
        if self.flows(now) {
            let (limit, received) = (human(limit), Bytes(received));
            return error(Cow::Owned(format!(
                "the response body was not complete after {limit:#}, {received} received {A_STREAM}"
            )));
        }
        let silent = self.flow.silent_for(now);
        if self.phase != Phase::Body || silent < self.bounds().idle / 2 {
            return error(Cow::Borrowed(""));
        }
        // The idle limit would have ended it a moment later: what it died of is silence.
        if silent >= self.bounds().idle {
            return self.stalled(Stall::Idle(self.bounds().idle));
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
    pub(in crate::stack) fn flows(&self, now: Instant) -> bool {
        let arriving = self.phase == Phase::Body && self.flow.received() > 0;
        arriving && self.flow.silent_for(now) < self.bounds().idle / 2
    }

    /// The deadline of the call fell inside an attempt: a failure of the origin only if the attempt had its full time,
    /// or was silent for long enough to count as hung.
    pub(in crate::stack) fn out_of_time(&mut self, now: Instant) -> Error {
        let full = self.attempt_ends().is_some_and(|(_, limit)| now - self.began >= limit);
        match self.phase {
            Phase::Ready | Phase::BackOff => self.settle(breaker::Outcome::Nothing, now),
            _ if self.long_poll.is_some() => self.settle(breaker::Outcome::Nothing, now),
            phase if full && phase != Phase::HealthCheck => {
                self.settle(breaker::Outcome::TimedOut, now);
                self.record(Evidence::Failure, None, now);
            }
            // The permit judges by how long it has heard nothing.
            _ => {
                if let Some(permit) = self.permit.take() {
                    permit.abandon(&self.origin_state.breaker);
                }
            }
        }
        self.poll_ended(End::Over, now);
        let received = self.flow.received();
        let total = self.deadline.filter(|total| self.hard_deadline != Some(*total));
        let detail = if let Some(total) = total.filter(|_| self.flows(now)) {
            Cow::Owned(beyond_the_total(total - self.started, received))
        } else {
            Cow::Borrowed("")
        };
        Error::new(ErrorKind::Deadline, detail).at(self.phase).limit(now - self.began).received(received)
    }

    /// The error that the caller gets, with target and story.
    pub(in crate::stack) fn finally(&mut self, mut error: Error, now: Instant) -> Error {
        self.end.error = Some(error.kind().as_str());
        let attempting = !matches!(self.phase, Phase::BackOff | Phase::Ready) && !self.streaming;
        self.tell(&mut error);
        if attempting && !error.is_refused() && !error.is_config() {
            self.origin_state.meter.attempted(None, Some(&error));
        }
        self.origin_state.meter.ended(&error);
        if !error.is_refused() && !error.is_config() {
            if let Some(left_out) = self.origin_state.warned.due(now) {
                telemetry::failed(self.origin_state.whose(), &error, left_out);
            }
        }
        error
    }

    pub(in crate::stack) fn tell(&mut self, error: &mut Error) {
        let details = self.slot.take().and_then(|slot| self.origin_state.context.table.take(slot));
        let inner = error.inner_mut();
        if inner.phase.is_none() && !matches!(inner.kind, ErrorKind::Open { .. } | ErrorKind::Config) {
            inner.phase = Some(self.phase);
        }
        if let (None, Some(details)) = (&inner.target, details) {
            inner.target = Some(details.target);
        }
        // A layer that made but one attempt has nothing to add to the story of the one beneath.
        if self.attempt > 1 || inner.attempt == 0 {
            inner.attempt = self.attempt;
            inner.attempts_allowed = self.allowed;
            let mut journal = std::mem::take(&mut self.journal);
            journal.append(&mut inner.journal);
            inner.journal = journal;
        }
    }
}
