//! What is different for a long poll: the gap after it, and what an end says that a balancer may have made.

use crate::duration::human;
use crate::error::{Bytes, Error, ErrorKind, Phase};
use crate::retry::after::retry_after;
use crate::retry::{Class, Evidence, Repeat};
use crate::stack::call::state::CallState;
use crate::stack::pacing::polls::{End, Polled};
use crate::stall::Stall;
use crate::sync::lock;
use http::{StatusCode, response};
use std::hash::BuildHasher;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// A poll that waited for so long was parked: whoever ends it then need not be the origin.
const PARKED: Duration = Duration::from_secs(1);

const NO_EVIDENCE: Class = Class { repeat: Repeat::Never, evidence: Evidence::None };

impl CallState {
    /// What a head says of a long poll: the statuses with which a balancer ends one that it parked for too long say
    /// nothing about the origin, as long as they name no time to come back.
    pub(super) fn judged_head(&self, head: &response::Parts, class: Class, now: Instant) -> Class {
        let by_a_balancer = matches!(head.status.as_u16(), 408 | 502 | 503 | 504);
        if !by_a_balancer || class.evidence != Evidence::Failure || !self.was_parked(now) {
            return class;
        }
        #[expect(clippy::disallowed_methods, reason = "a date in Retry-After is wall-clock time")]
        let asked = retry_after(&head.headers, SystemTime::now());
        if asked.is_some() { class } else { NO_EVIDENCE }
    }

    /// The same of an error before the head.
    pub(super) fn judged_error(&self, error: &Error, class: Class, now: Instant) -> Class {
        if self.limits.long_poll().is_none() {
            return class;
        }
        // It ran out of its hold, or somebody on the way has closed what was silent for so long.
        let ended = self.was_parked(now) && error.is_disconnect();
        if ended || error.kind() == ErrorKind::Attempt { NO_EVIDENCE } else { class }
    }

    fn was_parked(&self, now: Instant) -> bool {
        self.limits.long_poll().is_some() && now - self.attempts.began >= PARKED
    }

    /// An attempt of a long poll goes out.
    pub(super) fn poll_sent(&mut self) {
        if self.limits.long_poll().is_some() {
            self.record.polled = Polled::Sent;
        }
    }

    /// The response head of a long poll.
    #[inline]
    pub(super) fn poll_head(&mut self, status: StatusCode, now: Instant) {
        if !self.record.polled.is_idle() {
            if let Some(end) = self.record.polled.head(status) {
                self.poll_ended(end, now);
            }
        }
    }

    /// An attempt is over: a loop of long polls must not spin, whatever came of it.
    #[inline]
    pub(super) fn poll_ended(&mut self, end: End, now: Instant) {
        if !self.record.polled.is_idle() {
            self.keep_distance(end, now);
        }
    }

    #[cold]
    fn keep_distance(&mut self, end: End, now: Instant) {
        let (took, base) = (now - self.attempts.began, self.context().retry.backoff.ceiling(0));
        if let Some(gap) = self.record.polled.end(end, took, base) {
            let path = self.path_key();
            lock(&self.origin_state.gaps).set(path, now + gap, now);
        }
    }

    /// When a poll of this path may leave, if it has to wait; none for what is no long poll.
    #[inline]
    pub(super) fn gap_until(&self, now: Instant) -> Option<Instant> {
        if self.limits.long_poll().is_some() { self.distance_until(now) } else { None }
    }

    #[cold]
    fn distance_until(&self, now: Instant) -> Option<Instant> {
        let path = self.path_key();
        lock(&self.origin_state.gaps).until(path, now)
    }

    /// What tells paths apart.
    fn path_key(&self) -> u64 {
        self.context().hasher.hash_one(self.target().uri.path())
    }

    /// The error of a body that fell silent.
    pub(super) fn stalled(&self) -> Error {
        let fell_silent = || Stall::Idle(self.bounds().idle);
        let bound = self.record.flow.bound(self.limits.idle(self.context()));
        self.short_of(bound.map_or_else(fell_silent, |(_, stall)| stall))
    }

    /// The error of a body that fell short of this.
    pub(super) fn short_of(&self, stall: Stall) -> Error {
        let received = self.record.flow.received();
        match (self.limits.long_poll(), stall) {
            (Some(poll), Stall::Idle(limit)) => {
                let detail = format!(
                    "the long poll said nothing more for {:#} after {} ({})",
                    human(limit),
                    Bytes(received),
                    poll.reason()
                );
                Error::new(ErrorKind::Stall, detail).at(Phase::Body).limit(limit).received(received)
            }
            _ => stall.error(received),
        }
    }
}
