//! What the ratio rule counts, anew from the whole history.

use crate::breaker::Phase;
use crate::breaker::reference::history::TICK;
use crate::breaker::reference::{Event, Reference, What};
use crate::breaker::window::Totals;

impl Reference {
    pub(super) fn totals(&self) -> Totals {
        let results: Vec<_> = self.events.iter().filter(|e| !matches!(e.what, What::Hang { .. })).collect();
        let mut totals = Totals::default();
        if self.phase != Phase::Closed {
            return totals;
        }
        let Some(r) = &self.plan.ratio else {
            results.iter().for_each(|e| totals.add(e.what != What::Success, false));
            return totals;
        };
        let nanos = |tick: u64| tick * TICK.as_nanos() as u64;
        let step = nanos(r.window).div_ceil(r.buckets);
        let mut groups: Vec<Vec<&Event>> = Vec::new();
        for event in results {
            match groups.last_mut() {
                Some(group) if nanos(event.at - group[0].at) < step => group.push(event),
                _ => groups.push(vec![event]),
            }
        }
        let recent = |group: &Vec<&Event>| nanos(self.now - group[0].at) < step * r.buckets;
        for event in groups.iter().filter(|group| recent(group)).flatten() {
            totals.add(event.what != What::Success, event.took > r.slow_after && event.timed);
        }
        totals
    }

    pub(super) fn ratio_says_open(&self) -> bool {
        let Totals { calls, failures, slow } = self.totals();
        let Some(r) = &self.plan.ratio else {
            return false;
        };
        calls >= r.min_calls
            && (failures * 100 >= calls * r.failed_percent || slow * 100 >= calls * r.slow_percent)
    }
}
