//! What a call waits for when nothing else is to be done: the nearest bound.

use crate::stack::call::CallState;
use crate::stall::Stall;
use std::time::Duration;
use tokio::time::Instant;

/// Why the timer is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::stack) enum Bound {
    Deadline,
    Attempt(Duration),
    Stall(Stall),
    Overdue,
    Probe,
    /// A probe of the circuit that waits for a pool of the caller's own.
    Place,
    /// Not a limit: a wait that is over.
    Wake,
}

/// Picks the bound that is nearest.
#[derive(Debug, Default)]
pub(in crate::stack) struct Nearest(Option<(Instant, Bound)>);

impl Nearest {
    /// At the same moment the bound that was named first wins.
    pub(in crate::stack) fn at(mut self, at: Option<Instant>, bound: Bound) -> Nearest {
        if let Some(at) = at {
            if self.0.is_none_or(|(nearest, _)| at < nearest) {
                self.0 = Some((at, bound));
            }
        }
        self
    }

    /// The bounds of an attempt that is under way.
    pub(in crate::stack) fn attempt(self, life: &CallState) -> Nearest {
        let nearest = self.at(life.overdue_at(), Bound::Overdue);
        match life.attempt_ends() {
            Some((at, limit)) => nearest.at(Some(at), Bound::Attempt(limit)),
            None => nearest,
        }
    }

    /// The bounds of a body that is awaited.
    pub(in crate::stack) fn stall(self, life: &CallState) -> Nearest {
        match life.flow.bound() {
            Some((at, stall)) => self.at(Some(at), Bound::Stall(stall)),
            None => self,
        }
    }

    pub(in crate::stack) fn get(self) -> Option<(Instant, Bound)> {
        self.0
    }
}

/// The clock of one poll: read when first asked, and again after code that may have taken time.
#[derive(Debug, Default)]
pub(in crate::stack) struct Clock(Option<Instant>);

impl Clock {
    pub(in crate::stack) fn at(now: Instant) -> Clock {
        Clock(Some(now))
    }

    pub(in crate::stack) fn now(&mut self) -> Instant {
        *self.0.get_or_insert_with(Instant::now)
    }

    /// A timer says that it is so late: a clock that was read before it may be behind.
    pub(in crate::stack) fn reached(&mut self, at: Instant) {
        *self = Clock::at(Instant::now().max(at));
    }

    pub(in crate::stack) fn stale(&mut self) {
        self.0 = None;
    }
}
