//! Whose calls these are: the supervised subsystem that the current task belongs to.
//!
//! A supervised task carries its member as a task-local. A call looks once, when it begins; the member remembers which
//! tables its calls stand in, so that nobody has to tell the watchdog where to look.

use crate::error::Phase;
use crate::inflight::copy::Seen;
use crate::inflight::{Call, Details, Table};
use crate::sync::{Arc, Mutex, lock};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A call whose bound passed is gone within this time, or nobody polls it.
const LATE: Duration = Duration::from_secs(1);

tokio::task_local! {
    static CURRENT: Arc<Owner>;
}

/// A subsystem, as its calls know it.
#[derive(Debug)]
pub(crate) struct Owner {
    name: Arc<str>,
    /// The end of the program, which back-offs and long polls do not wait out.
    pub(crate) cancel: CancellationToken,
    /// Where its calls are listed. A weak handle keeps the address from being used again.
    tables: Mutex<Vec<Weak<Table>>>,
    last: AtomicUsize,
}

impl Owner {
    pub(crate) fn new(name: Arc<str>, cancel: CancellationToken) -> Arc<Owner> {
        Arc::new(Owner { name, cancel, tables: Mutex::default(), last: AtomicUsize::new(0) })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs a future as part of this subsystem.
    pub(crate) fn scope<F: Future>(self: &Arc<Owner>, future: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(Arc::clone(self), future)
    }

    fn lists(&self, table: &Arc<Table>) {
        let address = Arc::as_ptr(table).addr();
        if self.last.load(Ordering::Relaxed) == address {
            return;
        }
        let mut tables = lock(&self.tables);
        if !tables.iter().any(|known| known.as_ptr().addr() == address) {
            tables.retain(|known| known.strong_count() > 0);
            tables.push(Arc::downgrade(table));
        }
        self.last.store(address, Ordering::Relaxed);
    }

    pub(crate) fn tables(&self) -> Vec<Arc<Table>> {
        lock(&self.tables).iter().filter_map(Weak::upgrade).collect()
    }
}

/// The subsystem of the current task; from now on it is known that its calls stand in this table.
pub(crate) fn current(table: &Arc<Table>) -> Option<Arc<Owner>> {
    CURRENT
        .try_with(|member| {
            member.lists(table);
            Arc::clone(member)
        })
        .ok()
}

/// Whether the current task is told to end: what it drops now says nothing about a server.
pub(crate) fn is_ending() -> bool {
    CURRENT.try_with(|member| member.cancel.is_cancelled()).unwrap_or(false)
}

/// Whether the current task is told to end, as something to wait for. Costs nothing before it is polled, and one box
/// in a supervised task.
#[derive(Default)]
pub(crate) struct Cancelled(Option<Pin<Box<WaitForCancellationFutureOwned>>>);

impl Cancelled {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.is_none() {
            self.0 = CURRENT.try_with(|member| Box::pin(member.cancel.clone().cancelled_owned())).ok();
        }
        match &mut self.0 {
            Some(cancelled) => cancelled.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl Table {
    /// The oldest call of each subsystem, by the address of its member.
    pub(crate) fn oldest(&self, now: Instant, into: &mut HashMap<usize, Call>) {
        let mut first: HashMap<usize, (Instant, Seen)> = HashMap::new();
        // Not dropped under the lock of the table, as in `least`.
        let mut passed_over = Vec::new();
        self.pieces(|at, details| {
            let Some(member) = &details.subsystem else { return };
            let member = Arc::as_ptr(member).addr();
            if first.get(&member).is_none_or(|(oldest, _)| details.started < *oldest) {
                passed_over.extend(first.insert(member, (details.started, self.seen(at, details))));
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
