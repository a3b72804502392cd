//! The longest that a call can take, computed from the settings.

use super::builder::Shared;
use crate::duration::human;
use std::fmt;
use std::time::Duration;

/// The worst case of a call: how long it can take, and how much of its retry schedule fits into that.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorstCase {
    /// From the start of a call to the end of its collected body; `None` for a layer without a deadline.
    pub total: Option<Duration>,
    /// One attempt.
    pub attempt: Duration,
    /// A body that streams, from its head to its last byte.
    pub stream: Duration,
    /// A long poll that names no hold.
    pub long_poll: Duration,
    /// How many retries are configured.
    pub retries: u32,
    /// How many of them fit into the total when every attempt hangs, with the longest waits.
    pub retries_that_fit: u32,
}

impl WorstCase {
    /// What is wrong with the schedule, if anything.
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
}

impl fmt::Display for WorstCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.total {
            Some(total) => write!(f, "a call ends within {:#}", human(total))?,
            None => f.write_str("a call has no deadline of its own")?,
        }
        write!(
            f,
            ", an attempt within {:#}, a streamed body within {:#}, a long poll within {:#}",
            human(self.attempt),
            human(self.stream),
            human(self.long_poll)
        )
    }
}

impl Shared {
    pub(super) fn worst_case(&self) -> WorstCase {
        let bounds = &self.bounds;
        let total = self.parts.total.then_some(bounds.total);
        let retries = if self.parts.retry { self.retry.max_retries } else { 0 };
        WorstCase {
            total,
            attempt: bounds.attempt,
            stream: bounds.stream,
            long_poll: bounds.long_poll,
            retries,
            retries_that_fit: total.map_or(retries, |total| self.that_fit(total, retries)),
        }
    }

    /// A retry fits if its wait ends before the deadline; the attempts before it are as short as refused connections
    /// are, so that a schedule is only called too long when it can never be run.
    fn that_fit(&self, total: Duration, retries: u32) -> u32 {
        let mut spent = Duration::ZERO;
        for n in 0..retries {
            let wait = self.retry.backoff.ceiling(n);
            spent = spent.saturating_add(wait);
            if spent >= total {
                return n;
            }
            // Once the waits have stopped growing the rest is a division.
            if wait == self.retry.backoff.ceiling(n + 1) && wait == self.retry.backoff.ceiling(u32::MAX) {
                if wait.is_zero() {
                    return retries;
                }
                let more = ((total - spent).as_nanos() - 1) / wait.as_nanos();
                return retries.min(n + 1 + u32::try_from(more).unwrap_or(u32::MAX));
            }
        }
        retries
    }
}
