//! A long poll beside the probes of a half-open circuit.

use super::*;
use crate::breaker::{Admitted, Lease, Outcome};
use tokio::time::Instant;

const FAILED: Outcome = Outcome::Failure { retry_after: None };

fn poll(b: &Breaker) -> Option<Admitted> {
    b.admit(Instant::now(), Lease::poll()).ok()
}

async fn end(b: &Breaker, poll: Admitted, after: Duration, outcome: Outcome) {
    advance(after).await;
    poll.record(b, outcome, Instant::now());
}

#[tokio::test(start_paused = true)]
async fn a_poll_takes_no_place_of_a_probe_and_no_probe_that_of_a_poll() {
    let b = breaker(steady());
    half_open(&b).await;
    let parked = poll(&b).expect("beside the probes");
    assert_eq!((b.snapshot().probes_in_flight, b.snapshot().retry_in), (0, None));
    let probe = permit(&b);
    assert_eq!(refused(&b), secs(1));
    probe.success();
    assert_eq!(phase(&b), Phase::Closed);
    parked.record(&b, FAILED, Instant::now());
    assert_eq!(b.snapshot().consecutive_failures, 0, "of the round before");
}

#[tokio::test(start_paused = true)]
async fn one_poll_at_a_time_until_it_is_parked_answered_or_dropped() {
    let b = breaker(steady().half_open(3, 9));
    half_open(&b).await;
    let _parked = poll(&b).expect("the first");
    assert!(poll(&b).is_none());
    advance(millis(400)).await;
    let refused = b.admit(Instant::now(), Lease::poll()).expect_err("one at a time");
    assert_eq!(refused.retry_in, millis(600));
    advance(millis(600)).await;
    let second = poll(&b).expect("the first is parked");
    assert!(poll(&b).is_none());
    end(&b, second, millis(10), Outcome::Success).await;
    assert_eq!((phase(&b), b.snapshot().probes_passed), (Phase::HalfOpen, 1));
    poll(&b).expect("the second was answered").abandon(&b);
    assert!(poll(&b).is_some(), "the third was dropped");
    assert_eq!(b.snapshot().expired_leases, 0);
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_poll_closes_the_circuit_however_long_it_was_parked() {
    for parked in [millis(10), secs(50), secs(600)] {
        let b = breaker(steady());
        half_open(&b).await;
        let poll = poll(&b).expect("beside the probes");
        end(&b, poll, parked, Outcome::Success).await;
        assert_eq!(phase(&b), Phase::Closed, "{parked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_from_an_older_round_says_nothing() {
    let b = breaker(steady());
    half_open(&b).await;
    let poll = poll(&b).expect("beside the probes");
    play(&b, "F");
    advance(secs(10)).await;
    end(&b, poll, secs(1), Outcome::Success).await;
    assert_eq!((phase(&b), b.snapshot().probes_passed), (Phase::HalfOpen, 0));
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_fails_within_its_first_second_reopens_the_circuit_and_a_parked_one_does_not() {
    for failed in [FAILED, Outcome::TimedOut, Outcome::Hang] {
        for (after, expected) in [(millis(999), Phase::Open), (secs(1), Phase::HalfOpen)] {
            let b = breaker(steady());
            half_open(&b).await;
            let poll = poll(&b).expect("beside the probes");
            end(&b, poll, after, failed).await;
            assert_eq!(phase(&b), expected, "{failed:?} after {after:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_second_of_a_poll_begins_when_it_goes_out() {
    let b = breaker(steady());
    half_open(&b).await;
    let mut late = poll(&b).expect("beside the probes");
    advance(millis(900)).await;
    assert!(late.hand_over(&b, secs(10), Instant::now()));
    advance(millis(900)).await;
    assert!(poll(&b).is_none(), "not parked yet");
    late.record(&b, FAILED, Instant::now());
    assert_eq!(phase(&b), Phase::Open);

    let b = breaker(steady());
    half_open(&b).await;
    let mut late = poll(&b).expect("beside the probes");
    advance(secs(5)).await;
    assert!(late.hand_over(&b, secs(10), Instant::now()), "it has no place to lose");
    end(&b, late, millis(500), FAILED).await;
    assert_eq!(phase(&b), Phase::Open);
}
