//! What there is in this process right now of some kinds, for whoever shows it: queues, event streams, child processes.
//!
//! Each registers itself when it is made, by a weak reference that ends with it. What is registered is asked when
//! somebody looks, so that nobody who only works pays for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// So many of a kind are followed; those beyond are left out, whatever a program makes.
const MOST: usize = 1024;
/// So many places are looked through before any is given back.
const FEW: usize = 16;

/// How something is at a moment. Asked where no lock of the registry is held.
pub(crate) trait View<T>: Send + Sync {
    fn view(&self, now: Instant) -> T;
}

/// All of a kind.
pub(crate) struct Registry<T: 'static>(Mutex<Places<T>>);

struct Places<T: 'static> {
    all: Vec<Weak<dyn View<T>>>,
    /// At so many places those that are empty are given back: twice what was left the last time.
    full_at: usize,
}

pub(crate) static QUEUES: Registry<QueueView> = Registry::new();
pub(crate) static STREAMS: Registry<StreamView> = Registry::new();
pub(crate) static PROCESSES: Registry<ProcessView> = Registry::new();

impl<T> Registry<T> {
    const fn new() -> Registry<T> {
        Registry(Mutex::new(Places { all: Vec::new(), full_at: FEW }))
    }

    /// Never one of loom's, which no static can hold.
    fn places(&self) -> MutexGuard<'_, Places<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows it as long as it is there.
    pub(crate) fn add<V: View<T> + 'static>(&self, it: &Arc<V>) {
        let weak: Weak<V> = Arc::downgrade(it);
        let mut places = self.places();
        if places.all.len() >= places.full_at {
            // What is dropped here is memory: its owner has dropped all that was in it.
            places.all.retain(|place| place.strong_count() > 0);
            places.full_at = (places.all.len() * 2).clamp(FEW, MOST);
        }
        if places.all.len() < MOST {
            places.all.push(weak);
        }
    }

    /// How each is now, in the order in which they were made.
    pub(crate) fn look(&self, now: Instant) -> Vec<T> {
        let all: Vec<Arc<dyn View<T>>> = self.places().all.iter().filter_map(Weak::upgrade).collect();
        all.iter().map(|it| it.view(now)).collect()
    }
}

/// A queue.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub(crate) struct QueueView {
    pub(crate) name: &'static str,
    pub(crate) waiting: u64,
    pub(crate) capacity: usize,
    /// How long the oldest item has waited.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "oldest_seconds", serialize_with = "crate::duration::written::maybe_seconds")
    )]
    pub(crate) oldest: Option<Duration>,
    #[cfg_attr(
        feature = "serde",
        serde(rename = "max_age_seconds", serialize_with = "crate::duration::written::seconds")
    )]
    pub(crate) max_age: Duration,
    pub(crate) expired: u64,
    pub(crate) refused: u64,
    /// Whether there is a valve, and for how long it has been holding back what is too old.
    pub(crate) has_valve: bool,
    #[cfg_attr(
        feature = "serde",
        serde(rename = "held_seconds", serialize_with = "crate::duration::written::maybe_seconds")
    )]
    pub(crate) held_for: Option<Duration>,
    pub(crate) closed: bool,
}

/// An event stream.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub(crate) struct StreamView {
    pub(crate) name: String,
    pub(crate) origin: String,
    pub(crate) state: &'static str,
    pub(crate) attempt: u32,
    /// How long ago the last event came.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "last_event_seconds_ago", serialize_with = "crate::duration::written::maybe_seconds")
    )]
    pub(crate) last_event: Option<Duration>,
    /// When it connects again, where it waits, and out of how long a wait.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "next_try_in_seconds", serialize_with = "crate::duration::written::maybe_seconds")
    )]
    pub(crate) next_try: Option<Duration>,
    #[cfg_attr(
        feature = "serde",
        serde(rename = "wait_seconds", serialize_with = "crate::duration::written::seconds")
    )]
    pub(crate) wait: Duration,
    pub(crate) connected: u64,
    pub(crate) lost: u64,
    pub(crate) cause: Option<&'static str>,
    pub(crate) error: Option<String>,
}

/// A child process.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub(crate) struct ProcessView {
    /// Without its arguments, where secrets are.
    pub(crate) command: String,
    pub(crate) pid: u32,
    #[cfg_attr(
        feature = "serde",
        serde(rename = "age_seconds", serialize_with = "crate::duration::written::seconds")
    )]
    pub(crate) age: Duration,
    #[cfg_attr(
        feature = "serde",
        serde(rename = "limit_seconds", serialize_with = "crate::duration::written::seconds")
    )]
    pub(crate) limit: Duration,
    /// It was asked to end.
    pub(crate) ending: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Numbered(usize);

    impl View<usize> for Numbered {
        fn view(&self, _: Instant) -> usize {
            self.0
        }
    }

    fn places(registry: &Registry<usize>) -> usize {
        registry.places().all.len()
    }

    #[test]
    fn what_is_dropped_is_shown_no_more_and_its_place_is_given_back() {
        let registry = Registry::new();
        let kept = Arc::new(Numbered(7));
        registry.add(&kept);
        for n in 0..100_000 {
            registry.add(&Arc::new(Numbered(n)));
            assert!(places(&registry) <= FEW, "{}", places(&registry));
        }
        assert_eq!(registry.look(Instant::now()), [7]);
        drop(kept);
        assert_eq!(registry.look(Instant::now()), [0; 0]);
    }

    #[test]
    fn more_than_it_follows_are_left_out_until_others_are_gone() {
        let registry = Registry::new();
        let mut all: Vec<Arc<Numbered>> = (0..MOST + 10).map(|n| Arc::new(Numbered(n))).collect();
        all.iter().for_each(|it| registry.add(it));
        assert_eq!(registry.look(Instant::now()).len(), MOST);
        drop(all.drain(..MOST / 2));
        let late = Arc::new(Numbered(9999));
        registry.add(&late);
        assert_eq!(registry.look(Instant::now()).last(), Some(&9999));
        assert!(places(&registry) <= MOST);
    }
}
