//! A stream as an operator sees it, cheap to write from its reader.

use crate::registry::{STREAMS, StreamView, View};
use crate::sse::state::{Cause, Phase, Status};
use crate::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Shown as long as the stream keeps it.
pub(super) struct Shown {
    name: String,
    origin: String,
    status: watch::Receiver<Status>,
    epoch: Instant,
    /// In nanoseconds since the epoch, from 1; 0 for never.
    event: AtomicU64,
    next: AtomicU64,
}

impl Shown {
    pub(super) fn new(name: &str, origin: &str, status: watch::Receiver<Status>) -> Arc<Shown> {
        let shown = Arc::new(Shown {
            name: name.to_owned(),
            origin: origin.to_owned(),
            status,
            epoch: Instant::now(),
            event: AtomicU64::new(0),
            next: AtomicU64::new(0),
        });
        STREAMS.add(&shown);
        shown
    }

    /// An event came.
    pub(super) fn event(&self, at: Instant) {
        self.event.store(self.nanos(at), Ordering::Relaxed);
    }

    /// It connects again then.
    pub(super) fn waits_until(&self, at: Instant) {
        self.next.store(self.nanos(at), Ordering::Relaxed);
    }

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX - 1) + 1
    }

    fn at(&self, nanos: &AtomicU64) -> Option<Instant> {
        self.epoch.checked_add(Duration::from_nanos(nanos.load(Ordering::Relaxed).checked_sub(1)?))
    }
}

impl View<StreamView> for Shown {
    fn view(&self, now: Instant) -> StreamView {
        let status = self.status.borrow().clone();
        let waits = status.phase == Phase::Waiting;
        let next = self.at(&self.next).filter(|_| waits);
        StreamView {
            name: self.name.clone(),
            origin: self.origin.clone(),
            state: status.phase.as_str(),
            attempt: status.attempt,
            last_event: self.at(&self.event).map(|at| now.saturating_duration_since(at)),
            next_try: next.map(|at| at.saturating_duration_since(now)),
            wait: status.wait,
            connected: status.connected,
            lost: status.network + status.server + status.timeout,
            cause: status.cause.map(Cause::as_str),
            error: status.error,
        }
    }
}
