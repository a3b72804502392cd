//! What the user says of a call: when its parts have to be over, and what its outcomes mean.

use crate::breaker;
use crate::deadline::{Bounds, Deadline};
use crate::error::{Error, ErrorKind, Phase};
use crate::retry::{Class, Outcome};
use crate::stack::call::CallState;
use crate::stack::call::timers::Bound;
use crate::sync::lock;
use std::task::Context;
use std::time::Duration;
use tokio::time::Instant;

/// Jitter on waits that somebody else named, so that not all callers come back together.
pub(in crate::stack) const SPREAD: f64 = 0.1;

impl CallState {
    /// What an outcome means: the user's word, where there is one.
    pub(in crate::stack) fn class(&self, outcome: &Outcome<'_>) -> Class {
        let own = match (&self.origin_state.context.classify, &self.head) {
            (Some(classify), Some(head)) => classify(&head.view(), outcome),
            _ => None,
        };
        own.unwrap_or_else(|| outcome.class())
    }

    /// The limits of this call.
    #[inline]
    pub(in crate::stack) fn bounds(&self) -> &Bounds {
        self.own.as_deref().unwrap_or(&self.origin_state.context.bounds)
    }

    /// The end of every wait but the one for an answer, which is all that a long poll is exempt from.
    pub(in crate::stack) fn waits_until(&self) -> Option<Instant> {
        let total = self.long_poll.is_some() && self.origin_state.context.parts.total;
        Deadline::nearest(self.deadline, total.then(|| self.asked + self.bounds().total))
    }

    /// When the attempt has to have its headers, and, unless it is a long poll, its collected body.
    pub(in crate::stack) fn attempt_ends(&self) -> Option<(Instant, Duration)> {
        let limit = match &self.long_poll {
            Some(poll) => poll.bound(self.origin_state.context.bounds.long_poll)?,
            None if self.origin_state.context.parts.attempt => self.bounds().attempt,
            None => return None,
        };
        Some((self.began + limit, limit))
    }

    pub(in crate::stack) fn probe_ends(&self) -> Option<Instant> {
        self.origin_state.context.health.as_ref()?;
        Some(self.began + self.origin_state.context.check_limit())
    }

    pub(in crate::stack) fn overdue_at(&self) -> Option<Instant> {
        self.permit.as_ref()?.overdue_at(&self.origin_state.breaker)
    }

    pub(in crate::stack) fn overdue(&mut self, now: Instant) {
        if let Some(permit) = &mut self.permit {
            permit.note_overdue(&self.origin_state.breaker, now);
        }
    }

    /// A bound was reached: `Some` where that ends the attempt.
    pub(in crate::stack) fn expired(
        &mut self,
        bound: Bound,
        copy: bool,
        now: Instant,
    ) -> Option<Result<Instant, Error>> {
        let error = match bound {
            Bound::Wake => return None,
            Bound::Place => {
                self.give_place_back(now);
                return None;
            }
            Bound::Overdue => {
                self.overdue(now);
                return None;
            }
            Bound::Deadline => {
                return Some(Err(self.out_of_time(now)));
            }
            Bound::Attempt(limit) => self.too_slow(limit, now),
            Bound::Stall(stall) => self.stalled(stall),
            Bound::Probe => match self.probe_timed_out(now) {
                Ok(()) => return None,
                Err(error) => return Some(self.failed(error, true, now)),
            },
        };
        Some(self.failed(error, copy, now))
    }

    /// A program that ends waits for no answer that may take long by design, and for no next attempt: the error that
    /// says so. All other calls have the grace of the shutdown.
    pub(in crate::stack) fn cancelled(&mut self, cx: &mut Context<'_>) -> Option<Error> {
        let waits = self.phase == Phase::BackOff || self.long_poll.is_some();
        if !waits || self.cancelled.poll(cx).is_pending() {
            return None;
        }
        let mut error = Error::new(ErrorKind::Cancelled, "").at(self.phase);
        self.settle(breaker::Outcome::Nothing, Instant::now());
        self.end.error = Some(error.kind().as_str());
        self.tell(&mut error);
        Some(error)
    }

    pub(in crate::stack) fn spread(&self, wait: Duration) -> Duration {
        wait + wait.mul_f64(SPREAD * lock(&self.origin_state.context.rng).f64())
    }
}
