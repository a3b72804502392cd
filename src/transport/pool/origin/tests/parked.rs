//! Calls that may park beside those that end soon, where each has a connection to itself.

use super::*;

#[test]
fn calls_that_park_leave_one_place_in_sixteen_and_one_at_least_to_others() {
    for (places, parked) in [(1, 1), (2, 1), (8, 7), (32, 30)] {
        let start = Instant::now();
        let rules = Rules { per_origin: places, idle_per_origin: places, ..RULES };
        let mut origin = Fakes::new(rules, None);
        for place in 0..40 {
            origin.wait(PARKED, place);
        }
        let connects = origin.connects(Kind::Parked, start);
        assert_eq!((connects.len(), begun(&mut origin, Kind::Parked, start)), (parked, 0));
        for connect in connects {
            origin.connected(Fake::default(), Carries::One, connect, start + RULES.age, start);
        }
        assert_eq!((given(&mut origin, start).len(), begun(&mut origin, Kind::Parked, start)), (parked, 0));
        origin.wait(PROMPT, 40);
        assert_eq!(begun(&mut origin, Kind::Prompt, start), usize::from(places > 1));
    }
}

#[test]
fn a_connection_that_comes_free_goes_first_to_a_call_that_ends_soon() {
    let start = Instant::now();
    let mut origin = Fakes::new(Rules { per_origin: 2, ..RULES }, None);
    let (id, _) = add(&mut origin, Carries::One, start);
    let taken = origin.ask(PARKED, start).unwrap();
    add(&mut origin, Carries::One, start);
    assert!(origin.ask(PARKED, start).is_none(), "one is for calls that end soon");
    origin.ask(PROMPT, start).unwrap();
    origin.wait(PARKED, 0);
    origin.wait(PROMPT, 1);
    origin.give_back(id, taken.link, Back::Ready, start);
    assert_eq!(given(&mut origin, start), [1]);
    // And the next one to the poll.
    origin.give_back(id, Fake::default(), Back::Ready, start);
    assert_eq!(given(&mut origin, start), [0]);
    origin.gone(id, start);
    assert_eq!(origin.parked, 0);
}
