//! The places for probes while half-open, each held on a lease.

use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
struct Held {
    id: u32,
    end: Instant,
    records: bool,
}

/// The first lease that ran out on a call whose silence is evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) at: Instant,
    pub(crate) hung: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Slots {
    held: Vec<Held>,
    last: u32,
}

impl Slots {
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// Never 0, and never one that is still held.
    pub(crate) fn take(&mut self, end: Instant, records: bool) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1);
            let id = self.last;
            if id != 0 && self.held.iter().all(|held| held.id != id) {
                self.held.push(Held { id, end, records });
                return id;
            }
        }
    }

    /// Whether it was still held.
    pub(crate) fn free(&mut self, id: u32) -> bool {
        let held = self.held.iter().position(|held| held.id == id);
        held.map(|at| self.held.swap_remove(at)).is_some()
    }

    pub(crate) fn clear(&mut self) {
        self.held.clear();
    }

    pub(crate) fn earliest_end(&self) -> Option<Instant> {
        self.held.iter().map(|held| held.end).min()
    }

    /// Ends what is over by now. A long poll leaves without a word; the first other one ends the round, and those
    /// that would have followed it are no longer there to run out.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Due> {
        let over = self.held.iter().filter(|held| held.records && held.end <= now);
        if let Some(at) = over.map(|held| held.end).min() {
            let hung = self.held.iter().filter(|held| held.records && held.end == at).count();
            return Some(Due { at, hung: hung as u64 });
        }
        self.held.retain(|held| held.end > now);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_never_zero_and_never_one_that_is_held_also_where_numbers_wrap_round() {
        let now = Instant::now();
        let held = Held { id: 1, end: now, records: true };
        let mut slots = Slots { held: vec![held], last: u32::MAX - 1 };
        assert_eq!([slots.take(now, true), slots.take(now, true), slots.take(now, true)], [u32::MAX, 2, 3]);
        assert!(slots.free(1) && !slots.free(1));
        assert_eq!(slots.len(), 3);
    }
}
