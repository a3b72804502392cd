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
