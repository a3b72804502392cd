//! Whether the machine has slept: then its connections are as good as dead, whatever they say.

use crate::sync::{Mutex, lock};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// More than this between the two clocks is a suspended machine, not an adjusted clock.
const ASLEEP: Duration = Duration::from_secs(30);
/// So often the clocks are compared at most.
const EVERY: Duration = Duration::from_secs(1);

/// What both clocks said at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) monotonic: Instant,
    pub(crate) wall: SystemTime,
}

/// How much longer the time between these moments was by the wall clock, where that is a machine that slept.
///
/// The monotonic clock stands still meanwhile (not on Windows, where nothing is seen). A wall clock that was set
/// forward looks the same and costs new connections; one that was set back says nothing.
pub(crate) fn gap(before: Moment, now: Moment) -> Option<Duration> {
    let wall = now.wall.duration_since(before.wall).unwrap_or_default();
    let monotonic = now.monotonic.saturating_duration_since(before.monotonic);
    let gap = wall.saturating_sub(monotonic);
    (gap > ASLEEP).then_some(gap)
}

/// Compares the clocks when it is asked.
pub(crate) struct Watch {
    wall: WallClock,
    epoch: Instant,
    /// Milliseconds since the epoch.
    next: AtomicU64,
    last: Mutex<Moment>,
}

/// Reads the wall clock.
#[derive(Clone)]
pub(crate) struct WallClock(std::sync::Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl WallClock {
    pub(crate) fn new(read: impl Fn() -> SystemTime + Send + Sync + 'static) -> WallClock {
        WallClock(std::sync::Arc::new(read))
    }
}

impl Default for WallClock {
    #[expect(clippy::disallowed_methods, reason = "the check for a suspended machine")]
    fn default() -> WallClock {
        WallClock::new(SystemTime::now)
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallClock")
    }
}

impl Watch {
    pub(crate) fn new(wall: WallClock) -> Watch {
        let epoch = Instant::now();
        let last = Mutex::new(Moment { monotonic: epoch, wall: (wall.0)() });
        Watch { wall, epoch, next: AtomicU64::new(0), last }
    }

    /// How long the machine slept since this was last asked, and `None` for all but one of those who ask.
    pub(crate) fn slept(&self) -> Option<Duration> {
        let monotonic = Instant::now();
        let ms = monotonic.saturating_duration_since(self.epoch).as_millis() as u64;
        let next = self.next.load(Ordering::Relaxed);
        let after = ms + EVERY.as_millis() as u64;
        if ms < next || self.next.compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return None;
        }
        let now = Moment { monotonic, wall: (self.wall.0)() };
        let before = std::mem::replace(&mut *lock(&self.last), now);
        gap(before, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const SEC: Duration = Duration::from_secs(1);

    #[test]
    fn a_gap_is_more_than_30_seconds_by_which_the_wall_clock_is_ahead() {
        let before = Moment { monotonic: Instant::now(), wall: SystemTime::UNIX_EPOCH + 1000 * SEC };
        let later = |monotonic: u32, wall: u32| Moment {
            monotonic: before.monotonic + monotonic * SEC,
            wall: SystemTime::UNIX_EPOCH + wall * SEC,
        };
        for (monotonic, wall, expected) in [
            (0, 1000, None),
            (3600, 4600, None),
            (1, 1031, None),
            (1, 1032, Some(31 * SEC)),
            (10, 1010 + 8 * 3600, Some(8 * 3600 * SEC)),
            // Set back by an hour, and by more than there is.
            (1, 0, None),
            (100_000, 1000, None),
        ] {
            assert_eq!(gap(before, later(monotonic, wall)), expected, "{monotonic} s, {wall}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_clocks_are_compared_once_a_second_and_a_sleep_is_told_once() {
        let reads = Arc::new(AtomicU64::new(0));
        let ahead = Arc::new(AtomicU64::new(0));
        let (counting, offset) = (Arc::clone(&reads), Arc::clone(&ahead));
        let start = Instant::now();
        let watch = Watch::new(WallClock::new(move || {
            counting.fetch_add(1, Ordering::Relaxed);
            SystemTime::UNIX_EPOCH + start.elapsed() + offset.load(Ordering::Relaxed) as u32 * SEC
        }));
        for _ in 0..1000 {
            assert_eq!(watch.slept(), None);
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        assert_eq!(reads.load(Ordering::Relaxed), 11);
        ahead.store(600, Ordering::Relaxed);
        tokio::time::advance(SEC).await;
        assert_eq!((watch.slept(), watch.slept()), (Some(600 * SEC), None));
        tokio::time::advance(SEC).await;
        assert_eq!(watch.slept(), None);
    }
}
