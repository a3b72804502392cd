//! Connections at their age: each takes no call any more once there is another one, and where none can be made, takes them
//! again. Pure.

use super::{Id, Origin};
use crate::transport::pool::connection::{Carries, Entry, Kind, Link, Wish};
use std::time::Duration;
use tokio::time::Instant;

/// For so long they serve before another connect is waited for.
const LEANS: Duration = Duration::from_secs(10);

impl<L: Link, P: Clone> Origin<L, P> {
    /// No connection was made, or not soon. Whether one at its age can take a call that waits, and will for a while.
    pub(super) fn lean(&mut self, kind: Kind, now: Instant) -> bool {
        let waits = |fresh: bool| {
            let same = |wish: Wish| wish.kind == kind && wish.fresh == fresh;
            self.waiters.iter().any(|waiter| same(waiter.wish))
        };
        let wishes = [false, true].map(|fresh| (Wish { kind, fresh }, waits(fresh)));
        let rules = self.rules;
        let may_park = self.may_take(kind);
        let serves = |entry: &Entry<L>, wish: Wish| match entry.carries {
            Carries::One => may_park && !(wish.fresh && entry.doubtful),
            Carries::Many { .. } => entry.has_slot(wish, now),
        };
        let all: Vec<Id> = self.idle.iter().chain(&self.shared).copied().collect();
        let mut old = all.into_iter().filter(|id| {
            self.entry(*id).is_some_and(|entry| {
                let usable = entry.is_aged(now) && !entry.is_over(&rules, now);
                usable && wishes.iter().any(|(wish, waits)| *waits && serves(entry, *wish))
            })
        });
        let found = old.next().is_some();
        if found {
            self.leans = Some(now + LEANS);
        }
        found
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
