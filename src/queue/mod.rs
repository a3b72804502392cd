//! A bounded queue with an age limit for its items: fair between keys, and with a count for every outcome of an item.

mod fifo;
#[cfg(all(test, unwedge_loom))]
mod loom_models;
#[cfg(all(test, not(unwedge_loom)))]
mod reference;
mod settings;
mod store;
#[cfg(all(test, not(unwedge_loom)))]
mod tests;
mod values;

pub use settings::Settings;
pub use values::{Alarm, Counts, Expired, Item, Refused, Swept, Why};

use crate::deadline::sleep_until;
use crate::panics;
use crate::registry::{QUEUES, QueueView, View};
use crate::sync::{Arc, Mutex, lock};
use crate::{Error, telemetry};
use fifo::{DroppedKeys, Offer};
use std::fmt::{self, Debug, Display};
use std::hash::{BuildHasher, Hash, RandomState};
use std::pin::pin;
use std::time::Duration;
use store::Store;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A queue of items that belong to keys, for instance the events of each cluster.
///
/// Keys take turns, so that one noisy key cannot starve the others; within a key the oldest item comes first. An item
/// older than [`max_age`](Settings::max_age) is never served, even before a sweep has removed it; [`sweep`](Queue::sweep)
/// counts, logs (`event expired`) and returns expired items. Clones share the queue.
///
/// `Clone`, `Drop` and `Display` of keys and values are called without a lock, and may use the queue. `Eq` and `Hash` of a
/// key may run under the queue's lock and must not use the queue. If one of them panics, no queued item is lost and all
/// counts stay correct. A key is cloned once, when it is pushed.
///
/// ```
/// use std::time::Duration;
/// use unwedge::queue::{Queue, Settings};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let queue = Queue::new(Settings::default().max_age(Duration::from_secs(600)))?;
/// queue.push("alpha", "disk full")?;
/// let item = queue.pop().await.expect("not closed");
/// assert_eq!((item.key, item.value), ("alpha", "disk full"));
///
/// queue.push("alpha", "fan failed")?;
/// tokio::time::sleep(Duration::from_secs(601)).await;
/// assert_eq!(queue.sweep().expired[0].item.value, "fan failed");
/// # Ok(()) }
/// ```
#[doc(alias("mpsc", "channel", "backpressure"))]
pub struct Queue<K, V>(Arc<Shared<K, V>>);

struct Shared<K, V> {
    store: Mutex<Store<K, V>>,
    hasher: RandomState,
    metric: &'static str,
    has_valve: bool,
    /// One permit for each push, as far as somebody waits for it.
    pushed: Notify,
    name: Option<Name<V>>,
}

/// What nobody will take any more waits no more.
impl<K, V> Drop for Shared<K, V> {
    fn drop(&mut self) {
        let left = lock(&self.store).counts().waiting;
        telemetry::gauges::queued(self.metric, left, 0);
        self.holds(0);
    }
}

impl<K, V> Shared<K, V> {
    /// So many items are held back by the valve.
    fn holds(&self, items: u64) {
        if self.has_valve {
            telemetry::gauges::queue_held(self.metric, items);
        }
    }
}

/// What an item is called.
type Name<V> = Box<dyn Fn(&V) -> String + Send + Sync>;

impl<K, V> Clone for Queue<K, V> {
    fn clone(&self) -> Self {
        Queue(Arc::clone(&self.0))
    }
}

/// What an operator sees of it. Nothing of the user's is called.
impl<K: Send, V: Send> View<QueueView> for Shared<K, V> {
    fn view(&self, now: Instant) -> QueueView {
        lock(&self.store).view(now)
    }
}

impl<K: Hash + Eq + Clone + Display + Send + 'static, V: Send + 'static> Queue<K, V> {
    /// An empty queue.
    ///
    /// # Errors
    /// Kind `Config` for an age or window of zero or above 10 years, room for nothing, a share outside of 0 to 1.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        Queue::create(settings, None)
    }

    /// The same, with a function for the name of an item in the log (`event_id`). Default its number.
    ///
    /// # Errors
    /// As [`new`](Queue::new).
    pub fn named(
        settings: Settings,
        name: impl Fn(&V) -> String + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        Queue::create(settings, Some(Box::new(name)))
    }

    fn create(settings: Settings, name: Option<Name<V>>) -> Result<Self, Error> {
        settings.check()?;
        let (metric, has_valve) = (settings.name, settings.valve.is_some());
        let store = Mutex::new(Store::new(settings));
        let (hasher, pushed) = (RandomState::new(), Notify::new());
        let shared = Arc::new(Shared { store, hasher, metric, has_valve, pushed, name });
        QUEUES.add(&shared);
        Ok(Queue(shared))
    }
}

impl<K: Hash + Eq + Clone + Display, V> Queue<K, V> {
    /// Adds an item behind those of its key, and returns its number. Never waits.
    ///
    /// # Errors
    /// The item itself, if the queue or the key is full or the queue is closed. An expired item keeps its place until a
    /// sweep removes it.
    pub fn push(&self, key: K, value: V) -> Result<u64, Refused<K, V>> {
        let hash = self.0.hasher.hash_one(&key);
        let mut offer = Offer::new(key, value);
        let (pushed, rest) = self.store(|store, now| store.push(&mut offer, hash, now));
        if pushed.is_ok() {
            self.0.pushed.notify_one();
        }
        rest.settle();
        pushed.map_err(|why| match offer.refused(why) {
            Some(refused) => refused,
            None => unreachable!("what is refused was not taken"),
        })
    }

    /// The next item, if there is one to serve.
    pub fn try_pop(&self) -> Option<Item<K, V>> {
        self.settled(|store, now| store.pop(now))
    }

    /// Waits for the next item. `None` once the queue is closed and empty.
    ///
    /// It waits as long as the queue is open: limit it by [`within`](crate::within), or close the queue.
    ///
    /// # Cancellation safety
    /// An item is taken at the moment it is returned, so a future that is dropped has taken none.
    pub async fn pop(&self) -> Option<Item<K, V>> {
        loop {
            // Items that lie ready cost budget too, so that a loop over a queue which is never empty leaves room for others
            // and for what ends it. Before the look: an item that was taken must not be lost to a drop.
            tokio::task::coop::consume_budget().await;
            let mut pushed = pin!(self.0.pushed.notified());
            // Before the look, so that a push between look and wait is not missed.
            pushed.as_mut().enable();
            let ((item, closed), rest) = self.store(|store, now| (store.pop(now), store.is_closed()));
            rest.settle();
            if item.is_some() || closed {
                // A wake that came meanwhile is handed on by the drop of `pushed`.
                return item;
            }
            pushed.await;
        }
    }

    /// Removes, counts, logs and returns expired items; with a [`valve`](Settings::valve) it raises an alarm instead if too
    /// many would expire.
    ///
    /// Call it at an interval, in a patrol or by [`keep_swept`](Queue::keep_swept).
    pub fn sweep(&self) -> Swept<K, V> {
        let swept = self.settled(|store, now| store.sweep(now));
        for expired in &swept.expired {
            let Item { key, value, number, age } = &expired.item;
            // What is called by its user must not cost the items.
            let shown = |text: &dyn Fn() -> String| panics::catch(text).ok();
            let key = shown(&|| key.to_string()).unwrap_or_else(|| "a key that cannot be shown".to_owned());
            let id = self
                .0
                .name
                .as_ref()
                .and_then(|name| shown(&|| name(value)))
                .unwrap_or_else(|| format!("#{number}"));
            telemetry::log::queue::expired(self.0.metric, &key, &id, *age, expired.max_age);
        }
        if let Some(alarm) = &swept.alarm {
            telemetry::log::queue::held(alarm);
        }
        self.0.holds(swept.alarm.as_ref().map_or(0, |alarm| alarm.held));
        swept
    }

    /// Sweeps at once and then at this interval, and passes the result of each sweep to `found`; ends when the queue is
    /// closed and empty. For a supervised task of its own.
    ///
    /// # Errors
    /// Kind `Config` for an interval of zero or above 10 years, on a runtime without its timer, and once, where the runtime
    /// ends while somebody waits on its handle.
    ///
    /// # Cancellation safety
    /// A sweep happens whole or not at all. Where `found` panics, its items are counted and logged already.
    pub async fn keep_swept(&self, every: Duration, mut found: impl FnMut(Swept<K, V>)) -> Result<(), Error> {
        crate::duration::check("the interval of sweeps", every)?;
        let mut next = Instant::now();
        loop {
            sleep_until(next).await?;
            let swept = self.sweep();
            if !swept.expired.is_empty() || swept.alarm.is_some() {
                found(swept);
            }
            if self.settled(|store, _| store.is_closed() && store.counts().waiting == 0) {
                return Ok(());
            }
            // Those that were missed are not made up for.
            let missed = Instant::now().saturating_duration_since(next).as_nanos() / every.as_nanos();
            next += every.saturating_mul(u32::try_from(missed + 1).unwrap_or(u32::MAX));
        }
    }

    /// Removes and returns all items, expired ones included, in the order of arrival.
    pub fn drain(&self) -> Vec<Item<K, V>> {
        let all = self.settled(Store::drain);
        self.0.holds(0);
        all
    }

    /// Removes all items of one key, and counts them as dropped.
    pub fn discard(&self, key: &K) -> Vec<Item<K, V>> {
        let hash = self.0.hasher.hash_one(key);
        self.settled(|store, now| store.discard(hash, key, now))
    }

    /// Closes the queue: it accepts no more items, queued ones are still served, then every [`pop`](Queue::pop) ends.
    pub fn close(&self) {
        self.settled(|store, _| store.close());
        self.0.pushed.notify_waiters();
    }

    /// The counts of all outcomes.
    pub fn counts(&self) -> Counts {
        self.settled(|store, _| store.counts())
    }

    /// The number of queued items of this key, including expired ones before the next sweep.
    pub fn waiting(&self, key: &K) -> usize {
        let hash = self.0.hasher.hash_one(key);
        self.settled(|store, _| store.waiting(hash, key))
    }

    /// Works under the lock. What is left to be done without it is given back, for after everything that must happen.
    fn store<T>(&self, work: impl FnOnce(&mut Store<K, V>, Instant) -> T) -> (T, Deferred<K>) {
        let mut store = lock(&self.0.store);
        let (now, before) = (Instant::now(), store.counts().waiting);
        let done = work(&mut store, now);
        let rest =
            Deferred { metric: self.0.metric, before, after: store.counts().waiting, _gone: store.gone() };
        drop(store);
        (done, rest)
    }

    /// The same, where nothing else has to happen.
    fn settled<T>(&self, work: impl FnOnce(&mut Store<K, V>, Instant) -> T) -> T {
        let (done, rest) = self.store(work);
        rest.settle();
        done
    }
}

/// What a look into the queue left to be done: to tell a recorder, and to drop keys, both code of the user's.
#[must_use]
struct Deferred<K> {
    metric: &'static str,
    before: u64,
    after: u64,
    _gone: DroppedKeys<K>,
}

impl<K> Deferred<K> {
    fn settle(self) {
        telemetry::gauges::queued(self.metric, self.before, self.after);
    }
}

impl<K: Hash + Eq + Clone + Display, V> Debug for Queue<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (settings, counts) = {
            let store = lock(&self.0.store);
            (store.settings(), store.counts())
        };
        f.debug_struct("Queue").field("settings", &settings).field("counts", &counts).finish()
    }
}
