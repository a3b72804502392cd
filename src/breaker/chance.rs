//! How long a run of failures chance makes, at the share of failures of about the last minute.

use std::time::Duration;
use tokio::time::Instant;

/// A result that is this old weighs 1/e of a new one.
const MEMORY: Duration = Duration::from_secs(60);
/// As many successes that never were: a handful of results says little, and an old bad hour is forgotten.
const CALM: f64 = 10.0;
/// A run that chance makes less often than this is no chance.
const RARE: f64 = 1e-6;
/// However bad things were, this many failures in a row are enough.
const MOST: u32 = 60;

/// Results, each weighted by its age. The failures of a run are apart until a success ends it: whether they were chance
/// is what is asked.
#[derive(Clone, Debug)]
pub(crate) struct Chance {
    all: f64,
    failed: f64,
    run: f64,
    /// The moment that the weights are of.
    at: Instant,
}

impl Chance {
    pub(crate) fn new(now: Instant) -> Chance {
        Chance { all: 0.0, failed: 0.0, run: 0.0, at: now }
    }

    pub(crate) fn failed(&mut self, now: Instant) {
        self.age(now);
        self.run += 1.0;
    }

    pub(crate) fn succeeded(&mut self, now: Instant) {
        self.age(now);
        self.all += 1.0 + self.run;
        self.failed += self.run;
        self.run = 0.0;
    }

    /// Successes that came outside of a run, the last of them at this moment, which may be a while ago.
    pub(crate) fn add_successes(&mut self, n: u64, last: Instant) {
        self.age(last);
        self.all += n as f64 * weight(self.at.saturating_duration_since(last));
    }

    /// The run opened the circuit, or was called off: it was no chance.
    pub(crate) fn drop_run(&mut self) {
        self.run = 0.0;
    }

    /// The shortest run that is longer than chance explains; `least` or more.
    pub(crate) fn needed(&mut self, least: u32, now: Instant) -> u32 {
        self.age(now);
        let share = self.failed / (self.all + CALM);
        // Never 1, since some never failed. No failure at all has a logarithm of minus infinity, and a run of 0.
        let run = (RARE.ln() / share.ln()).ceil();
        (run as u32).clamp(least, MOST.max(least))
    }

    fn age(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.at);
        if !age.is_zero() {
            let weight = weight(age);
            self.all *= weight;
            self.failed *= weight;
            self.run *= weight;
            self.at = now;
        }
    }
}

fn weight(age: Duration) -> f64 {
    (-age.as_secs_f64() / MEMORY.as_secs_f64()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// One result a second, good or not.
    fn minutes(of: impl Fn(u64) -> bool) -> (Chance, Instant) {
        let mut now = Instant::now();
        let mut chance = Chance::new(now);
        for n in 0..300 {
            now += secs(1);
            if of(n) { chance.succeeded(now) } else { chance.failed(now) }
        }
        (chance, now)
    }

    #[test]
    fn the_more_calls_fail_the_longer_a_run_has_to_be_up_to_sixty() {
        for ((mut chance, now), needed) in [
            (minutes(|_| true), 5),
            (minutes(|n| n % 10 != 0), 6),
            (minutes(|n| n % 3 != 0), 11),
            (minutes(|n| n % 2 != 0), 17),
            (minutes(|n| n % 10 == 9), 52),
            (minutes(|n| n % 50 == 49), 60),
        ] {
            assert_eq!(chance.needed(5, now), needed, "{chance:?}");
            assert_eq!(chance.needed(100, now), 100);
        }
    }

    #[test]
    fn a_run_counts_once_it_has_ended_and_an_hour_of_silence_forgets_all() {
        let (mut chance, mut now) = minutes(|n| n != 299);
        (0..100).for_each(|_| chance.failed(now));
        assert_eq!(chance.needed(5, now), 5);
        chance.succeeded(now);
        assert!(chance.needed(5, now) > 20);
        now += secs(3_600);
        assert_eq!(chance.needed(5, now), 5);
    }

    #[test]
    fn successes_that_are_told_later_weigh_what_their_age_says() {
        let start = Instant::now();
        let (mut at_once, mut later) = (Chance::new(start), Chance::new(start));
        for chance in [&mut at_once, &mut later] {
            (0..30).for_each(|_| chance.failed(start));
            chance.succeeded(start);
        }
        at_once.add_successes(50, start + secs(30));
        for chance in [&mut at_once, &mut later] {
            chance.failed(start + secs(60));
        }
        later.add_successes(50, start + secs(30));
        assert!((at_once.all - later.all).abs() < 1e-9, "{at_once:?} {later:?}");
        assert_eq!(at_once.failed, later.failed);
    }
}
