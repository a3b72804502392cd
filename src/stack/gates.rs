//! The gates of one origin and group, as its calls share them.

use crate::retry::gate::{Answer, Gates};
use crate::sync::{Mutex, lock};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Free of cost while there is no gate.
#[derive(Default)]
pub(crate) struct SharedGates {
    any: AtomicBool,
    gates: Mutex<Gates>,
}

impl SharedGates {
    /// Whether there is a gate at all. A call that just misses one finds out by itself.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Gates) -> T) -> T {
        let mut gates = lock(&self.gates);
        let done = work(&mut gates);
        self.any.store(!gates.is_empty(), Ordering::Relaxed);
        done
    }

    /// How many are closed, and when the first of them opens.
    pub(crate) fn closed(&self, now: Instant) -> (usize, Option<Duration>) {
        if self.any() { self.with(|gates| gates.closed(now)) } else { (0, None) }
    }
}

impl fmt::Debug for SharedGates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedGates").field("any", &self.any()).finish()
    }
}

/// The place of a call that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) key: u64,
    pub(crate) place: u32,
}

impl Place {
    pub(crate) fn of(key: u64, answer: Answer) -> Option<Box<Place>> {
        match answer {
            Answer::Wait { place, .. } => Some(Box::new(Place { key, place })),
            Answer::Go | Answer::Refuse { .. } => None,
        }
    }
}

/// What stands for the credential of a request; nothing can be read from it.
#[inline]
pub(crate) fn credential(hasher: &RandomState, headers: &HeaderMap) -> u64 {
    if headers.is_empty() {
        return 0;
    }
    headers.get(AUTHORIZATION).map_or(0, |value| hasher.hash_one(value.as_bytes()))
}
