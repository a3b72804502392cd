//! The connections to one origin, and the calls that wait for one: which takes which, when another one is opened, when
//! one is left. Pure.

mod connecting;
mod doubts;
mod old;
mod under_way;
mod waiters;

pub(super) use under_way::Connect;
pub(super) use waiters::Waits;

use super::connection::{Carries, Entry, Kind, Link, Rules, Wish};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;
use under_way::UnderWay;

/// A place among the connections, and which of those that had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id {
    at: usize,
    serial: u64,
}

/// A connection that a call was given: its own until it is given back, or one slot of it.
#[derive(Debug)]
pub(super) struct Taken<L> {
    pub(super) id: Id,
    pub(super) link: L,
}

/// In which state a connection that carries one call at a time comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Back {
    /// It takes the next request.
    Ready,
    /// Its task has something to do before: see [`Origin::turned`].
    Turning,
    /// It is of no use.
    Spent,
}

/// How many connections there are, and what is on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) open: usize,
    pub(super) active: usize,
    pub(super) parked: usize,
    pub(super) calls: usize,
    pub(super) waiting: usize,
    pub(super) oldest: Duration,
}

/// What changed for those who wait, to be carried out when nothing is locked.
#[derive(Debug)]
pub(super) struct Changed<P, L> {
    /// These calls have a connection now.
    pub(super) given: Vec<(P, Taken<L>)>,
    /// Connections that nobody uses any more, to be dropped.
    pub(super) left: Vec<L>,
}

#[derive(Debug)]
struct Waiter<P> {
    key: u64,
    wish: Wish,
    place: P,
}

/// `L` is what a connection is spoken to through, `P` where a call waits.
#[derive(Debug)]
pub(super) struct Origin<L, P> {
    rules: Rules,
    entries: Vec<Option<Entry<L>>>,
    free: Vec<usize>,
    serial: u64,
    open: usize,
    /// Of those that carry one call at a time: the one that was used last is at the end.
    idle: Vec<Id>,
    /// Those that carry many, and take more.
    shared: Vec<Id>,
    /// In the order they came.
    waiters: VecDeque<Waiter<P>>,
    /// How many of them there are of each kind.
    waiting: [usize; 2],
    keys: u64,
    /// Connects under way, for calls of each kind.
    connecting: [UnderWay; 2],
    connects: u64,
    /// So many have a connection to themselves that may park.
    parked: usize,
    /// Until when connections at their age take calls, since no other can be made.
    leans: Option<Instant>,
    /// It has been seen to speak HTTP/2, or it has not. None before the first connection.
    many: Option<bool>,
    not_before: Option<Instant>,
    left: Vec<L>,
}

impl<L: Link, P: Clone> Origin<L, P> {
    /// `many` where it is known before that HTTP/2 is spoken, or that it is not.
    pub(super) fn new(rules: Rules, many: Option<bool>) -> Origin<L, P> {
        Origin {
            rules,
            entries: Vec::new(),
            free: Vec::new(),
            serial: 0,
            open: 0,
            idle: Vec::new(),
            shared: Vec::new(),
            waiters: VecDeque::new(),
            waiting: [0; 2],
            keys: 0,
            connecting: Default::default(),
            connects: 0,
            parked: 0,
            leans: None,
            many,
            not_before: None,
            left: Vec::new(),
        }
    }

    pub(super) fn entry(&mut self, id: Id) -> Option<&mut Entry<L>> {
        self.entries.get_mut(id.at)?.as_mut().filter(|entry| entry.serial == id.serial)
    }

    /// A connection for this call, if there is one.
    pub(super) fn ask(&mut self, wish: Wish, now: Instant) -> Option<Taken<L>> {
        self.slot(wish, now).or_else(|| self.idle_one(wish, now))
    }

    fn slot(&mut self, wish: Wish, now: Instant) -> Option<Taken<L>> {
        let mut next = 0;
        while let Some(id) = self.shared.get(next).copied() {
            let (rules, leans) = (self.rules, self.leans);
            let Some(entry) = self.entry(id) else {
                self.shared.remove(next);
                continue;
            };
            if entry.is_over(&rules, now) {
                // It takes itself out of the list.
                self.retire(id);
                continue;
            }
            if entry.has_slot(wish, now) && entry.serves(leans, now) {
                entry.calls += 1;
                entry.idle = None;
                let link = entry.link.as_ref().map(Link::share);
                return link.map(|link| Taken { id, link });
            }
            next += 1;
        }
        None
    }

    fn idle_one(&mut self, wish: Wish, now: Instant) -> Option<Taken<L>> {
        if self.idle.is_empty() || !self.may_take(wish.kind) {
            return None;
        }
        let mut next = self.idle.len();
        while next > 0 {
            next -= 1;
            let (id, rules, leans) = (self.idle[next], self.rules, self.leans);
            match self.entry(id) {
                Some(entry) if entry.is_over(&rules, now) => self.retire(id),
                Some(entry) if wish.fresh && entry.doubtful => {}
                Some(entry) if !entry.serves(leans, now) => {}
                Some(entry) => {
                    entry.calls = 1;
                    entry.idle = None;
                    entry.parked = wish.kind == Kind::Parked;
                    let link = entry.link.take();
                    self.parked += usize::from(wish.kind == Kind::Parked);
                    self.idle.remove(next);
                    return link.map(|link| Taken { id, link });
                }
                None => drop(self.idle.remove(next)),
            }
        }
        None
    }

    /// The call has done with the connection that was its own.
    pub(super) fn give_back(&mut self, id: Id, link: L, back: Back, now: Instant) {
        let rules = self.rules;
        let Some(entry) = self.entry(id) else { return self.left.push(link) };
        entry.calls = 0;
        let (parks, aged) = (std::mem::take(&mut entry.parked), entry.is_aged(now));
        if back == Back::Spent || entry.retired {
            entry.retired = true;
            self.parked -= usize::from(parks);
            return self.left.push(link);
        }
        entry.link = Some(link);
        entry.turning = (back == Back::Turning).then_some(now);
        entry.idle = (back == Back::Ready).then_some(now);
        entry.served = entry.idle.or(entry.served);
        entry.doubtful &= back == Back::Turning;
        let over = entry.is_over(&rules, now);
        self.parked -= usize::from(parks);
        if back == Back::Turning {
            return;
        }
        if over || aged && self.has_young(now) {
            return self.retire(id);
        }
        self.idle.push(id);
    }

    /// The task of a connection that came back has had its turn. Whether the connection is of use again, or of none.
    pub(super) fn turned(&mut self, id: Id, now: Instant) -> bool {
        let Some(entry) = self.entry(id) else { return true };
        let ready = entry.calls == 0
            && entry.idle.is_none()
            && entry.link.as_ref().is_some_and(|link| link.is_ready() || link.is_closed());
        if ready && entry.carries == Carries::One {
            if let Some(link) = entry.link.take() {
                self.give_back(id, link, Back::Ready, now);
            }
        }
        ready
    }

    /// The call has done with its slot.
    pub(super) fn release(&mut self, id: Id, now: Instant) {
        let Some(entry) = self.entry(id) else { return };
        entry.calls -= 1;
        if entry.calls > 0 {
            return;
        }
        entry.idle = Some(now);
        if entry.retired {
            let link = entry.link.take();
            return self.left.extend(link);
        }
        self.came_free(id, now);
    }

    /// The peer takes so many streams from now on. With the first of them it is seen to work.
    pub(super) fn limited(&mut self, id: Id, allows: u32, now: Instant) {
        let Some(entry) = self.entry(id) else { return };
        let Carries::Many { limit, .. } = &mut entry.carries else { return };
        let took_none = limit.replace(allows).unwrap_or(0) == 0;
        let replaces = took_none && allows > 0 && !entry.retired && !entry.is_aged(now);
        let carries = entry.carries;
        if replaces {
            self.retire_old(carries, now);
        }
    }

    /// No call begins on it any more, and it is closed once there is none on it.
    pub(super) fn retire(&mut self, id: Id) {
        let Some(entry) = self.entry(id) else { return };
        entry.retired = true;
        if entry.calls == 0 {
            let link = entry.link.take();
            self.left.extend(link);
        }
        self.idle.retain(|other| *other != id);
        self.shared.retain(|other| *other != id);
    }

    /// As [`retire`](Origin::retire), of all connections.
    pub(super) fn retire_all(&mut self) {
        for id in self.ids() {
            self.retire(id);
        }
    }

    /// The connection has ended. These are told what it died of, since it never came to take a call.
    pub(super) fn gone(&mut self, id: Id, now: Instant) -> Vec<P> {
        let Some(entry) = self.entry(id) else { return Vec::new() };
        let (mute, retired, parks) = (entry.carries, entry.retired, std::mem::take(&mut entry.parked));
        self.parked -= usize::from(parks);
        self.retire(id);
        let link = self.entry(id).and_then(|entry| entry.link.take());
        self.left.extend(link);
        self.entries[id.at] = None;
        self.free.push(id.at);
        self.open -= 1;
        match mute {
            Carries::Many { kind, limit: None } if !retired => self.in_vain(kind, u64::MAX, now),
            _ => Vec::new(),
        }
    }

    /// Closes what was idle for too long. When to look again, while there is anything to close.
    pub(super) fn sweep(&mut self, now: Instant) -> Option<Instant> {
        let (rules, mut next) = (self.rules, None::<Instant>);
        for id in self.ids() {
            let Some(entry) = self.entry(id).filter(|entry| !entry.retired) else { continue };
            if entry.calls == 0 && entry.is_over(&rules, now) {
                self.retire(id);
            } else if let Some(closes) = entry.closes(&rules) {
                next = Some(next.map_or(closes, |next| next.min(closes)));
            }
        }
        next
    }

    fn ids(&self) -> Vec<Id> {
        let all = self.entries.iter().enumerate();
        all.filter_map(|(at, entry)| Some(Id { at, serial: entry.as_ref()?.serial })).collect()
    }

    pub(super) fn left(&mut self) -> Vec<L> {
        std::mem::take(&mut self.left)
    }

    /// What there is, of HTTP/2 or of what carries one call at a time.
    pub(super) fn counts(&self, many: bool, now: Instant) -> Counts {
        let mut counts = Counts::default();
        for entry in self.entries.iter().flatten().filter(|entry| (entry.carries != Carries::One) == many) {
            counts.open += 1;
            counts.active += usize::from(entry.calls > 0);
            counts.calls += entry.calls as usize;
            counts.parked += usize::from(matches!(entry.carries, Carries::Many { kind: Kind::Parked, .. }));
            counts.oldest = counts.oldest.max(now.saturating_duration_since(entry.opened));
        }
        if self.many == Some(many) {
            counts.waiting = self.waiters.len();
        }
        counts
    }

    /// Nothing is left of it that anybody would miss.
    pub(super) fn is_empty(&self) -> bool {
        self.open == 0 && self.waiters.is_empty() && self.connecting.iter().all(|of| of.len() == 0)
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
