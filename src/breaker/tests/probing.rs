//! How an open circuit finds out that it may close.

use super::*;
use crate::breaker::{Lease, Outcome, Reason};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn at_most_three_probes_are_in_flight_and_three_successes_close_the_circuit() {
    let b = breaker(steady());
    half_open(&b).await;
    let mut events = b.subscribe();
    let (one, two, three) = (permit(&b), permit(&b), permit(&b));
    assert_eq!(refused(&b), secs(1));
    one.success();
    let four = permit(&b);
    assert_eq!(refused(&b), secs(1));
    two.success();
    assert_eq!((phase(&b), b.snapshot().probes_passed), (Phase::HalfOpen, 2));
    advance(secs(2)).await;
    three.success();
    let s = b.snapshot();
    assert_eq!((s.phase, s.calls, s.consecutive_failures, s.probes_in_flight), (Phase::Closed, 0, 0, 0));
    let closed = events.try_recv().expect("closed");
    assert_eq!((closed.to, closed.opened_for), (Phase::Closed, Some(secs(7))));
    four.failure();
    assert_eq!(b.snapshot().consecutive_failures, 0, "a probe of the round before");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_while_probes_are_out_names_the_next_lease_to_end_but_at_most_a_second() {
    let b = breaker(steady().half_open(1, 1));
    half_open(&b).await;
    let _probe = permit(&b);
    advance(secs(15)).await;
    assert_eq!(refused(&b), secs(1));
    advance(millis(900)).await;
    assert_eq!(refused(&b), millis(100));
    assert_eq!(b.snapshot().retry_in, Some(millis(100)));
}

#[tokio::test(start_paused = true)]
async fn each_failed_round_of_probes_doubles_the_wait_up_to_its_cap_and_a_close_starts_over() {
    let b = breaker(steady());
    half_open(&b).await;
    for wait in [10, 20, 40, 60, 60] {
        play(&b, "SSF");
        assert_eq!(refused(&b), secs(wait));
        advance(secs(wait)).await;
    }
    play(&b, "SSS");
    assert_eq!(phase(&b), Phase::Closed);
    play(&b, "FFFFF");
    assert_eq!(refused(&b), secs(5));
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_free_the_place_of_a_probe_and_say_nothing() {
    let b = breaker(steady().half_open(1, 1));
    half_open(&b).await;
    play(&b, "XXXX");
    let s = b.snapshot();
    assert_eq!((s.phase, s.probes_in_flight, s.probes_passed), (Phase::HalfOpen, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_never_returns_loses_its_place_at_the_end_of_its_lease_and_reopens_the_circuit() {
    let b = breaker(steady().half_open(1, 1));
    half_open(&b).await;
    let mut events = b.subscribe();
    let lost = permit(&b);
    advance(secs(16) - millis(1)).await;
    assert_eq!(phase(&b), Phase::HalfOpen);
    advance(millis(1)).await;
    assert_eq!(refused(&b), secs(10));
    assert_eq!(b.snapshot().expired_leases, 1);
    assert_eq!(events.try_recv().expect("re-opened").reason, Reason::ProbeHung);

    advance(secs(10)).await;
    let newer = permit(&b);
    lost.success();
    let s = b.snapshot();
    assert_eq!((s.phase, s.probes_in_flight, s.probes_passed), (Phase::HalfOpen, 1, 0));
    newer.success();
    assert_eq!(phase(&b), Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn what_fell_due_while_nobody_asked_happened_when_it_was_due() {
    let b = breaker(steady().half_open(1, 1));
    let mut events = b.subscribe();
    half_open(&b).await;
    let lost = permit(&b);
    // The lease ends after 16 s, the wait of 10 s after 26 s.
    advance(secs(20)).await;
    assert_eq!((refused(&b), b.snapshot().in_phase_for), (secs(6), secs(4)));
    advance(secs(20)).await;
    let s = b.snapshot();
    assert_eq!((s.phase, s.in_phase_for, s.opened_for), (Phase::HalfOpen, secs(14), Some(secs(45))));
    drop(lost);
    assert_eq!(phase(&b), Phase::HalfOpen);
    assert_eq!(
        drain(&mut events),
        [
            (Phase::Closed, Phase::Open),
            (Phase::Open, Phase::HalfOpen),
            (Phase::HalfOpen, Phase::Open),
            (Phase::Open, Phase::HalfOpen)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn one_question_after_a_long_silence_tells_of_both_transitions_it_missed() {
    let b = breaker(steady().half_open(1, 1));
    half_open(&b).await;
    let mut events = b.subscribe();
    let _lost = permit(&b);
    advance(secs(100)).await;
    let probe = permit(&b);
    assert_eq!(drain(&mut events), [(Phase::HalfOpen, Phase::Open), (Phase::Open, Phase::HalfOpen)]);
    assert_eq!(b.snapshot().expired_leases, 1);
    probe.success();
    assert_eq!(phase(&b), Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn probes_that_hang_together_are_counted_each() {
    let b = breaker(steady());
    half_open(&b).await;
    let _hung = [permit(&b), permit(&b), permit(&b)];
    advance(secs(16)).await;
    assert_eq!((phase(&b), b.snapshot().expired_leases), (Phase::Open, 3));
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_long_poll_ends_without_a_word_and_its_late_result_is_ignored() {
    let b = breaker(steady().half_open(1, 1));
    half_open(&b).await;
    let lease = Lease { length: secs(30), records: false };
    let poll = b.admit(Instant::now(), lease).expect("a probe");
    advance(secs(29)).await;
    assert_eq!(refused(&b), secs(1));
    advance(secs(1)).await;
    let s = b.snapshot();
    assert_eq!((s.phase, s.probes_in_flight, s.expired_leases), (Phase::HalfOpen, 0, 0));
    let probe = permit(&b);
    poll.record(&b, Outcome::Failure { retry_after: None }, Instant::now());
    assert_eq!((phase(&b), b.snapshot().probes_in_flight), (Phase::HalfOpen, 1));
    probe.success();
    assert_eq!(phase(&b), Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn results_from_before_the_circuit_opened_or_closed_again_are_ignored() {
    let b = breaker(steady());
    let old: Vec<_> = (0..8).map(|_| permit(&b)).collect();
    let mut old = old.into_iter();
    let mut late = move || old.next().expect("eight");
    half_open(&b).await;
    late().success();
    late().failure();
    assert_eq!((phase(&b), b.snapshot().probes_passed), (Phase::HalfOpen, 0));
    play(&b, "SSS");
    late().failure();
    late().record(Outcome::Neutral { retry_after: None }, Instant::now());
    assert_eq!((b.snapshot().consecutive_failures, b.snapshot().calls), (0, 0));
    play(&b, "F");
    late().success();
    assert_eq!((b.snapshot().consecutive_failures, b.snapshot().calls), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn after_the_wait_and_one_round_of_probes_everybody_is_admitted() {
    let b = breaker(steady());
    half_open(&b).await;
    play(&b, "SSS");
    let all: Vec<_> = (0..100).map(|_| permit(&b)).collect();
    all.into_iter().for_each(|permit| permit.success());
    assert_eq!(b.snapshot().calls, 100);
}
