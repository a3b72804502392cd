//! Connects that take long, or for ever.

use super::*;

#[test]
fn a_connect_whose_call_was_given_up_stands_in_for_that_of_a_later_call_for_a_second() {
    let (start, mut origin) = (Instant::now(), Fakes::new(RULES, None));
    let first = origin.wait(PROMPT, 0);
    assert_eq!(begun(&mut origin, Kind::Prompt, start), 1);
    origin.leave(first, start + SECOND / 2);
    let half = start + SECOND / 2;
    origin.wait(PROMPT, 1);
    assert_eq!(begun(&mut origin, Kind::Prompt, half), 0);
    assert_eq!(origin.looks_again(Kind::Prompt, half), Some(start + SECOND));
    assert_eq!(begun(&mut origin, Kind::Prompt, start + SECOND), 1, "it hangs");
    assert_eq!(origin.looks_again(Kind::Prompt, start + SECOND), None);
    assert_eq!(begun(&mut origin, Kind::Prompt, start + 4 * SECOND), 0, "it has one of its own");
    // The one that was given up ends first.
    assert_eq!(fails(&mut origin, Kind::Prompt, start + 5 * SECOND), [0; 0]);
    assert_eq!(fails(&mut origin, Kind::Prompt, start + 6 * SECOND), [1]);
}

#[test]
fn a_call_whose_own_connect_failed_is_told_beside_one_that_hangs() {
    let (start, mut origin) = (Instant::now(), Fakes::new(RULES, None));
    let first = origin.wait(PROMPT, 0);
    assert_eq!(begun(&mut origin, Kind::Prompt, start), 1);
    origin.leave(first, start + SECOND);
    origin.wait(PROMPT, 1);
    let own = origin.connects(Kind::Prompt, start + SECOND)[0];
    assert_eq!(origin.not_connected(own, start + SECOND), [1]);
}

#[test]
fn a_call_that_waits_has_one_connect_however_long_that_takes_and_whoever_gets_it() {
    let (start, mut origin) = (Instant::now(), Fakes::new(RULES, None));
    for place in 0..3 {
        origin.wait(PROMPT, place);
    }
    let connects = origin.connects(Kind::Prompt, start);
    for (n, connect) in connects.into_iter().rev().enumerate() {
        let now = start + (2 + n as u32) * SECOND;
        assert_eq!(begun(&mut origin, Kind::Prompt, now), 0);
        assert_eq!(origin.looks_again(Kind::Prompt, now), None);
        origin.connected(Fake::default(), Carries::One, connect, now + RULES.age, now);
        assert_eq!(given(&mut origin, now), [n as u32]);
    }
}

#[test]
fn where_streams_are_shared_another_connect_begins_beside_one_that_takes_long_and_at_most_three() {
    let (start, mut origin) = (Instant::now(), Fakes::new(RULES, Some(true)));
    let ms = SECOND / 1000;
    origin.wait(PROMPT, 0);
    let mut times = Vec::new();
    for at in (0..15_000).step_by(500) {
        let now = start + at * ms;
        let looks = origin.looks_again(Kind::Prompt, now);
        assert!(looks.is_none_or(|at| at > now));
        if begun(&mut origin, Kind::Prompt, now) > 0 {
            times.push(at);
        }
    }
    assert_eq!(times, [0, 1000, 3000]);
    // Who came meanwhile waits for the one that began after.
    origin.wait(PROMPT, 1);
    assert_eq!(begun(&mut origin, Kind::Prompt, start + 15 * SECOND), 1, "one is forgotten");
    let (now, two) = (start + 15 * SECOND, under_way(&origin, Kind::Prompt));
    assert_eq!(origin.not_connected(two, now), [0]);
    assert_eq!(fails(&mut origin, Kind::Prompt, now), [1]);
}

#[test]
fn of_connects_for_the_same_calls_the_first_is_used_and_the_others_are_dropped() {
    let (start, mut origin) = (Instant::now(), Fakes::new(RULES, Some(true)));
    origin.wait(PROMPT, 0);
    let one = origin.connects(Kind::Prompt, start)[0];
    let two = origin.connects(Kind::Prompt, start + SECOND)[0];
    let now = start + 3 * SECOND / 2;
    let mute = Carries::Many { kind: Kind::Prompt, limit: None };
    let first = origin.connected(Fake::default(), mute, one, now + RULES.age, now).unwrap();
    origin.limited(first, 100, now);
    assert_eq!(given(&mut origin, now), [0]);
    assert_eq!(origin.connected(Fake::default(), mute, two, now + RULES.age, now), None);
    // One that was begun since the first is full is needed.
    origin.limited(first, 1, now);
    origin.wait(PROMPT, 1);
    let later = now + SECOND;
    let three = origin.connects(Kind::Prompt, later)[0];
    origin.release(first, later);
    assert!(origin.connected(Fake::default(), mute, three, later + RULES.age, later).is_some());
}

#[test]
fn a_connect_that_nobody_waits_for_is_given_up_after_a_second_unless_its_call_was_served() {
    for served in [false, true] {
        let (start, mut origin) = (Instant::now(), Fakes::new(RULES, None));
        let key = origin.wait(PROMPT, 0);
        let connect = origin.connects(Kind::Prompt, start)[0];
        assert_eq!(origin.drags_on(connect, start), Some(start + SECOND));
        let half = start + SECOND / 2;
        if served {
            add(&mut origin, Carries::One, half);
            assert_eq!(given(&mut origin, half), [0]);
        } else {
            origin.leave(key, half);
        }
        let second = start + SECOND;
        let expected = if served { 2 * SECOND } else { 3 * SECOND / 2 };
        assert_eq!(origin.drags_on(connect, second), Some(start + expected));
        let still = origin.drags_on(connect, start + 3 * SECOND / 2);
        assert_eq!(still.is_some(), served);
        // Nor is it while somebody waits.
        origin.wait(PROMPT, 1);
        origin.wait(PROMPT, 2);
        assert!(origin.drags_on(connect, start + 3 * SECOND).is_some());
    }
}

#[test]
fn a_connect_that_hangs_leaves_its_place_where_there_is_no_other() {
    let (start, mut origin) = (Instant::now(), Fakes::new(Rules { per_origin: 1, ..RULES }, None));
    let key = origin.wait(PROMPT, 0);
    let connect = origin.connects(Kind::Prompt, start)[0];
    origin.leave(key, start);
    origin.wait(PROMPT, 1);
    assert!(origin.drags_on(connect, start + SECOND / 2).is_some());
    assert_eq!(origin.drags_on(connect, start + SECOND), None);
    origin.given_up(connect);
    assert_eq!(begun(&mut origin, Kind::Prompt, start + SECOND), 1);
}

#[test]
fn of_connects_whose_calls_were_given_up_one_goes_on_while_others_wait() {
    let (start, mut origin) = (Instant::now(), Fakes::new(RULES, None));
    let keys: Vec<_> = (0..3).map(|place| origin.wait(PROMPT, place)).collect();
    let connects = origin.connects(Kind::Prompt, start);
    keys.into_iter().for_each(|key| origin.leave(key, start + SECOND / 2));
    origin.wait(PROMPT, 3);
    let own = origin.connects(Kind::Prompt, start + SECOND)[0];
    let go_on = |origin: &mut Fakes, now| {
        [connects[0], connects[1], connects[2], own].map(|connect| origin.drags_on(connect, now).is_some())
    };
    assert_eq!(go_on(&mut origin, start + SECOND), [true; 4]);
    assert_eq!(go_on(&mut origin, start + 2 * SECOND), [true, false, false, true]);
    assert!(origin.drags_on(own, start + 4 * SECOND).is_some());
}

#[test]
fn a_connect_of_a_runtime_that_nobody_drives_is_forgotten_and_used_where_it_comes_after_all() {
    for spoken in [None, Some(true)] {
        let rules = Rules { per_origin: 3, ..RULES };
        let (start, mut origin) = (Instant::now(), Fakes::new(rules, spoken));
        origin.wait(PROMPT, 0);
        let lost = origin.connects(Kind::Prompt, start)[0];
        let late = start + 15 * SECOND;
        assert_eq!(begun(&mut origin, Kind::Prompt, late), 1, "{spoken:?}");
        origin.connected(Fake::default(), Carries::One, lost, late + RULES.age, late);
        assert_eq!(given(&mut origin, late), [0]);
        // Beyond the number of connections it is not.
        add(&mut origin, Carries::One, late);
        let again = origin.connected(Fake::default(), Carries::One, lost, late + RULES.age, late);
        assert_eq!(again, None);
    }
}

#[test]
fn a_connect_that_may_take_long_is_not_forgotten_before_its_bound() {
    for spoken in [None, Some(true)] {
        let rules = Rules { per_origin: 1, lost: 65 * SECOND, ..RULES };
        let (start, mut origin) = (Instant::now(), Fakes::new(rules, spoken));
        origin.wait(PROMPT, 0);
        assert_eq!(begun(&mut origin, Kind::Prompt, start), 1);
        assert_eq!(begun(&mut origin, Kind::Prompt, start + 64 * SECOND), 0, "{spoken:?}");
        assert_eq!(begun(&mut origin, Kind::Prompt, start + 65 * SECOND), 1, "{spoken:?}");
    }
}

#[test]
fn a_connect_that_nobody_waits_for_is_given_up_in_time_also_where_one_beside_it_failed() {
    let (start, mut origin) = (Instant::now(), Fakes::new(RULES, None));
    let keys: Vec<_> = (0..2).map(|place| origin.wait(PROMPT, place)).collect();
    let connects = origin.connects(Kind::Prompt, start);
    keys.into_iter().for_each(|key| origin.leave(key, start + SECOND / 2));
    assert_eq!(origin.not_connected(connects[0], start + SECOND), [0; 0]);
    assert_eq!(origin.drags_on(connects[1], start + SECOND), Some(start + 3 * SECOND / 2));
    assert_eq!(origin.drags_on(connects[1], start + 3 * SECOND / 2), None);
}
