//! Who is waiting for what right now: the table of calls in flight.

#[cfg(feature = "supervise")]
pub(crate) mod member;
#[cfg(not(feature = "supervise"))]
pub(crate) mod nobody;
#[cfg(not(feature = "supervise"))]
pub(crate) use nobody as member;

use self::member::Member;
use crate::LongPoll;
use crate::error::Phase;
use crate::origin::Target;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, lock};
use std::cell::Cell;
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::time::Instant;

thread_local! {
    // What the connector that was just polled is doing. The connection pool stands between a call and its connector,
    // and this mailbox is the one way past it that costs no allocation.
    static DOING: Cell<Phase> = const { Cell::new(Phase::Headers) };
}

/// Called by a connector each time it is polled and has to wait.
#[cfg_attr(not(feature = "client"), expect(dead_code, reason = "connectors report"))]
pub(crate) fn report(phase: Phase) {
    DOING.set(phase);
}

/// Polls `work`, and says what a connector inside it reported; `Headers` where none did.
pub(crate) fn observe<T>(work: impl FnOnce() -> T) -> (T, Phase) {
    DOING.set(Phase::Headers);
    let done = work();
    (done, DOING.get())
}

/// A handle to the calls in flight of one stack.
#[derive(Clone)]
pub struct InFlight(pub(crate) Arc<Table>);

/// One call in flight, as seen by an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The method of the request.
    pub method: http::Method,
    /// The URL without credentials and query, or with its label in place of the path.
    pub url: String,
    /// What it is waiting for.
    pub phase: Phase,
    /// For how long it has been in this phase.
    pub in_phase: Duration,
    /// The attempt under way, from 1.
    pub attempt: u32,
    /// How many attempts there may be.
    pub attempts_allowed: u32,
    /// Since the call began.
    pub age: Duration,
    /// Until its deadline; `None` for a long poll outside of any scope, and under a layer that has no deadline.
    pub deadline_in: Option<Duration>,
    /// The reason of a long poll.
    pub long_poll: Option<String>,
    /// Whether the long poll gave up every bound of its own.
    pub unbounded: bool,
    /// The supervised subsystem whose task made the call.
    pub subsystem: Option<String>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brief = crate::duration::brief;
        write!(f, "{} {}, ", self.method, self.url)?;
        if self.attempts_allowed > 1 {
            write!(f, "attempt {} of {}, ", self.attempt, self.attempts_allowed)?;
        }
        write!(f, "{} for {:#}", self.phase, brief(self.in_phase))?;
        match self.deadline_in {
            Some(left) => write!(f, ", deadline in {:#}", brief(left))?,
            None => f.write_str(", no deadline")?,
        }
        match &self.long_poll {
            Some(reason) => write!(f, " (long poll: {reason})"),
            None => Ok(()),
        }
    }
}

impl InFlight {
    /// How many calls are in flight, bodies that still stream included.
    pub fn len(&self) -> usize {
        let slab = lock(&self.0.slab);
        slab.entries.len() - slab.free.len()
    }

    /// Whether nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets the gauges `unwedge_calls_in_flight` and `unwedge_oldest_in_flight_seconds` to what is in flight now. Age is
    /// nothing that happens, so somebody has to look: the admin endpoints do before each scrape.
    #[cfg(feature = "metrics")]
    pub fn publish(&self) {
        let calls = self.snapshot();
        let oldest = calls.first().map_or(Duration::ZERO, |call| call.age);
        crate::telemetry::in_flight(calls.len(), oldest);
    }

    /// All calls in flight, oldest first.
    pub fn snapshot(&self) -> Vec<Call> {
        let now = Instant::now();
        let slab = lock(&self.0.slab);
        let mut calls: Vec<Call> = slab
            .entries
            .iter()
            .enumerate()
            .filter_map(|(at, entry)| Some(self.0.show(at, entry.as_ref()?, now)))
            .collect();
        drop(slab);
        calls.sort_by_key(|call| std::cmp::Reverse(call.age));
        calls
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.snapshot()).finish()
    }
}

/// What does not change while a call runs.
pub(crate) struct Details {
    pub(crate) target: Target,
    pub(crate) started: Instant,
    pub(crate) deadline: Option<Instant>,
    pub(crate) attempts_allowed: u32,
    pub(crate) long_poll: Option<LongPoll>,
    pub(crate) subsystem: Option<Arc<Member>>,
}

/// Entries behind one short lock; what changes in mid-call is written to atomics beside them.
pub(crate) struct Table {
    epoch: Instant,
    slab: Mutex<Slab>,
    /// Rows never move, so that they are reached without the lock: chunk n holds 64 << n of them.
    chunks: [OnceLock<Box<[Row]>>; 20],
}

#[derive(Default)]
struct Slab {
    entries: Vec<Option<Details>>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Row {
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

    fn get(&self) -> (u32, u64) {
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

impl Default for Table {
    fn default() -> Table {
        Table { epoch: Instant::now(), slab: Mutex::default(), chunks: Default::default() }
    }
}

impl Table {
    pub(crate) fn enter(&self, details: Details) -> Slot {
        let mut slab = lock(&self.slab);
        let at = slab.free.pop();
        // Under the lock, or an operator who looks now would see the new call do what the last one in this place did.
        // As a call that is answered at once will be: anything else is written when it has to wait.
        self.row(at.map_or(slab.entries.len(), |at| at as usize)).set(SINCE_START, Phase::Headers, 1);
        match at {
            Some(at) => {
                slab.entries[at as usize] = Some(details);
                Slot(at)
            }
            None => {
                slab.entries.push(Some(details));
                // As many free places as entries are reserved now, so that leaving never allocates.
                let more = slab.entries.len() - slab.free.len();
                slab.free.reserve(more);
                Slot((slab.entries.len() - 1) as u32)
            }
        }
    }

    /// What was known of the call, for the error that ends it.
    pub(crate) fn take(&self, slot: Slot) -> Option<Details> {
        let mut slab = lock(&self.slab);
        slab.free.push(slot.0);
        slab.entries[slot.0 as usize].take()
    }

    pub(crate) fn leave(&self, slot: Slot) {
        let mut slab = lock(&self.slab);
        slab.free.push(slot.0);
        slab.entries[slot.0 as usize] = None;
    }

    pub(crate) fn with(&self, slot: &Slot, look: impl FnOnce(&Details)) {
        if let Some(details) = &lock(&self.slab).entries[slot.0 as usize] {
            look(details);
        }
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

    fn row(&self, at: usize) -> &Row {
        // Chunk n begins at place FIRST * (2^n - 1).
        let chunk = ((at / FIRST + 1).ilog2() as usize).min(self.chunks.len() - 1);
        let begins = FIRST * ((1 << chunk) - 1);
        let rows = self.chunks[chunk].get_or_init(|| (0..FIRST << chunk).map(|_| Row::default()).collect());
        &rows[(at - begins) % rows.len()]
    }

    fn show(&self, at: usize, details: &Details, now: Instant) -> Call {
        let (state, since) = self.row(at).get();
        let since =
            if since == SINCE_START { details.started } else { self.epoch + Duration::from_nanos(since) };
        Call {
            method: details.target.method.clone(),
            url: details.target.url(),
            phase: Phase::from_u8(state as u8),
            in_phase: now.saturating_duration_since(since),
            attempt: state >> 8,
            attempts_allowed: details.attempts_allowed,
            age: now.saturating_duration_since(details.started),
            deadline_in: details.deadline.map(|at| at.saturating_duration_since(now)),
            long_poll: details.long_poll.as_ref().map(|poll| poll.reason().to_owned()),
            unbounded: details.long_poll.as_ref().is_some_and(LongPoll::is_unbounded),
            subsystem: details.subsystem.as_ref().map(|member| member.name().to_owned()),
        }
    }
}

#[cfg(all(test, unwedge_loom))]
mod loom_models;

#[cfg(test)]
mod tests {
    use super::*;

    fn details(url: &str) -> Details {
        Details {
            target: Target { method: http::Method::GET, uri: url.parse().unwrap(), label: None },
            started: Instant::now(),
            deadline: Some(Instant::now() + Duration::from_secs(30)),
            attempts_allowed: 4,
            long_poll: None,
            subsystem: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_says_what_it_waits_for_and_is_gone_when_it_leaves() {
        let table = InFlight(Arc::new(Table::default()));
        let slot = table.0.enter(details("https://u:p@api.example/jobs?token=x"));
        table.0.phase(&slot, Phase::Headers, 2, Instant::now());
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(
            table.snapshot()[0].to_string(),
            "GET https://api.example/jobs, attempt 2 of 4, waiting for response headers for 9 s, deadline in 21 s"
        );
        assert_eq!(table.len(), 1);
        table.0.leave(slot);
        assert!(table.is_empty());
    }

    #[tokio::test]
    async fn rows_beyond_the_first_chunk_are_distinct() {
        let table = Table::default();
        let slots: Vec<Slot> = (0..5000).map(|_| table.enter(details("http://a/"))).collect();
        for (n, slot) in slots.iter().enumerate() {
            table.phase(slot, Phase::Body, n as u32, Instant::now());
        }
        for (n, slot) in slots.iter().enumerate() {
            assert_eq!(table.row(slot.0 as usize).at.load(Ordering::Relaxed) >> 8, n as u32);
        }
    }
}
