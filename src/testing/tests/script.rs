//! Scripts by themselves: time is an argument.

use super::*;
use crate::testing::script::Away;

fn said(script: &mut Script, now: Duration) -> Option<String> {
    script.take(now).map(|reply| format!("{:?}", reply.act))
}

#[test]
fn steps_are_used_up_by_requests_and_by_the_clock() {
    let mut s = Script::new()
        .then(Reply::hang())
        .until(5 * SEC, Reply::close())
        .times(0, Reply::garbage())
        .times(2, Reply::reset())
        .forever(Reply::silent());
    let at = [0, 1, 4, 5, 6, 7, 8].map(|t| said(&mut s, t * SEC).unwrap());
    let short = at.map(|r| r.trim_start_matches("Reply::").trim_end_matches("()").to_owned());
    assert_eq!(short, ["hang", "close", "close", "reset", "reset", "silent", "silent"]);
    s.rewind();
    assert_eq!(said(&mut s, 9 * SEC).unwrap(), "Reply::hang()");
    assert_eq!(said(&mut s, 9 * SEC).unwrap(), "Reply::reset()");
    assert_eq!(said(&mut Script::new(), SEC), None);
    assert_eq!(
        said(&mut Script::new().then(Reply::hang()).times(0, Reply::hang()), SEC).as_deref(),
        Some("Reply::hang()")
    );
}

#[test]
fn flapping_goes_by_the_clock_for_ever() {
    let mut s = Script::new().flap((3 * SEC, Reply::close()), (2 * SEC, Reply::refuse()));
    for period in [0, 1, 1_000_000] {
        let t = period * 5 * SEC;
        assert_eq!(said(&mut s, t).unwrap(), "Reply::close()");
        assert_eq!(said(&mut s, t + 3 * SEC - MS).unwrap(), "Reply::close()");
        assert_eq!(said(&mut s, t + 3 * SEC).unwrap(), "Reply::refuse()");
        assert_eq!(said(&mut s, t + 5 * SEC - MS).unwrap(), "Reply::refuse()");
        assert_eq!(s.away(t + SEC), Away::From(t + 3 * SEC));
        assert_eq!(s.away(t + 3 * SEC), Away::Now { until: Some(t + 5 * SEC) });
    }
    let from_down = Script::new().flap((Duration::ZERO, Reply::hang()), (SEC, Reply::refuse()));
    assert_eq!(from_down.away(9 * SEC), Away::Now { until: None });
    assert_eq!(
        Script::new().flap((SEC, Reply::refuse()), (SEC, Reply::refuse())).away(SEC),
        Away::Now { until: None }
    );
    assert_eq!(Script::new().flap((SEC, Reply::hang()), (SEC, Reply::close())).away(SEC), Away::Not);
    let long = Script::new().flap((Duration::MAX, Reply::hang()), (Duration::MAX, Reply::refuse()));
    assert_eq!(long.away(SEC), Away::Not);
}

#[test]
fn a_server_is_away_while_the_clock_says_refuse() {
    let restart = Script::new()
        .until(2 * SEC, Reply::hang())
        .until(3 * SEC, Reply::refuse())
        .until(4 * SEC, Reply::refuse())
        .until(3 * SEC, Reply::hang())
        .forever(Reply::ok(""));
    assert_eq!(restart.away(Duration::ZERO), Away::From(2 * SEC));
    assert_eq!(restart.away(2 * SEC), Away::Now { until: Some(4 * SEC) });
    assert_eq!(restart.away(3500 * MS), Away::Now { until: Some(4 * SEC) });
    assert_eq!(restart.away(4 * SEC), Away::Not);
    let gone = Script::new().until(SEC, Reply::hang()).forever(Reply::refuse());
    assert_eq!((gone.away(Duration::ZERO), gone.away(SEC)), (Away::From(SEC), Away::Now { until: None }));
    // The peer comes back to say that its script ran out.
    assert_eq!(
        Script::new().until(SEC, Reply::refuse()).away(Duration::ZERO),
        Away::Now { until: Some(SEC) }
    );
    // A refusal that a connect is to use up needs somebody who sees the connect.
    assert_eq!(Script::new().then(Reply::refuse()).away(SEC), Away::Not);
    let mut after_one = Script::new().then(Reply::hang()).forever(Reply::refuse());
    assert_eq!(after_one.away(SEC), Away::Not);
    after_one.take(SEC);
    assert_eq!(after_one.away(SEC), Away::Now { until: None });
    assert_eq!(Script::new().away(SEC), Away::Not);
}

#[test]
#[should_panic(expected = "cannot flap every 0 s")]
fn flapping_at_no_interval_is_refused() {
    let _ = Script::new().flap((Duration::ZERO, Reply::hang()), (Duration::ZERO, Reply::hang()));
}

#[test]
#[should_panic(expected = "Reply::hang() sends no answer")]
fn a_header_on_a_reply_that_never_answers_is_refused() {
    let _ = Reply::hang().header("a", "b");
}
