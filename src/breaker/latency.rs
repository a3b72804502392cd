//! The slowest success of the last minute, which says what silence is still normal.

use std::time::Duration;
use tokio::time::Instant;

const STEP_SECS: u64 = 4;
/// 15 steps are the minute; one more, because a step leaves as a whole and nothing may leave early.
const STEPS: usize = 16;

/// The same of a moment in nanoseconds after the start.
#[inline]
pub(crate) fn step_at(nanos: u64) -> u64 {
    nanos / (STEP_SECS * 1_000_000_000)
}

/// In which step of time a moment lies.
pub(crate) fn step_of(start: Instant, now: Instant) -> u64 {
    now.saturating_duration_since(start).as_secs() / STEP_SECS
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(duration.subsec_nanos()))
}

/// Maxima in nanoseconds per step of time, the newest at `newest % STEPS`.
#[derive(Clone, Debug)]
pub(crate) struct LatencyWindow {
    start: Instant,
    newest: u64,
    slowest: [u64; STEPS],
}

impl LatencyWindow {
    pub(crate) fn new(start: Instant) -> LatencyWindow {
        LatencyWindow { start, newest: 0, slowest: [0; STEPS] }
    }

    pub(crate) fn note(&mut self, now: Instant, took: Duration) {
        let step = step_of(self.start, now);
        if step > self.newest {
            for gone in 0..(step - self.newest).min(STEPS as u64) {
                self.slowest[place(step - gone)] = 0;
            }
            self.newest = step;
        }
        // A result that is a little older than the newest belongs to the newest step: late by a thread switch.
        let slowest = &mut self.slowest[place(self.newest)];
        *slowest = (*slowest).max(nanos(took));
    }

    pub(crate) fn slowest(&self, now: Instant) -> Duration {
        let step = step_of(self.start, now).max(self.newest);
        let oldest = (step + 1).saturating_sub(STEPS as u64);
        let steps = oldest..=self.newest;
        Duration::from_nanos(steps.map(|step| self.slowest[place(step)]).max().unwrap_or(0))
    }

    /// The newest step and its maximum: a success in that step that was no slower changes nothing.
    pub(crate) fn newest(&self) -> (u64, u64) {
        (self.newest, self.slowest[place(self.newest)])
    }
}

fn place(step: u64) -> usize {
    (step % STEPS as u64) as usize
}

/// `step:24 | nanoseconds:40`, the newest step of a pace and its slowest success.
#[derive(Clone, Copy)]
pub(super) struct Hint(pub(super) u64);

const NANOS: u64 = (1 << 40) - 1;

impl Hint {
    pub(super) fn of(pace: &LatencyWindow) -> Hint {
        let (step, slowest) = pace.newest();
        Hint(step << 40 | slowest.min(NANOS))
    }

    /// A success in this step that took no longer is no news. None where it cannot tell, as of another step; not before 2
    /// years would one come round again. Above 18 minutes everything is news.
    #[inline]
    pub(super) fn slowest(self, step: u64) -> Option<Duration> {
        let slowest = (self.0 & NANOS).min(NANOS - 1);
        (self.0 >> 40 == step & 0xff_ffff).then(|| Duration::from_nanos(slowest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every note ever made, each in the newest step there was.
    fn slowest_of_all(notes: &[(u64, Duration)], step: u64) -> Duration {
        let fresh = notes.iter().filter(|(of, _)| of + STEPS as u64 > step);
        fresh.map(|(_, took)| *took).max().unwrap_or_default()
    }

    proptest! {
        #[test]
        fn the_slowest_of_a_minute_is_that_of_a_list_of_all(
            calls in proptest::collection::vec((0u64..90_000, 1u64..10_000), 1..40),
        ) {
            let start = Instant::now();
            let (mut pace, mut now, mut notes) = (LatencyWindow::new(start), start, Vec::new());
            for (idle, took) in calls {
                now += Duration::from_millis(idle);
                let step = step_of(start, now);
                prop_assert_eq!(pace.slowest(now), slowest_of_all(&notes, step));
                let took = Duration::from_millis(took);
                pace.note(now, took);
                notes.push((step, took));
                prop_assert_eq!(pace.slowest(now), slowest_of_all(&notes, step));
                let newest = notes.iter().filter(|(of, _)| *of == step).map(|(_, took)| *took).max();
                prop_assert_eq!(pace.newest(), (step, nanos(newest.unwrap_or_default())));
            }
        }
    }

    #[test]
    fn a_hint_covers_what_is_no_slower_in_its_own_step_and_nothing_that_it_cannot_show() {
        let ns = Duration::from_nanos;
        for slowest in [1, 0xff_ffff_ff00, NANOS - 1, NANOS, NANOS + 1, u64::MAX] {
            let start = Instant::now();
            let mut pace = LatencyWindow::new(start);
            pace.note(start + Duration::from_secs(5 * STEP_SECS), ns(slowest));
            let hint = Hint::of(&pace);
            for took in [0, slowest - 1, slowest, slowest.saturating_add(1), NANOS - 1, NANOS, NANOS + 1] {
                let covers = |step| hint.slowest(step).is_some_and(|slowest| ns(took) <= slowest);
                assert_eq!(covers(5), took <= slowest && took < NANOS, "{took} after {slowest}");
                assert!([4, 6, 1, 13, 0xff_ffff].iter().all(|step| !covers(*step)));
            }
        }
    }
}
