//! Under random changes: no slot is lost, no connection lent twice, nobody forgotten.

use super::tests::{Fake, Fakes, RULES, SECOND};
use super::*;
use crate::retry::backoff::Rng;
use crate::transport::pool::connection::Kind;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;

/// What the test knows of the world, beside what the origin says.
struct World {
    origin: Fakes,
    rng: Rng,
    now: Instant,
    lent: Vec<(Id, Fake, bool)>,
    waiting: BTreeMap<u32, (u64, Wish)>,
    connecting: Vec<Connect>,
    alive: BTreeMap<u64, (Id, Fake, Carries)>,
    places: u32,
}

impl World {
    fn new(seed: u64, many: Option<bool>) -> World {
        World {
            origin: Fakes::new(RULES, many),
            rng: Rng::seed_from_u64(seed),
            now: Instant::now(),
            lent: Vec::new(),
            waiting: BTreeMap::new(),
            connecting: Vec::new(),
            alive: BTreeMap::new(),
            places: 0,
        }
    }

    fn lend(&mut self, taken: Taken<Fake>) {
        let carries = self.alive[&taken.id.serial].2;
        let one = carries == Carries::One;
        let already = self.lent.iter().filter(|(id, ..)| *id == taken.id).count();
        assert!(!one || already == 0, "lent twice");
        self.lent.push((taken.id, taken.link, one));
    }

    fn settle(&mut self) {
        for (place, taken) in self.origin.settle(self.now).given {
            self.waiting.remove(&place).expect("it waits");
            self.lend(taken);
        }
        assert!(self.origin.settle(self.now).given.is_empty(), "everything was handed out");
    }

    fn call(&mut self) {
        let kind = if self.rng.random_bool(0.5) { Kind::Prompt } else { Kind::Parked };
        let wish = Wish { kind, fresh: self.rng.random_range(0..8_u32) == 0 };
        match self.origin.ask(wish, self.now) {
            Some(taken) => self.lend(taken),
            None => {
                self.places += 1;
                let key = self.origin.wait(wish, self.places);
                self.waiting.insert(self.places, (key, wish));
            }
        }
    }

    fn connect(&mut self) {
        let connect = self.connecting.swap_remove(self.rng.random_range(0..self.connecting.len()));
        match self.rng.random_range(0..5_u32) {
            4 => match self.origin.drags_on(connect, self.now) {
                Some(_) => self.connecting.push(connect),
                None => self.origin.given_up(connect),
            },
            0 => {
                for place in self.origin.not_connected(connect, self.now) {
                    self.waiting.remove(&place).expect("it waits");
                }
            }
            1 => self.origin.given_up(connect),
            _ => {
                let limit = (self.rng.random_range(0..4_u32) > 0).then(|| self.rng.random_range(0..4_u32));
                let shared = self.origin.many.unwrap_or(self.rng.random_bool(0.5));
                let kind = connect.kind;
                let carries = if shared { Carries::Many { kind, limit } } else { Carries::One };
                let (link, dies) = (Fake::default(), self.now + RULES.age);
                let connect = Connect { guessed: self.rng.random_bool(0.5), ..connect };
                let id = self.origin.connected(link.clone(), carries, connect, dies, self.now);
                if let Some(id) = id {
                    self.alive.insert(id.serial, (id, link, carries));
                }
            }
        }
    }

    fn give_back(&mut self) {
        let (id, link, one) = self.lent.swap_remove(self.rng.random_range(0..self.lent.len()));
        if !one {
            return self.origin.release(id, self.now);
        }
        let back = [Back::Ready, Back::Turning, Back::Spent][self.rng.random_range(0..3_usize)];
        link.busy.set(back == Back::Turning);
        self.origin.give_back(id, link.clone(), back, self.now);
        if back == Back::Turning {
            self.settle();
            link.busy.set(false);
            self.origin.turned(id, self.now);
        }
    }

    fn change_one(&mut self) {
        if self.alive.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.alive.len());
        let serial = *self.alive.keys().nth(at).expect("it is there");
        let (id, link, _) = self.alive[&serial].clone();
        match self.rng.random_range(0..6_u32) {
            5 => self.origin.doubt_silent(id, self.now),
            0 => self.origin.retire(id),
            1 => {
                link.closed.set(true);
                self.alive.remove(&serial);
                for place in self.origin.gone(id, self.now) {
                    self.waiting.remove(&place).expect("it waits");
                }
            }
            2 => self.origin.doubt(),
            3 => link.clogged.set(self.rng.random_bool(0.5)),
            _ => {
                let allows = self.rng.random_range(0..5_u32);
                self.origin.limited(id, allows, self.now);
            }
        }
    }

    fn step(&mut self) {
        match self.rng.random_range(0..12_u32) {
            0..4 => self.call(),
            4..6 if !self.connecting.is_empty() => self.connect(),
            6..9 if !self.lent.is_empty() => self.give_back(),
            9 => self.change_one(),
            10 => {
                // A call that is given up while it waits.
                if !self.waiting.is_empty() {
                    let at = self.rng.random_range(0..self.waiting.len());
                    let place = *self.waiting.keys().nth(at).expect("it is there");
                    let (key, _) = self.waiting.remove(&place).expect("it waits");
                    self.origin.leave(key, self.now);
                }
            }
            _ => {
                self.now += SECOND * self.rng.random_range(0..30_u32);
                self.origin.sweep(self.now);
            }
        }
        self.settle();
        for kind in [Kind::Prompt, Kind::Parked] {
            let begun = self.origin.connects(kind, self.now);
            self.connecting.extend(begun);
        }
        self.check();
    }

    fn check(&mut self) {
        let calls: u32 = self.origin.entries.iter().flatten().map(|entry| entry.calls).sum();
        let alive = self.lent.iter().filter(|(id, ..)| self.alive.contains_key(&id.serial)).count();
        assert_eq!(calls as usize, alive, "a slot is lost, or lent to nobody");
        assert_eq!(self.origin.waiters.len(), self.waiting.len(), "somebody is forgotten");
        let waiting = [Kind::Prompt, Kind::Parked]
            .map(|kind| self.waiting.values().filter(|(_, wish)| wish.kind == kind).count());
        assert_eq!(self.origin.waiting, waiting);
        assert_eq!(self.origin.open, self.alive.len());
        let under_way: usize = self.origin.connecting.iter().map(UnderWay::len).sum();
        assert!(self.origin.open + under_way <= RULES.per_origin, "too many");
        let parked = self.origin.entries.iter().flatten().filter(|entry| entry.parked).count();
        assert_eq!(self.origin.parked, parked);
        assert!(parked < RULES.per_origin, "no place is left to calls that end soon");
        let idle = self.origin.idle.len();
        assert!(idle <= RULES.idle_per_origin, "{idle} are idle");
        // Whoever waits has something to wait for: a connect, a slot, a first word, room, or a moment to come.
        let paced = |kind| {
            let of =
                |entry: &Entry<Fake>| matches!(entry.carries, Carries::Many { kind: its, .. } if its == kind);
            self.origin.not_before.is_some_and(|at| self.now < at)
                || self.origin.entries.iter().flatten().any(|entry| of(entry) && !entry.retired)
        };
        for (_, wish) in self.waiting.values() {
            let full = self.origin.open + under_way == RULES.per_origin;
            let parked = wish.kind == Kind::Parked && parked + 1 == RULES.per_origin;
            assert!(full || parked || under_way > 0 || paced(wish.kind), "{wish:?} waits for nothing");
        }
    }
}

#[test]
fn no_slot_is_lost_no_connection_lent_twice_and_nobody_forgotten_whatever_happens() {
    for seed in 0..300 {
        let many = [None, Some(true), Some(false)][seed as usize % 3];
        let mut world = World::new(seed, many);
        for _ in 0..300 {
            world.step();
        }
        // Everybody goes home.
        for (key, _) in std::mem::take(&mut world.waiting).into_values() {
            world.origin.leave(key, world.now);
        }
        while let Some(connect) = world.connecting.pop() {
            world.origin.given_up(connect);
        }
        while !world.lent.is_empty() {
            world.give_back();
        }
        world.origin.retire_all();
        for (id, ..) in std::mem::take(&mut world.alive).into_values() {
            world.origin.gone(id, world.now);
        }
        assert!(world.origin.is_empty(), "{seed}");
        assert!(world.origin.entries.iter().all(Option::is_none));
    }
}
