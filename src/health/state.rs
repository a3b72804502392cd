//! What is known about the health of an origin. Pure: `now` is an argument.

use std::time::Duration;
use tokio::time::Instant;

/// How long the first "down" lives; each further one lives twice as long, up to the interval.
const DOWN: Duration = Duration::from_secs(1);

/// The last verdict and how long it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    interval: Duration,
    known: Known,
    /// Since the first of the failed checks that were not followed by a passed one.
    down_since: Option<Instant>,
    lives: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Nothing,
    Healthy { until: Instant },
    Down { until: Instant },
}

/// What a caller does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    Go,
    Refuse { since: Duration, retry_in: Duration },
    Check,
}

impl Verdict {
    pub(crate) fn new(interval: Duration) -> Verdict {
        Verdict { interval, known: Known::Nothing, down_since: None, lives: Duration::ZERO }
    }

    pub(crate) fn ask(&self, now: Instant) -> Advice {
        match self.known {
            Known::Healthy { until } if now < until => Advice::Go,
            Known::Down { until } if now < until => {
                Advice::Refuse { since: self.down_for(now), retry_in: until - now }
            }
            _ => Advice::Check,
        }
    }

    pub(crate) fn passed(&mut self, now: Instant) {
        self.known = Known::Healthy { until: now + self.interval };
        self.down_since = None;
        self.lives = Duration::ZERO;
    }

    pub(crate) fn failed(&mut self, now: Instant) {
        self.down_since.get_or_insert(now);
        let next = if self.lives.is_zero() { DOWN } else { self.lives.saturating_mul(2) };
        self.lives = next.min(self.interval);
        self.known = Known::Down { until: now + self.lives };
    }

    /// What is known is too old to go by; for how long it has been down stays known.
    pub(crate) fn forget(&mut self) {
        self.known = Known::Nothing;
    }

    pub(crate) fn is_down(&self) -> bool {
        self.down_since.is_some()
    }

    pub(crate) fn down_for(&self, now: Instant) -> Duration {
        self.down_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// The end of the verdict, where it was "healthy" and nothing has taken it back.
    pub(crate) fn healthy_until(&self) -> Option<Instant> {
        match self.known {
            Known::Healthy { until } => Some(until),
            Known::Nothing | Known::Down { .. } => None,
        }
    }

    /// When the next check is due; `None` where it is due now.
    pub(crate) fn next_check(&self) -> Option<Instant> {
        match self.known {
            Known::Nothing => None,
            Known::Healthy { until } | Known::Down { until } => Some(until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn healthy_lives_the_interval() {
        let start = Instant::now();
        let mut verdict = Verdict::new(30 * SECOND);
        assert_eq!(verdict.ask(start), Advice::Check);
        verdict.passed(start);
        assert_eq!(verdict.ask(start + 30 * SECOND - Duration::from_nanos(1)), Advice::Go);
        assert_eq!(verdict.ask(start + 30 * SECOND), Advice::Check);
    }

    #[test]
    fn down_lives_one_second_doubling_to_the_interval() {
        let mut now = Instant::now();
        let start = now;
        let mut verdict = Verdict::new(30 * SECOND);
        for lives in [1, 2, 4, 8, 16, 30, 30] {
            verdict.failed(now);
            assert_eq!(verdict.ask(now), Advice::Refuse { since: now - start, retry_in: lives * SECOND });
            now += lives * SECOND;
            assert_eq!(verdict.ask(now), Advice::Check);
        }
        verdict.passed(now);
        verdict.failed(now + SECOND);
        assert_eq!(
            verdict.ask(now + SECOND),
            Advice::Refuse { since: Duration::ZERO, retry_in: SECOND },
            "a passed check starts over"
        );
    }

    #[test]
    fn a_forgotten_verdict_is_checked_and_remembers_since_when_it_is_down() {
        let start = Instant::now();
        let mut verdict = Verdict::new(30 * SECOND);
        verdict.failed(start);
        verdict.forget();
        assert_eq!(verdict.ask(start), Advice::Check);
        assert!(verdict.is_down());
        assert_eq!(verdict.down_for(start + 5 * SECOND), 5 * SECOND);
    }

    #[test]
    fn the_next_check_is_due_when_the_verdict_is_over() {
        let start = Instant::now();
        let mut verdict = Verdict::new(30 * SECOND);
        assert_eq!(verdict.next_check(), None);
        verdict.failed(start);
        assert_eq!(verdict.next_check(), Some(start + SECOND));
        verdict.passed(start + SECOND);
        assert_eq!(verdict.next_check(), Some(start + 31 * SECOND));
        verdict.forget();
        assert_eq!(verdict.next_check(), None);
    }
}
