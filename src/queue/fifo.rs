//! What waits in a queue, by its key; what is offered to it, and what is left of a key that has nothing more in it.

use crate::queue::values::{Item, Refused, Why};
use std::collections::VecDeque;
use tokio::time::Instant;

pub(super) struct QueuedItem<K, V> {
    pub(super) key: K,
    pub(super) value: V,
    pub(super) number: u64,
    pub(super) since: Instant,
}

pub(super) struct Fifo<K, V> {
    /// A copy of its own, and its hash: what leaves takes its key along, and nothing has to be cloned for it.
    pub(super) key: K,
    pub(super) hash: u64,
    /// Found too old by a pop, left for the sweep.
    pub(super) late: VecDeque<QueuedItem<K, V>>,
    /// Oldest first, since time does not go backwards here.
    pub(super) fresh: VecDeque<QueuedItem<K, V>>,
    /// Whether it stands in the ring.
    pub(super) in_ring: bool,
}

impl<K, V> Fifo<K, V> {
    pub(super) fn len(&self) -> usize {
        self.late.len() + self.fresh.len()
    }

    pub(super) fn age(&mut self, oldest: Option<Instant>) {
        let Some(oldest) = oldest else { return };
        while self.fresh.front().is_some_and(|held| held.since < oldest) {
            self.late.extend(self.fresh.pop_front());
        }
    }
}

/// What somebody wants to push. What is not taken out of it stays with whoever offers.
pub(super) struct Offer<K, V> {
    pub(super) key: Option<K>,
    pub(super) value: Option<V>,
    /// For the lane, where there is none yet. Cloned beforehand: that is code of the caller.
    pub(super) copy: Option<K>,
}

impl<K: Clone, V> Offer<K, V> {
    pub(super) fn new(key: K, value: V) -> Offer<K, V> {
        Offer { copy: Some(key.clone()), key: Some(key), value: Some(value) }
    }
}

impl<K, V> Offer<K, V> {
    pub(super) fn refused(&mut self, why: Why) -> Option<Refused<K, V>> {
        Some(Refused { key: self.key.take()?, value: self.value.take()?, why })
    }
}

/// Keys of lanes that are gone, to be dropped where no lock is held: that is code of the caller too.
pub(super) struct DroppedKeys<K> {
    /// Most often it is one.
    one: Option<K>,
    more: Vec<K>,
}

impl<K> DroppedKeys<K> {
    pub(super) fn none() -> DroppedKeys<K> {
        DroppedKeys { one: None, more: Vec::new() }
    }

    pub(super) fn add(&mut self, key: K) {
        match &self.one {
            None => self.one = Some(key),
            Some(_) => self.more.push(key),
        }
    }
}

pub(super) fn item<K, V>(held: QueuedItem<K, V>, now: Instant) -> Item<K, V> {
    Item { key: held.key, value: held.value, number: held.number, age: now.duration_since(held.since) }
}
