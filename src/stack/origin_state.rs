//! What is kept for one origin: breaker, retry budget, health verdict; and the handle to all breakers.

use crate::breaker::{Breaker, Snapshot, Transition};
use crate::health;
use crate::options::Group;
use crate::origin::table::{Entry, Evictable};
use crate::retry::budget::Bucket;
use crate::stack::claims::Claimed;
use crate::stack::gates::Gated;
use crate::stack::pacing::polls::Gaps;
use crate::stack::pacing::refusals::Refusals;
use crate::stack::shared::{LayerContext, Shared};
use crate::sync::{Mutex, lock};
use crate::telemetry::{Meter, Whose};
use http::Uri;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

/// The state of one origin, or of one group of it; one look-up per call finds all of it.
pub(crate) struct OriginState {
    pub(crate) shared: Arc<LayerContext>,
    /// Not of a group.
    pub(crate) origins_own: bool,
    pub(crate) siblings: Arc<Siblings>,
    pub(crate) breaker: Breaker,
    pub(crate) budget: Option<Bucket>,
    /// The verdict of the origin, shared by its groups.
    pub(crate) health: Option<Arc<health::SingleFlight>>,
    /// When the next long poll of a path may leave.
    pub(crate) gaps: Mutex<Gaps>,
    pub(crate) gates: Gated,
    pub(crate) claims: Claimed,
    pub(crate) warned: Warned,
    pub(crate) heard: Heard,
    pub(crate) refusals: Refusals,
    pub(crate) meter: Meter,
}

impl Evictable for OriginState {
    fn keep(&self) -> bool {
        // Only looked at: to ask for the phase may end a lease, and that is told to a recorder and a subscriber.
        !self.breaker.is_closed() || self.gates.any()
    }

    fn is_shared(&self) -> bool {
        self.origins_own && self.groups() > 0
    }
}

impl Entry<OriginState> {
    /// For the log.
    pub(crate) fn whose(&self) -> Whose<'_> {
        (&self.origin, &self.shared.labels.client)
    }
}

/// What the lanes of one origin have in common; each of them holds it.
#[derive(Debug, Default)]
pub(crate) struct Siblings {
    /// Whether it was said that there are too many groups.
    pub(crate) said_folded: AtomicBool,
    /// What wakes the callers of each of them: their health verdict is one.
    better: Mutex<Vec<Weak<Notify>>>,
}

impl OriginState {
    /// Its callers hear of what is good news for the whole origin.
    pub(crate) fn join_siblings(&self) {
        let mut known = lock(&self.siblings.better);
        known.retain(|lane| lane.strong_count() > 0);
        known.push(Arc::downgrade(self.breaker.better()));
    }

    /// The health check passes again.
    #[cold]
    pub(crate) fn recovered(&self) {
        let known = lock(&self.siblings.better).clone();
        for lane in known.iter().filter_map(Weak::upgrade) {
            lane.notify_waiters();
        }
    }

    /// The groups of this origin that have a lane of their own.
    pub(crate) fn groups(&self) -> usize {
        Arc::strong_count(&self.siblings) - 1
    }
}

/// One warning a second, with the number of those that were left out.
pub(crate) struct Warned {
    epoch: Instant,
    /// Milliseconds since the epoch of the last warning, plus one; 0 before the first.
    last: AtomicU64,
    left_out: AtomicU64,
}

impl Warned {
    pub(crate) fn new(now: Instant) -> Warned {
        Warned { epoch: now, last: AtomicU64::new(0), left_out: AtomicU64::new(0) }
    }

    /// `Some(left out since the last)` where a warning is due.
    pub(crate) fn due(&self, now: Instant) -> Option<u64> {
        let ms = now.saturating_duration_since(self.epoch).as_millis() as u64 + 1;
        let last = self.last.load(Ordering::Relaxed);
        let quiet = last != 0 && ms < last + Duration::from_secs(1).as_millis() as u64;
        if quiet || self.last.compare_exchange(last, ms, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.left_out.swap(0, Ordering::Relaxed))
    }
}

/// When a byte of a response last came from the origin.
pub(crate) struct Heard {
    epoch: Instant,
    /// Nanoseconds since the epoch, plus one; 0 before the first.
    last: AtomicU64,
}

impl Heard {
    /// So long a moment stands for all in it: a busy origin is not written to with each response.
    const MOMENT: u64 = 10_000_000;

    pub(crate) fn new(now: Instant) -> Heard {
        Heard { epoch: now, last: AtomicU64::new(0) }
    }

    #[inline]
    pub(crate) fn note(&self, now: Instant) {
        let at = self.nanos(now);
        let last = self.last.load(Ordering::Relaxed);
        if last == 0 || at > last.saturating_add(Self::MOMENT) {
            self.last.store(at, Ordering::Relaxed);
        }
    }

    /// Whether something came within this time, to 10 ms.
    pub(crate) fn within(&self, time: Duration, now: Instant) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        last != 0 && self.nanos(now).saturating_sub(last) < time.as_nanos() as u64
    }

    fn nanos(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_nanos() as u64 + 1
    }
}

/// A handle to the circuit breakers of one stack.
#[derive(Clone)]
pub struct Breakers(Arc<Shared>);

impl Breakers {
    pub(crate) fn new(hub: &Arc<Shared>) -> Breakers {
        Breakers(Arc::clone(hub))
    }

    /// The state of every breaker: one per origin that was called, and one per group that a request named.
    ///
    /// ```
    /// # let stack = unwedge::StackLayer::default();
    /// for breaker in stack.breakers().snapshot() {
    ///     println!("{} {:?}", breaker.origin, breaker.phase);
    /// }
    /// ```
    pub fn snapshot(&self) -> Vec<Snapshot> {
        let now = Instant::now();
        let seen = |entry: &Arc<Entry<OriginState>>| {
            let mut seen = entry.breaker.snapshot();
            (seen.gates, seen.gate_opens_in) = entry.gates.closed(now);
            seen
        };
        self.0.origins.all().iter().map(seen).collect()
    }

    /// All there are.
    #[cfg(feature = "admin")]
    pub(crate) fn all(&self) -> impl Iterator<Item = Breaker> + use<> {
        self.0.origins.all().into_iter().map(|entry| entry.breaker.clone())
    }

    /// The breaker of the origin of this URL, made if the origin was never called.
    ///
    /// # Errors
    /// Kind `Config` where the URL has no host or a scheme other than http and https.
    pub fn of(&self, uri: &Uri) -> Result<Breaker, crate::Error> {
        Ok(self.0.lane(uri, None)?.breaker.clone())
    }

    /// The breaker of this group of the origin of this URL, made if it was never called.
    ///
    /// ```
    /// # let stack = unwedge::StackLayer::default();
    /// let billing = stack.breakers().of_group(&"https://api.example/".parse()?, "billing")?;
    /// billing.force_open(); // the other routes go on
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`of`](Breakers::of), and for a name that is no group's: see [`Group`].
    pub fn of_group(&self, uri: &Uri, group: impl Into<Group>) -> Result<Breaker, crate::Error> {
        Ok(self.0.lane(uri, Some(&group.into()))?.breaker.clone())
    }

    /// Every change of phase from now on, of all origins. A receiver that falls behind by more than 256 changes
    /// misses the oldest.
    pub fn subscribe(&self) -> broadcast::Receiver<Transition> {
        self.0.shared.events.subscribe()
    }
}

impl fmt::Debug for Breakers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.snapshot()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_a_second_says_how_many_were_left_out() {
        let start = Instant::now();
        let warned = Warned::new(start);
        assert_eq!(warned.due(start), Some(0));
        for ms in [1, 500, 999] {
            assert_eq!(warned.due(start + Duration::from_millis(ms)), None);
        }
        assert_eq!(warned.due(start + Duration::from_millis(1000)), Some(3));
    }

    #[test]
    fn what_was_heard_is_known_for_as_long_as_is_asked() {
        let start = Instant::now();
        let (heard, second) = (Heard::new(start), Duration::from_secs(1));
        assert!(!heard.within(second, start), "nothing yet");
        heard.note(start);
        assert!(heard.within(second, start + Duration::from_millis(999)));
        assert!(!heard.within(second, start + second));
        heard.note(start + second / 2);
        heard.note(start);
        assert!(
            heard.within(second, start + second),
            "the last counts, whoever comes later with an earlier one"
        );
        assert!(!heard.within(second, start + 2 * second));
    }
}
