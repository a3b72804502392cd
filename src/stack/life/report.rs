//! The errors of a call: what happened, where, and the story of the attempts before.

use super::Life;
use crate::breaker;
use crate::duration::human;
use crate::error::Error;
use crate::error::ErrorKind;
use crate::error::Phase;
use crate::retry::Evidence;
use crate::telemetry;
use std::borrow::Cow;
use std::time::Duration;
use tokio::time::Instant;

impl Life {
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
            Phase::Ready | Phase::BackOff => self.settle(breaker::Outcome::Nothing, now),
            _ if self.long_poll.is_some() => self.settle(breaker::Outcome::Nothing, now),
            phase if full && phase != Phase::HealthCheck => {
                self.settle(breaker::Outcome::TimedOut, now);
                self.record(Evidence::Failure, None, now);
            }
            // The permit judges by how long it has heard nothing.
            _ => {
                if let Some(permit) = self.permit.take() {
                    permit.abandon(&self.lane.breaker);
                }
            }
        }
        let error = Error::new(ErrorKind::Deadline, "").at(self.phase).limit(now - self.began);
        error.received(self.flow.received())
    }

    /// The error that the caller gets, with target and story.
    pub(in crate::stack) fn finally(&mut self, mut error: Error, now: Instant) -> Error {
        self.end.error = Some(error.kind().as_str());
        let attempting = !matches!(self.phase, Phase::BackOff | Phase::Ready) && !self.streaming;
        self.tell(&mut error);
        if attempting && !error.is_refused() && !error.is_config() {
            self.lane.meter.attempted(None, Some(&error));
        }
        self.lane.meter.ended(&error);
        if !error.is_refused() && !error.is_config() {
            if let Some(left_out) = self.lane.warned.due(now) {
                telemetry::failed(&self.lane.origin, &error, left_out);
            }
        }
        error
    }

    pub(super) fn tell(&mut self, error: &mut Error) {
        let details = self.slot.take().and_then(|slot| self.lane.shared.table.take(slot));
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
