//! When a breaker opens, for how long, and how it closes again.

use super::rules::{RatioRule, Rules};
use crate::Error;
use crate::duration::{LONGEST, human};
use crate::retry::{Backoff, Jitter};
use std::time::Duration;

/// The attempt limit that a breaker assumes where no stack tells it one.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(10);
/// The health-check timeout that the default lease leaves room for, also where no health check is set.
pub(crate) const HEALTH: Duration = Duration::from_secs(5);
const LEASE_GRACE: Duration = Duration::from_secs(1);
/// A Retry-After may hold a circuit open for this long even where `open` alone never would.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
const MAX_BUCKETS: u32 = 3_600;

/// How a circuit breaker judges, waits and probes.
///
/// | setting | default | why |
/// | --- | --- | --- |
/// | [`failures`](Settings::failures) | 5 | fewer open on a blip, more keep callers waiting on a dead server |
/// | [`ratio`](Settings::ratio) | off | at low traffic a ratio says little; the run of failures is enough to see an outage |
/// | [`open`](Settings::open) | 5 s, doubling to 60 s, +-10 % | a short restart costs seconds; a long outage is asked once a minute; clients do not return in step |
/// | [`half_open`](Settings::half_open) | 3 in flight, 3 successes | a server that has just come back gets no stampede |
/// | [`lease`](Settings::lease) | health timeout + attempt + 1 s (16 s) | a probe that never returns cannot keep its place for ever |
/// | [`hang_after`](Settings::hang_after) | 1 s | silence shorter than this is latency, not a hang |
/// | [`overdue_after`](Settings::overdue_after) | off | only the caller knows what is too late before the timeout |
/// | [`disabled`](Settings::disabled) | false | |
///
/// ```
/// use std::time::Duration;
/// use unwedge::breaker::{Breaker, Settings};
///
/// let settings = Settings::default().failures(3).open(Duration::from_secs(30)).half_open(1, 1);
/// let breaker = Breaker::new("https://api.example.com", settings)?;
/// # Ok::<_, unwedge::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Settings {
    failures: u32,
    ratio: Option<Ratio>,
    open: Backoff,
    probes: u32,
    close_after: u32,
    lease: Option<Duration>,
    hang_after: Duration,
    overdue_after: Option<Duration>,
    disabled: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let open = Backoff::exponential(Duration::from_secs(5)).cap(Duration::from_secs(60));
        Settings {
            failures: 5,
            ratio: None,
            open: open.jitter(Jitter::Proportional(0.1)),
            probes: 3,
            close_after: 3,
            lease: None,
            hang_after: Duration::from_secs(1),
            overdue_after: None,
            disabled: false,
        }
    }
}

impl Settings {
    /// Opens after this many failures in a row. Default 5. 429 and 425 are neutral: they neither add to the run nor
    /// end it.
    pub fn failures(mut self, in_a_row: u32) -> Settings {
        self.failures = in_a_row;
        self
    }

    /// Opens also on a share of failed or slow calls in a sliding window. Off by default.
    pub fn ratio(mut self, ratio: Ratio) -> Settings {
        self.ratio = Some(ratio);
        self
    }

    /// How long the circuit stays open before the first probe, and how that grows with each failed round of probes.
    ///
    /// Default: 5 s, doubling to 60 s, +-10 % but never above 60 s. A `Duration` makes it constant, without jitter.
    /// A Retry-After on the failure that opens the circuit makes it longer, up to the greater of the cap and 5 min.
    pub fn open(mut self, wait: impl Into<Backoff>) -> Settings {
        self.open = wait.into();
        self
    }

    /// How many probes may be in flight at once while half-open, and how many have to succeed to close the circuit.
    /// Default 3 and 3. One failure opens it again.
    pub fn half_open(mut self, max_calls: u32, close_after: u32) -> Settings {
        self.probes = max_calls;
        self.close_after = close_after;
        self
    }

    /// How long a probe may keep its place. When it runs out the probe counts as a hang: the circuit opens again and
    /// whatever the probe reports later is ignored. Must be longer than the attempt limit.
    ///
    /// Default: health-check timeout + attempt limit + 1 s, which is 16 s where neither is changed.
    pub fn lease(mut self, limit: Duration) -> Settings {
        self.lease = Some(limit);
        self
    }

    /// A call that is given up by its caller counts as a failure when nothing was heard from the server for this
    /// long, or for twice the slowest success of the last minute where that is longer. Default 1 s.
    pub fn hang_after(mut self, silence: Duration) -> Settings {
        self.hang_after = silence;
        self
    }

    /// A call that is still in flight after this long counts as a failure at that moment, before it has ended: its
    /// later failure does not count again, its later success ends the run of failures. Must be shorter than the
    /// attempt limit. Off by default.
    ///
    /// A stack has a timer for it; for a breaker used alone see [`Permit::overdue`](super::Permit::overdue).
    pub fn overdue_after(mut self, limit: Duration) -> Settings {
        self.overdue_after = Some(limit);
        self
    }

    /// Starts every breaker disabled: all calls are admitted, nothing is recorded, until
    /// [`reset`](super::Breaker::reset). Default false.
    pub fn disabled(mut self, disabled: bool) -> Settings {
        self.disabled = disabled;
        self
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
            ("half_open max_calls", self.probes),
            ("half_open close_after", self.close_after),
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
    pub(crate) fn rules(&self, attempt: Duration, health: Duration) -> Rules {
        let open_max = self.open.ceiling(u32::MAX);
        Rules {
            failures: self.failures,
            open: self.open.clone(),
            open_max,
            retry_after_max: open_max.max(RETRY_AFTER_MAX),
            probes: self.probes as usize,
            close_after: self.close_after,
            lease: self.lease.unwrap_or_else(|| health.saturating_add(attempt).saturating_add(LEASE_GRACE)),
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
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Ratio {
    failure_ratio: f64,
    min_calls: u32,
    window: Duration,
    buckets: u32,
    slow_after: Option<Duration>,
    slow_ratio: f64,
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

    fn check(&self) -> Result<(), Error> {
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

fn at_least_one(name: &str, value: u32) -> Result<(), Error> {
    if value == 0 {
        return Err(Error::config(format!("breaker {name} is 0: it must be at least 1")));
    }
    Ok(())
}

fn within_bounds(name: &str, value: Duration) -> Result<(), Error> {
    if value.is_zero() || value > LONGEST {
        return Err(Error::config(format!(
            "breaker {name} is {:#}: it must be more than zero and at most 10 years",
            human(value)
        )));
    }
    Ok(())
}

fn relation(name: &str, value: Duration, rule: &str, other: Duration) -> Result<(), Error> {
    Err(Error::config(format!(
        "breaker {name} is {:#}: it must be {rule} ({:#})",
        human(value),
        human(other)
    )))
}
