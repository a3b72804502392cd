//! What the frames of an HTTP/2 connection tell of its peer.

use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, lock};
use std::fmt;

/// Before the peer has sent its settings.
const UNKNOWN: u32 = u32::MAX;
/// A peer that names no limit.
const NO_LIMIT: u32 = UNKNOWN - 1;

/// Told by whoever reads the connection, looked at by whoever hands requests to it.
///
/// hyper tells neither how many streams are free nor when that changes; what is read passes through a connector of ours
/// anyway.
#[derive(Default)]
pub(crate) struct Streams {
    limit: Limit,
    /// Frames that are a sign of life of the service: HEADERS and DATA. What a connection says of itself is none.
    frames: AtomicU64,
    /// Bytes of bodies that came.
    arrived: AtomicU64,
    leaving: AtomicBool,
    /// Who watches. Behind a lock, so that what changes while somebody begins to watch is told, or seen by the look that
    /// follows: with atomics alone each side may miss the other.
    changed: Mutex<Option<Watcher>>,
}

type Watcher = Arc<dyn Fn() + Send + Sync>;

struct Limit(AtomicU32);

impl Default for Limit {
    fn default() -> Limit {
        Limit(AtomicU32::new(UNKNOWN))
    }
}

impl Streams {
    /// Settings came, with a limit on streams or without one.
    pub(crate) fn settings(&self, limit: Option<u32>) {
        let before = self.limit.0.load(Ordering::Acquire);
        let limit = limit.map(|limit| limit.min(NO_LIMIT)).or((before == UNKNOWN).then_some(NO_LIMIT));
        if let Some(limit) = limit.filter(|limit| *limit != before) {
            self.limit.0.store(limit, Ordering::Release);
            self.tell();
        }
    }

    /// The peer said goodbye: it takes no stream that is opened from now on.
    pub(crate) fn goodbye(&self) {
        if !self.leaving.swap(true, Ordering::AcqRel) {
            self.tell();
        }
    }

    /// A frame of a response came, with so many bytes of its body.
    pub(crate) fn heard(&self, body: usize) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        if body > 0 {
            self.arrived.fetch_add(body as u64, Ordering::Relaxed);
        }
    }

    fn tell(&self) {
        let changed = lock(&self.changed).clone();
        if let Some(changed) = changed {
            changed();
        }
    }

    /// Calls this at each change of the limit, and at the goodbye. What came before is to be asked for afterwards.
    pub(crate) fn watch(&self, changed: impl Fn() + Send + Sync + 'static) {
        *lock(&self.changed) = Some(Arc::new(changed));
    }

    /// How many streams the peer takes at a time, once that is known.
    pub(crate) fn limit(&self) -> Option<u32> {
        Some(self.limit.0.load(Ordering::Acquire)).filter(|limit| *limit != UNKNOWN)
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// How many frames of responses came.
    pub(crate) fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// How many bytes of bodies came.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("limit", &self.limit()).field("frames", &self.frames()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_known_with_the_first_settings_and_told_when_it_changes() {
        let streams = Arc::new(Streams::default());
        let told = Arc::new(AtomicU32::new(0));
        let telling = Arc::clone(&told);
        streams.watch(move || _ = telling.fetch_add(1, Ordering::Relaxed));
        assert_eq!(streams.limit(), None);
        for (settings, limit, times) in [
            (None, NO_LIMIT, 1),
            (None, NO_LIMIT, 1),
            (Some(1), 1, 2),
            (None, 1, 2),
            (Some(1), 1, 2),
            (Some(0), 0, 3),
            (Some(u32::MAX), NO_LIMIT, 4),
        ] {
            streams.settings(settings);
            assert_eq!((streams.limit(), told.load(Ordering::Relaxed)), (Some(limit), times), "{settings:?}");
        }
        streams.goodbye();
        streams.goodbye();
        assert!(streams.is_leaving() && told.load(Ordering::Relaxed) == 5);
    }
}

#[cfg(all(test, unwedge_loom))]
mod loom_tests {
    use super::*;
    use crate::sync::explore;

    #[test]
    fn loom_the_first_word_is_told_to_who_watches_or_is_there_when_that_one_looks() {
        explore(3, || {
            let (streams, told) = (Arc::new(Streams::default()), Arc::new(AtomicU32::new(0)));
            let reading = Arc::clone(&streams);
            let reader = loom::thread::spawn(move || reading.settings(Some(1)));
            let telling = Arc::clone(&told);
            streams.watch(move || _ = telling.fetch_add(1, Ordering::SeqCst));
            let seen = streams.limit();
            reader.join().expect("no panic");
            assert!(seen == Some(1) || told.load(Ordering::SeqCst) == 1, "{seen:?}");
        });
    }
}
