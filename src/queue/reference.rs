//! The queue once more, written for reading: one list in the order of arrival, and everything counted anew.

use crate::queue::values::{Counts, Why};

pub(super) struct Entry {
    pub(super) key: u8,
    pub(super) value: u32,
    pub(super) at: u64,
}

/// Times are milliseconds.
pub(super) struct Reference {
    pub(super) max_age: u64,
    pub(super) capacity: usize,
    pub(super) per_key: usize,
    /// Share, window, and how many have to have left.
    pub(super) valve: Option<(f64, u64, usize)>,
    pub(super) list: Vec<Entry>,
    /// Whose turn it is: keys that had something to serve when they were last looked at.
    turns: Vec<u8>,
    pub(super) counts: Counts,
    pub(super) closed: bool,
    /// (when, whether it expired) of everything that was served or expired.
    ends: Vec<(u64, bool)>,
    holding: Option<u64>,
}

impl Reference {
    pub(super) fn new(
        max_age: u64,
        capacity: usize,
        per_key: usize,
        valve: Option<(f64, u64, usize)>,
    ) -> Self {
        Reference {
            max_age,
            capacity,
            per_key,
            valve,
            list: Vec::new(),
            turns: Vec::new(),
            counts: Counts::default(),
            closed: false,
            ends: Vec::new(),
            holding: None,
        }
    }

    fn fresh(&self, entry: &Entry, now: u64) -> bool {
        now - entry.at <= self.max_age
    }

    pub(super) fn push(&mut self, key: u8, value: u32, now: u64) -> Option<Why> {
        self.counts.pushed += 1;
        let why = if self.closed {
            Why::Closed
        } else if self.list.len() >= self.capacity {
            Why::Full
        } else if self.list.iter().filter(|e| e.key == key).count() >= self.per_key {
            Why::KeyFull
        } else {
            self.list.push(Entry { key, value, at: now });
            if !self.turns.contains(&key) {
                self.turns.push(key);
            }
            return None;
        };
        self.counts.refused += 1;
        Some(why)
    }

    pub(super) fn pop(&mut self, now: u64) -> Option<(u8, u32)> {
        while !self.turns.is_empty() {
            let key = self.turns.remove(0);
            let found = self.list.iter().position(|e| e.key == key && self.fresh(e, now));
            let Some(found) = found else { continue };
            let entry = self.list.remove(found);
            if self.list.iter().any(|e| e.key == key && self.fresh(e, now)) {
                self.turns.push(key);
            }
            self.counts.served += 1;
            self.ends.push((now, false));
            return Some((entry.key, entry.value));
        }
        None
    }

    /// What expired, or how many are held.
    pub(super) fn sweep(&mut self, now: u64) -> Result<Vec<u32>, usize> {
        let late = self.list.iter().filter(|e| !self.fresh(e, now)).count();
        let list = &self.list;
        let max_age = self.max_age;
        self.turns.retain(|key| list.iter().any(|e| e.key == *key && now - e.at <= max_age));
        if let Some((share, window, at_least)) = self.valve {
            let recent = |kind| self.ends.iter().filter(|(at, k)| *k == kind && now - at < window).count();
            let would = recent(true) + late;
            let of = would + recent(false);
            if late > 0 && of >= at_least && would as f64 > share * of as f64 {
                let since = *self.holding.get_or_insert(now);
                if now - since < window {
                    return Err(late);
                }
            } else {
                self.holding = None;
            }
        }
        let (fresh, late): (Vec<_>, Vec<_>) = self.list.drain(..).partition(|e| now - e.at <= max_age);
        self.list = fresh;
        self.ends.extend(late.iter().map(|_| (now, true)));
        self.counts.expired += late.len() as u64;
        Ok(late.into_iter().map(|e| e.value).collect())
    }

    pub(super) fn take(&mut self, of: Option<u8>) -> Vec<u32> {
        let (taken, left): (Vec<_>, Vec<_>) =
            self.list.drain(..).partition(|e| of.is_none_or(|key| e.key == key));
        self.list = left;
        self.turns.retain(|key| of.is_some_and(|of| of != *key));
        match of {
            Some(_) => self.counts.dropped += taken.len() as u64,
            None => {
                self.counts.drained += taken.len() as u64;
                self.holding = None;
            }
        }
        taken.into_iter().map(|e| e.value).collect()
    }
}
