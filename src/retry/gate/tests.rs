use super::*;

const SECOND: Duration = Duration::from_secs(1);
const PATH: u64 = 7;

fn half() -> impl FnMut() -> f64 {
    || 0.5
}

/// A call without a place yet.
fn ask(gates: &mut Gates, end: Option<Instant>, now: Instant) -> Answer {
    gates.ask(PATH, None, end, now, &mut half())
}

#[test]
fn a_gate_lets_nobody_through_until_its_time_and_everybody_after() {
    let (mut gates, now) = (Gates::default(), Instant::now());
    assert_eq!(ask(&mut gates, None, now), Answer::Go);
    assert!(gates.is_empty() && gates.close(PATH, 60 * SECOND, now) && !gates.is_empty());
    assert_eq!(gates.closed(now), (1, Some(60 * SECOND)));
    let end = Some(now + 30 * SECOND);
    assert_eq!(ask(&mut gates, end, now + SECOND), Answer::Refuse { retry_in: 59 * SECOND });
    assert_eq!(gates.ask(8, None, end, now, &mut half()), Answer::Go, "another path or credential");
    let Answer::Wait { until, .. } = ask(&mut gates, Some(now + 61 * SECOND), now) else { panic!() };
    assert_eq!(until, now + 60 * SECOND);
    assert_eq!(ask(&mut gates, end, now + 60 * SECOND), Answer::Go);
    // Spread over a tenth; then nothing is left of it.
    ask(&mut gates, None, now + 66 * SECOND);
    assert!(gates.is_empty());
}

#[test]
fn a_deadline_at_the_moment_it_opens_is_too_late() {
    let (mut gates, now) = (Gates::default(), Instant::now());
    gates.close(PATH, 10 * SECOND, now);
    assert!(matches!(ask(&mut gates, Some(now + 10 * SECOND), now), Answer::Refuse { .. }));
}

#[test]
fn the_nearest_deadline_goes_first_and_all_are_spread() {
    let (mut gates, now) = (Gates::default(), Instant::now());
    gates.close(PATH, 20 * SECOND, now);
    let opens = now + 20 * SECOND;
    let ends = [None, Some(90), Some(50), Some(70)].map(|end| end.map(|end| now + end * SECOND));
    let places = ends.map(|end| match ask(&mut gates, end, now) {
        Answer::Wait { until, place } if until == opens => place,
        other => panic!("{other:?}"),
    });
    let at =
        [0, 1, 2, 3].map(|n: usize| match gates.ask(PATH, Some(places[n]), ends[n], opens, &mut half()) {
            Answer::Wait { until, .. } => until - opens,
            other => panic!("{other:?}"),
        });
    // Over 2 s, four quarters, each in the middle of its own.
    assert_eq!(at, [1750, 1250, 250, 750].map(Duration::from_millis));
    let gone = gates.ask(PATH, Some(places[2]), ends[2], opens + Duration::from_millis(250), &mut half());
    assert_eq!(gone, Answer::Go);
}

#[test]
fn none_is_placed_behind_half_of_what_it_has_left() {
    let (mut gates, now) = (Gates::default(), Instant::now());
    gates.close(PATH, SECOND, now);
    let (opens, end) = (now + SECOND, Some(now + SECOND + Duration::from_millis(100)));
    let Answer::Wait { place, .. } = ask(&mut gates, end, now) else { panic!() };
    let late = gates.ask(PATH, Some(place), end, opens, &mut || 0.99);
    assert_eq!(late, Answer::Wait { until: opens + Duration::from_millis(50), place });
}

#[test]
fn only_a_longer_wait_replaces_an_earlier_one_and_who_waited_asks_again() {
    let (mut gates, now) = (Gates::default(), Instant::now());
    assert!(gates.close(PATH, 10 * SECOND, now));
    assert!(!gates.close(PATH, 5 * SECOND, now + SECOND));
    assert_eq!(gates.closed(now), (1, Some(10 * SECOND)));
    let Answer::Wait { place, .. } = ask(&mut gates, None, now) else { panic!() };
    assert!(gates.close(PATH, 10 * SECOND, now + 5 * SECOND));
    let again = gates.ask(PATH, Some(place), None, now + 10 * SECOND, &mut half());
    assert_eq!(again, Answer::Wait { until: now + 15 * SECOND, place });
}

#[test]
fn above_five_minutes_one_call_at_a_time_asks() {
    let (mut gates, now) = (Gates::default(), Instant::now());
    gates.close(PATH, Duration::from_secs(u64::MAX), now);
    let opens = now + LONGEST;
    assert_eq!(gates.closed(now), (1, Some(LONGEST)));
    assert!(matches!(ask(&mut gates, None, opens - SECOND), Answer::Wait { .. }));
    assert_eq!(ask(&mut gates, None, opens), Answer::Go);
    let Answer::Wait { until, place } = ask(&mut gates, None, opens) else { panic!("one is asking") };
    assert_eq!(until, opens + ASKING);
    // Nothing came of it.
    assert_eq!(gates.ask(PATH, Some(place), None, until, &mut half()), Answer::Go);
    // An answer to a call that was sent before says nothing.
    gates.answered(PATH, now, until);
    assert!(matches!(ask(&mut gates, None, until), Answer::Wait { .. }));
    gates.answered(PATH, until, until + SECOND);
    assert_eq!(ask(&mut gates, None, until + SECOND), Answer::Go);
    assert_eq!(gates.closed(until + SECOND).0, 0);
}

#[test]
fn after_five_minutes_and_no_more_nobody_has_to_ask() {
    let (mut gates, now) = (Gates::default(), Instant::now());
    gates.close(PATH, LONGEST, now);
    for _ in 0..2 {
        assert_eq!(ask(&mut gates, None, now + LONGEST), Answer::Go);
    }
}

#[test]
fn told_again_by_the_one_that_asked_it_stays_closed() {
    let (mut gates, now) = (Gates::default(), Instant::now());
    gates.close(PATH, 3600 * SECOND, now);
    let mut at = now;
    for _ in 0..10 {
        at += LONGEST;
        assert_eq!(ask(&mut gates, None, at), Answer::Go);
        assert!(gates.close(PATH, 3600 * SECOND, at));
        assert!(matches!(ask(&mut gates, Some(at + SECOND), at), Answer::Refuse { .. }));
    }
}

#[test]
fn of_too_many_the_soonest_to_open_is_dropped() {
    let (mut gates, now) = (Gates::default(), Instant::now());
    for key in 0..MOST as u64 {
        assert!(gates.close(key, 10 * SECOND + Duration::from_millis(key), now));
    }
    assert!(!gates.close(MOST as u64, SECOND, now), "it would be the soonest itself");
    assert!(gates.close(MOST as u64, 20 * SECOND, now));
    assert_eq!(gates.closed(now).0, MOST);
    assert_eq!(gates.ask(0, None, None, now, &mut half()), Answer::Go);
    assert!(matches!(gates.ask(1, None, None, now, &mut half()), Answer::Wait { .. }));
}

#[test]
fn who_leaves_and_what_is_over_leaves_nothing() {
    let (mut gates, now) = (Gates::default(), Instant::now());
    assert!(!gates.close(PATH, Duration::ZERO, now));
    assert!(gates.is_empty());
    gates.close(PATH, SECOND, now);
    for _ in 0..100 {
        let Answer::Wait { place, .. } = ask(&mut gates, None, now) else { panic!() };
        gates.leave(PATH, place);
    }
    assert!(gates.gates[&PATH].waiting.is_empty());
    gates.close(8, SECOND, now);
    // A call of any other path finds them over, at the moment that the last of them is.
    assert_eq!(gates.ask(9, None, None, now + 2 * SECOND, &mut half()), Answer::Go);
    assert!(gates.is_empty());
}
