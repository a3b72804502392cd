//! Settings of a circuit breaker: when it opens, for how long, and how it closes again.

mod check;
mod ratio;

pub use ratio::Ratio;

use crate::Error;
use crate::breaker::rules::{LEASE_GRACE, RatioRule, Rules};
use crate::duration::human;
use crate::retry::{Backoff, Jitter};
use check::{at_least_one, within_bounds};
use std::time::Duration;

/// The attempt limit that a breaker assumes where no stack tells it one.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(10);
pub(crate) const OPEN: Duration = Duration::from_secs(1);
pub(crate) const OPEN_MAX: Duration = Duration::from_secs(15);
/// A Retry-After may hold a circuit open for this long even where `open` alone never would.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// Settings of a circuit breaker: when it opens, how long it stays open, and how it probes.
///
/// | setting | default | why |
/// | --- | --- | --- |
/// | [`failures`](Settings::failures) | 5 in a row; up to 60 for an origin that often fails | an origin with one dead replica is not down; one that fails every call opens after five |
/// | [`ratio`](Settings::ratio) | off | at low traffic a ratio says little; the run of failures is enough to detect an outage |
/// | [`open`](Settings::open) | 1 s, growing by half to 15 s, +-10 % | a server is tried again within a third of its downtime, with some 20 requests in two minutes; clients do not return in step |
/// | [`half_open`](Settings::half_open) | 1 success; 3 in flight after the first of several | one success shows that it is back; new failures open it again |
/// | [`lease`](Settings::lease) | attempt + 1 s (11 s) | a probe that never returns cannot keep its place for ever |
/// | [`hang_after`](Settings::hang_after) | 1 s | shorter silence is latency, not a hang |
/// | [`overdue_after`](Settings::overdue_after) | off | only the caller knows the latest time at which an answer is useful |
/// | [`disabled`](Settings::disabled) | false | |
///
/// Two rules are fixed: the circuit stays closed for 1 s after each success, and failures of concurrent calls within
/// 100 ms of each other count as one.
///
/// ```
/// use std::time::Duration;
/// use unwedge::breaker::{Breaker, Settings};
///
/// let settings = Settings::default().failures(3).open(Duration::from_secs(30)).half_open(1, 1);
/// assert_eq!((settings.get_failures(), settings.get_open().get_base()), (3, Duration::from_secs(30)));
/// let breaker = Breaker::new("https://api.example.com", settings)?;
/// # Ok::<_, unwedge::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[must_use]
pub struct Settings {
    failures: u32,
    ratio: Option<Ratio>,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "written::open"))]
    open: Backoff,
    half_open: HalfOpen,
    #[cfg_attr(feature = "serde", serde(with = "crate::duration::written::maybe"))]
    lease: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(with = "crate::duration::written"))]
    hang_after: Duration,
    #[cfg_attr(feature = "serde", serde(with = "crate::duration::written::maybe"))]
    overdue_after: Option<Duration>,
    disabled: bool,
}

/// How a half-open circuit is tried.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
struct HalfOpen {
    max_calls: u32,
    close_after: u32,
}

impl Default for HalfOpen {
    fn default() -> HalfOpen {
        HalfOpen { max_calls: 3, close_after: 1 }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let open = Backoff::exponential(OPEN).multiplier(1.5).cap(OPEN_MAX);
        Settings {
            failures: 5,
            ratio: None,
            open: open.jitter(Jitter::Proportional(0.1)),
            half_open: HalfOpen::default(),
            lease: None,
            hang_after: Duration::from_secs(1),
            overdue_after: None,
            disabled: false,
        }
    }
}

impl Settings {
    /// The least number of failures in a row that opens the circuit. Default 5. 429 and 425 are neutral: they neither add
    /// to the run nor end it.
    ///
    /// This is a minimum. An origin that fails now and then makes such a run by chance. So the circuit opens only if, at
    /// the share of failures of about the last minute (each result weighted by `exp(-age / 60 s)`), chance makes such a
    /// run less than once in a million, and if nothing has succeeded for 1 s. That takes 5 failures for a healthy origin,
    /// 11 if every third call fails, and at most 60, or the number set here if that is larger.
    ///
    /// Failures within 100 ms of another one, of calls that were sent before it was counted, are the same event and count
    /// once; timeouts count each.
    #[doc(alias = "failure_threshold")]
    pub fn failures(mut self, in_a_row: u32) -> Settings {
        self.failures = in_a_row;
        self
    }

    /// Also opens at a share of failed or slow calls in a sliding window. Off by default.
    pub fn ratio(mut self, ratio: Ratio) -> Settings {
        self.ratio = Some(ratio);
        self
    }

    /// How long the circuit stays open before the first probe, and how that grows with each failed round of probes.
    ///
    /// Default: 1 s, growing by half up to 15 s, +-10 % but never above 15 s. A `Duration` makes it constant, up to 10 %
    /// shorter at random; [`Backoff::constant`] is exact. A Retry-After on the failure that opens the circuit makes it
    /// longer, up to the greater of the cap and 5 min.
    ///
    /// It does not grow after a round in which one probe succeeded before another failed.
    #[doc(alias("reset_timeout", "recovery_timeout"))]
    pub fn open(mut self, wait: impl Into<Backoff>) -> Settings {
        self.open = wait.into();
        self
    }

    /// How many probes may be in flight at once while half-open, and how many have to succeed to close the circuit.
    /// Default 3 and 1. The first probe goes alone, the others after its success. A failure opens the circuit again, and
    /// with the ratio rule a slow success does too.
    ///
    /// A long poll is no probe: one at a time goes beside the probes, and the next one when that is answered or has been
    /// parked for 1 s. Its answer counts as a success, its failure only within that first second.
    pub fn half_open(mut self, max_calls: u32, close_after: u32) -> Settings {
        self.half_open = HalfOpen { max_calls, close_after };
        self
    }

    /// How long a probe may keep its place, from the moment its request is passed to the inner service. After that the
    /// probe counts as a hang: the circuit opens again, and a later result of the probe is ignored. Must be longer than the
    /// attempt limit. A response that streams counts as a success at its head.
    ///
    /// A probe whose request cannot be passed on within 1 s, because your own pool is full, gives its place back.
    ///
    /// Default: attempt limit + 1 s, which is 11 s where that is not changed, and for a breaker used alone.
    pub fn lease(mut self, limit: Duration) -> Settings {
        self.lease = Some(limit);
        self
    }

    /// The silence after which a call that its caller drops counts as a failure: no byte from the server for this long,
    /// or for twice the slowest success of the last minute if that is longer. Default 1 s.
    pub fn hang_after(mut self, silence: Duration) -> Settings {
        self.hang_after = silence;
        self
    }

    /// The age at which a call in flight counts as a failure, before it has ended. Its later failure does not count
    /// again; its later success ends the run of failures. Must be shorter than the attempt limit. Off by default.
    ///
    /// A stack has a timer for it; for a breaker used alone see [`Permit::overdue`](crate::breaker::Permit::overdue).
    pub fn overdue_after(mut self, limit: Duration) -> Settings {
        self.overdue_after = Some(limit);
        self
    }

    /// Starts every breaker disabled: all calls are admitted and nothing is recorded until
    /// [`reset`](crate::breaker::Breaker::reset). Default false.
    pub fn disabled(mut self, disabled: bool) -> Settings {
        self.disabled = disabled;
        self
    }

    /// The least number of failures in a row that opens the circuit.
    pub fn get_failures(&self) -> u32 {
        self.failures
    }

    /// The rule for a share of failed or slow calls; `None` if it is off.
    pub fn get_ratio(&self) -> Option<&Ratio> {
        self.ratio.as_ref()
    }

    /// How long the circuit stays open.
    pub fn get_open(&self) -> &Backoff {
        &self.open
    }

    /// How many probes may be in flight at once, and how many have to succeed.
    pub fn get_half_open(&self) -> (u32, u32) {
        (self.half_open.max_calls, self.half_open.close_after)
    }

    /// How long a probe may keep its place; `None` if that depends on the attempt limit.
    pub fn get_lease(&self) -> Option<Duration> {
        self.lease
    }

    /// The silence after which a dropped call counts as a failure.
    pub fn get_hang_after(&self) -> Duration {
        self.hang_after
    }

    /// The age at which a call in flight counts as a failure; `None` if that is off.
    pub fn get_overdue_after(&self) -> Option<Duration> {
        self.overdue_after
    }

    /// Whether breakers start disabled.
    pub fn get_disabled(&self) -> bool {
        self.disabled
    }

    /// Whether the settings can work together with this attempt limit.
    pub(crate) fn check(&self, attempt: Duration) -> Result<(), Error> {
        self.check_alone()?;
        if let Some(lease) = self.lease {
            if lease <= attempt {
                return relation("lease", lease, "longer than the attempt limit", attempt);
            }
        }
        if let Some(overdue) = self.overdue_after {
            if overdue >= attempt {
                return relation("overdue_after", overdue, "shorter than the attempt limit", attempt);
            }
        }
        if let Some(ratio) = &self.ratio {
            let twice = attempt.saturating_mul(2);
            if ratio.window < twice {
                return relation(
                    "ratio window",
                    ratio.window,
                    "at least twice the attempt limit, that is",
                    twice,
                );
            }
        }
        Ok(())
    }

    /// What can be judged without an attempt limit, which a breaker used alone does not have.
    pub(crate) fn check_alone(&self) -> Result<(), Error> {
        for (name, value) in [
            ("failures", self.failures),
            ("half_open max_calls", self.half_open.max_calls),
            ("half_open close_after", self.half_open.close_after),
        ] {
            at_least_one(name, value)?;
        }
        self.open.check("breaker open wait")?;
        within_bounds("open", self.open.ceiling(0))?;
        within_bounds("open cap", self.open.ceiling(u32::MAX))?;
        within_bounds("hang_after", self.hang_after)?;
        for (name, value) in [("lease", self.lease), ("overdue_after", self.overdue_after)] {
            value.map_or(Ok(()), |value| within_bounds(name, value))?;
        }
        if let (Some(lease), Some(overdue)) = (self.lease, self.overdue_after) {
            if overdue >= lease {
                return relation("overdue_after", overdue, "shorter than the lease", lease);
            }
        }
        self.ratio.as_ref().map_or(Ok(()), Ratio::check)
    }

    /// Open waits that can be had again where those between attempts can.
    pub(crate) fn seeded_like(mut self, retries: &Backoff) -> Settings {
        self.open = self.open.seeded_like(retries);
        self
    }

    /// The settings with every default that hangs on another limit filled in.
    pub(crate) fn rules(&self, attempt: Duration) -> Rules {
        let open_max = self.open.ceiling(u32::MAX);
        Rules {
            failures: self.failures,
            // The jitter of a constant wait stays below it, too.
            open: self.open.clone().cap(open_max),
            open_max,
            retry_after_max: open_max.max(RETRY_AFTER_MAX),
            probes: self.half_open.max_calls as usize,
            close_after: self.half_open.close_after,
            lease: self.lease.unwrap_or_else(|| attempt.saturating_add(LEASE_GRACE)),
            hang_after: self.hang_after,
            overdue_after: self.overdue_after,
            ratio: self.ratio.as_ref().map(|r| RatioRule {
                failure_ratio: r.failure_ratio,
                slow_ratio: r.slow_ratio,
                slow_after: r.slow_after.unwrap_or(attempt / 2),
                min_calls: u64::from(r.min_calls),
                window: r.window,
                buckets: r.buckets as usize,
            }),
            disabled: self.disabled,
        }
    }
}

#[cfg(feature = "serde")]
mod written {
    use crate::retry::{Backoff, backoff::written::over};
    use serde::Deserializer;

    pub(super) fn open<'de, D: Deserializer<'de>>(written: D) -> Result<Backoff, D::Error> {
        over(written, super::Settings::default().open)
    }
}

fn relation(name: &str, value: Duration, rule: &str, other: Duration) -> Result<(), Error> {
    Err(Error::config(format!(
        "breaker {name} is {:#}: it must be {rule} ({:#})",
        human(value),
        human(other)
    )))
}
