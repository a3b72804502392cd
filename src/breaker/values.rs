//! What goes into the machine and comes out of it.

use super::window::Totals;
use super::{Phase, Reason};
use std::time::Duration;
use tokio::time::Instant;

/// What an admitted call is entitled to should it turn out to be a probe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    pub(crate) length: Duration,
    /// False for a long poll: its silence is no evidence, and neither is how long it took.
    pub(crate) records: bool,
}

/// Admission of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    pub(crate) admitted: Instant,
    pub(crate) generation: u32,
    /// The place among the probes; 0 where the circuit was closed.
    pub(crate) slot: u32,
    pub(crate) records: bool,
    /// Whether the time it takes says how fast the server is.
    pub(crate) timed: bool,
    pub(crate) overdue: bool,
}

impl Ticket {
    pub(crate) fn new(now: Instant, generation: u32, lease: Lease) -> Ticket {
        let records = lease.records;
        Ticket { admitted: now, generation, slot: 0, records, timed: records, overdue: false }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) retry_in: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    /// Something happened: a reset, an end of file, a refusal, a status, the stall of a body that was handed over.
    Failure {
        retry_after: Option<Duration>,
    },
    /// Nothing happened for the whole of its time, which each call has for itself.
    TimedOut,
    /// A failure for the consecutive run only.
    Hang,
    /// 429 and 425: a failure for the ratio, nothing for the run.
    Neutral {
        retry_after: Option<Duration>,
    },
    /// The place is given back; there is no evidence.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) from: Phase,
    pub(crate) to: Phase,
    pub(crate) reason: Reason,
    pub(crate) generation: u32,
    pub(crate) wait: Option<Duration>,
    pub(crate) opened_for: Option<Duration>,
}

/// What one question changed: at most a lease that ended, the open wait after it, and what was asked for.
#[derive(Debug, Default)]
pub(crate) struct Changes([Option<Change>; 3]);

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.0[0].is_none()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Change> {
        self.0.iter().flatten()
    }

    pub(super) fn push(&mut self, change: Change) {
        let free = self.0.iter_mut().find(|place| place.is_none());
        debug_assert!(free.is_some(), "a question changes the phase at most three times");
        if let Some(place) = free {
            *place = Some(change);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) generation: u32,
    pub(crate) run: u32,
    pub(crate) totals: Totals,
    pub(crate) in_phase_for: Duration,
    pub(crate) opened_for: Option<Duration>,
    pub(crate) retry_in: Option<Duration>,
    pub(crate) probes_in_flight: usize,
    pub(crate) probes_passed: u32,
    pub(crate) expired_leases: u64,
}
