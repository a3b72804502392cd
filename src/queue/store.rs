//! What a queue decides: who is next, what is too old, what has no place. `now` is an argument.

use crate::queue::fifo::{DroppedKeys, Fifo, Offer, QueuedItem, item};
use crate::queue::settings::{Settings, Valve};
use crate::queue::values::{Alarm, Counts, Expired, Item, Swept, Why};
use crate::registry::QueueView;
use hashbrown::HashTable;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// `Eq` of a key is called in here, and nothing else of the caller's: no key or value is hashed, cloned or dropped.
pub(super) struct Store<K, V> {
    settings: Settings,
    /// Places of lanes by the hash of their key.
    index: HashTable<usize>,
    lanes: Vec<Option<Fifo<K, V>>>,
    free: Vec<usize>,
    /// Lanes that have something to serve, each once: the next to be served first.
    ring: VecDeque<usize>,
    gone: DroppedKeys<K>,
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
    pub(super) fn new(settings: Settings) -> Self {
        Store {
            settings,
            index: HashTable::new(),
            lanes: Vec::new(),
            free: Vec::new(),
            ring: VecDeque::new(),
            gone: DroppedKeys::none(),
            counts: Counts::default(),
            closed: false,
            number: 0,
            now: None,
            ended: VecDeque::new(),
            holding: None,
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn settings(&self) -> Settings {
        self.settings
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// What is to be dropped when the lock is given back.
    pub(super) fn gone(&mut self) -> DroppedKeys<K> {
        std::mem::replace(&mut self.gone, DroppedKeys::none())
    }

    /// What an operator sees of it.
    pub(super) fn view(&self, now: Instant) -> QueueView {
        let Settings { max_age, capacity, valve, name, .. } = self.settings;
        let fronts = self.lanes.iter().flatten().filter_map(|lane| lane.late.front().or(lane.fresh.front()));
        let age = |since: Instant| now.saturating_duration_since(since);
        let Counts { waiting, expired, refused, .. } = self.counts;
        QueueView {
            name,
            waiting,
            capacity,
            oldest: fronts.map(|held| age(held.since)).max(),
            max_age,
            expired,
            refused,
            has_valve: valve.is_some(),
            held_for: self.holding.map(age),
            closed: self.closed,
        }
    }

    /// The oldest item of the next key in turn that is not too old.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Item<K, V>> {
        let now = self.advance(now);
        let oldest = self.oldest_served(now);
        while let Some(at) = self.ring.pop_front() {
            let Some(lane) = &mut self.lanes[at] else { continue };
            lane.age(oldest);
            let held = lane.fresh.pop_front();
            lane.in_ring = !lane.fresh.is_empty();
            if lane.in_ring {
                self.ring.push_back(at);
            }
            if lane.len() == 0 {
                self.forget_lane(at);
            }
            if let Some(held) = held {
                self.counts.waiting -= 1;
                self.counts.served += 1;
                self.ends(now, 1, false);
                return Some(item(held, now));
            }
        }
        None
    }

    /// Takes out what is too old, unless the valve holds it.
    pub(super) fn sweep(&mut self, now: Instant) -> Swept<K, V> {
        let now = self.advance(now);
        let oldest = self.oldest_served(now);
        let mut late = 0;
        for lane in self.lanes.iter_mut().flatten() {
            lane.age(oldest);
            lane.in_ring = !lane.fresh.is_empty();
            late += lane.late.len() as u64;
        }
        let lanes = &self.lanes;
        self.ring.retain(|at| lanes[*at].as_ref().is_some_and(|lane| lane.in_ring));
        let alarm = self.valve(late, now);
        if alarm.is_some() {
            return Swept { expired: Vec::new(), alarm };
        }
        let max_age = self.settings.max_age;
        let lates = self.lanes.iter_mut().flatten().flat_map(|lane| lane.late.drain(..));
        let mut expired: Vec<_> = lates.map(|held| Expired { item: item(held, now), max_age }).collect();
        self.forget_empty_lanes();
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
        self.ring.clear();
        self.holding = None;
        let lanes = self.lanes.iter_mut().flatten();
        let held = lanes.flat_map(|lane| lane.late.drain(..).chain(lane.fresh.drain(..)));
        let mut all: Vec<_> = held.map(|held| item(held, now)).collect();
        self.forget_empty_lanes();
        all.sort_unstable_by_key(|item| item.number);
        self.counts.drained += all.len() as u64;
        self.counts.waiting -= all.len() as u64;
        all
    }

    fn forget_empty_lanes(&mut self) {
        for at in 0..self.lanes.len() {
            if self.lanes[at].as_ref().is_some_and(|lane| lane.len() == 0) {
                self.forget_lane(at);
            }
        }
    }

    /// Forgets a lane that is empty and stands in no ring.
    fn forget_lane(&mut self, at: usize) {
        let Some(lane) = self.lanes[at].take() else { return };
        if let Ok(found) = self.index.find_entry(lane.hash, |known| *known == at) {
            found.remove();
        }
        self.free.push(at);
        self.gone.add(lane.key);
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

impl<K: Eq, V> Store<K, V> {
    fn find(&self, hash: u64, key: &K) -> Option<usize> {
        let is =
            |at: &usize| self.lanes[*at].as_ref().is_some_and(|lane| lane.hash == hash && lane.key == *key);
        self.index.find(hash, is).copied()
    }

    pub(super) fn waiting(&self, hash: u64, key: &K) -> usize {
        let lane = self.find(hash, key).and_then(|at| self.lanes[at].as_ref());
        lane.map_or(0, Fifo::len)
    }

    pub(super) fn push(&mut self, offer: &mut Offer<K, V>, hash: u64, now: Instant) -> Result<u64, Why> {
        let now = self.advance(now);
        // Code of the caller, which may panic, runs before anything is counted.
        let known = offer.key.as_ref().and_then(|key| self.find(hash, key));
        let waiting = known.and_then(|at| self.lanes[at].as_ref()).map_or(0, Fifo::len);
        self.counts.pushed += 1;
        let why = if self.closed {
            Some(Why::Closed)
        } else if self.counts.waiting >= self.settings.capacity as u64 {
            Some(Why::Full)
        } else if waiting >= self.settings.per_key {
            Some(Why::KeyFull)
        } else {
            None
        };
        if let Some(why) = why {
            self.counts.refused += 1;
            return Err(why);
        }
        let at = match known {
            Some(at) => at,
            None => self.lane_for(offer, hash),
        };
        let (Some(key), Some(value), Some(lane)) =
            (offer.key.take(), offer.value.take(), &mut self.lanes[at])
        else {
            unreachable!("an offer is made once, and its lane is there")
        };
        self.counts.waiting += 1;
        self.number += 1;
        lane.fresh.push_back(QueuedItem { key, value, number: self.number, since: now });
        if !lane.in_ring {
            lane.in_ring = true;
            self.ring.push_back(at);
        }
        Ok(self.number)
    }

    fn lane_for(&mut self, offer: &mut Offer<K, V>, hash: u64) -> usize {
        let Some(key) = offer.copy.take() else { unreachable!("an offer is made once") };
        let lane = Fifo { key, hash, late: VecDeque::new(), fresh: VecDeque::new(), in_ring: false };
        let at = match self.free.pop() {
            Some(at) => {
                self.lanes[at] = Some(lane);
                at
            }
            None => {
                self.lanes.push(Some(lane));
                self.lanes.len() - 1
            }
        };
        let lanes = &self.lanes;
        self.index.insert_unique(hash, at, |at| lanes[*at].as_ref().map_or(0, |lane| lane.hash));
        at
    }

    /// Takes out everything of one key: dropped by choice.
    pub(super) fn discard(&mut self, hash: u64, key: &K, now: Instant) -> Vec<Item<K, V>> {
        let now = self.advance(now);
        let Some(at) = self.find(hash, key) else { return Vec::new() };
        self.ring.retain(|other| *other != at);
        let Some(lane) = &mut self.lanes[at] else { return Vec::new() };
        let held = lane.late.drain(..).chain(lane.fresh.drain(..));
        let all: Vec<_> = held.map(|held| item(held, now)).collect();
        self.forget_lane(at);
        self.counts.dropped += all.len() as u64;
        self.counts.waiting -= all.len() as u64;
        all
    }
}
