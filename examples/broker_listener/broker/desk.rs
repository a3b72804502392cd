//! What the broker knows: tokens, sessions, and each job until it is acquired. Pure: time is an argument.

use super::journal::{Entry, Past};
use http::StatusCode;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// A job that was delivered and not acquired is delivered again after this time.
const AGAIN: Duration = Duration::from_secs(1);
/// Jobs that wait. Beyond them no new ones are made.
const MOST_WAITING: usize = 1000;
/// Acquisitions that are known by their keys, and sessions and tokens that are valid.
const REMEMBERED: usize = 1024;

#[derive(Debug)]
pub(super) struct Desk {
    every: Duration,
    /// How many jobs there will be.
    most: u64,
    made: u64,
    next_at: Instant,
    /// Jobs that nobody has acquired, and when each may be delivered next.
    waiting: BTreeMap<u64, Instant>,
    /// Who has acquired what: its key.
    acquired: VecDeque<(u64, String)>,
    /// Tokens and sessions by number, from these on.
    names: VecDeque<(u64, &'static str, String)>,
    named: u64,
}

/// A job's delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) job: u64,
    pub(super) after: Duration,
}

impl Desk {
    pub(super) fn new(past: Past, every: Duration, most: Option<u64>, now: Instant) -> Desk {
        let mut acquired: VecDeque<_> = past.acquired.into_iter().collect();
        while acquired.len() > REMEMBERED {
            acquired.pop_front();
        }
        Desk {
            every,
            most: most.unwrap_or(u64::MAX),
            made: past.made,
            next_at: now + every,
            waiting: past.waiting.into_iter().map(|job| (job, now)).collect(),
            acquired,
            names: VecDeque::new(),
            named: 0,
        }
    }

    /// A new token or session, for as long as this process lives. With the same key it is the same.
    pub(super) fn name(&mut self, kind: &'static str, key: Option<&str>) -> String {
        let key = key.unwrap_or_default();
        let known = |(_, of, by): &&(u64, &'static str, String)| *of == kind && !key.is_empty() && by == key;
        if let Some((n, ..)) = self.names.iter().find(known) {
            return format!("{kind}-{n}");
        }
        if self.names.len() == REMEMBERED {
            self.names.pop_front();
        }
        self.named += 1;
        self.names.push_back((self.named, kind, key.to_owned()));
        format!("{kind}-{}", self.named)
    }

    pub(super) fn knows(&self, kind: &'static str, name: &str) -> bool {
        self.names.iter().any(|(n, of, _)| *of == kind && format!("{kind}-{n}") == name)
    }

    pub(super) fn forget(&mut self, kind: &'static str, name: &str) {
        self.names.retain(|(n, of, _)| *of != kind || format!("{kind}-{n}") != name);
    }

    /// The job for one who waits for at most `hold`. It is delivered to nobody else for a while.
    pub(super) fn deliver(
        &mut self,
        now: Instant,
        hold: Duration,
        entries: &mut Vec<Entry>,
    ) -> Option<Delivery> {
        while self.next_at <= now && self.make(entries) {}
        let until = now + hold;
        let earliest = |desk: &Desk| desk.waiting.iter().map(|(job, at)| (*at, *job)).min();
        let due = earliest(self).filter(|(at, _)| *at <= self.next_at);
        if due.is_none() && self.next_at <= until {
            self.make(entries);
        }
        let (at, job) = earliest(self).filter(|(at, _)| *at <= until)?;
        let after = at.saturating_duration_since(now);
        self.waiting.insert(job, now + after + AGAIN);
        Some(Delivery { job, after })
    }

    /// The next job, from its time on.
    fn make(&mut self, entries: &mut Vec<Entry>) -> bool {
        if self.made >= self.most || self.waiting.len() >= MOST_WAITING {
            return false;
        }
        self.made += 1;
        self.waiting.insert(self.made, self.next_at);
        self.next_at += self.every;
        entries.push(Entry::Queued(self.made));
        true
    }

    /// What is said to one who wants this job. The same key is told the same again.
    pub(super) fn acquire(&mut self, job: u64, key: &str, entries: &mut Vec<Entry>) -> StatusCode {
        if let Some((_, by)) = self.acquired.iter().find(|(known, _)| *known == job) {
            return if !key.is_empty() && by == key { StatusCode::OK } else { StatusCode::CONFLICT };
        }
        if self.waiting.remove(&job).is_none() {
            return StatusCode::NOT_FOUND;
        }
        if self.acquired.len() == REMEMBERED {
            self.acquired.pop_front();
        }
        self.acquired.push_back((job, key.to_owned()));
        entries.push(Entry::Acquired(job, key.to_owned()));
        StatusCode::OK
    }
}
