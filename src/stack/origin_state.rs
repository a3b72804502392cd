//! What is kept for one origin, or for one group of it: breaker, retry budget, health verdict, gates.

use crate::breaker::Breaker;
use crate::health;
use crate::options::Group;
use crate::origin::Origin;
use crate::origin::table::{Entry, Evictable};
use crate::retry::budget::Bucket;
use crate::stack::claims::SharedClaims;
use crate::stack::context::LayerContext;
use crate::stack::gates::SharedGates;
use crate::stack::pacing::polls::Gaps;
use crate::stack::pacing::refusals::Refusals;
use crate::sync::{Mutex, lock};
use crate::telemetry::{Endpoint, Meter};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::Instant;

/// The state of one origin, or of one group of it; one look-up per call finds all of it.
pub(super) struct OriginState {
    pub(super) context: Arc<LayerContext>,
    /// Not of a group.
    pub(super) origins_own: bool,
    pub(super) siblings: Arc<Siblings>,
    pub(super) breaker: Breaker,
    pub(super) budget: Option<Bucket>,
    /// The verdict of the origin, shared by its groups.
    pub(super) health: Option<Arc<health::SingleFlight>>,
    /// When the next long poll of a path may leave.
    pub(super) gaps: Mutex<Gaps>,
    pub(super) gates: SharedGates,
    pub(super) claims: SharedClaims,
    pub(super) warned: WarningLimit,
    pub(super) heard: LastHeard,
    pub(super) refusals: Refusals,
    pub(super) meter: Meter,
}

/// Resolves when the circuit closes or the health check passes again.
pub(super) type Recovery = Pin<Box<OwnedNotified>>;

impl Evictable for OriginState {
    fn keep(&self) -> bool {
        // Asked without the lock: a table of origins is held meanwhile.
        !self.breaker.is_closed() || self.gates.any()
    }

    fn is_shared(&self) -> bool {
        self.origins_own && self.groups() > 0
    }
}

impl Entry<OriginState> {
    /// For the log.
    pub(super) fn endpoint(&self) -> Endpoint<'_> {
        (&self.origin, &self.context.labels.client)
    }
}

/// What an origin and its groups have in common; the state of each of them holds it.
#[derive(Debug, Default)]
pub(super) struct Siblings {
    /// Whether it was said that there are too many groups.
    pub(super) said_folded: AtomicBool,
    /// What wakes the callers of each of them: their health verdict is one.
    better: Mutex<Vec<Weak<Notify>>>,
}

impl OriginState {
    /// Of an origin, or of a group beside the origin's own.
    pub(super) fn new(
        context: &Arc<LayerContext>,
        origin: &Origin,
        group: Option<(&Group, &OriginState)>,
    ) -> OriginState {
        let (group, own) = group.unzip();
        let name: Arc<str> = match own {
            Some(own) => Arc::clone(own.breaker.name()),
            None => origin.to_string().into(),
        };
        let subject = context.labels.of(name, group);
        let breaker = Breaker::for_origin(subject.clone(), &context.rules, context.events.clone());
        let flight = || {
            let health = context.health.as_ref()?;
            let lead = context.check_limit() + Duration::from_secs(1);
            Some(Arc::new(health::SingleFlight::new(health.interval, lead, health.mode)))
        };
        let origin_state = OriginState {
            origins_own: own.is_none(),
            siblings: own.map(|own| Arc::clone(&own.siblings)).unwrap_or_default(),
            breaker,
            budget: context.retry.budget.as_ref().map(|budget| Bucket::new(budget, Instant::now())),
            health: own.map_or_else(flight, |own| own.health.clone()),
            gaps: Mutex::default(),
            gates: SharedGates::default(),
            claims: SharedClaims::default(),
            warned: WarningLimit::new(Instant::now()),
            heard: LastHeard::new(Instant::now()),
            refusals: Refusals::new(Instant::now()),
            meter: Meter::new(origin, subject),
            context: Arc::clone(context),
        };
        origin_state.join_siblings();
        origin_state
    }

    /// Its callers hear of what is good news for the whole origin.
    fn join_siblings(&self) {
        let mut known = lock(&self.siblings.better);
        known.retain(|origin_state| origin_state.strong_count() > 0);
        known.push(Arc::downgrade(self.breaker.better()));
    }

    /// The health check passes again.
    #[cold]
    pub(super) fn recovered(&self) {
        let known = lock(&self.siblings.better).clone();
        for origin_state in known.iter().filter_map(Weak::upgrade) {
            origin_state.notify_waiters();
        }
    }

    /// For how long the circuit is open, for a call whose attempt has just failed; `beneath` is what a layer of its own
    /// beneath has said.
    pub(super) fn shut(&self, beneath: Option<Duration>, now: Instant) -> Option<Duration> {
        let own = if self.context.parts.breaker { self.breaker.refuses(now) } else { None };
        own.max(beneath)
    }

    /// Begins to listen for good news.
    pub(super) fn listen(&self) -> Recovery {
        Box::pin(Arc::clone(self.breaker.better()).notified_owned())
    }

    /// Puts tokens into the budget of retries.
    #[inline]
    pub(super) fn deposit(&self, tokens: u32) {
        if let Some(bucket) = &self.budget {
            bucket.deposit(tokens);
            self.meter.budget(|| bucket.left());
        }
    }

    /// The groups of this origin that have state of their own.
    pub(super) fn groups(&self) -> usize {
        Arc::strong_count(&self.siblings) - 1
    }
}

/// One warning a second, with the number of those that were left out.
pub(super) struct WarningLimit {
    epoch: Instant,
    /// Milliseconds since the epoch of the last warning, plus one; 0 before the first.
    last: AtomicU64,
    left_out: AtomicU64,
}

impl WarningLimit {
    pub(super) fn new(now: Instant) -> WarningLimit {
        WarningLimit { epoch: now, last: AtomicU64::new(0), left_out: AtomicU64::new(0) }
    }

    /// `Some(left out since the last)` where a warning is due.
    pub(super) fn due(&self, now: Instant) -> Option<u64> {
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
pub(super) struct LastHeard {
    epoch: Instant,
    /// Nanoseconds since the epoch, plus one; 0 before the first.
    last: AtomicU64,
}

impl LastHeard {
    /// So long a moment stands for all in it: a busy origin is not written to with each response.
    const MOMENT: u64 = 10_000_000;

    pub(super) fn new(now: Instant) -> LastHeard {
        LastHeard { epoch: now, last: AtomicU64::new(0) }
    }

    #[inline]
    pub(super) fn note(&self, now: Instant) {
        let last = self.last.load(Ordering::Relaxed);
        // Compared by a sum: a difference of two moments takes three times as long. `last` is one too large, so that it is
        // not 0, and the same moment is late enough.
        let moment_ends = self.epoch + Duration::from_nanos(last.saturating_add(Self::MOMENT));
        if last == 0 || now >= moment_ends {
            self.last.store(self.nanos(now), Ordering::Relaxed);
        }
    }

    /// Whether something came within this time, to 10 ms.
    pub(super) fn within(&self, time: Duration, now: Instant) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        last != 0 && self.nanos(now).saturating_sub(last) < time.as_nanos() as u64
    }

    fn nanos(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_nanos() as u64 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_a_second_says_how_many_were_left_out() {
        let start = Instant::now();
        let warned = WarningLimit::new(start);
        assert_eq!(warned.due(start), Some(0));
        for ms in [1, 500, 999] {
            assert_eq!(warned.due(start + Duration::from_millis(ms)), None);
        }
        assert_eq!(warned.due(start + Duration::from_millis(1000)), Some(3));
        // Each second begins with the warning before.
        assert_eq!(warned.due(start + Duration::from_millis(1999)), None);
        assert_eq!(warned.due(start + Duration::from_millis(2000)), Some(1));
        assert_eq!(warned.due(start + Duration::from_millis(3000)), Some(0));
    }

    #[test]
    fn what_was_heard_is_known_for_as_long_as_is_asked() {
        let start = Instant::now();
        let (heard, second) = (LastHeard::new(start), Duration::from_secs(1));
        let moment = Duration::from_nanos(LastHeard::MOMENT);
        assert!(!heard.within(second, start), "nothing yet");
        heard.note(start);
        assert!(heard.within(second, start + Duration::from_millis(999)));
        assert!(!heard.within(second, start + second));
        heard.note(start + moment);
        assert!(!heard.within(second, start + second), "too near to the one before to be written down");
        heard.note(start + moment + Duration::from_nanos(1));
        assert!(heard.within(second, start + second));
        heard.note(start + second / 2);
        heard.note(start);
        assert!(
            heard.within(second, start + second),
            "the last counts, whoever comes later with an earlier one"
        );
        assert!(!heard.within(second, start + 2 * second));
    }
}
