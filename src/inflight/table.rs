//! The table itself: a slab of calls behind one short lock, and beside it what changes in mid-call.

use crate::error::Phase;
use crate::inflight::connections::{AskPool, Pooled};
use crate::inflight::entry::{Details, EntryCopy};
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard, lock};
use crate::target::Target;
use crate::telemetry::ClientName;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::time::Instant;

/// Entries behind one short lock; what changes in mid-call is written to atomics beside them.
///
/// Under the lock entries are moved, counted and copied, and nothing else: no text is made and nothing of the user's is
/// dropped, since every call that begins or ends would wait for it.
pub(crate) struct Table {
    /// Whose calls these are.
    pub(super) client: ClientName,
    epoch: Instant,
    slab: Mutex<Slab>,
    /// Rows never move, so that they are reached without the lock: chunk n holds 64 << n of them.
    chunks: [OnceLock<Box<[Row]>>; 20],
    /// The pool of connections beneath, where it is one of ours.
    pool: OnceLock<AskPool>,
    /// Origins whose connections were published, until there are none.
    #[cfg(feature = "metrics")]
    pub(super) published: Mutex<Vec<crate::origin::Origin>>,
}

#[derive(Default)]
struct Slab {
    entries: Vec<Option<Details>>,
    free: Vec<u32>,
    /// The call that stands in the way of giving memory back, since it is not tried again before that one ends.
    last_used: Option<u32>,
}

/// A table is not made smaller below this many places.
const FEW: usize = 1024;
/// So many entries are looked at under the lock at a time: some microseconds.
const PIECE: usize = 256;

impl Slab {
    fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// One place more.
    #[cold]
    fn grow(&mut self) -> u32 {
        self.entries.push(None);
        self.last_used = None;
        // As many free places as entries are reserved now, so that leaving never allocates.
        self.free.reserve(self.entries.len() - self.free.len());
        (self.entries.len() - 1) as u32
    }

    /// Takes an entry out; the caller drops it when the lock is given back, since it may hold values of the user's.
    #[inline]
    fn take(&mut self, slot: u32) -> Option<Details> {
        self.free.push(slot);
        let is_peak_over = self.entries.len() > FEW && self.len() < self.entries.len() / 4;
        if is_peak_over && self.last_used.is_none_or(|last| last == slot) {
            let details = self.entries[slot as usize].take();
            self.shrink();
            return details;
        }
        self.entries[slot as usize].take()
    }

    /// Gives the memory of a peak back, as far as it is free at the end, and leaves room for twice as many as there are, so
    /// that this happens seldom.
    #[cold]
    fn shrink(&mut self) {
        let used = self.entries.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let keep = (FEW / 2).max(self.len() * 2);
        self.last_used = (used > keep).then(|| used as u32 - 1);
        let keep = keep.max(used);
        if keep < self.entries.len() {
            self.entries.truncate(keep);
            self.entries.shrink_to_fit();
            self.free.retain(|at| (*at as usize) < keep);
            self.free.shrink_to(self.entries.len());
        }
        // The lowest places are taken first from now on, so that the end becomes free.
        self.free.sort_unstable_by(|a, b| b.cmp(a));
        // Leaving must never allocate.
        self.free.reserve(self.entries.len() - self.free.len());
    }
}

#[derive(Default)]
pub(super) struct Row {
    /// Phase in the low 8 bits, attempt above.
    at: AtomicU32,
    /// When the phase began, in nanoseconds since the epoch of the table; or [`SINCE_START`].
    since: AtomicU64,
}

impl Row {
    fn set(&self, since: u64, phase: Phase, attempt: u32) {
        self.since.store(since, Ordering::Relaxed);
        // Whoever sees the phase sees when it began, or when a later one did: no phase is taken for older than it is.
        self.at.store(attempt << 8 | phase as u32, Ordering::Release);
    }

    pub(super) fn get(&self) -> (u32, u64) {
        (self.at.load(Ordering::Acquire), self.since.load(Ordering::Relaxed))
    }
}

/// The phase began when the call did.
const SINCE_START: u64 = u64::MAX;

/// A place in the table. Whoever holds it gives it back with [`Table::leave`].
#[derive(Debug)]
#[must_use]
pub(crate) struct Slot(u32);

// Few in a model, where each row is a thing to keep track of.
const FIRST: usize = if cfg!(all(test, unwedge_loom)) { 1 } else { 64 };

impl Table {
    pub(crate) fn new(client: ClientName) -> Table {
        Table {
            client,
            epoch: Instant::now(),
            slab: Mutex::default(),
            chunks: Default::default(),
            pool: OnceLock::new(),
            #[cfg(feature = "metrics")]
            published: Mutex::default(),
        }
    }

    /// These are the connections that its calls go out on.
    #[cfg(feature = "client")]
    pub(crate) fn over(&self, pool: AskPool) {
        let _ = self.pool.set(pool);
    }

    /// What the pool tells of them.
    pub(super) fn pooled(&self) -> Vec<Pooled> {
        self.pool.get().map(|ask| ask()).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn enter(&self, details: Details) -> Slot {
        let mut slab = lock(&self.slab);
        let at = slab.free.pop().unwrap_or_else(|| slab.grow());
        // Under the lock, or an operator who looks now would see the new call do what the last one in this place did.
        // As a call that is answered at once will be: anything else is written when it has to wait.
        self.row(at as usize).set(SINCE_START, Phase::Headers, 1);
        // The place is empty, being a free one. Asked here as well, the compiler knows it: nothing is dropped, and the entry
        // moved but once.
        debug_assert!(slab.entries[at as usize].is_none(), "a free place holds a call");
        if let place @ None = &mut slab.entries[at as usize] {
            *place = Some(details);
        }
        Slot(at)
    }

    /// What a call is about.
    pub(crate) fn target(&self, slot: &Slot) -> Option<Target> {
        let slab = lock(&self.slab);
        slab.entries[slot.0 as usize].as_ref().map(|details| details.target.clone())
    }

    /// Takes a call out, to be dropped where the table is not locked.
    #[inline]
    pub(crate) fn take(&self, slot: Slot) -> Option<Details> {
        lock(&self.slab).take(slot.0)
    }

    /// Another deadline than the one it began with: a body that streams has bounds of its own.
    pub(crate) fn ends(&self, slot: &Slot, deadline: Option<Instant>) {
        if let Some(details) = &mut lock(&self.slab).entries[slot.0 as usize] {
            details.deadline = deadline;
        }
    }

    pub(crate) fn phase(&self, slot: &Slot, phase: Phase, attempt: u32, now: Instant) {
        let since = now.saturating_duration_since(self.epoch).as_nanos() as u64;
        self.row(slot.0 as usize).set(since, phase, attempt);
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.slab).len()
    }

    /// All calls, copied.
    pub(super) fn copied(&self) -> Vec<EntryCopy> {
        let mut seen = Vec::with_capacity(self.len());
        self.pieces(|at, details| seen.push(self.copy(at, details)));
        seen
    }

    /// Shows every entry to `look`, some at a time, so that nobody who begins or ends a call waits for all of it.
    pub(super) fn pieces(&self, mut look: impl FnMut(usize, &Details)) {
        let mut begin = 0;
        loop {
            let slab: MutexGuard<'_, Slab> = lock(&self.slab);
            let end = slab.entries.len().min(begin + PIECE);
            for at in begin..end {
                if let Some(details) = &slab.entries[at] {
                    look(at, details);
                }
            }
            if end <= begin || end == slab.entries.len() {
                return;
            }
            begin = end;
        }
    }

    /// Under the lock, with which alone entry and row belong together.
    pub(super) fn copy(&self, at: usize, details: &Details) -> EntryCopy {
        let (state, since) = self.row(at).get();
        let in_phase_since =
            if since == SINCE_START { details.started } else { self.epoch + Duration::from_nanos(since) };
        EntryCopy { details: details.clone(), state, in_phase_since }
    }

    #[inline]
    pub(super) fn row(&self, at: usize) -> &Row {
        // Chunk n begins at place FIRST * (2^n - 1).
        let chunk = ((at / FIRST + 1).ilog2() as usize).min(self.chunks.len() - 1);
        let begins = FIRST * ((1 << chunk) - 1);
        let rows = self.chunks[chunk].get_or_init(|| (0..FIRST << chunk).map(|_| Row::default()).collect());
        // Its length is a power of two, and a mask much cheaper than a division.
        &rows[(at - begins) & (rows.len() - 1)]
    }
}

#[cfg(all(test, unwedge_loom))]
#[path = "loom_models.rs"]
mod loom_models;

#[cfg(test)]
mod tests {
    use super::*;

    impl Default for Table {
        fn default() -> Table {
            Table::new(ClientName::numbered())
        }
    }

    impl Table {
        pub(crate) fn leave(&self, slot: Slot) {
            // The lock is given back before what stood there is dropped.
            drop(self.take(slot));
        }
    }

    fn details() -> Details {
        Details {
            target: Target {
                method: http::Method::GET,
                uri: http::Uri::from_static("http://a/"),
                label: None,
            },
            started: Instant::now(),
            deadline: None,
            attempts_allowed: 4,
            long_poll: None,
            subsystem: None,
        }
    }

    #[tokio::test]
    async fn rows_beyond_the_first_chunk_are_distinct() {
        let table = Table::default();
        let slots: Vec<Slot> = (0..5000).map(|_| table.enter(details())).collect();
        for (n, slot) in slots.iter().enumerate() {
            table.phase(slot, Phase::Body, n as u32, Instant::now());
        }
        for (n, slot) in slots.iter().enumerate() {
            assert_eq!(table.row(slot.0 as usize).at.load(Ordering::Relaxed) >> 8, n as u32);
        }
    }

    #[test]
    fn the_memory_of_a_peak_is_given_back_also_around_calls_that_stay() {
        let table = Table::default();
        let mut slots: Vec<Slot> = (0..20_000).map(|_| table.enter(details())).collect();
        // One that was there before the peak and one that came in the middle of it.
        let stays = [slots.swap_remove(9_000), slots.swap_remove(0)];
        slots.into_iter().for_each(|slot| table.leave(slot));
        assert!(lock(&table.slab).entries.capacity() < 10_000, "{}", lock(&table.slab).entries.capacity());
        for slot in stays {
            assert!(table.take(slot).is_some());
        }
        // Ordinary traffic after the peak.
        for _ in 0..3 {
            let some: Vec<Slot> = (0..10).map(|_| table.enter(details())).collect();
            some.into_iter().for_each(|slot| table.leave(slot));
        }
        let slab = lock(&table.slab);
        assert!(slab.entries.capacity() <= FEW && slab.free.capacity() <= 4 * FEW);
        assert_eq!(slab.len(), 0);
    }

    #[test]
    fn places_stay_distinct_where_the_table_shrinks_and_grows() {
        let table = Table::default();
        let mut held = Vec::new();
        for round in 0..6 {
            held.extend((0..3_000).map(|_| table.enter(details())));
            let leave = if round % 2 == 0 { held.len() - 7 } else { held.len() / 2 };
            held.drain(..leave).for_each(|slot| table.leave(slot));
            let mut places: Vec<u32> = held.iter().map(|slot| slot.0).collect();
            places.sort_unstable();
            places.dedup();
            assert_eq!((places.len(), table.len()), (held.len(), held.len()));
            assert_eq!(table.copied().len(), held.len());
        }
        held.into_iter().for_each(|slot| table.leave(slot));
        assert_eq!(table.len(), 0);
    }
}
