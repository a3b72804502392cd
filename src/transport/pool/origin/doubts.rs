//! What one connection that turned out to be dead says of those that are idle. Pure.

use super::{Id, Origin};
use crate::transport::pool::connection::{Carries, Link};
use tokio::time::Instant;

impl<L: Link, P: Clone> Origin<L, P> {
    /// A connection that had been idle was stale: so may those be that are idle now.
    pub(in crate::transport::pool) fn doubt(&mut self) {
        for id in self.idle.clone() {
            if let Some(entry) = self.entry(id) {
                entry.doubtful = true;
            }
        }
    }

    /// Not a byte came on a connection that had served before, since this call began: what it led to may be gone without a
    /// word, and so may what the others lead to that were idle before. They are left, unless one as old has served since.
    pub(in crate::transport::pool) fn doubt_silent(&mut self, id: Id, since: Instant) {
        // A call that may park is answered when it pleases the server.
        if self.entry(id).is_none_or(|entry| entry.parked) {
            return;
        }
        let served = self.entries.iter().flatten().any(|entry| {
            let ones = entry.carries == Carries::One;
            ones && entry.opened < since && entry.served.is_some_and(|served| served > since)
        });
        for id in self.idle.clone() {
            let Some(entry) = self.entry(id).filter(|entry| entry.idle.is_some_and(|idle| idle <= since))
            else {
                continue;
            };
            entry.doubtful = true;
            if !served {
                self.retire(id);
            }
        }
    }
}
