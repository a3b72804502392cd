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

/// Locks, also after a panic elsewhere: no state of this crate is left half-changed by one.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
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
