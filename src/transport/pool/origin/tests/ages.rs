//! How long connections are kept, and which of them.

use super::*;

#[test]
fn a_connection_with_a_stream_on_it_is_not_idle_however_long_that_takes() {
    let (start, mut origin) = (Instant::now(), Fakes::new(RULES, Some(true)));
    let (id, _) = add(&mut origin, many(Kind::Prompt, 2), start);
    assert!(origin.ask(PROMPT, start).is_some());
    let later = start + 60 * SECOND;
    assert_eq!(origin.sweep(later), None);
    assert_eq!(origin.ask(PROMPT, later).unwrap().id, id);
    origin.release(id, later);
    origin.release(id, later);
    assert_eq!(origin.sweep(later), Some(start + 110 * SECOND));
}

#[test]
fn what_was_connected_before_it_was_known_that_streams_are_shared_is_kept_where_it_is_needed_alone() {
    let (start, mut origin) = (Instant::now(), Fakes::new(RULES, None));
    for place in 0..3 {
        origin.wait(PROMPT, place);
    }
    assert_eq!(begun(&mut origin, Kind::Prompt, start), 3);
    let mute = Carries::Many { kind: Kind::Prompt, limit: None };
    let connected = |origin: &mut Fakes| {
        let connect = under_way(origin, Kind::Prompt);
        origin.connected(Fake::default(), mute, connect, start + RULES.age, start)
    };
    let first = connected(&mut origin).unwrap();
    assert_eq!(connected(&mut origin), None, "the first may have room for all");
    assert_eq!(origin.settle(start).left.len(), 1);
    origin.limited(first, 1, start);
    assert_eq!(given(&mut origin, start), [0]);
    assert!(connected(&mut origin).is_some(), "the first has none");
}

#[test]
fn a_connection_that_was_left_while_a_call_had_it_is_closed_when_it_comes_back() {
    for back in [Back::Ready, Back::Turning] {
        let (start, mut origin) = (Instant::now(), Fakes::new(RULES, None));
        let (id, _) = add(&mut origin, Carries::One, start);
        let taken = origin.ask(PROMPT, start).unwrap();
        origin.retire_all();
        assert_eq!(origin.settle(start).left.len(), 0, "it is in use");
        origin.give_back(id, taken.link, back, start);
        assert_eq!(origin.settle(start).left.len(), 1);
        assert!(origin.ask(PROMPT, start).is_none());
    }
}

#[test]
fn a_connection_that_is_never_without_a_stream_takes_none_any_more_at_its_age() {
    let (start, mut origin) = (Instant::now(), Fakes::new(RULES, Some(true)));
    let (id, _) = add(&mut origin, many(Kind::Prompt, 2), start);
    assert!(origin.ask(PROMPT, start).is_some());
    assert!(origin.ask(PROMPT, start + 299 * SECOND).is_some());
    origin.release(id, start + 299 * SECOND);
    assert!(origin.ask(PROMPT, start + 300 * SECOND).is_none());
    add(&mut origin, many(Kind::Prompt, 2), start + 300 * SECOND);
    assert_eq!(origin.settle(start + 300 * SECOND).left.len(), 0, "one is on it still");
    origin.release(id, start + 301 * SECOND);
    assert_eq!(origin.settle(start + 301 * SECOND).left.len(), 1);
}

#[test]
fn a_connection_at_its_age_serves_again_where_no_other_can_be_made() {
    let at = 301 * SECOND;
    for (carries, spoken) in [(Carries::One, None), (many(Kind::Prompt, 1), Some(true))] {
        for drags in [false, true] {
            let (start, mut origin) = (Instant::now(), Fakes::new(RULES, spoken));
            let (old, _) = add(&mut origin, carries, start);
            let taken = origin.ask(PROMPT, start).unwrap();
            let back = |origin: &mut Fakes, link, now| match carries {
                Carries::One => origin.give_back(old, link, Back::Ready, now),
                Carries::Many { .. } => origin.release(old, now),
            };
            back(&mut origin, taken.link, start + 295 * SECOND);
            assert!(origin.ask(PROMPT, start + at).is_none());
            for place in 0..2 {
                origin.wait(PROMPT, place);
            }
            assert!(begun(&mut origin, Kind::Prompt, start + at) >= 1);
            let connect = under_way(&origin, Kind::Prompt);
            let later = start + at + if drags { SECOND } else { Duration::ZERO };
            if drags {
                assert!(origin.drags_on(connect, later).is_some());
            } else {
                assert_eq!(origin.not_connected(connect, later), [0; 0], "{carries:?}");
            }
            assert_eq!(given(&mut origin, later), [0], "{carries:?}, {drags}");
            // It is on it: the other one is told, or goes on waiting for its connect.
            let link = Fake::default();
            back(&mut origin, link, later);
            assert_eq!(given(&mut origin, later + 9 * SECOND), [1], "for a while");
            back(&mut origin, Fake::default(), later + 9 * SECOND);
            assert!(origin.ask(PROMPT, later + 10 * SECOND).is_none(), "then it is tried again");
            origin.settle(later);
            let (young, _) = add(&mut origin, carries, later + 10 * SECOND);
            assert_eq!(origin.settle(later).left.len(), 1, "and once one is made it is left");
            assert_eq!(origin.ask(PROMPT, later + 10 * SECOND).unwrap().id, young);
        }
    }
}

#[test]
fn a_connection_serves_no_longer_than_for_twice_its_age_nor_where_it_was_left() {
    for (left, after, serves) in [(false, 599, true), (false, 600, false), (true, 301, false)] {
        let (start, mut origin) = (Instant::now(), Fakes::new(RULES, Some(true)));
        let (id, _) = add(&mut origin, many(Kind::Prompt, 2), start);
        assert!(origin.ask(PROMPT, start).is_some());
        if left {
            origin.retire(id);
        }
        let now = start + after * SECOND;
        origin.wait(PROMPT, 0);
        assert_eq!(begun(&mut origin, Kind::Prompt, now), 1);
        let told = fails(&mut origin, Kind::Prompt, now);
        assert_eq!((told.is_empty(), given(&mut origin, now).len()), (serves, usize::from(serves)));
    }
}

#[test]
fn a_connection_at_its_age_is_kept_until_the_peer_of_another_one_takes_streams_and_serves_meanwhile() {
    let (start, mut origin) = (Instant::now(), Fakes::new(RULES, Some(true)));
    let (old, _) = add(&mut origin, many(Kind::Prompt, 1), start);
    assert!(origin.ask(PROMPT, start).is_some());
    origin.release(old, start + 299 * SECOND);
    let at = start + 301 * SECOND;
    origin.wait(PROMPT, 0);
    let (young, _) = add(&mut origin, Carries::Many { kind: Kind::Prompt, limit: None }, at);
    assert_eq!((given(&mut origin, at), begun(&mut origin, Kind::Prompt, at)), (vec![], 0));
    assert!(!origin.leans_on_old(Kind::Prompt, at), "it may say so at once");
    assert_eq!(origin.looks_again(Kind::Prompt, at), Some(at + SECOND));
    assert!(!origin.leans_on_old(Kind::Parked, at + SECOND), "nobody of that kind waits");
    assert!(origin.leans_on_old(Kind::Prompt, at + SECOND));
    assert_eq!(given(&mut origin, at + SECOND), [0]);
    // It has no room for a second one, who looks again when another connect is due.
    origin.wait(PROMPT, 1);
    assert!(!origin.leans_on_old(Kind::Prompt, at + SECOND));
    assert_eq!(origin.looks_again(Kind::Prompt, at + SECOND), Some(at + 5 * SECOND));
    origin.limited(young, 0, at + SECOND);
    origin.release(old, at + SECOND);
    assert_eq!(given(&mut origin, at + SECOND), [1], "no stream at all is no more than no word");
    origin.limited(old, 2, at + SECOND);
    assert!(!origin.entry(old).unwrap().retired, "what it says itself replaces nothing");
    origin.limited(young, 1, at + 2 * SECOND);
    assert!(origin.entry(old).unwrap().retired && origin.leans.is_none());
}

#[test]
fn a_connection_at_its_age_makes_room_for_another_one_last() {
    let full = |start| {
        let mut origin = Fakes::new(Rules { per_origin: 2, ..RULES }, Some(true));
        let (old, _) = add(&mut origin, many(Kind::Prompt, 2), start);
        assert!(origin.ask(PROMPT, start).is_some());
        (origin, old)
    };
    let start = Instant::now();
    let at = start + 300 * SECOND;
    // One that others do not use is spared before.
    let (mut origin, old) = full(start);
    let (idle, _) = add(&mut origin, many(Kind::Parked, 1), start + 299 * SECOND);
    origin.wait(PROMPT, 0);
    assert_eq!((begun(&mut origin, Kind::Prompt, at), begun(&mut origin, Kind::Prompt, at)), (0, 0));
    assert!(origin.entry(idle).unwrap().retired && !origin.entry(old).unwrap().retired);
    origin.gone(idle, at);
    assert_eq!(begun(&mut origin, Kind::Prompt, at), 1);
    // Of two at their age the one without a call is, and where both have some, one at a time.
    for calls in [false, true] {
        let (mut origin, old) = full(start);
        let (other, _) = add(&mut origin, many(Kind::Prompt, 1), start);
        if calls {
            assert!(origin.ask(PROMPT, start).is_some_and(|taken| taken.id == old));
            assert!(origin.ask(PROMPT, start).is_some_and(|taken| taken.id == other));
        }
        origin.wait(PROMPT, 0);
        assert_eq!((begun(&mut origin, Kind::Prompt, at), begun(&mut origin, Kind::Prompt, at)), (0, 0));
        let retired = [old, other].map(|id| origin.entry(id).unwrap().retired);
        assert_eq!(retired, [calls, !calls]);
    }
}
