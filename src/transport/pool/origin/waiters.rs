//! Calls that wait for a connection: who is given what comes free, and who is told what went wrong. Pure.

use super::{Changed, Origin, Waiter};
use crate::transport::pool::connection::{Carries, Entry, Kind, Link, Wish};
use tokio::time::Instant;

/// One place in so many, and one at least, is for calls that do not park.
const KEPT_FREE: usize = 16;

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
    pub(in crate::transport::pool) fn leave(&mut self, key: u64, now: Instant) {
        let at = self.waiters.binary_search_by_key(&key, |waiter| waiter.key);
        if let Some(waiter) = at.ok().and_then(|at| self.waiters.remove(at)) {
            self.wait_fewer(waiter.wish.kind, 1, Some(now));
        }
    }

    fn wait_fewer(&mut self, kind: Kind, by: usize, given_up: Option<Instant>) {
        let waiting = &mut self.waiting[kind as usize];
        *waiting -= by;
        self.connecting[kind as usize].wait_fewer(*waiting, given_up);
    }

    /// Whether one more call of this kind may have a connection to itself: those that may park leave places to others, which
    /// would wait for as long as they please.
    pub(super) fn may_take(&self, kind: Kind) -> bool {
        kind == Kind::Prompt || self.parked < self.most_parked()
    }

    /// So many may have a connection to themselves that may park.
    pub(super) fn most_parked(&self) -> usize {
        let all = self.rules.per_origin;
        if all > 1 { all - (all / KEPT_FREE).max(1) } else { all }
    }

    /// Hands out what came free, first to those who need it for a moment, and closes what is too much.
    pub(in crate::transport::pool) fn settle(&mut self, now: Instant) -> Changed<P, L> {
        let mut given = Vec::new();
        for kind in [Kind::Prompt, Kind::Parked] {
            let (mut in_vain, mut next) = ([false; 2], 0);
            while self.waiting[kind as usize] > 0 && in_vain != [true; 2] {
                let Some(wish) = self.waiters.get(next).map(|waiter| waiter.wish) else { break };
                let tried = &mut in_vain[usize::from(wish.fresh)];
                let taken = if *tried || wish.kind != kind { None } else { self.ask(wish, now) };
                match taken {
                    Some(taken) => {
                        if let Some(waiter) = self.waiters.remove(next) {
                            self.wait_fewer(kind, 1, None);
                            given.push((waiter.place, taken));
                        }
                    }
                    None => {
                        *tried |= wish.kind == kind;
                        next += 1;
                    }
                }
            }
        }
        // What was used last is kept.
        while self.idle.len() > self.rules.idle_per_origin {
            let oldest = self.idle[0];
            self.retire(oldest);
        }
        Changed { given, left: self.left() }
    }

    /// What a call of this kind waits for.
    pub(in crate::transport::pool) fn waits_for(&mut self, kind: Kind) -> Waits {
        let mute = |entry: &Entry<L>| entry.carries == Carries::Many { kind, limit: None };
        let mute = self.shared.clone().into_iter().any(|id| self.entry(id).is_some_and(|entry| mute(entry)));
        match self.connecting[kind as usize].len() {
            _ if mute => Waits::Settings,
            0 => Waits::Slot,
            _ => Waits::Connect,
        }
    }

    /// So many of those of this kind who do not wait since later than the one with this key.
    pub(super) fn tell(&mut self, kind: Kind, most: usize, last: u64) -> Vec<P> {
        let mut told = Vec::new();
        self.waiters.retain(|waiter| {
            let tell = waiter.wish.kind == kind && told.len() < most && waiter.key <= last;
            if tell {
                told.push(waiter.place.clone());
            }
            !tell
        });
        // Where nobody was, it stays known since when nobody waits.
        if !told.is_empty() {
            self.wait_fewer(kind, told.len(), None);
        }
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
