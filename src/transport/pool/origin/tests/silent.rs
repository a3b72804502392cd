//! Connections that died without a word.

use super::*;

/// Three connections that were idle at 1 s; one of them is taken at 2 s.
fn three(start: Instant) -> (Fakes, Id, Taken<Fake>) {
    let mut origin = Fakes::new(RULES, None);
    for _ in 0..3 {
        add(&mut origin, Carries::One, start + SECOND);
    }
    let taken = origin.ask(PROMPT, start + 2 * SECOND).unwrap();
    (origin, taken.id, taken)
}

#[test]
fn what_was_idle_when_a_call_began_that_got_not_a_byte_is_left() {
    let start = Instant::now();
    let (mut origin, id, _) = three(start);
    let (young, _) = add(&mut origin, Carries::One, start + 5 * SECOND);
    origin.doubt_silent(id, start + 2 * SECOND);
    assert_eq!(origin.settle(start).left.len(), 2);
    assert_eq!(origin.ask(FRESH, start + 12 * SECOND).unwrap().id, young, "it is younger than that call");
    assert!(origin.ask(PROMPT, start + 12 * SECOND).is_none());
}

#[test]
fn the_silence_of_one_path_beside_answers_on_another_connection_as_old_leaves_none() {
    let start = Instant::now();
    let (mut origin, id, _) = three(start);
    let other = origin.ask(PROMPT, start + 3 * SECOND).unwrap();
    origin.give_back(other.id, other.link, Back::Ready, start + 4 * SECOND);
    origin.doubt_silent(id, start + 2 * SECOND);
    assert_eq!(origin.settle(start).left.len(), 0);
    assert_eq!(origin.ask(FRESH, start + 12 * SECOND).unwrap().id, other.id);
    assert!(origin.ask(FRESH, start + 12 * SECOND).is_none(), "the repetition does not try its luck");
    assert!(origin.ask(PROMPT, start + 12 * SECOND).is_some(), "others may");
}

#[test]
fn the_silence_of_a_call_that_may_park_says_nothing() {
    let start = Instant::now();
    let (mut origin, _, taken) = three(start);
    origin.give_back(taken.id, taken.link, Back::Ready, start + 2 * SECOND);
    let poll = origin.ask(PARKED, start + 3 * SECOND).unwrap();
    origin.doubt_silent(poll.id, start + 3 * SECOND);
    assert_eq!(origin.settle(start).left.len(), 0);
    assert!(origin.ask(FRESH, start + 12 * SECOND).is_some());
}

#[test]
fn an_answer_on_another_connection_counts_also_while_the_next_call_is_on_it() {
    let start = Instant::now();
    let (mut origin, id, _) = three(start);
    for at in [3, 4, 5] {
        let other = origin.ask(PROMPT, start + at * SECOND).unwrap();
        origin.give_back(other.id, other.link, Back::Ready, start + at * SECOND);
    }
    assert!(origin.ask(PROMPT, start + 6 * SECOND).is_some(), "it is lent");
    origin.doubt_silent(id, start + 2 * SECOND);
    assert_eq!(origin.settle(start).left.len(), 0);
    // One that served before alone, and is in use since, says nothing.
    let (mut origin, id, taken) = three(start);
    origin.give_back(id, taken.link, Back::Ready, start + 2 * SECOND);
    let busy = origin.ask(PROMPT, start + 3 * SECOND).unwrap();
    let silent = origin.ask(PROMPT, start + 4 * SECOND).unwrap();
    assert_eq!(busy.id, id);
    origin.doubt_silent(silent.id, start + 4 * SECOND);
    assert_eq!(origin.settle(start).left.len(), 1);
}
