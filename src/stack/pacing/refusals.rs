//! How long a refusal takes: a loop that calls again without waiting is slowed down.
//!
//! Every question brings its own `now`; the row of refusals is one word, so that a crowd of callers needs no lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// So many refusals in a row cost nothing: a caller that tries a few times is no loop.
const CHEAP: u64 = 9;
/// What asks again within this time of the end of the refusal before does not wait.
const NEAR: Duration = Duration::from_millis(100);
const FIRST: Duration = Duration::from_millis(1);
/// Ten refused calls a second are few enough for a loop, and its caller still hears soon that the circuit has closed.
const LONGEST: Duration = Duration::from_millis(100);

/// The refusals in a row of one origin and group.
#[derive(Debug)]
pub(crate) struct Refusals {
    epoch: Instant,
    /// `end of the last, in microseconds after the epoch:56 | how many:8`; zero after an admission.
    row: AtomicU64,
}

const COUNT: u64 = 0xff;

impl Refusals {
    pub(crate) fn new(now: Instant) -> Refusals {
        Refusals { epoch: now, row: AtomicU64::new(0) }
    }

    /// An admission ends the row.
    #[inline]
    pub(crate) fn end(&self) {
        if self.row.load(Ordering::Relaxed) != 0 {
            self.row.store(0, Ordering::Relaxed);
        }
    }

    /// One more refusal, of a call that asked at `now`, if it is one that costs nothing.
    #[inline]
    pub(crate) fn at_once(&self, now: Instant) -> bool {
        let now = self.micros(now);
        let cheap = |row| Some(next(row, now)).filter(|(_, takes)| takes.is_zero()).map(|(row, _)| row);
        self.row.fetch_update(Ordering::Relaxed, Ordering::Relaxed, cheap).is_ok()
    }

    /// One more refusal, of a call that asked at `now`: how long it takes.
    pub(crate) fn slow_down(&self, now: Instant) -> Duration {
        let now = self.micros(now);
        let mut takes = Duration::ZERO;
        let counted = |row| {
            let (row, this) = next(row, now);
            takes = this;
            Some(row)
        };
        // It cannot fail: there is always a next row.
        let _ = self.row.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
        takes
    }

    fn micros(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_micros()).unwrap_or(u64::MAX)
            & (u64::MAX >> 8)
    }
}

/// The row with one more refusal, asked for at `now`, and how long that takes.
fn next(row: u64, now: u64) -> (u64, Duration) {
    let (end, count) = (row >> 8, row & COUNT);
    let near = count > 0 && now <= end.saturating_add(NEAR.as_micros() as u64);
    let count = if near { (count + 1).min(COUNT) } else { 1 };
    let takes = match count.checked_sub(CHEAP + 1) {
        None => Duration::ZERO,
        Some(more) => FIRST.saturating_mul(1 << more.min(16)).min(LONGEST),
    };
    let ends = now.saturating_add(takes.as_micros() as u64);
    // Callers are slowed down each by itself: the row ends with the last of them.
    let ends = if near { ends.max(end) } else { ends };
    (ends << 8 | count, takes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_tenth_refusal_in_a_row_takes_a_millisecond_and_each_further_one_twice_as_long_up_to_a_hundred() {
        let mut now = Instant::now();
        let refusals = Refusals::new(now);
        let mut took = Vec::new();
        for _ in 0..20 {
            let takes = refusals.slow_down(now);
            now += takes;
            took.push(takes.as_millis());
        }
        assert_eq!(took[..9], [0; 9]);
        assert_eq!(took[9..], [1, 2, 4, 8, 16, 32, 64, 100, 100, 100, 100]);
    }

    #[test]
    fn a_caller_that_waits_a_tenth_of_a_second_after_a_refusal_is_no_loop() {
        let start = Instant::now();
        for (pause, slow) in [(100 * MS, true), (101 * MS, false)] {
            let refusals = Refusals::new(start);
            let mut now = start;
            let took: Duration = (0..30)
                .map(|_| {
                    let takes = refusals.slow_down(now);
                    now += takes + pause;
                    takes
                })
                .sum();
            assert_eq!(!took.is_zero(), slow, "{pause:?}");
        }
    }

    #[test]
    fn the_end_of_a_slow_refusal_counts_not_its_beginning() {
        let start = Instant::now();
        let refusals = Refusals::new(start);
        for _ in 0..30 {
            refusals.slow_down(start);
        }
        // They end at 100 ms; asked within 100 ms of that.
        assert_eq!(refusals.slow_down(start + 200 * MS), LONGEST);
        assert_eq!(refusals.slow_down(start + 401 * MS), Duration::ZERO);
    }

    #[test]
    fn an_admission_ends_the_row() {
        let now = Instant::now();
        let refusals = Refusals::new(now);
        for _ in 0..9 {
            assert!(refusals.at_once(now));
        }
        assert!(!refusals.at_once(now), "the tenth has to be made the slow way");
        assert!(!refusals.at_once(now), "and was not counted by asking");
        assert_eq!(refusals.slow_down(now), FIRST);
        refusals.end();
        assert!(refusals.at_once(now));
    }

    #[test]
    fn a_row_of_any_length_and_a_clock_of_any_age_keep_to_the_longest() {
        let start = Instant::now();
        let refusals = Refusals::new(start);
        let far = start + Duration::from_secs(300 * 365 * 24 * 3600);
        for now in [start, far] {
            for _ in 0..9 {
                assert_eq!(refusals.slow_down(now), Duration::ZERO);
            }
            for _ in 0..1000 {
                assert!((FIRST..=LONGEST).contains(&refusals.slow_down(now)));
            }
        }
    }
}
