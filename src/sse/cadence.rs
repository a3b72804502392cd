//! What silence is too long: learnt from the rhythm in which the server shows that it is there.
//!
//! Pure: it is told what happened and when.

use std::time::Duration;
use tokio::time::Instant;

/// Comments closer together than this are one beat: servers greet with more than one line.
const ONE_BEAT: Duration = Duration::from_secs(1);
/// So many beats may be missed.
const FACTOR: u32 = 3;
/// The longest that is learnt.
const MOST: Duration = Duration::from_secs(600);
/// So many of the last intervals are looked at; the longest counts.
const MEMORY: usize = 8;

/// The idle bound of one stream.
#[derive(Debug)]
pub(crate) struct Cadence {
    /// As long as nothing is learnt.
    idle: Duration,
    /// Nothing shorter is believed: what was learnt and turned out to be too short.
    least: Duration,
    beat: Option<Instant>,
    intervals: [Duration; MEMORY],
    known: usize,
}

impl Cadence {
    pub(crate) fn new(idle: Duration) -> Cadence {
        Cadence { idle, least: Duration::ZERO, beat: None, intervals: [Duration::ZERO; MEMORY], known: 0 }
    }

    /// A new connection, perhaps to another server: what was learnt of the one before does not hold.
    pub(crate) fn connected(&mut self) {
        (self.beat, self.known) = (None, 0);
    }

    /// A comment came.
    pub(crate) fn beat(&mut self, now: Instant) {
        if let Some(last) = self.beat {
            let interval = now.saturating_duration_since(last);
            if interval < ONE_BEAT {
                return;
            }
            self.intervals[self.known % MEMORY] = interval;
            self.known += 1;
        }
        self.beat = Some(now);
    }

    /// The longest silence that is none yet: three times the cadence after two beats.
    pub(crate) fn bound(&self) -> Duration {
        let known = &self.intervals[..self.known.min(MEMORY)];
        match known.iter().max() {
            None => self.idle,
            Some(&longest) => {
                let most = MOST.max(self.idle);
                longest.saturating_mul(FACTOR).max(self.least).min(most)
            }
        }
    }

    /// The bound was reached. Should it have been learnt from what was no rhythm, the next one is twice as long, up to
    /// where it would be without having learnt anything: a wrong guess cannot end one healthy connection after another.
    pub(crate) fn struck(&mut self) {
        if self.known > 0 {
            self.least = self.bound().saturating_mul(2).min(self.idle.max(self.least));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The bound after beats at these seconds.
    fn after(cadence: &mut Cadence, beats: &[u64]) -> Duration {
        let start = Instant::now();
        for beat in beats {
            cadence.beat(start + SECOND * u32::try_from(*beat).unwrap());
        }
        cadence.bound()
    }

    #[test]
    fn it_is_dormant_until_two_beats_and_then_three_times_the_cadence() {
        let mut cadence = Cadence::new(60 * SECOND);
        assert_eq!(after(&mut cadence, &[]), 60 * SECOND);
        assert_eq!(after(&mut cadence, &[10]), 60 * SECOND);
        let mut cadence = Cadence::new(60 * SECOND);
        assert_eq!(after(&mut cadence, &[10, 15]), 15 * SECOND);
        let mut cadence = Cadence::new(60 * SECOND);
        assert_eq!(after(&mut cadence, &[0, 30, 60]), 90 * SECOND);
    }

    #[test]
    fn the_longest_of_the_last_intervals_counts() {
        let mut cadence = Cadence::new(60 * SECOND);
        assert_eq!(after(&mut cadence, &[0, 5, 25, 30]), 60 * SECOND);
        let mut cadence = Cadence::new(60 * SECOND);
        assert_eq!(after(&mut cadence, &[0, 20, 25, 30, 35, 40, 45, 50, 55, 60]), 15 * SECOND);
    }

    #[test]
    fn a_greeting_of_many_comments_is_one_beat() {
        let mut cadence = Cadence::new(60 * SECOND);
        assert_eq!(after(&mut cadence, &[0, 0, 0]), 60 * SECOND);
        let mut cadence = Cadence::new(60 * SECOND);
        assert_eq!(after(&mut cadence, &[0, 0, 15]), 45 * SECOND);
    }

    #[test]
    fn every_connection_learns_anew() {
        let mut cadence = Cadence::new(60 * SECOND);
        after(&mut cadence, &[0, 5]);
        cadence.connected();
        assert_eq!(cadence.bound(), 60 * SECOND);
    }

    #[test]
    fn a_bound_that_was_learnt_wrongly_doubles_up_to_the_idle_bound() {
        let mut cadence = Cadence::new(60 * SECOND);
        let mut bounds = Vec::new();
        for _ in 0..6 {
            bounds.push(after(&mut cadence, &[0, 2]).as_secs());
            cadence.struck();
            cadence.connected();
        }
        assert_eq!(bounds, [6, 12, 24, 48, 60, 60]);
    }

    #[test]
    fn a_server_that_slows_down_without_end_is_not_followed_for_ever() {
        let mut cadence = Cadence::new(60 * SECOND);
        assert_eq!(after(&mut cadence, &[0, 59, 229, 700]), 600 * SECOND);
    }
}
