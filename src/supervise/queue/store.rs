//! What a queue decides: who is next, what is too old, what has no place. `now` is an argument.

use super::settings::{Settings, Valve};
use super::values::{Alarm, Counts, Expired, Item, Refused, Swept, Why};
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;
use tokio::time::Instant;

struct Held<V> {
    value: V,
    number: u64,
    since: Instant,
}

struct Lane<V> {
    /// Found too old by a pop, left for the sweep.
    late: VecDeque<Held<V>>,
    /// Oldest first, since time does not go backwards here.
    fresh: VecDeque<Held<V>>,
    /// Whether its key stands in the ring.
    in_ring: bool,
}

impl<V> Lane<V> {
    fn len(&self) -> usize {
        self.late.len() + self.fresh.len()
    }

    fn age(&mut self, oldest: Option<Instant>) {
        let Some(oldest) = oldest else { return };
        while self.fresh.front().is_some_and(|held| held.since < oldest) {
            self.late.extend(self.fresh.pop_front());
        }
    }
}

pub(super) struct Store<K, V> {
    settings: Settings,
    lanes: HashMap<K, Lane<V>>,
    /// Keys that have something to serve, each once: the next to be served first.
    ring: VecDeque<K>,
    counts: Counts,
    closed: bool,
    number: u64,
    now: Option<Instant>,
    /// (when, how many, whether they expired) of the last window of the valve, while there is one.
    ended: VecDeque<(Instant, u64, bool)>,
    /// Since when the valve holds back what is too old.
    holding: Option<Instant>,
}

impl<K, V> Store<K, V> {
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }
}

impl<K: Hash + Eq + Clone, V> Store<K, V> {
    pub(super) fn new(settings: Settings) -> Self {
        Store {
            settings,
            lanes: HashMap::new(),
            ring: VecDeque::new(),
            counts: Counts::default(),
            closed: false,
            number: 0,
            now: None,
            ended: VecDeque::new(),
            holding: None,
        }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn waiting(&self, key: &K) -> usize {
        self.lanes.get(key).map_or(0, Lane::len)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether `pop` would serve something, as far as is known without the time.
    pub(super) fn may_serve(&self) -> bool {
        !self.ring.is_empty()
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn push(&mut self, key: K, value: V, now: Instant) -> Result<u64, Refused<K, V>> {
        let now = self.advance(now);
        let why = if self.closed {
            Some(Why::Closed)
        } else if self.counts.waiting >= self.settings.capacity as u64 {
            Some(Why::Full)
        } else if self.waiting(&key) >= self.settings.per_key {
            Some(Why::KeyFull)
        } else {
            None
        };
        if let Some(why) = why {
            self.counts.pushed += 1;
            self.counts.refused += 1;
            return Err(Refused { key, value, why });
        }
        // Code of the caller, which may panic, runs before anything is counted.
        let lane = self.lanes.entry(key.clone()).or_insert_with(|| Lane {
            late: VecDeque::new(),
            fresh: VecDeque::new(),
            in_ring: false,
        });
        self.counts.pushed += 1;
        self.counts.waiting += 1;
        self.number += 1;
        lane.fresh.push_back(Held { value, number: self.number, since: now });
        if !lane.in_ring {
            lane.in_ring = true;
            self.ring.push_back(key);
        }
        Ok(self.number)
    }

    /// The oldest item of the next key in turn that is not too old.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Item<K, V>> {
        let now = self.advance(now);
        let oldest = self.oldest_served(now);
        while let Some(next) = self.ring.front() {
            let Some(lane) = self.lanes.get_mut(next) else {
                self.ring.pop_front();
                continue;
            };
            lane.age(oldest);
            // Before anything has moved.
            let again = (lane.fresh.len() > 1).then(|| next.clone());
            let held = lane.fresh.pop_front();
            lane.in_ring = again.is_some();
            let empty = lane.len() == 0;
            let key = self.ring.pop_front()?;
            self.ring.extend(again);
            if empty {
                self.lanes.remove(&key);
            }
            if let Some(held) = held {
                self.counts.waiting -= 1;
                self.counts.served += 1;
                self.ends(now, 1, false);
                return Some(item(key, held, now));
            }
        }
        None
    }

    /// Takes out what is too old, unless the valve holds it.
    pub(super) fn sweep(&mut self, now: Instant) -> Swept<K, V> {
        let now = self.advance(now);
        let oldest = self.oldest_served(now);
        let mut late = 0;
        for lane in self.lanes.values_mut() {
            lane.age(oldest);
            lane.in_ring = !lane.fresh.is_empty();
            late += lane.late.len() as u64;
        }
        let lanes = &self.lanes;
        self.ring.retain(|key| lanes.get(key).is_some_and(|lane| lane.in_ring));
        let alarm = self.valve(late, now);
        if alarm.is_some() {
            return Swept { expired: Vec::new(), alarm };
        }
        let max_age = self.settings.max_age;
        let mut expired = Vec::new();
        for keys in self.leaving(|lane| lane.late.len()) {
            let late = self.lanes.get_mut(&keys[0]).map(|lane| std::mem::take(&mut lane.late));
            let late = late.into_iter().flatten().zip(keys);
            expired.extend(late.map(|(held, key)| Expired { item: item(key, held, now), max_age }));
        }
        self.lanes.retain(|_, lane| lane.len() > 0);
        // In the order of arrival, which a table does not keep.
        expired.sort_unstable_by_key(|expired| expired.item.number);
        self.counts.waiting -= late;
        self.counts.expired += late;
        self.ends(now, late, true);
        Swept { expired, alarm: None }
    }

    /// Takes out everything, too old or not.
    pub(super) fn drain(&mut self, now: Instant) -> Vec<Item<K, V>> {
        let now = self.advance(now);
        let leaving = self.leaving(Lane::len);
        self.ring.clear();
        self.holding = None;
        let mut all = Vec::new();
        for keys in leaving {
            let lane = self.lanes.remove(&keys[0]);
            let held = lane.into_iter().flat_map(|lane| lane.late.into_iter().chain(lane.fresh)).zip(keys);
            all.extend(held.map(|(held, key)| item(key, held, now)));
        }
        all.sort_unstable_by_key(|item| item.number);
        self.counts.drained += all.len() as u64;
        self.counts.waiting -= all.len() as u64;
        all
    }

    /// Takes out everything of one key: dropped by choice.
    pub(super) fn discard(&mut self, key: &K, now: Instant) -> Vec<Item<K, V>> {
        let now = self.advance(now);
        let keys = vec![key.clone(); self.waiting(key)];
        self.ring.retain(|other| other != key);
        let Some(lane) = self.lanes.remove(key) else { return Vec::new() };
        let held = lane.late.into_iter().chain(lane.fresh).zip(keys);
        let all: Vec<_> = held.map(|(held, key)| item(key, held, now)).collect();
        self.counts.dropped += all.len() as u64;
        self.counts.waiting -= all.len() as u64;
        all
    }

    /// For each key whose items are about to leave one of it for each. Cloning is code of the caller: where it panics,
    /// nothing has left yet.
    fn leaving(&self, many: impl Fn(&Lane<V>) -> usize) -> Vec<Vec<K>> {
        let lanes = self.lanes.iter().filter(|(_, lane)| many(lane) > 0);
        lanes.map(|(key, lane)| vec![key.clone(); many(lane)]).collect()
    }

    /// Two threads may read the clock in one order and come here in the other.
    fn advance(&mut self, now: Instant) -> Instant {
        let now = self.now.map_or(now, |last| last.max(now));
        self.now = Some(now);
        now
    }

    /// What arrived before this is too old; `None` while nothing can be.
    fn oldest_served(&self, now: Instant) -> Option<Instant> {
        now.checked_sub(self.settings.max_age)
    }

    fn ends(&mut self, now: Instant, many: u64, expired: bool) {
        let Some(valve) = self.settings.valve else { return };
        // A hundred steps to a window, so that its memory does not grow with what is served in it.
        let step = valve.window / 100;
        match self.ended.back_mut() {
            Some((at, count, kind)) if *kind == expired && now.duration_since(*at) < step => *count += many,
            _ if many > 0 => self.ended.push_back((now, many, expired)),
            _ => {}
        }
        self.forget(valve.window, now);
    }

    fn forget(&mut self, window: Duration, now: Instant) {
        while self.ended.front().is_some_and(|(at, ..)| now.duration_since(*at) >= window) {
            self.ended.pop_front();
        }
    }

    /// Whether `late` items have to stay where they are, because too many would expire.
    fn valve(&mut self, late: u64, now: Instant) -> Option<Alarm> {
        let Valve { share, window, at_least } = self.settings.valve?;
        self.forget(window, now);
        let sum = |kind| self.ended.iter().filter(|(.., k)| *k == kind).map(|(_, many, _)| many).sum::<u64>();
        let would_expire = sum(true) + late;
        let of = would_expire + sum(false);
        if late == 0 || of < at_least || would_expire as f64 <= share * of as f64 {
            self.holding = None;
            return None;
        }
        let since = *self.holding.get_or_insert(now);
        let held_for = now.duration_since(since);
        // Held for one window and nobody came: a queue that holds for ever would be one more thing that waits for ever.
        (held_for < window).then_some(Alarm { would_expire, of, share, held: late, held_for, window })
    }
}

fn item<K, V>(key: K, held: Held<V>, now: Instant) -> Item<K, V> {
    Item { key, value: held.value, number: held.number, age: now.duration_since(held.since) }
}
