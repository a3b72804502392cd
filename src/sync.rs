//! The shared-memory primitives, from std or, to model-check their users, from loom.
//!
//! ```sh
//! RUSTFLAGS="--cfg unwedge_loom" cargo test --release --lib loom_
//! ```
//!
//! runs every model. The name is our own because `--cfg loom` changes tokio and others as well: tokio has no sockets
//! then.

#[cfg(not(all(test, unwedge_loom)))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};

#[cfg(all(test, unwedge_loom))]
pub(crate) use loom::sync::{Mutex, MutexGuard, atomic};

// Never loom's, which cannot hold a str: how owners are counted is not ours to prove.
pub(crate) use std::sync::Arc;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::task::Waker;

/// Locks, also after a panic elsewhere: no state of this crate is left half-changed by one.
///
/// Under it runs nothing that belongs to the user: no recorder and no subscriber, no closure, no waker, no `Clone`, `Drop`
/// or `Display` of a value of theirs, and no formatter of theirs is written to. Any of them may call back.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What the cell holds, made where there is nothing yet. Outside of the lock of the cell, which is held by
/// `OnceLock::get_or_init` while it makes a value and cannot be taken twice: what is made here may log or measure, and who
/// is told may come back. Two may make it at once, and both get the same.
pub(crate) fn made<T>(cell: &OnceLock<T>, make: impl FnOnce() -> T) -> &T {
    match cell.get() {
        Some(made) => made,
        None => {
            let made = make();
            cell.get_or_init(|| made)
        }
    }
}

/// Calls what belongs to the user and is no part of the work under way: a recorder, a subscriber, a waker. Where it panics,
/// which the panic hook has told, the work goes on.
pub(crate) fn shielded(user: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(user)) {
        // A payload may panic when it is dropped.
        std::mem::forget(catch_unwind(AssertUnwindSafe(|| drop(payload))));
    }
}

/// Wakes all of them, also where one panics. Wakers are somebody else's code: never call this under a lock.
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        shielded(|| waker.wake());
    }
}

/// Runs `model` under every interleaving with at most `preemptions` switches away from a thread that could go on.
/// The clock stands still, so that every run takes the same branches.
#[cfg(all(test, unwedge_loom))]
pub(crate) fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let runs = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let clock = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let clock = clock.expect("a runtime for its clock");
    // All threads of a model are coroutines on this one, and so see its clock.
    let _inside = clock.enter();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        model();
    });
    let name = std::thread::current().name().unwrap_or("model").to_owned();
    println!("{name}: {} interleavings", runs.load(std::sync::atomic::Ordering::Relaxed));
}
