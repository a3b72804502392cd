//! When a body counts as stalled. Pure: it is told what happened and when.

use std::time::Duration;
use tokio::time::Instant;

/// Watches one body: the idle bound, and the least progress if one is asked for.
///
/// Only time in which somebody waits for the body counts. A consumer that comes back late finds its bytes, not an
/// error.
#[derive(Debug)]
pub(crate) struct Flow {
    idle: Option<Duration>,
    least: Option<(u64, Duration)>,
    waiting_since: Option<Instant>,
    /// Of the current span of least progress: time waited, and bytes gained.
    waited: Duration,
    gained: u64,
    received: u64,
}

impl Flow {
    pub(crate) fn new(idle: Option<Duration>, least: Option<(u64, Duration)>) -> Flow {
        Flow { idle, least, waiting_since: None, waited: Duration::ZERO, gained: 0, received: 0 }
    }

    /// How many bytes have come.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Whether a wait has begun that is not over; only its beginning needs a clock.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting_since.is_some()
    }

    /// The body was polled and had nothing.
    pub(crate) fn wait(&mut self, now: Instant) {
        self.waiting_since.get_or_insert(now);
    }

    /// The body gave something.
    pub(crate) fn got(&mut self, bytes: usize, now: Instant) {
        self.received += bytes as u64;
        self.gained = self.gained.saturating_add(bytes as u64);
        if let Some(since) = self.waiting_since.take() {
            self.waited += now.saturating_duration_since(since);
        }
        if let Some((least, per)) = self.least {
            if self.waited >= per && self.gained >= least {
                (self.waited, self.gained) = (Duration::ZERO, 0);
            }
        }
    }

    /// When the wait under way becomes a stall, and the limit that says so.
    pub(crate) fn bound(&self) -> Option<(Instant, Duration)> {
        let since = self.waiting_since?;
        let idle = self.idle.map(|idle| (since + idle, idle));
        let least = self.least.filter(|(least, _)| self.gained < *least);
        let least = least.map(|(_, per)| (since + per.saturating_sub(self.waited), per));
        match (idle, least) {
            (Some(a), Some(b)) => Some(if a.0 <= b.0 { a } else { b }),
            (a, b) => a.or(b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_idle_bound_runs_from_the_first_vain_poll_after_a_byte() {
        let start = Instant::now();
        let mut flow = Flow::new(Some(10 * SECOND), None);
        assert_eq!(flow.bound(), None);
        flow.wait(start);
        flow.wait(start + 5 * SECOND);
        assert_eq!(flow.bound(), Some((start + 10 * SECOND, 10 * SECOND)));
        flow.got(1, start + 6 * SECOND);
        assert_eq!(flow.bound(), None, "nobody is waiting");
        flow.wait(start + 60 * SECOND);
        assert_eq!(flow.bound(), Some((start + 70 * SECOND, 10 * SECOND)));
    }

    #[test]
    fn a_drip_that_never_idles_still_falls_short_of_the_least_progress() {
        let start = Instant::now();
        let mut flow = Flow::new(Some(10 * SECOND), Some((100, 30 * SECOND)));
        for n in 0..6 {
            flow.wait(start + n * 5 * SECOND);
            flow.got(1, start + (n + 1) * 5 * SECOND);
        }
        flow.wait(start + 30 * SECOND);
        assert_eq!(flow.bound(), Some((start + 30 * SECOND, 30 * SECOND)));
    }

    #[test]
    fn time_in_which_nobody_waits_is_not_held_against_the_body() {
        let start = Instant::now();
        let mut flow = Flow::new(None, Some((100, 30 * SECOND)));
        flow.wait(start);
        flow.got(10, start + SECOND);
        flow.wait(start + 1000 * SECOND);
        assert_eq!(flow.bound(), Some((start + 1029 * SECOND, 30 * SECOND)));
    }
}
