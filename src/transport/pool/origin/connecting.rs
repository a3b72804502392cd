//! Connects: when one is begun for calls that wait, and what comes of it. Pure.

use super::under_way::{SLOW, UnderWay};
use super::{Connect, Id, Origin};
use crate::transport::pool::connection::{Carries, Entry, Kind, Link, SETTINGS_WITHIN};
use std::time::Duration;
use tokio::time::Instant;

/// After a connection that took no stream at all the next is opened so much later, doubling.
const AFTER_A_FULL_ONE: Duration = Duration::from_secs(5);
/// And no more of them than this.
const FULL_ONES: usize = 3;
/// After a connect that failed beside connections that work.
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);
/// So many connects are under way at once for calls of one kind that share what comes of it.
const AT_ONCE: usize = 3;

impl<L: Link, P: Clone> Origin<L, P> {
    /// The connects that are to begin for calls of this kind. They count as under way from now on.
    pub(in crate::transport::pool) fn connects(&mut self, kind: Kind, now: Instant) -> Vec<Connect> {
        let lost = self.rules.lost;
        self.connecting.iter_mut().for_each(|of| of.forget_lost(now, lost));
        let wanted = match self.many {
            Some(true) => usize::from(self.another_from(kind, now).is_some_and(|from| from <= now)),
            // Each call may come to need one of its own.
            _ => self.lacks(kind, now),
        };
        let room = self.room();
        if wanted > 0 && room == 0 {
            self.make_room(kind, now);
        }
        (0..wanted.min(room)).map(|_| self.begin(kind, now)).collect()
    }

    pub(super) fn begin(&mut self, kind: Kind, now: Instant) -> Connect {
        self.connects += 1;
        let guessed = self.many.is_none();
        let connect = Connect { kind, guessed, begun: now, number: self.connects, key: self.keys };
        self.connecting[kind as usize].begin(connect);
        connect
    }

    fn room(&self) -> usize {
        let connecting: usize = self.connecting.iter().map(UnderWay::len).sum();
        self.rules.per_origin.saturating_sub(self.open + connecting)
    }

    /// So many calls of this kind have no connect, where each is for one.
    fn lacks(&self, kind: Kind, now: Instant) -> usize {
        let has = self.connecting[kind as usize].suffices_for(now);
        let most = match kind {
            Kind::Prompt => usize::MAX,
            Kind::Parked => self.most_parked().saturating_sub(self.parked),
        };
        self.waiting[kind as usize].min(most).saturating_sub(has)
    }

    /// One that is of no use to those who wait leaves its place to one that will be, once it has ended.
    fn make_room(&mut self, kind: Kind, now: Instant) {
        let its = |entry: &Entry<L>| match entry.carries {
            Carries::Many { kind, .. } => Some(kind),
            Carries::One => None,
        };
        let of_others = |entry: &Entry<L>| its(entry).is_some_and(|its| its != kind) && entry.calls == 0;
        let is_old = |entry: &Entry<L>| its(entry) == Some(kind) && entry.is_aged(now);
        let ends = |entry: &Entry<L>| entry.retired && entry.calls == 0;
        let drains = |entry: &Entry<L>| entry.retired && its(entry) == Some(kind);
        if self.entries.iter().flatten().any(ends) {
            return;
        }
        // Where there are idle ones of HTTP/1, those who wait are to repeat what failed on one that had been idle.
        let spare = self.find_shared(of_others).or_else(|| self.idle.first().copied());
        // One at its age may yet have to serve: it goes last, and where calls are on it, one at a time.
        let spare = spare.or_else(|| self.find_shared(|entry| is_old(entry) && entry.calls == 0));
        let spare = spare.or_else(|| {
            let none_drains = !self.entries.iter().flatten().any(drains);
            none_drains.then(|| self.find_shared(is_old))?
        });
        if let Some(spare) = spare {
            self.retire(spare);
        }
    }

    fn find_shared(&mut self, is: impl Fn(&Entry<L>) -> bool) -> Option<Id> {
        self.shared.clone().into_iter().find(|id| self.entry(*id).is_some_and(|entry| is(entry)))
    }

    /// A connection has no call any more. Calls of the other kind may have waited for its place.
    pub(super) fn came_free(&mut self, id: Id, now: Instant) {
        let Some(Carries::Many { kind, .. }) = self.entry(id).map(|entry| entry.carries) else { return };
        let other = match kind {
            Kind::Prompt => Kind::Parked,
            Kind::Parked => Kind::Prompt,
        };
        let is_full = self.room() == 0;
        // Those of its own kind take it before.
        let is_spare = self.waiting[kind as usize] == 0 && self.waiting[other as usize] > 0;
        if is_full && is_spare && self.another_from(other, now).is_some_and(|from| from <= now) {
            self.make_room(other, now);
        }
    }

    /// When a call of this kind looks again whether a further connect is to begin, though nothing has changed until then.
    pub(in crate::transport::pool) fn looks_again(&mut self, kind: Kind, now: Instant) -> Option<Instant> {
        if self.many != Some(true) {
            return self.connecting[kind as usize].suffices_until(self.waiting[kind as usize], now);
        }
        let another = self.another_from(kind, now).filter(|from| *from > now);
        let leans = self.mute_until(kind, now).filter(|until| *until > now);
        another.into_iter().chain(leans).min()
    }

    /// From when on one more connection that carries many calls would be of use, if nothing changes.
    fn another_from(&mut self, kind: Kind, now: Instant) -> Option<Instant> {
        let connecting = &self.connecting[kind as usize];
        let under_way = connecting.len();
        if under_way >= AT_ONCE || self.waiting[kind as usize] == 0 {
            return None;
        }
        // Beside one that takes long another may meet a server that is there.
        let beside = connecting.newest().map(|begun| begun + SLOW * under_way as u32);
        let (mut full_ones, mut newest, mut from) = (0, None, self.not_before.max(beside));
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

    /// A connect ended with this connection. None where it is not needed: it is to be dropped.
    pub(in crate::transport::pool) fn connected(
        &mut self,
        link: L,
        carries: Carries,
        connect: Connect,
        dies: Instant,
        now: Instant,
    ) -> Option<Id> {
        let Connect { kind, guessed, begun, number, .. } = connect;
        self.connecting[kind as usize].end(number);
        let many = carries != Carries::One;
        self.many = Some(many);
        self.not_before = None;
        // One that was begun for the same calls, or for no more of them, was sooner.
        let same = |entry: &Entry<L>| match entry.carries {
            Carries::Many { kind: its, limit: None } => its == kind && guessed,
            Carries::Many { kind: its, limit: Some(limit) } => {
                its == kind && entry.calls < limit && (guessed || entry.opened > begun)
            }
            Carries::One => false,
        };
        // Without room where it had been given up for lost.
        let lacks_room = self.room() == 0;
        if lacks_room
            || many && self.shared.clone().into_iter().any(|id| self.entry(id).is_some_and(|e| same(e)))
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
            parked: false,
            idle: Some(now),
            keeps: None,
            turning: None,
            served: None,
            doubtful: false,
            retired: false,
        });
        // One whose peer has said nothing yet replaces none.
        if !matches!(carries, Carries::Many { limit: None | Some(0), .. }) {
            self.retire_old(carries, now);
        }
        if many {
            self.shared.push(id)
        } else {
            self.idle.push(id)
        }
        Some(id)
    }

    /// A connect has failed. These are told; the others have connections to wait for.
    pub(in crate::transport::pool) fn not_connected(&mut self, connect: Connect, now: Instant) -> Vec<P> {
        let Connect { kind, number, .. } = connect;
        let connecting = &mut self.connecting[kind as usize];
        connecting.end(number);
        // Who came after another had begun waits for that.
        let last = connecting.after(number).map_or(u64::MAX, |next| next.key);
        if self.lean(kind, now) {
            return Vec::new();
        }
        if self.many != Some(true) {
            let others = self.connecting[kind as usize].suffices_for(now);
            let surplus = self.waiting[kind as usize].saturating_sub(others);
            return self.tell(kind, surplus, u64::MAX);
        }
        self.in_vain(kind, last, now)
    }

    /// A connect is under way still. When it is looked at again; none where it is to be given up.
    pub(in crate::transport::pool) fn drags_on(&mut self, connect: Connect, now: Instant) -> Option<Instant> {
        let Connect { kind, begun, number, .. } = connect;
        if now < begun + SLOW {
            return Some(begun + SLOW);
        }
        let connecting = &self.connecting[kind as usize];
        if self.waiting[kind as usize] == 0 {
            return Some(connecting.worth_until(now)).filter(|until| now < *until);
        }
        let is_spare = self.many != Some(true) && connecting.is_spare(number);
        if self.lean(kind, now) {
            return Some(now + SLOW);
        }
        // A slow network answers the oldest in the end.
        let too_many = self.connecting[kind as usize].is_one_too_many(&connect, now);
        let is_in_the_way = self.room() == 0 && self.lacks(kind, now) > 0;
        let gives_up = is_spare && (too_many || is_in_the_way);
        (!gives_up).then(|| now + SLOW)
    }

    /// No connection that carries many calls came of it.
    pub(super) fn in_vain(&mut self, kind: Kind, last: u64, now: Instant) -> Vec<P> {
        let rules = self.rules;
        let works = |entry: &Entry<L>| match entry.carries {
            Carries::Many { kind: its, limit: Some(1..) } => its == kind && !entry.is_over(&rules, now),
            _ => false,
        };
        if self.shared.clone().into_iter().any(|id| self.entry(id).is_some_and(|e| works(e))) {
            self.not_before = Some(now + AFTER_A_FAILURE);
            return Vec::new();
        }
        self.tell(kind, usize::MAX, last)
    }

    /// A connect went away without a result: another one has to be begun.
    pub(in crate::transport::pool) fn given_up(&mut self, connect: Connect) {
        self.connecting[connect.kind as usize].end(connect.number);
    }
}
