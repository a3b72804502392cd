//! The circuit breaker: stops calls to a server that does not answer, and probes by itself whether it is back.
//!
//! ```text
//!            a run of failures that is no chance, and no success
//!            for 1 s; or the ratio rule
//!   Closed ------------------------------------------------> Open <--.
//!     ^                                                       |      | a failure, or a lease that
//!     |                                         the wait (1 s) is over | ends: half as long again,
//!     |        one success                                    v      | up to 15 s
//!     '---------------------------------------------------- HalfOpen-'
//! ```
//!
//! * 5 failures in a row open the circuit of an origin that is usually healthy. If calls failed now and then in the last
//!   minutes, the run has to be longer, up to 60: with one dead replica of five, four calls of five are still answered.
//! * Concurrent failures within 100 ms count as one event; timeouts count each.
//! * A dropped call counts too: a [`Permit`] dropped after a long silence is a hang.
//! * A probe holds a lease, so a probe that never returns cannot keep the circuit from closing.
//! * Every transition begins a new generation, and results of calls admitted before it are ignored.
//! * A refusal has the time to come back.
//!
//! In a stack the breakers are per origin and work by themselves. [`Breaker`] is the same for other work:
//!
//! ```
//! use unwedge::breaker::{Breaker, Phase, Settings};
//!
//! # fn spawn_agent() -> Result<(), ()> { Err(()) }
//! let breaker = Breaker::new("agent runs", Settings::default())?;
//! for _ in 0..5 {
//!     let permit = breaker.acquire()?;
//!     match spawn_agent() {
//!         Ok(()) => permit.success(),
//!         Err(()) => permit.failure(),
//!     }
//! }
//! assert_eq!(breaker.snapshot().phase, Phase::Open);
//! let refused = breaker.acquire().expect_err("five failures in a row open the circuit");
//! assert!(refused.retry_in().is_some());
//! # Ok::<_, unwedge::Error>(())
//! ```

mod admitted;
mod chance;
mod counter;
mod handle;
mod latency;
mod leases;
#[cfg(all(test, unwedge_loom))]
mod loom_models;
mod machine;
mod permit;
#[cfg(any(test, fuzzing))]
pub(crate) mod reference;
mod rules;
mod settings;
mod shared;
mod state_word;
#[cfg(test)]
mod tests;
mod values;
mod window;

pub(crate) use admitted::Admitted;
pub use permit::Permit;
pub(crate) use rules::Rules;
pub use settings::{Ratio, Settings};
pub use shared::Breaker;
pub(crate) use values::{Lease, Outcome};

use crate::options::Group;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The phase of a circuit breaker, which decides about the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Phase {
    /// Admits all calls and judges their results.
    Closed,
    /// Refuses all calls until the open wait is over.
    Open,
    /// Admits a few calls as probes.
    HalfOpen,
    /// Refuses all calls until another command.
    ForcedOpen,
    /// Admits all calls and records nothing.
    Disabled,
}

impl Phase {
    /// The stable name for programs: `closed`, `open`, `half_open`, `forced_open`, `disabled`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Closed => "closed",
            Phase::Open => "open",
            Phase::HalfOpen => "half_open",
            Phase::ForcedOpen => "forced_open",
            Phase::Disabled => "disabled",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The cause of a change of phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Reason {
    /// That many failures in a row.
    #[non_exhaustive]
    Consecutive {
        /// The length of the run.
        failures: u32,
    },
    /// Too large a share of the calls in the window failed.
    #[non_exhaustive]
    FailureRatio {
        /// How many failed.
        failures: u64,
        /// Of how many.
        calls: u64,
    },
    /// Too large a share of the calls in the window was slow.
    #[non_exhaustive]
    SlowRatio {
        /// How many were slow.
        slow: u64,
        /// Of how many.
        calls: u64,
    },
    /// A probe failed.
    ProbeFailed,
    /// A probe succeeded, but slower than the ratio rule allows.
    ProbeSlow,
    /// A probe was silent for too long, or its lease ran out.
    ProbeHung,
    /// The open wait was over.
    WaitOver,
    /// Enough probes succeeded.
    ProbesPassed,
    /// Somebody asked for it.
    Manual,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Consecutive { failures: 1 } => f.write_str("1 failure"),
            Reason::Consecutive { failures } => write!(f, "{failures} consecutive failures"),
            Reason::FailureRatio { failures, calls } => {
                write!(f, "{failures} of {calls} calls failed")
            }
            Reason::SlowRatio { slow, calls } => write!(f, "{slow} of {calls} calls were slow"),
            Reason::ProbeFailed => f.write_str("a failed probe"),
            Reason::ProbeSlow => f.write_str("a slow probe"),
            Reason::ProbeHung => f.write_str("a probe that hung"),
            Reason::WaitOver => f.write_str("the open wait"),
            Reason::ProbesPassed => f.write_str("the probes passed"),
            Reason::Manual => f.write_str("a manual command"),
        }
    }
}

/// One change of phase, as [`Breaker::subscribe`] delivers it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Transition {
    /// The origin, or the name that the breaker was made with.
    pub origin: Arc<str>,
    /// The group of the origin, where requests name one.
    pub group: Option<Group>,
    /// The client that calls the origin: its name, or its number. None for a breaker outside of a stack.
    pub client: Option<Arc<str>>,
    /// The phase that ended.
    pub from: Phase,
    /// The phase that began.
    pub to: Phase,
    /// What brought it about.
    pub reason: Reason,
    /// Counts up with every transition and reset of this breaker; puts transitions in order that two threads published
    /// at the same moment.
    pub generation: u64,
    /// When the circuit opened: how long it will stay so.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "wait_seconds", serialize_with = "crate::duration::written::maybe_seconds")
    )]
    pub wait: Option<Duration>,
    /// When the circuit closed: how long it had not been, that is the time to recovery.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "opened_for_seconds", serialize_with = "crate::duration::written::maybe_seconds")
    )]
    pub opened_for: Option<Duration>,
}

/// A breaker at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Snapshot {
    /// The origin, or the name that the breaker was made with.
    pub origin: Arc<str>,
    /// The group of the origin, where requests name one.
    pub group: Option<Group>,
    /// The client that calls the origin: its name, or its number. None for a breaker outside of a stack.
    pub client: Option<Arc<str>>,
    /// What happens to the next call.
    pub phase: Phase,
    /// How long it has been in this phase.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "in_phase_seconds", serialize_with = "crate::duration::written::seconds")
    )]
    pub in_phase_for: Duration,
    /// Since when the circuit has not been closed.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "opened_for_seconds", serialize_with = "crate::duration::written::maybe_seconds")
    )]
    pub opened_for: Option<Duration>,
    /// How long a call would be told to wait; `None` where it would be admitted.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "retry_in_seconds", serialize_with = "crate::duration::written::maybe_seconds")
    )]
    pub retry_in: Option<Duration>,
    /// Failures since the last success, hangs and overdue calls included; those of one event are one.
    pub consecutive_failures: u32,
    /// Results that came in: with the ratio rule those in the window, otherwise all since the circuit closed. Hangs
    /// are not among them, since nothing came in.
    pub calls: u64,
    /// Those of `calls` that failed, 429 and 425 included. What is left out as more of one event is in neither.
    pub failures: u64,
    /// Those of `calls` that were slow; 0 without the ratio rule.
    pub slow: u64,
    /// Half-open: calls in flight.
    pub probes_in_flight: usize,
    /// Half-open: calls that succeeded.
    pub probes_passed: u32,
    /// Probes that never returned, since the breaker was made.
    pub expired_leases: u64,
    /// Counts up with every transition and reset.
    pub generation: u64,
    /// Gates that a 429 has closed for calls of one path and credential; 0 outside of a stack. See
    /// [`Remember`](crate::retry::Remember).
    pub gates: usize,
    /// When the first of them opens.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "gate_opens_in_seconds", serialize_with = "crate::duration::written::maybe_seconds")
    )]
    pub gate_opens_in: Option<Duration>,
}
