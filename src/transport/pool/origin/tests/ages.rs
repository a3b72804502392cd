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
    assert_eq!(origin.connects(Kind::Prompt, start), 3);
    let mute = Carries::Many { kind: Kind::Prompt, limit: None };
    let connected = |origin: &mut Fakes| {
        origin.connected(Fake::default(), mute, (Kind::Prompt, true), start + RULES.age, start)
    };
    let first = connected(&mut origin).unwrap();
    assert_eq!(connected(&mut origin), None, "the first may have room for all");
    assert_eq!(origin.settle(start).left.len(), 1);
    origin.limited(first, 1);
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
    assert_eq!(origin.settle(start + 300 * SECOND).left.len(), 0, "one is on it still");
    origin.release(id, start + 301 * SECOND);
    assert_eq!(origin.settle(start + 301 * SECOND).left.len(), 1);
}
