//! The other rule: a share of the calls in a sliding window.

use super::check::{at_least_one, within_bounds};
use crate::Error;
use std::time::Duration;

const MAX_BUCKETS: u32 = 3_600;

/// When a share of failed or slow calls opens the circuit.
///
/// | setting | default | why |
/// | --- | --- | --- |
/// | [`failure_ratio`](Ratio::failure_ratio) | 0.5 | half of all calls lost is an outage with luck in it |
/// | [`min_calls`](Ratio::min_calls) | 10 | one failure of two calls is no ratio |
/// | [`window`](Ratio::window) | 30 s | three attempts long, so that calls that time out meet each other in it |
/// | [`buckets`](Ratio::buckets) | 10 | the window slides in steps of a tenth |
/// | [`slow_after`](Ratio::slow_after) | half the attempt limit | a healthy call leaves room for a second one |
/// | [`slow_ratio`](Ratio::slow_ratio) | 0.5 | as for failures |
///
/// ```
/// use unwedge::breaker::Ratio;
///
/// let ratio = Ratio::default().failure_ratio(0.25);
/// assert_eq!((ratio.get_failure_ratio(), ratio.get_min_calls()), (0.25, 10));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[must_use]
pub struct Ratio {
    pub(super) failure_ratio: f64,
    pub(super) min_calls: u32,
    #[cfg_attr(feature = "serde", serde(with = "crate::duration::written"))]
    pub(super) window: Duration,
    pub(super) buckets: u32,
    #[cfg_attr(feature = "serde", serde(with = "crate::duration::written::maybe"))]
    pub(super) slow_after: Option<Duration>,
    pub(super) slow_ratio: f64,
}

impl Default for Ratio {
    fn default() -> Self {
        Ratio {
            failure_ratio: 0.5,
            min_calls: 10,
            window: Duration::from_secs(30),
            buckets: 10,
            slow_after: None,
            slow_ratio: 0.5,
        }
    }
}

impl Ratio {
    /// The share of calls in the window that must have failed, above 0 and at most 1. Default 0.5. 429 and 425 count.
    pub fn failure_ratio(mut self, share: f64) -> Ratio {
        self.failure_ratio = share;
        self
    }

    /// How many calls the window must hold before either ratio means anything. Default 10.
    pub fn min_calls(mut self, calls: u32) -> Ratio {
        self.min_calls = calls;
        self
    }

    /// How far back the window reaches. Default 30 s; at least twice the attempt limit.
    pub fn window(mut self, length: Duration) -> Ratio {
        self.window = length;
        self
    }

    /// In how many steps the window slides. Default 10. A call is forgotten together with the others of its step, when
    /// the first of them is as old as the window. A window that does not divide is rounded up, by less than a
    /// nanosecond per step.
    pub fn buckets(mut self, steps: u32) -> Ratio {
        self.buckets = steps;
        self
    }

    /// A call that took longer than this is slow, whatever came of it; one that took exactly this long is not.
    /// `None`, the default, is half the attempt limit (5 s for a breaker used alone). Ten years turn the rule off.
    pub fn slow_after(mut self, limit: impl Into<Option<Duration>>) -> Ratio {
        self.slow_after = limit.into();
        self
    }

    /// The share of calls in the window that must have been slow, above 0 and at most 1. Default 0.5.
    pub fn slow_ratio(mut self, share: f64) -> Ratio {
        self.slow_ratio = share;
        self
    }

    /// The share of calls in the window that must have failed.
    pub fn get_failure_ratio(&self) -> f64 {
        self.failure_ratio
    }

    /// How many calls the window must hold before either ratio means anything.
    pub fn get_min_calls(&self) -> u32 {
        self.min_calls
    }

    /// How far back the window reaches.
    pub fn get_window(&self) -> Duration {
        self.window
    }

    /// In how many steps the window slides.
    pub fn get_buckets(&self) -> u32 {
        self.buckets
    }

    /// From what time on a call is slow; `None` where that follows from the attempt limit.
    pub fn get_slow_after(&self) -> Option<Duration> {
        self.slow_after
    }

    /// The share of calls in the window that must have been slow.
    pub fn get_slow_ratio(&self) -> f64 {
        self.slow_ratio
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        for (name, share) in [("failure_ratio", self.failure_ratio), ("slow_ratio", self.slow_ratio)] {
            // Also false for NaN.
            let share_of_something = share > 0.0 && share <= 1.0;
            if !share_of_something {
                return Err(Error::config(format!(
                    "breaker {name} is {share}: it must be above 0 and at most 1"
                )));
            }
        }
        at_least_one("ratio min_calls", self.min_calls)?;
        at_least_one("ratio buckets", self.buckets)?;
        if self.buckets > MAX_BUCKETS {
            let text = format!("breaker ratio buckets is {}: it must be at most {MAX_BUCKETS}", self.buckets);
            return Err(Error::config(text));
        }
        within_bounds("ratio window", self.window)?;
        self.slow_after.map_or(Ok(()), |limit| within_bounds("ratio slow_after", limit))
    }
}
