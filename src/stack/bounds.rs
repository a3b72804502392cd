//! The longest that a call can take, computed from the settings.

use crate::deadline::Resolved;
use crate::duration::human;
use crate::error::Error;
use crate::stack::context::{LayerContext, Parts};
use crate::stack::drain::DRAIN;
use crate::{health, retry};
use std::fmt;
use std::time::Duration;

/// The longest time of a call, computed from the settings: its parts, and the retries that fit into it.
///
/// Its text shows the sum:
///
/// ```
/// let layer = unwedge::StackLayer::builder().health("/health").build()?;
/// assert_eq!(
///     layer.bounds().to_string(),
///     "\
/// a call ends within 30 s, and where its body streams within 10 m 30 s:
///   attempts       4 x 10 s                           40 s
///   health checks  4 x 5.1 s                          20.4 s
///   waits          3, up to 1 m 6 s each              3 m 18 s
///   all that                                          4 m 18.4 s, cut off by the total of 30 s
///   stream         after the head, at most            10 m
///   long poll      for its head, and in each silence  10 m, or what it says; no stream limit
///   retries        3 configured, 3 fit when attempts fail at once, 2 when they hang"
/// );
/// # Ok::<(), unwedge::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bounds {
    /// From the start of a call to the end of its collected body: readiness, health checks, attempts, waits, all of
    /// it. `None` for a layer without a deadline.
    pub total: Option<Duration>,
    /// One attempt, its collected body included; `None` for a layer without an attempt limit.
    pub attempt: Option<Duration>,
    /// The health check before an attempt, and what is read of its answer; `None` where there
    /// is none.
    pub health: Option<Duration>,
    /// All waits between attempts together, each as long as it can be: the longest back-off, or a `Retry-After` at its
    /// cap with its jitter. A response that is thrown away is drained meanwhile.
    pub waits: Duration,
    /// The longest of these waits.
    pub longest_wait: Duration,
    /// A body that streams, from its head to its last byte; `None` for a layer that bounds neither calls nor bodies.
    /// The body of a long poll has no such limit.
    pub stream: Option<Duration>,
    /// A long poll that names no hold: the wait for its head, and each silence in its body. One that is `unbounded()`
    /// says why when it runs.
    pub long_poll: Duration,
    /// How many retries are configured.
    pub retries: u32,
    /// How many of them can begin within the total when every attempt fails at once, with the longest back-off.
    pub retries_that_fit: u32,
    /// How many of them can begin within the total when every attempt hangs, with the longest back-off.
    pub retries_when_hung: u32,
}

impl Bounds {
    /// From the start of a call to the last byte of a body that streams, but for that of a long poll; `None` for a layer
    /// without a deadline.
    pub fn with_stream(&self) -> Option<Duration> {
        Some(self.total?.saturating_add(self.stream?))
    }

    /// What attempts, health checks and waits would add up to if no total cut them off; `None` where an attempt has no
    /// limit of its own. The total binds even where this is less: it bounds the readiness of the inner service too.
    pub fn schedule(&self) -> Option<Duration> {
        let each = self.attempt?.saturating_add(self.health.unwrap_or_default());
        Some(each.saturating_mul(self.attempts()).saturating_add(self.waits))
    }

    /// The parts of a call without a limit, with the reason. Empty for every [`StackLayer`](crate::StackLayer), which is not
    /// built otherwise; a layer with a single part leaves the other limits to the layers around it.
    pub fn unbounded(&self) -> Vec<&'static str> {
        let mut open = Vec::new();
        if self.total.is_none() {
            open.push("a call: this layer has no deadline, put a DeadlineLayer around it");
        }
        if self.attempt.is_none() && self.total.is_none() {
            open.push("an attempt: this layer has no attempt limit, put an AttemptLayer inside of it");
        }
        if self.stream.is_none() {
            open.push(
                "a body that streams: put a DeadlineLayer or a StallLayer around or inside of this layer",
            );
        }
        open
    }

    /// The problem of the retry schedule, if any: `10 retries configured, about 2 fit into the total of 30 s`. It is part of
    /// the text, and logged once at warn when a stack is built.
    pub fn warning(&self) -> Option<String> {
        let total = self.total?;
        if self.retries_that_fit >= self.retries {
            return None;
        }
        let fit = self.retries_that_fit;
        let retries = if self.retries == 1 { "retry" } else { "retries" };
        Some(format!(
            "{} {retries} configured, about {fit} fit into the total of {:#}",
            self.retries,
            human(total)
        ))
    }

    fn attempts(&self) -> u32 {
        self.retries.saturating_add(1)
    }

    /// The rule of a whole stack: a reason is no bound.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.unbounded().first() {
            None => Ok(()),
            Some(open) => Err(Error::config(format!("nothing may wait forever, and nothing bounds {open}"))),
        }
    }

    pub(super) fn of(context: &LayerContext) -> Bounds {
        let LayerContext { parts, bounds, retry, health, .. } = context;
        let retries = if parts.retry { retry.max_retries } else { 0 };
        let longest = |n| longest_wait(retry, n);
        let (waits, longest_wait) = sum(retries, longest, longest(u32::MAX));
        let mut worst = Bounds {
            total: parts.total.then_some(bounds.total),
            attempt: parts.attempt.then_some(bounds.attempt),
            health: health.as_ref().and_then(|health| health_check(parts, bounds, health)),
            waits,
            longest_wait,
            stream: (parts.total || parts.stall).then_some(bounds.stream),
            long_poll: bounds.long_poll,
            retries,
            retries_that_fit: retries,
            retries_when_hung: retries,
        };
        if let Some(total) = worst.total {
            let hung = worst.attempt.unwrap_or(total);
            worst.retries_that_fit = fit(total, Duration::ZERO, retry, retries);
            worst.retries_when_hung = fit(total, hung, retry, retries);
        }
        worst
    }
}

/// One check before an attempt: its limit, and the little that is read of its answer.
fn health_check(parts: &Parts, bounds: &Resolved, health: &health::Settings) -> Option<Duration> {
    let limit = if parts.attempt { health.timeout.min(bounds.attempt) } else { health.timeout };
    // In the background too: until somebody sees to it, the callers do.
    parts.health.then(|| limit + DRAIN)
}

/// The longest that the n-th wait can be: a `Retry-After` is waited for up to its cap, and spread by a tenth.
fn longest_wait(retry: &retry::Settings, n: u32) -> Duration {
    let wait = retry.backoff.at_most(n).max(retry.get_retry_after_cap());
    wait.saturating_add(wait / 10).max(DRAIN)
}

/// Waits whose growth is not over by then are taken to be as long as they can get.
const LOOKED_AT: u32 = 1000;

/// The sum of the first `n` waits, and the longest of them.
fn sum(n: u32, wait: impl Fn(u32) -> Duration, last: Duration) -> (Duration, Duration) {
    let (mut sum, mut longest) = (Duration::ZERO, Duration::ZERO);
    for i in 0..n {
        let next = if i < LOOKED_AT { wait(i) } else { last };
        longest = longest.max(next);
        if next == last {
            return (sum.saturating_add(last.saturating_mul(n - i)), longest);
        }
        sum = sum.saturating_add(next);
    }
    (sum, longest)
}

/// How many retries begin before the total is over. Attempts that take no time show a schedule that can never be run.
fn fit(total: Duration, attempt: Duration, retry: &retry::Settings, retries: u32) -> u32 {
    let last = retry.backoff.ceiling(u32::MAX);
    let mut spent = Duration::ZERO;
    for n in 0..retries {
        let wait = retry.backoff.ceiling(n);
        spent = spent.saturating_add(attempt).saturating_add(wait);
        if spent >= total {
            return n;
        }
        // Once the waits have stopped growing the rest is a division.
        if wait == last || n == LOOKED_AT {
            let each = attempt.saturating_add(wait);
            if each.is_zero() {
                return retries;
            }
            let more = ((total - spent).as_nanos() - 1) / each.as_nanos();
            return retries.min((n + 1).saturating_add(u32::try_from(more).unwrap_or(u32::MAX)));
        }
    }
    retries
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.total, self.with_stream()) {
            (Some(total), Some(all)) => {
                let (total, all) = (human(total), human(all));
                write!(f, "a call ends within {total:#}, and where its body streams within {all:#}:")?;
            }
            _ => f.write_str("a call has no bound of its own:")?,
        }
        let mut line = |what: &str, how: String, sum: String| {
            write!(f, "\n  {what:<13}  {how:<33}  {sum}").map(|()| debug_assert!(how.len() <= 33))
        };
        let attempts = self.attempts();
        if let Some(attempt) = self.attempt {
            let all = attempt.saturating_mul(attempts);
            line("attempts", format!("{attempts} x {:#}", human(attempt)), format!("{:#}", human(all)))?;
        }
        if let Some(health) = self.health {
            let all = health.saturating_mul(attempts);
            line("health checks", format!("{attempts} x {:#}", human(health)), format!("{:#}", human(all)))?;
        }
        if self.retries > 0 {
            let how = format!("{}, up to {:#} each", self.retries, human(self.longest_wait));
            line("waits", how, format!("{:#}", human(self.waits)))?;
        }
        if let Some(schedule) = self.schedule() {
            let cut = self.total.filter(|total| *total < schedule);
            let cut = cut.map(|total| format!(", cut off by the total of {:#}", human(total)));
            line("all that", String::new(), format!("{:#}{}", human(schedule), cut.unwrap_or_default()))?;
        }
        if let Some(stream) = self.stream {
            line("stream", "after the head, at most".to_owned(), format!("{:#}", human(stream)))?;
        }
        let poll = format!("{:#}, or what it says; no stream limit", human(self.long_poll));
        line("long poll", "for its head, and in each silence".to_owned(), poll)?;
        if self.retries > 0 && self.total.is_some() {
            let (fit, hung) = (self.retries_that_fit, self.retries_when_hung);
            write!(
                f,
                "\n  retries        {} configured, {fit} fit when attempts fail at once, {hung} when they hang",
                self.retries
            )?;
        }
        if let Some(warning) = self.warning() {
            write!(f, "\n  does not fit   {warning}")?;
        }
        for open in self.unbounded() {
            write!(f, "\n  no bound for   {open}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "bounds/tests.rs"]
mod tests;
