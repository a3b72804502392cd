//! Connections at their age: each takes no call any more once there is another one, and where none can be made, takes them
//! again. Pure.

use super::under_way::SLOW;
use super::{Id, Origin};
use crate::transport::pool::connection::{Carries, Entry, Kind, Link, Wish};
use std::time::Duration;
use tokio::time::Instant;

/// For so long they serve before another connect is waited for.
const LEANS: Duration = Duration::from_secs(10);

impl<L: Link, P: Clone> Origin<L, P> {
    /// No connection was made, or not soon. Whether one at its age can take a call that waits, and will for a while.
    pub(super) fn lean(&mut self, kind: Kind, now: Instant) -> bool {
        // Those who wait may be many, and are looked at only where there is one.
        let all: Vec<Id> = self.idle.iter().chain(&self.shared).copied().collect();
        let rules = self.rules;
        let usable = |entry: &Entry<L>| entry.is_aged(now) && !entry.is_over(&rules, now);
        let old: Vec<Id> =
            all.into_iter().filter(|id| self.entry(*id).is_some_and(|entry| usable(entry))).collect();
        if old.is_empty() {
            return false;
        }
        let waits = |fresh: bool| {
            let same = |wish: Wish| wish.kind == kind && wish.fresh == fresh;
            self.waiters.iter().any(|waiter| same(waiter.wish))
        };
        let wishes = [false, true].map(|fresh| (Wish { kind, fresh }, waits(fresh)));
        let may_park = self.may_take(kind);
        let serves = |entry: &Entry<L>, wish: Wish| match entry.carries {
            Carries::One => may_park && !(wish.fresh && entry.doubtful),
            Carries::Many { .. } => entry.has_slot(wish, now),
        };
        let found = old.into_iter().any(|id| {
            let serves = |entry: &Entry<L>| wishes.iter().any(|(wish, waits)| *waits && serves(entry, *wish));
            self.entry(id).is_some_and(|entry| serves(entry))
        });
        if found {
            self.leans = Some(now + LEANS);
        }
        found
    }

    /// A connection was made, and nothing is heard from its peer. Whether one at its age can take a call meanwhile.
    pub(in crate::transport::pool) fn leans_on_old(&mut self, kind: Kind, now: Instant) -> bool {
        self.mute_until(kind, now).is_some_and(|until| until <= now) && self.lean(kind, now)
    }

    /// From when on one at its age takes calls of this kind, since the peer of a younger one takes none. None where there are
    /// no such. After the time that it does so already.
    pub(super) fn mute_until(&self, kind: Kind, now: Instant) -> Option<Instant> {
        if self.waiting[kind as usize] == 0 || self.many != Some(true) {
            return None;
        }
        let mute = |limit: Option<u32>| limit.unwrap_or(0) == 0;
        let (mut old, mut from) = (false, None::<Instant>);
        for entry in self.entries.iter().flatten().filter(|entry| !entry.retired) {
            match entry.carries {
                Carries::Many { kind: its, limit } if its == kind && mute(limit) => {
                    from = Some(from.map_or(entry.opened, |from| from.min(entry.opened)));
                }
                Carries::Many { kind: its, .. } if its == kind => old |= entry.is_aged(now),
                _ => {}
            }
        }
        from.filter(|_| old).map(|opened| self.leans.max(Some(opened + SLOW)))?
    }

    /// There is another one for calls of this kind, or of both where each has one to itself.
    pub(super) fn retire_old(&mut self, carries: Carries, now: Instant) {
        self.leans = None;
        let same = |entry: &Entry<L>| match (entry.carries, carries) {
            (Carries::Many { kind: its, .. }, Carries::Many { kind, .. }) => its == kind,
            (its, new) => its == new,
        };
        let all: Vec<Id> = self.idle.iter().chain(&self.shared).copied().collect();
        for id in all {
            if self.entry(id).is_some_and(|entry| entry.is_aged(now) && same(entry)) {
                self.retire(id);
            }
        }
    }

    /// Whether one that carries one call at a time is idle and younger than that.
    pub(super) fn has_young(&mut self, now: Instant) -> bool {
        let all = self.idle.clone();
        all.into_iter().any(|id| self.entry(id).is_some_and(|entry| !entry.is_aged(now)))
    }
}
