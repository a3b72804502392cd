//! Whose calls these are: the supervised subsystem that the current task belongs to.
//!
//! A supervised task carries its member as a task-local. A call looks once, when it begins; the member remembers which
//! tables its calls stand in, so that nobody has to tell the watchdog where to look.

use crate::sync::{Arc, Mutex, lock};
use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

tokio::task_local! {
    pub(super) static CURRENT: Arc<Owner>;
}

/// A subsystem, as its calls know it.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(super) name: Arc<str>,
    /// The end of the program, which back-offs and long polls do not wait out.
    pub(crate) cancel: CancellationToken,
    /// The tables in which its calls are listed. What a table is only the supervisor asks. A weak handle keeps the
    /// address from being used again.
    pub(super) tables: Mutex<Vec<Weak<dyn Any + Send + Sync>>>,
    pub(super) last: AtomicUsize,
}

impl Owner {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn lists<T: Any + Send + Sync>(&self, table: &Arc<T>) {
        let address = Arc::as_ptr(table).addr();
        if self.last.load(Ordering::Relaxed) == address {
            return;
        }
        let mut tables = lock(&self.tables);
        if !tables.iter().any(|known| known.as_ptr().cast::<()>().addr() == address) {
            tables.retain(|known| known.strong_count() > 0);
            let table: Weak<T> = Arc::downgrade(table);
            tables.push(table);
        }
        self.last.store(address, Ordering::Relaxed);
    }
}

/// The subsystem of the current task; from now on it is known that its calls stand in this table.
#[inline]
pub(crate) fn current<T: Any + Send + Sync>(table: &Arc<T>) -> Option<Arc<Owner>> {
    CURRENT
        .try_with(|member| {
            member.lists(table);
            Arc::clone(member)
        })
        .ok()
}

/// The subsystem of the current task.
#[cfg(feature = "supervise")]
pub(crate) fn of_task() -> Option<Arc<Owner>> {
    CURRENT.try_with(Arc::clone).ok()
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
