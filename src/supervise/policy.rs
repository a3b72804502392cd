//! Whether and when a loop that ended is started again. Pure: ends go in, decisions come out.

use crate::duration::{LONGEST, check, human};
use crate::error::Error;
use crate::retry::backoff::Rng;
use crate::retry::{Backoff, Jitter};
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// How far a wait is drawn from what was set, to both sides: loops that lost one database do not come back in step.
const JITTER: f64 = 0.1;

/// The meaning of an unexpected return of a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum OnReturn {
    /// It is restarted after this wait, because a loop that no longer runs must not go unnoticed. +-10 %, unless the
    /// back-off of the [`Policy`] is without jitter.
    Restart(#[cfg_attr(feature = "serde", serde(with = "crate::duration::written"))] Duration),
    /// It may end: its return is logged, and it is not restarted.
    Stop,
}

/// When a loop is restarted after a panic, an error or a return.
///
/// | setting | default | why |
/// | --- | --- | --- |
/// | `backoff` | 1 s doubling to 30 s, +-10 % but never above 30 s | loops that share a dependency lose it together, and must not come back in step |
/// | `on_return` | restart after 5 s | a loop that no longer runs must not go unnoticed |
/// | `healthy_after` | 30 s | a run of this length resets the back-off |
/// | `intensity` | 5 in 2 min | more restarts do not help, and a person has to know |
///
/// Length alone is no health where a run hangs. One that the watchdog ends counts up to its last sign of life; and after too
/// many restarts the program is ready again when a run of this length has sent a heartbeat (or rests, or is parked) and is
/// not stale. A loop with [`Watch::Off`](crate::supervise::Watch::Off) need not send any: there the length counts.
///
/// A back-off without jitter makes every wait exact, also the one after a return:
///
/// ```
/// use std::time::Duration;
/// use unwedge::retry::{Backoff, Jitter};
/// use unwedge::supervise::Policy;
///
/// let waits = Backoff::exponential(Duration::from_secs(1)).cap(Duration::from_secs(30)).jitter(Jitter::None);
/// let policy = Policy::default().backoff(waits);
/// assert_eq!(policy.get_intensity(), (5, Duration::from_secs(120)));
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[must_use]
#[doc(alias = "RestartPolicy")]
pub struct Policy {
    #[cfg_attr(feature = "serde", serde(deserialize_with = "waits"))]
    backoff: Backoff,
    on_return: OnReturn,
    #[cfg_attr(feature = "serde", serde(with = "crate::duration::written"))]
    healthy_after: Duration,
    intensity: Intensity,
}

/// How many restarts in which time.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
struct Intensity {
    most: u32,
    #[cfg_attr(feature = "serde", serde(with = "crate::duration::written"))]
    within: Duration,
}

#[cfg(feature = "serde")]
fn waits<'de, D: serde::Deserializer<'de>>(written: D) -> Result<Backoff, D::Error> {
    crate::retry::backoff::written::over(written, Policy::default().backoff)
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            backoff: Backoff::exponential(Duration::from_secs(1))
                .cap(Duration::from_secs(30))
                .jitter(Jitter::Proportional(JITTER)),
            on_return: OnReturn::Restart(Duration::from_secs(5)),
            healthy_after: Duration::from_secs(30),
            intensity: Intensity { most: 5, within: Duration::from_secs(120) },
        }
    }
}

impl Policy {
    /// The waits after a panic, an error and a stale run. Default 1 s doubling to 30 s, +-10 % but never above 30 s.
    ///
    /// Without jitter (`Jitter::None`) the waits after a return are exact too.
    pub fn backoff(mut self, backoff: impl Into<Backoff>) -> Policy {
        self.backoff = backoff.into();
        self
    }

    /// The meaning of an unexpected return. Default: restarted after 5 s.
    pub fn on_return(mut self, on_return: OnReturn) -> Policy {
        self.on_return = on_return;
        self
    }

    /// The length of a run that resets the back-off to its first wait, and, with a heartbeat, makes the program ready again
    /// after too many restarts: see [`Policy`]. Default 30 s.
    pub fn healthy_after(mut self, healthy: Duration) -> Policy {
        self.healthy_after = healthy;
        self
    }

    /// More than `most` restarts inside the sliding window `within` escalate. Default 5 in 2 min.
    ///
    /// So do more than `most` runs that hung and were ended for it, with no healthy one between them: each of those takes
    /// as long as the stale threshold, and would pass the window by. See [`Watch::Enforce`](crate::supervise::Watch::Enforce).
    #[doc(alias = "max_restarts")]
    pub fn intensity(mut self, most: u32, within: Duration) -> Policy {
        self.intensity = Intensity { most, within };
        self
    }

    pub(crate) fn on_return_mut(&mut self) -> &mut OnReturn {
        &mut self.on_return
    }

    /// The waits after a panic, an error and a stale run.
    pub fn get_backoff(&self) -> &Backoff {
        &self.backoff
    }

    /// The meaning of an unexpected return.
    pub fn get_on_return(&self) -> OnReturn {
        self.on_return
    }

    /// The length of a run that resets the back-off.
    pub fn get_healthy_after(&self) -> Duration {
        self.healthy_after
    }

    /// The number of restarts, and their window, that are allowed before it escalates.
    pub fn get_intensity(&self) -> (u32, Duration) {
        (self.intensity.most, self.intensity.within)
    }

    pub(crate) fn rng(&self) -> Rng {
        self.backoff.rng()
    }

    /// A wait that is not the back-off's own, with jitter where that one has any.
    fn around(&self, wait: Duration, rng: &mut Rng) -> Duration {
        if self.backoff.is_exact() {
            return wait;
        }
        Backoff::constant(wait).jitter(Jitter::Proportional(JITTER)).draw(0, None, rng)
    }

    /// The longest wait of the back-off, or up to a tenth less.
    fn longest(&self, rng: &mut Rng) -> Duration {
        let longest = self.backoff.ceiling(u32::MAX);
        if self.backoff.is_exact() {
            return longest;
        }
        Backoff::constant(longest).cap(longest).jitter(Jitter::Proportional(JITTER)).draw(0, None, rng)
    }

    pub(crate) fn check(&self, name: &str) -> Result<(), Error> {
        self.backoff.check(&format!("restarts of {name}"))?;
        check(&format!("healthy_after of {name}"), self.healthy_after)?;
        check(&format!("the window of restarts of {name}"), self.intensity.within)?;
        match self.on_return {
            OnReturn::Restart(wait) if wait > LONGEST => Err(Error::config(format!(
                "the wait after a return of {name} is {:#}: the longest duration is 10 years",
                human(wait)
            ))),
            _ => Ok(()),
        }
    }
}

/// How a run of a loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Reason {
    /// It panicked, or the closure that makes its future did.
    Panic,
    /// It returned an error.
    Error,
    /// It returned, although no shutdown had begun.
    Return,
    /// It was stale, and the watchdog aborted it: [`Watch::Enforce`](crate::supervise::Watch::Enforce).
    Stale,
}

impl Reason {
    /// The stable name for programs: `panic`, `error`, `return`, `stale`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Panic => "panic",
            Reason::Error => "error",
            Reason::Return => "return",
            Reason::Stale => "stale",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Stop,
    Restart {
        wait: Duration,
        /// The limit was passed just now.
        escalate: bool,
    },
}

/// What is remembered of the runs of one loop.
#[derive(Debug, Default)]
pub(crate) struct Restarts {
    /// Since it was last healthy.
    failures: u32,
    /// Those of them that hung.
    hangs: u32,
    last_wait: Option<Duration>,
    recent: VecDeque<Instant>,
    escalated: bool,
}

impl Restarts {
    /// A run ended now, which was `healthy` or was not.
    pub(crate) fn ended(
        &mut self,
        policy: &Policy,
        reason: Reason,
        healthy: bool,
        now: Instant,
        rng: &mut Rng,
    ) -> Decision {
        if (reason, policy.on_return) == (Reason::Return, OnReturn::Stop) {
            return Decision::Stop;
        }
        if healthy {
            self.healthy();
        } else if reason == Reason::Stale {
            self.hangs = self.hangs.saturating_add(1);
        } else if reason == Reason::Return {
            self.hangs = 0;
        }
        let mut wait = match (reason, policy.on_return) {
            (Reason::Return, OnReturn::Restart(wait)) => policy.around(wait, rng),
            _ => {
                let wait = policy.backoff.draw(self.failures, self.last_wait, rng);
                self.failures = self.failures.saturating_add(1);
                self.last_wait = Some(wait);
                wait
            }
        };
        while self
            .recent
            .front()
            .is_some_and(|&at| now.saturating_duration_since(at) >= policy.intensity.within)
        {
            self.recent.pop_front();
        }
        // One more than the limit is all that there is to know.
        if self.recent.len() > policy.intensity.most as usize {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        let too_many =
            self.recent.len() > policy.intensity.most as usize || self.hangs > policy.intensity.most;
        let escalate = !self.escalated && too_many;
        self.escalated |= escalate;
        if self.escalated {
            wait = wait.max(policy.longest(rng));
        }
        Decision::Restart { wait, escalate }
    }

    /// A run was healthy for long enough.
    pub(crate) fn healthy(&mut self) {
        (self.failures, self.hangs, self.last_wait, self.escalated) = (0, 0, None, false);
    }

    pub(crate) fn has_escalated(&self) -> bool {
        self.escalated
    }
}

#[cfg(test)]
mod tests;
