//! How far a check in the background has come beneath.

use crate::inflight::Reported;
use crate::stack::call::passage::Passage;
use crate::sync::{Mutex, lock};
use std::time::Duration;
use tokio::time::Instant;

/// How far a check has come beneath, and since when the server has its time. Of one task; the lock makes it one that may
/// move between threads.
pub(super) struct Way {
    limit: Duration,
    at: Mutex<(Passage, Instant)>,
}

impl Way {
    pub(super) fn new(limit: Duration) -> Way {
        Way { limit, at: Mutex::new((Passage::default(), Instant::now())) }
    }

    /// What the inner service did when it was polled, and is pending.
    pub(super) fn note(&self, reported: Reported) {
        let (passage, began) = &mut *lock(&self.at);
        let doing = passage.hear(reported);
        if passage.has_moved(doing) {
            let now = Instant::now();
            if passage.moves(doing, now >= *began + self.limit) {
                *began = now;
            }
        }
    }

    /// When it began, or was handed over where it had to wait for that.
    pub(super) fn began(&self) -> Instant {
        lock(&self.at).1
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    pub(super) fn until(&self) -> Instant {
        self.began() + self.limit
    }

    /// Nobody was asked yet.
    pub(super) fn is_local(&self) -> bool {
        lock(&self.at).0.is_local()
    }
}
