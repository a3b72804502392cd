//! The places while half-open, each held on a lease.

use crate::breaker::values::Place;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
struct Held {
    id: u32,
    end: Instant,
    place: Place,
}

/// The first lease that ran out on a call whose silence is evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) at: Instant,
    pub(crate) hung: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ProbeLeases {
    held: Vec<Held>,
    last: u32,
}

impl ProbeLeases {
    /// Calls in flight that take a place of a probe.
    pub(crate) fn probes(&self) -> usize {
        self.held.iter().filter(|held| held.place != Place::Poll).count()
    }

    /// Never 0, and never one that is still held.
    pub(crate) fn take(&mut self, end: Instant, place: Place) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1);
            let id = self.last;
            if id != 0 && self.held.iter().all(|held| held.id != id) {
                self.held.push(Held { id, end, place });
                return id;
            }
        }
    }

    /// The request of the call goes out, and its lease begins. False where its place is gone.
    pub(crate) fn hand_over(&mut self, id: u32, end: Instant) -> bool {
        let held = self.held.iter_mut().find(|held| held.id == id);
        held.map(|held| {
            held.end = end;
            if held.place == Place::Unsent {
                held.place = Place::Sent;
            }
        })
        .is_some()
    }

    /// The head of its answer is there, and the verdict still to come.
    pub(crate) fn answered(&mut self, id: u32) {
        if let Some(held) = self.held.iter_mut().find(|held| held.id == id) {
            held.place = Place::Answered;
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

    /// When the first of the probes, or of the long polls, is over at the latest.
    pub(crate) fn earliest_end(&self, polls: bool) -> Option<Instant> {
        let held = self.held.iter().filter(|held| (held.place == Place::Poll) == polls);
        held.map(|held| held.end).min()
    }

    /// Whether something is over by now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.held.iter().any(|held| held.end <= now)
    }

    /// Ends what is over by now. A call that was never sent, and a long poll that is parked, leave without a word; the
    /// first other one ends the round, and those that would have followed it are no longer there to run out.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Due> {
        let over = self.held.iter().filter(|held| held.place == Place::Sent && held.end <= now);
        if let Some(at) = over.map(|held| held.end).min() {
            let hung = self.held.iter().filter(|held| held.place == Place::Sent && held.end == at).count();
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
        let held = Held { id: 1, end: now, place: Place::Sent };
        let mut slots = ProbeLeases { held: vec![held], last: u32::MAX - 1 };
        let taken = [(); 3].map(|()| slots.take(now, Place::Sent));
        assert_eq!(taken, [u32::MAX, 2, 3]);
        assert!(slots.free(1) && !slots.free(1));
        assert_eq!(slots.probes(), 3);
    }
}
