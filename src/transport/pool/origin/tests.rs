//! The rules one by one.

mod ages;
mod parked;
mod silent;
mod slow;

use super::*;
use crate::transport::pool::connection::Kind;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const RULES: Rules = Rules {
    idle: Duration::from_secs(50),
    idle_per_origin: 3,
    age: Duration::from_secs(300),
    per_origin: 8,
    lost: Duration::from_secs(15),
};
const PROMPT: Wish = Wish { kind: Kind::Prompt, fresh: false };
const FRESH: Wish = Wish { kind: Kind::Prompt, fresh: true };
const PARKED: Wish = Wish { kind: Kind::Parked, fresh: false };

#[derive(Clone, Debug, Default)]
pub(super) struct Fake {
    pub(super) closed: Rc<Cell<bool>>,
    pub(super) busy: Rc<Cell<bool>>,
    pub(super) clogged: Rc<Cell<bool>>,
}

impl Link for Fake {
    fn is_closed(&self) -> bool {
        self.closed.get()
    }
    fn is_ready(&self) -> bool {
        !self.busy.get()
    }
    fn is_clogged(&self, _: Instant) -> bool {
        self.clogged.get()
    }
    fn share(&self) -> Fake {
        self.clone()
    }
}

pub(super) type Fakes = Origin<Fake, u32>;

/// As after a connect that was begun.
fn add(origin: &mut Fakes, carries: Carries, now: Instant) -> (Id, Fake) {
    let (link, kind) = (
        Fake::default(),
        match carries {
            Carries::Many { kind, .. } => kind,
            Carries::One => Kind::Prompt,
        },
    );
    let connect = Connect { guessed: false, ..origin.begin(kind, now) };
    let dies = now + RULES.age;
    (origin.connected(link.clone(), carries, connect, dies, now).unwrap(), link)
}

/// How many connects begin.
fn begun(origin: &mut Fakes, kind: Kind, now: Instant) -> usize {
    origin.connects(kind, now).len()
}

/// The connect that is under way for the longest.
fn under_way(origin: &Fakes, kind: Kind) -> Connect {
    origin.connecting[kind as usize].first().unwrap()
}

/// It fails. Who is told.
fn fails(origin: &mut Fakes, kind: Kind, now: Instant) -> Vec<u32> {
    let connect = under_way(origin, kind);
    origin.not_connected(connect, now)
}

fn many(kind: Kind, limit: u32) -> Carries {
    Carries::Many { kind, limit: Some(limit) }
}

fn given(origin: &mut Fakes, now: Instant) -> Vec<u32> {
    origin.settle(now).given.into_iter().map(|(place, _)| place).collect()
}

#[test]
fn the_connection_that_was_used_last_is_taken_first_and_an_idle_one_not_after_50_s_nor_at_its_age() {
    let (start, mut origin) = (Instant::now(), Fakes::new(RULES, None));
    let (one, _) = add(&mut origin, Carries::One, start);
    let (two, _) = add(&mut origin, Carries::One, start);
    let taken = origin.ask(PROMPT, start + 10 * SECOND).unwrap();
    assert_eq!(taken.id, two);
    origin.give_back(two, taken.link, Back::Ready, start + 20 * SECOND);
    assert_eq!(origin.sweep(start + 49 * SECOND), Some(start + 50 * SECOND));
    assert_eq!(origin.sweep(start + 50 * SECOND), Some(start + 70 * SECOND));
    assert!(origin.entry(one).unwrap().link.is_none(), "closed");
    let taken = origin.ask(PROMPT, start + 69 * SECOND).unwrap();
    origin.give_back(two, taken.link, Back::Ready, start + 299 * SECOND);
    assert!(origin.ask(PROMPT, start + 300 * SECOND).is_none(), "it is five minutes old");
    assert_eq!(origin.settle(start).left.len(), 1, "it is kept until there is another one");
    let (young, _) = add(&mut origin, Carries::One, start + 301 * SECOND);
    assert_eq!(origin.settle(start).left.len(), 1);
    assert_eq!(origin.ask(PROMPT, start + 301 * SECOND).unwrap().id, young);
}

#[test]
fn what_the_server_says_of_its_patience_is_heeded() {
    let (start, mut origin) = (Instant::now(), Fakes::new(RULES, None));
    let (id, _) = add(&mut origin, Carries::One, start);
    for (keeps, later, used) in [(4, 3, true), (4, 4, false)] {
        let Some(taken) = origin.ask(PROMPT, start) else { panic!("it is idle") };
        origin.entry(id).unwrap().keeps = Some(keeps * SECOND);
        origin.give_back(id, taken.link, Back::Ready, start);
        let again = origin.ask(PROMPT, start + later * SECOND);
        assert_eq!(again.is_some(), used, "{later}");
        if let Some(taken) = again {
            origin.give_back(id, taken.link, Back::Ready, start);
        }
    }
    let (id, _) = add(&mut origin, Carries::One, start);
    let taken = origin.ask(PROMPT, start).unwrap();
    origin.entry(id).unwrap().keeps = Some(Duration::ZERO);
    origin.give_back(id, taken.link, Back::Ready, start);
    assert!(origin.ask(PROMPT, start).is_none(), "it is not used again");
}

#[test]
fn a_repetition_takes_what_was_busy_when_the_attempt_failed_and_nothing_that_was_idle() {
    let (start, mut origin) = (Instant::now(), Fakes::new(RULES, None));
    let (busy, _) = add(&mut origin, Carries::One, start);
    let lent = origin.ask(PROMPT, start).unwrap();
    let (idle, _) = add(&mut origin, Carries::One, start);
    origin.doubt();
    assert!(origin.ask(FRESH, start).is_none());
    origin.give_back(busy, lent.link, Back::Ready, start);
    assert_eq!(origin.ask(FRESH, start).unwrap().id, busy);
    let taken = origin.ask(PROMPT, start).unwrap();
    assert_eq!(taken.id, idle, "others may");
    origin.give_back(idle, taken.link, Back::Ready, start);
    assert!(origin.ask(FRESH, start).is_some(), "it has answered since");
}

#[test]
fn the_first_of_each_kind_of_those_who_wait_look_again() {
    let (start, mut origin) = (Instant::now(), Fakes::new(RULES, Some(true)));
    for (place, wish) in [PARKED, PARKED, PARKED, PROMPT, PARKED, PROMPT].into_iter().enumerate() {
        origin.wait(wish, u32::try_from(place).unwrap());
    }
    assert_eq!(origin.places(1), [0, 3]);
    assert_eq!(origin.places(2), [0, 1, 3, 5]);
    assert_eq!(origin.places(usize::MAX), [0, 1, 2, 3, 4, 5]);
    add(&mut origin, many(Kind::Prompt, 2), start);
    assert_eq!(given(&mut origin, start), [3, 5]);
    assert_eq!(origin.places(2), [0, 1]);
}

#[test]
fn the_last_call_of_a_connection_leaves_its_place_to_the_other_kind_that_waits_for_it() {
    let start = Instant::now();
    for own_waits in [false, true] {
        let mut origin = Fakes::new(Rules { per_origin: 1, ..RULES }, Some(true));
        let (id, _) = add(&mut origin, many(Kind::Prompt, 1), start);
        let taken = origin.ask(PROMPT, start).unwrap();
        origin.wait(PARKED, 1);
        assert_eq!(begun(&mut origin, Kind::Parked, start), 0, "there is no room");
        if own_waits {
            origin.wait(PROMPT, 2);
        }
        origin.release(id, start);
        let given = origin.settle(start);
        assert_eq!((given.given.len(), given.left.len()), if own_waits { (1, 0) } else { (0, 1) });
        drop(taken);
    }
}

#[test]
fn streams_are_lent_up_to_the_limit_to_one_kind_of_call_and_none_where_nobody_reads() {
    let (start, mut origin) = (Instant::now(), Fakes::new(RULES, Some(true)));
    let (id, _) = add(&mut origin, Carries::Many { kind: Kind::Prompt, limit: None }, start);
    assert!(origin.ask(PROMPT, start).is_none(), "its peer has said nothing yet");
    assert_eq!(origin.waits_for(Kind::Prompt), Waits::Settings);
    origin.limited(id, 2, start);
    assert!(origin.ask(PARKED, start).is_none());
    let one = origin.ask(PROMPT, start).unwrap();
    assert!(origin.ask(PROMPT, start).is_some() && origin.ask(PROMPT, start).is_none());
    assert_eq!(origin.waits_for(Kind::Prompt), Waits::Slot);
    origin.release(id, start);
    one.link.clogged.set(true);
    assert!(origin.ask(PROMPT, start).is_none());
    one.link.clogged.set(false);
    assert!(origin.ask(PROMPT, start).is_some());
    origin.limited(id, 1, start);
    origin.release(id, start);
    assert!(origin.ask(PROMPT, start).is_none(), "one is in use, and one is allowed");
    origin.retire(id);
    origin.release(id, start);
    assert_eq!(origin.settle(start).left.len(), 1, "closed with its last call");
}

#[test]
fn a_waiter_gets_what_comes_free_in_the_order_they_came() {
    let (start, mut origin) = (Instant::now(), Fakes::new(RULES, None));
    let keys: Vec<_> = (0..3).map(|place| origin.wait(PROMPT, place)).collect();
    assert_eq!((begun(&mut origin, Kind::Prompt, start), begun(&mut origin, Kind::Prompt, start)), (3, 0));
    origin.leave(keys[0], start);
    let dies = start + RULES.age;
    let connect = under_way(&origin, Kind::Prompt);
    origin.connected(Fake::default(), Carries::One, connect, dies, start);
    assert_eq!(given(&mut origin, start), [1]);
    assert_eq!(fails(&mut origin, Kind::Prompt, start), [0; 0], "another connect is under way for it");
    assert_eq!(fails(&mut origin, Kind::Prompt, start), [2]);
}

#[test]
fn where_streams_are_shared_one_connect_is_under_way_and_all_are_told_when_it_fails() {
    let (start, mut origin) = (Instant::now(), Fakes::new(RULES, Some(true)));
    for place in 0..3 {
        origin.wait(PROMPT, place);
    }
    origin.wait(PARKED, 3);
    assert_eq!((begun(&mut origin, Kind::Prompt, start), begun(&mut origin, Kind::Prompt, start)), (1, 0));
    assert_eq!(begun(&mut origin, Kind::Parked, start), 1, "of another kind");
    assert_eq!(fails(&mut origin, Kind::Prompt, start), [0, 1, 2]);
    let (_, _) = add(&mut origin, many(Kind::Prompt, 1), start);
    origin.wait(PROMPT, 4);
    origin.wait(PROMPT, 5);
    assert_eq!(given(&mut origin, start), [4]);
    assert_eq!(begun(&mut origin, Kind::Prompt, start), 1, "it is full");
    assert_eq!(fails(&mut origin, Kind::Prompt, start), [0; 0], "there is one to wait for");
    assert_eq!(begun(&mut origin, Kind::Prompt, start), 0);
    assert_eq!(begun(&mut origin, Kind::Prompt, start + SECOND), 1);
}

#[test]
fn connections_that_take_no_stream_at_all_are_few_and_far_between() {
    let (start, mut origin) = (Instant::now(), Fakes::new(RULES, Some(true)));
    origin.wait(PROMPT, 0);
    let mut opened = Vec::new();
    for second in 0..50 {
        let now = start + second * SECOND;
        for connect in origin.connects(Kind::Prompt, now) {
            origin.connected(Fake::default(), many(Kind::Prompt, 0), connect, now + RULES.age, now);
            opened.push(second);
        }
        assert!(origin.settle(now).given.is_empty());
    }
    assert_eq!(opened, [0, 5, 15]);
}

#[test]
fn a_connection_that_ends_before_its_first_word_is_told_to_those_who_waited_for_it() {
    let (start, mut origin) = (Instant::now(), Fakes::new(RULES, Some(true)));
    origin.wait(PROMPT, 0);
    origin.wait(PARKED, 1);
    let (id, _) = add(&mut origin, Carries::Many { kind: Kind::Prompt, limit: None }, start);
    assert_eq!(begun(&mut origin, Kind::Prompt, start), 0, "it may have room");
    assert_eq!(origin.gone(id, start), [0]);
    let (id, _) = add(&mut origin, Carries::Many { kind: Kind::Parked, limit: None }, start);
    assert_eq!(given(&mut origin, start + 5 * SECOND), [0; 0]);
    assert_eq!(
        begun(&mut origin, Kind::Parked, start + 5 * SECOND),
        1,
        "that one is not waited for any longer"
    );
    assert_eq!(origin.gone(id, start + 5 * SECOND), [0; 0]);
}

#[test]
fn nobody_is_told_of_the_end_of_a_connection_that_was_retired_before() {
    let (start, mut origin) = (Instant::now(), Fakes::new(RULES, Some(true)));
    origin.wait(PROMPT, 0);
    let (id, _) = add(&mut origin, Carries::Many { kind: Kind::Prompt, limit: None }, start);
    origin.retire(id);
    assert_eq!(begun(&mut origin, Kind::Prompt, start), 1, "another one is on its way");
    assert_eq!(origin.gone(id, start), [0; 0]);
}

#[test]
fn a_call_that_waits_knows_when_to_look_again_though_nothing_changes() {
    let (start, mut origin) = (Instant::now(), Fakes::new(RULES, Some(true)));
    origin.wait(PROMPT, 0);
    assert_eq!(origin.looks_again(Kind::Prompt, start), None, "now");
    let (mute, _) = add(&mut origin, Carries::Many { kind: Kind::Prompt, limit: None }, start);
    assert_eq!(origin.looks_again(Kind::Prompt, start), Some(start + 5 * SECOND));
    assert_eq!(origin.looks_again(Kind::Parked, start), None, "nobody of that kind waits");
    origin.limited(mute, 0, start);
    assert_eq!(origin.looks_again(Kind::Prompt, start), Some(start + 5 * SECOND), "it has no room at all");
    origin.limited(mute, 1, start);
    origin.wait(PROMPT, 1);
    assert_eq!(given(&mut origin, start), [0]);
    assert_eq!(begun(&mut origin, Kind::Prompt, start), 1);
    assert_eq!(origin.looks_again(Kind::Prompt, start), Some(start + SECOND), "a connect is under way");
    assert_eq!(fails(&mut origin, Kind::Prompt, start), [0; 0]);
    assert_eq!(origin.looks_again(Kind::Prompt, start), Some(start + SECOND));
    assert_eq!(begun(&mut origin, Kind::Prompt, start + SECOND), 1);
}

#[test]
fn an_idle_connection_that_is_of_no_use_to_those_who_wait_makes_room_and_only_one_at_a_time() {
    let one_place = |many| {
        let rules = Rules { per_origin: 2, ..RULES };
        Fakes::new(rules, many)
    };
    let (start, mut origin) = (Instant::now(), one_place(Some(true)));
    let (one, _) = add(&mut origin, many(Kind::Prompt, 1), start);
    let (two, _) = add(&mut origin, many(Kind::Prompt, 1), start);
    let busy = origin.ask(PROMPT, start).unwrap();
    assert_eq!(busy.id, one);
    origin.wait(PARKED, 0);
    assert_eq!((begun(&mut origin, Kind::Parked, start), begun(&mut origin, Kind::Parked, start)), (0, 0));
    assert!(origin.entry(two).unwrap().retired && !origin.entry(one).unwrap().retired);
    origin.gone(two, start);
    assert_eq!(begun(&mut origin, Kind::Parked, start), 1);
    // Of those that carry one call at a time only what was idle when another turned out to be stale.
    let mut origin = one_place(None);
    let (one, _) = add(&mut origin, Carries::One, start);
    let (two, _) = add(&mut origin, Carries::One, start);
    origin.doubt();
    origin.wait(FRESH, 0);
    assert_eq!((begun(&mut origin, Kind::Prompt, start), begun(&mut origin, Kind::Prompt, start)), (0, 0));
    assert!(origin.entry(one).unwrap().retired && !origin.entry(two).unwrap().retired);
}

#[test]
fn a_connection_that_is_never_done_with_its_last_call_is_left() {
    let (start, mut origin) = (Instant::now(), Fakes::new(RULES, None));
    let (id, link) = add(&mut origin, Carries::One, start);
    let taken = origin.ask(PROMPT, start).unwrap();
    link.busy.set(true);
    origin.give_back(id, taken.link, Back::Turning, start);
    assert!(!origin.turned(id, start));
    assert_eq!(origin.sweep(start + 9 * SECOND), Some(start + 10 * SECOND));
    assert_eq!(origin.sweep(start + 10 * SECOND), None);
    assert_eq!(origin.settle(start).left.len(), 1);
    // One that was done with it in time is as good as others.
    let (id, link) = add(&mut origin, Carries::One, start);
    let taken = origin.ask(PROMPT, start).unwrap();
    origin.give_back(id, taken.link, Back::Turning, start);
    assert!(!link.busy.get() && origin.turned(id, start));
    assert_eq!(origin.sweep(start + 20 * SECOND), Some(start + 50 * SECOND));
}
