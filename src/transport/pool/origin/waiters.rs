//! Calls that wait for a connection, and when one more is opened for them. Pure.

use super::{Id, Origin, Waiter};
use crate::transport::pool::connection::{Carries, Entry, Kind, Link, SETTINGS_WITHIN, Wish};
use std::time::Duration;
use tokio::time::Instant;

/// After a connection that took no stream at all the next is opened so much later, doubling.
const AFTER_A_FULL_ONE: Duration = Duration::from_secs(5);
/// And no more of them than this.
const FULL_ONES: usize = 3;
/// After a connect that failed beside connections that work.
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);

/// What a call that has no connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport::pool) enum Waits {
    /// A connect.
    Connect,
    /// The first word of a connection of HTTP/2.
    Settings,
    /// A slot, or a connection that comes free.
    Slot,
}

impl<L: Link, P: Clone> Origin<L, P> {
    /// Waits behind those who wait already. The key is for [`leave`](Origin::leave).
    pub(in crate::transport::pool) fn wait(&mut self, wish: Wish, place: P) -> u64 {
        self.keys += 1;
        self.waiting[wish.kind as usize] += 1;
        self.waiters.push_back(Waiter { key: self.keys, wish, place });
        self.keys
    }

    /// It waits no longer.
    pub(in crate::transport::pool) fn leave(&mut self, key: u64) {
        let at = self.waiters.binary_search_by_key(&key, |waiter| waiter.key);
        if let Some(waiter) = at.ok().and_then(|at| self.waiters.remove(at)) {
            self.waiting[waiter.wish.kind as usize] -= 1;
        }
    }

    /// How many connects are to begin for calls of this kind. They count as under way from now on.
    pub(in crate::transport::pool) fn connects(&mut self, kind: Kind, now: Instant) -> usize {
        let room = self.rules.per_origin.saturating_sub(self.open + self.connecting.iter().sum::<usize>());
        let wanted = match self.many {
            Some(true) => usize::from(self.another_from(kind, now).is_some_and(|from| from <= now)),
            // Each call may come to need one of its own.
            _ => self.waiting[kind as usize].saturating_sub(self.connecting[kind as usize]),
        };
        if wanted > 0 && room == 0 {
            self.make_room(kind);
        }
        let begun = wanted.min(room);
        self.connecting[kind as usize] += begun;
        begun
    }

    /// One that is of no use to those who wait leaves its place to one that will be, once it has ended.
    fn make_room(&mut self, kind: Kind) {
        let of_others = |entry: &Entry<L>| match entry.carries {
            Carries::Many { kind: its, .. } => its != kind && entry.calls == 0,
            Carries::One => false,
        };
        let mut ids = self.shared.clone().into_iter();
        let spare = ids.find(|id| self.entry(*id).is_some_and(|entry| of_others(entry)));
        // Where there are idle ones, those who wait are to repeat what failed on one that had been idle.
        let Some(spare) = spare.or_else(|| self.idle.first().copied()) else { return };
        let ends = |entry: &Entry<L>| entry.retired && entry.calls == 0;
        if !self.entries.iter().flatten().any(ends) {
            self.retire(spare);
        }
    }

    /// A connection has no call any more. Calls of the other kind may have waited for its place.
    pub(super) fn came_free(&mut self, id: Id, now: Instant) {
        let Some(Carries::Many { kind, .. }) = self.entry(id).map(|entry| entry.carries) else { return };
        let other = match kind {
            Kind::Prompt => Kind::Parked,
            Kind::Parked => Kind::Prompt,
        };
        let is_full = self.open + self.connecting.iter().sum::<usize>() >= self.rules.per_origin;
        // Those of its own kind take it before.
        let is_spare = self.waiting[kind as usize] == 0 && self.waiting[other as usize] > 0;
        if is_full && is_spare && self.another_from(other, now).is_some_and(|from| from <= now) {
            self.make_room(other);
        }
    }

    /// When a call of this kind looks again whether a further connect is to begin, though nothing has changed until then.
    pub(in crate::transport::pool) fn looks_again(&mut self, kind: Kind, now: Instant) -> Option<Instant> {
        if self.many != Some(true) {
            return None;
        }
        self.another_from(kind, now).filter(|from| *from > now)
    }

    /// From when on one more connection that carries many calls would be of use, if nothing changes.
    fn another_from(&mut self, kind: Kind, now: Instant) -> Option<Instant> {
        if self.connecting[kind as usize] > 0 || self.waiting[kind as usize] == 0 {
            return None;
        }
        let (mut full_ones, mut newest, mut from) = (0, None, self.not_before);
        for id in self.shared.clone() {
            match self.entry(id) {
                Some(Entry { carries: Carries::Many { kind: its, limit }, opened, .. }) if *its == kind => {
                    match limit {
                        // It may have room for all of them.
                        None => from = from.max(Some(*opened + SETTINGS_WITHIN)),
                        Some(0) => (full_ones, newest) = (full_ones + 1, newest.max(Some(*opened))),
                        Some(_) => {}
                    }
                }
                _ => {}
            }
        }
        if let Some(newest) = newest {
            if full_ones >= FULL_ONES {
                return None;
            }
            from = from.max(Some(newest + AFTER_A_FULL_ONE * (1 << (full_ones - 1))));
        }
        Some(from.unwrap_or(now))
    }

    /// What a call of this kind waits for.
    pub(in crate::transport::pool) fn waits_for(&mut self, kind: Kind) -> Waits {
        let mute = |entry: &Entry<L>| entry.carries == Carries::Many { kind, limit: None };
        let mute = self.shared.clone().into_iter().any(|id| self.entry(id).is_some_and(|entry| mute(entry)));
        match self.connecting[kind as usize] {
            _ if mute => Waits::Settings,
            0 => Waits::Slot,
            _ => Waits::Connect,
        }
    }

    /// A connect ended with this connection, for calls of `kind`; `guessed` where it was begun before it was known
    /// what the origin speaks. None where it is not needed: it is to be dropped.
    pub(in crate::transport::pool) fn connected(
        &mut self,
        link: L,
        carries: Carries,
        (kind, guessed): (Kind, bool),
        dies: Instant,
        now: Instant,
    ) -> Option<Id> {
        self.connecting[kind as usize] -= 1;
        let many = carries != Carries::One;
        self.many = Some(many);
        self.not_before = None;
        let same = |entry: &Entry<L>| match entry.carries {
            Carries::Many { kind: its, limit } => {
                its == kind && limit.is_none_or(|limit| entry.calls < limit)
            }
            Carries::One => false,
        };
        if many
            && guessed
            && self.shared.clone().into_iter().any(|id| self.entry(id).is_some_and(|e| same(e)))
        {
            self.left.push(link);
            return None;
        }
        self.serial += 1;
        self.open += 1;
        let at = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() - 1
        });
        let id = Id { at, serial: self.serial };
        self.entries[at] = Some(Entry {
            serial: self.serial,
            link: Some(link),
            carries,
            calls: 0,
            opened: now,
            dies,
            idle: Some(now),
            keeps: None,
            turning: None,
            doubtful: false,
            retired: false,
        });
        if many {
            self.shared.push(id)
        } else {
            self.idle.push(id)
        }
        Some(id)
    }

    /// A connect for calls of `kind` has failed. These are told; the others have connections to wait for.
    pub(in crate::transport::pool) fn not_connected(&mut self, kind: Kind, now: Instant) -> Vec<P> {
        self.connecting[kind as usize] -= 1;
        if self.many != Some(true) {
            let others = self.connecting[kind as usize];
            let surplus = self.waiting[kind as usize].saturating_sub(others);
            return self.tell(kind, surplus);
        }
        self.in_vain(kind, now)
    }

    /// No connection that carries many calls came of it.
    pub(super) fn in_vain(&mut self, kind: Kind, now: Instant) -> Vec<P> {
        let works = |entry: &Entry<L>| matches!(entry.carries, Carries::Many { kind: its, limit: Some(1..) } if its == kind);
        if self.shared.clone().into_iter().any(|id| self.entry(id).is_some_and(|e| works(e))) {
            self.not_before = Some(now + AFTER_A_FAILURE);
            return Vec::new();
        }
        self.tell(kind, usize::MAX)
    }

    /// A connect for calls of `kind` went away without a result: another one has to be begun.
    pub(in crate::transport::pool) fn given_up(&mut self, kind: Kind) {
        self.connecting[kind as usize] -= 1;
    }

    fn tell(&mut self, kind: Kind, most: usize) -> Vec<P> {
        let mut told = Vec::new();
        self.waiters.retain(|waiter| {
            let tell = waiter.wish.kind == kind && told.len() < most;
            if tell {
                told.push(waiter.place.clone());
            }
            !tell
        });
        self.waiting[kind as usize] -= told.len();
        told
    }

    /// So many of those who wait, of each kind, to look again: none looks for the other.
    pub(in crate::transport::pool) fn places(&self, most: usize) -> Vec<P> {
        let (mut places, mut left) = (Vec::new(), self.waiting.map(|waiting| waiting.min(most)));
        for waiter in &self.waiters {
            if left == [0; 2] {
                break;
            }
            let left = &mut left[waiter.wish.kind as usize];
            if *left > 0 {
                *left -= 1;
                places.push(waiter.place.clone());
            }
        }
        places
    }
}
