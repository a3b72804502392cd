//! When a body counts as stalled. Pure: it is told what happened and when.

use crate::duration::human;
use crate::error::{Bytes, Error, ErrorKind, Phase};
use std::time::Duration;
use tokio::time::Instant;

/// What a body fell short of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stall {
    /// No byte in this time.
    Idle(Duration),
    /// Fewer bytes than these in this time.
    Slow(u64, Duration),
}

impl Stall {
    pub(crate) fn error(self, received: u64) -> Error {
        let error = match self {
            Stall::Idle(limit) => Error::new(ErrorKind::Stall, "").limit(limit),
            Stall::Slow(least, per) => {
                let detail = format!(
                    "the response body is too slow: less than {} in {:#}, after {}",
                    Bytes(least),
                    human(per),
                    Bytes(received)
                );
                Error::new(ErrorKind::Stall, detail).limit(per)
            }
        };
        error.at(Phase::Body).received(received)
    }
}

/// Watches one body: the idle bound, and the least progress if one is asked for.
///
/// Only time in which somebody waits for the body counts. A consumer that comes back late finds its bytes, not an
/// error.
#[derive(Debug)]
pub(crate) struct Flow {
    waiting_since: Option<Instant>,
    received: u64,
    /// Where the least progress is asked for, which most do not.
    progress: Option<Box<Progress>>,
}

/// Of the current span of least progress.
#[derive(Debug)]
struct Progress {
    least: u64,
    per: Duration,
    waited: Duration,
    gained: u64,
}

impl Progress {
    fn got(&mut self, bytes: u64, waited: Duration) {
        self.waited += waited;
        if self.is_enough() {
            // The span before had what it needed; this belongs to the one that followed.
            (self.waited, self.gained) = (self.waited - self.per, 0);
        }
        self.gained = self.gained.saturating_add(bytes);
        if self.is_enough() {
            (self.waited, self.gained) = (Duration::ZERO, 0);
        }
    }

    fn is_enough(&self) -> bool {
        self.waited >= self.per && self.gained >= self.least
    }

    fn bound(&self, since: Instant) -> (Instant, Stall) {
        let rest = self.per.saturating_sub(self.waited);
        // A span that has its bytes is followed by one that has none yet.
        let rest = if self.gained < self.least { rest } else { rest + self.per };
        (since + rest, Stall::Slow(self.least, self.per))
    }
}

impl Flow {
    #[inline]
    pub(crate) fn new(least: Option<(u64, Duration)>) -> Flow {
        let progress = |(least, per)| Box::new(Progress { least, per, waited: Duration::ZERO, gained: 0 });
        Flow { waiting_since: None, received: 0, progress: least.map(progress) }
    }

    /// How many bytes have come.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// How long nothing has come for, while it was waited for.
    pub(crate) fn silent_for(&self, now: Instant) -> Duration {
        self.waiting_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
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
    #[inline]
    pub(crate) fn got(&mut self, bytes: usize, now: Instant) {
        self.received += bytes as u64;
        let since = self.waiting_since.take();
        if let Some(progress) = &mut self.progress {
            let waited = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
            progress.got(bytes as u64, waited);
        }
    }

    /// When the wait under way becomes a stall, and what it falls short of then. `idle`: the longest silence, if that has a
    /// limit.
    pub(crate) fn bound(&self, idle: Option<Duration>) -> Option<(Instant, Stall)> {
        let since = self.waiting_since?;
        let idle = idle.map(|idle| (since + idle, Stall::Idle(idle)));
        let least = self.progress.as_ref().map(|progress| progress.bound(since));
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
        let mut flow = Flow::new(None);
        assert_eq!(flow.bound(Some(10 * SECOND)), None);
        flow.wait(start);
        flow.wait(start + 5 * SECOND);
        assert_eq!(flow.bound(Some(10 * SECOND)), Some((start + 10 * SECOND, Stall::Idle(10 * SECOND))));
        flow.got(1, start + 6 * SECOND);
        assert_eq!(flow.bound(Some(10 * SECOND)), None, "nobody is waiting");
        flow.wait(start + 60 * SECOND);
        assert_eq!(flow.bound(Some(10 * SECOND)), Some((start + 70 * SECOND, Stall::Idle(10 * SECOND))));
    }

    #[test]
    fn how_much_has_come_and_since_when_nothing_comes_is_known() {
        let start = Instant::now();
        let mut flow = Flow::new(None);
        let seen =
            |flow: &Flow, at: u32| (flow.received(), flow.is_waiting(), flow.silent_for(start + at * SECOND));
        assert_eq!(seen(&flow, 1), (0, false, Duration::ZERO));
        flow.wait(start + SECOND);
        assert_eq!(seen(&flow, 4), (0, true, 3 * SECOND));
        flow.got(10, start + 4 * SECOND);
        flow.got(5, start + 4 * SECOND);
        assert_eq!(seen(&flow, 9), (15, false, Duration::ZERO));
    }

    #[test]
    fn a_drip_that_never_idles_still_falls_short_of_the_least_progress() {
        let start = Instant::now();
        let mut flow = Flow::new(Some((100, 30 * SECOND)));
        for n in 0..6 {
            flow.wait(start + n * 5 * SECOND);
            flow.got(1, start + (n + 1) * 5 * SECOND);
        }
        flow.wait(start + 30 * SECOND);
        assert_eq!(flow.bound(Some(10 * SECOND)), Some((start + 30 * SECOND, Stall::Slow(100, 30 * SECOND))));
    }

    #[test]
    fn time_in_which_nobody_waits_is_not_held_against_the_body() {
        let start = Instant::now();
        let mut flow = Flow::new(Some((100, 30 * SECOND)));
        flow.wait(start);
        flow.got(10, start + SECOND);
        flow.wait(start + 1000 * SECOND);
        assert_eq!(flow.bound(None), Some((start + 1029 * SECOND, Stall::Slow(100, 30 * SECOND))));
    }

    #[test]
    fn a_span_that_had_its_bytes_leaves_the_next_one_to_be_waited_for() {
        let start = Instant::now();
        let mut flow = Flow::new(Some((100, 4 * SECOND)));
        flow.wait(start);
        flow.got(500, start + SECOND);
        flow.wait(start + SECOND);
        let bound = |at: u32| Some((start + at * SECOND, Stall::Slow(100, 4 * SECOND)));
        assert_eq!(flow.bound(None), bound(8), "the first span is paid for, the second is not");
        flow.got(50, start + 6 * SECOND);
        flow.wait(start + 6 * SECOND);
        assert_eq!(flow.bound(None), bound(8));
        flow.got(50, start + 7 * SECOND);
        flow.wait(start + 7 * SECOND);
        assert_eq!(flow.bound(None), bound(12));
    }
}
