//! What the supervisor sets and asks: whose calls a task makes, the oldest of them, and those that nobody polls.

use crate::error::Phase;
use crate::inflight::call::Call;
use crate::inflight::entry::{Details, EntryCopy};
use crate::inflight::owner::{CURRENT, Owner};
use crate::inflight::table::Table;
use crate::sync::{Arc, Mutex, lock};
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::task::futures::TaskLocalFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A call whose bound passed is gone within this time, or nobody polls it.
const LATE: Duration = Duration::from_secs(1);

impl Owner {
    pub(crate) fn new(name: Arc<str>, cancel: CancellationToken) -> Arc<Owner> {
        Arc::new(Owner { name, cancel, tables: Mutex::default(), last: AtomicUsize::new(0) })
    }

    /// Runs a future as part of this subsystem.
    pub(crate) fn scope<F: Future>(self: &Arc<Owner>, future: F) -> TaskLocalFuture<Arc<Owner>, F> {
        CURRENT.scope(Arc::clone(self), future)
    }

    pub(crate) fn tables(&self) -> Vec<Arc<Table>> {
        let tables = lock(&self.tables);
        tables.iter().filter_map(|table| table.upgrade()?.downcast().ok()).collect()
    }
}

impl Table {
    /// The call for which `rank` is least, copied; those without a rank are passed over.
    fn least<R: Ord>(&self, rank: impl Fn(Phase, &Details) -> Option<R>) -> Option<EntryCopy> {
        let mut least = None::<(R, EntryCopy)>;
        // A copy may outlive its call, and is then the last to hold values of the user's: never dropped under the lock.
        let mut passed_over = Vec::new();
        self.pieces(|at, details| {
            let phase = Phase::from_u8(self.row(at).get().0 as u8);
            let Some(rank) = rank(phase, details) else { return };
            if least.as_ref().is_none_or(|(before, _)| rank < *before) {
                passed_over.extend(least.replace((rank, self.copy(at, details))));
            }
        });
        least.map(|(_, seen)| seen)
    }

    /// The oldest call of each subsystem, by the address of its member.
    pub(crate) fn oldest(&self, now: Instant, into: &mut HashMap<usize, Call>) {
        let mut first: HashMap<usize, (Instant, EntryCopy)> = HashMap::new();
        // Not dropped under the lock of the table, as in `least`.
        let mut passed_over = Vec::new();
        self.pieces(|at, details| {
            let Some(member) = &details.subsystem else { return };
            let member = Arc::as_ptr(member).addr();
            if first.get(&member).is_none_or(|(oldest, _)| details.started < *oldest) {
                passed_over.extend(first.insert(member, (details.started, self.copy(at, details))));
            }
        });
        for (member, (_, seen)) in first {
            let call = seen.call(&self.client, now);
            match into.get(&member) {
                Some(other) if other.age >= call.age => {}
                _ => drop(into.insert(member, call)),
            }
        }
    }

    /// The oldest call that lives on although its deadline passed, or the hold of its long poll and the grace after it:
    /// nobody polls it.
    pub(crate) fn overdue(&self, now: Instant) -> Option<Call> {
        let late = |phase: Phase, details: &Details| {
            // The body of a long poll has no end that is known: each of its silences may be as long as the head was
            // held back.
            let poll = details.long_poll.as_ref().filter(|_| phase != Phase::Body);
            let hold = poll.and_then(|poll| poll.bound(crate::duration::LONGEST));
            let end = details.deadline.or_else(|| Some(details.started + hold?));
            end.is_some_and(|end| now > end + LATE).then_some(details.started)
        };
        self.least(late).map(|seen| seen.call(&self.client, now))
    }
}

#[cfg(all(test, not(unwedge_loom)))]
mod tests {
    use super::*;

    #[test]
    fn tables_that_are_gone_leave_the_list_when_the_next_one_comes() {
        let member = Owner::new("scheduler".into(), CancellationToken::new());
        let kept = Arc::new(Table::default());
        member.lists(&kept);
        for _ in 0..100 {
            // A client for each call, as some programs make it.
            member.lists(&Arc::new(Table::default()));
            member.lists(&kept);
        }
        assert!(lock(&member.tables).len() <= 2, "{}", lock(&member.tables).len());
        let known = member.tables();
        assert!(known.len() == 1 && Arc::ptr_eq(&known[0], &kept));
    }
}
