//! What came of a day for one client.

use crate::days::{Day, seconds};
use crate::server::Seen;
use std::time::Duration;

/// How a call ended, and when since the start of its run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) at: Duration,
    pub(crate) ok: bool,
}

/// The sum of all runs of a day.
#[derive(Clone, Debug, Default)]
pub(crate) struct Score {
    pub(crate) calls: u64,
    /// Calls that got their answer within their deadline.
    pub(crate) succeeded: u64,
    /// Calls for which nothing was sent.
    pub(crate) refused: u64,
    /// Requests that arrived at the server.
    pub(crate) sent: u64,
    /// Of these, the ones that were answered by 429.
    pub(crate) throttled: u64,
    /// The most requests that arrived while the server was away, of all such times.
    pub(crate) sent_away: u64,
    /// The calls that are made in such a time.
    pub(crate) offered_away: f64,
    /// From the server's return to the next answer, at worst; `None` where it never was away.
    pub(crate) back: Option<Duration>,
}

impl Score {
    pub(crate) fn success(&self) -> f64 {
        self.succeeded as f64 / self.calls.max(1) as f64
    }

    pub(crate) fn sent_per_call(&self) -> f64 {
        self.sent as f64 / self.calls.max(1) as f64
    }

    /// Adds a run: its calls by their numbers, what the server saw of it, and when it was away.
    pub(crate) fn add(&mut self, day: &Day, calls: &[Ended], seen: &Seen, away: &[(Duration, Duration)]) {
        self.calls += calls.len() as u64;
        self.succeeded += calls.iter().filter(|call| call.ok).count() as u64;
        let unsent = |n: usize| seen.attempts.get(n).is_none_or(|attempts| *attempts == 0);
        self.refused += calls.iter().enumerate().filter(|(n, call)| !call.ok && unsent(*n)).count() as u64;
        self.sent += seen.requests;
        self.throttled += seen.throttled;
        self.sent_away = seen.while_away.iter().copied().fold(self.sent_away, u64::max);
        let mut answers: Vec<Duration> = calls.iter().filter(|call| call.ok).map(|call| call.at).collect();
        answers.sort_unstable();
        for (from, back) in away {
            self.offered_away = self.offered_away.max(day.rate * (*back - *from).as_secs_f64());
            // Near the end of the day there may be no call left to find the server well.
            if *back + TO_COME_BACK > seconds(day.length) {
                continue;
            }
            let next = answers.get(answers.partition_point(|answer| answer < back));
            let took = next.map_or(Duration::MAX, |answer| *answer - *back);
            self.back = self.back.max(Some(took));
        }
    }
}

/// How long before the end of a day a return must come to be looked at.
const TO_COME_BACK: Duration = Duration::from_secs(30);
