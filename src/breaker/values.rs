//! What goes into the machine and comes out of it.

use crate::breaker::window::Totals;
use crate::breaker::{Phase, Reason};
use std::time::Duration;
use tokio::time::Instant;

/// A long poll that has waited for this long is parked.
pub(crate) const PARKED: Duration = Duration::from_secs(1);

/// What an admitted call is entitled to should it meet a half-open circuit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    pub(super) length: Duration,
    pub(super) place: Place,
}

/// What a call holds while half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// One of the probes, which hangs if it does not return in time.
    Sent,
    /// One of the probes, of a call that waits for something else than the server: it leaves without a word.
    Unsent,
    /// One of the probes, whose answer has begun and is no verdict yet: how long its reader takes is no evidence.
    Answered,
    /// None of them: a long poll goes beside the probes, and the next may follow once it is parked. Its silence is no
    /// evidence, and neither is how long it took.
    Poll,
}

impl Lease {
    /// For a call that goes out with its admission.
    pub(crate) fn sent(length: Duration) -> Lease {
        Lease { length, place: Place::Sent }
    }

    /// For a call that is handed over within this time, or gives its place back.
    pub(crate) fn unsent(length: Duration) -> Lease {
        Lease { length, place: Place::Unsent }
    }

    pub(crate) fn poll() -> Lease {
        Lease { length: PARKED, place: Place::Poll }
    }
}

/// Admission of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    /// When the request was handed over, or the call admitted where that comes first.
    pub(crate) admitted: Instant,
    pub(crate) generation: u32,
    /// The place while half-open; 0 where the circuit was closed.
    pub(crate) slot: u32,
    /// False for a long poll.
    pub(crate) records: bool,
    /// Whether the time it takes says how fast the server is.
    pub(crate) timed: bool,
    pub(crate) overdue: bool,
    /// Its answer was handed over.
    pub(crate) streams: bool,
}

impl Ticket {
    pub(crate) fn new(now: Instant, generation: u32, lease: Lease) -> Ticket {
        let records = lease.place != Place::Poll;
        Ticket { admitted: now, generation, slot: 0, records, timed: records, overdue: false, streams: false }
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

impl Outcome {
    pub(super) fn retry_after(self) -> Option<Duration> {
        match self {
            Outcome::Failure { retry_after } | Outcome::Neutral { retry_after } => retry_after,
            Outcome::Success | Outcome::TimedOut | Outcome::Hang | Outcome::Nothing => None,
        }
    }
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
