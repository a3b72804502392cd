//! How an open circuit finds out that it may close.

use super::*;
use crate::breaker::{Lease, Outcome, Ratio, Reason};
use crate::retry::{Backoff, Jitter};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn the_first_probe_goes_alone_and_its_success_closes_the_circuit() {
    let b = breaker(steady());
    half_open(&b).await;
    let mut events = b.subscribe();
    let probe = permit(&b);
    assert_eq!(drain(&mut events), [(Phase::Open, Phase::HalfOpen)]);
    assert_eq!(refused(&b), secs(1));
    advance(secs(2)).await;
    probe.success();
    let s = b.snapshot();
    assert_eq!((s.phase, s.calls, s.consecutive_failures, s.probes_in_flight), (Phase::Closed, 0, 0, 0));
    let closed = events.try_recv().expect("closed");
    assert_eq!((closed.to, closed.opened_for), (Phase::Closed, Some(secs(7))));
}

#[tokio::test(start_paused = true)]
async fn where_three_have_to_succeed_three_may_be_in_flight_after_the_first_success() {
    let b = breaker(steady().half_open(3, 3));
    half_open(&b).await;
    let first = permit(&b);
    assert_eq!(refused(&b), secs(1), "alone");
    first.success();
    let (one, two, three) = (permit(&b), permit(&b), permit(&b));
    assert_eq!(refused(&b), secs(1));
    one.success();
    let four = permit(&b);
    assert_eq!(refused(&b), secs(1));
    assert_eq!((phase(&b), b.snapshot().probes_passed), (Phase::HalfOpen, 2));
    two.success();
    assert_eq!((phase(&b), b.snapshot().probes_in_flight), (Phase::Closed, 0));
    three.failure();
    four.failure();
    assert_eq!(b.snapshot().consecutive_failures, 0, "probes of the round before");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_while_probes_are_out_names_the_next_lease_to_end_but_at_most_a_second() {
    let b = breaker(steady().half_open(1, 1));
    half_open(&b).await;
    let _probe = permit(&b);
    advance(secs(10)).await;
    assert_eq!(refused(&b), secs(1));
    advance(millis(900)).await;
    assert_eq!(refused(&b), millis(100));
    assert_eq!(b.snapshot().retry_in, Some(millis(100)));
}

#[tokio::test(start_paused = true)]
async fn each_failed_round_of_probes_makes_the_wait_half_as_long_again_up_to_its_cap_and_a_close_starts_over()
{
    let open = Backoff::exponential(secs(1)).multiplier(1.5).cap(secs(15)).jitter(Jitter::None);
    let b = breaker(Settings::default().open(open));
    self::open(&b).await;
    let micros = [1_000_000, 1_500_000, 2_250_000, 3_375_000, 5_062_500, 7_593_750, 11_390_625];
    for wait in micros.into_iter().chain([15_000_000; 3]) {
        assert_eq!(refused(&b), Duration::from_micros(wait));
        advance(refused(&b)).await;
        play(&b, "F");
    }
    advance(secs(15)).await;
    play(&b, "S");
    assert_eq!(phase(&b), Phase::Closed);
    self::open(&b).await;
    assert_eq!(refused(&b), secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_round_in_which_a_probe_succeeded_is_followed_by_the_same_wait() {
    let b = breaker(steady().half_open(3, 3));
    half_open(&b).await;
    for (round, wait) in [("F", 10), ("SSF", 10), ("SF", 10), ("F", 20), ("SST", 20)] {
        play(&b, round);
        assert_eq!(refused(&b), secs(wait), "{round}");
        advance(secs(wait)).await;
    }
    play(&b, "SSS");
    assert_eq!(phase(&b), Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn in_half_open_each_failed_probe_counts_also_within_one_event() {
    let b = breaker(steady());
    let old = permit(&b);
    half_open(&b).await;
    play(&b, "F");
    assert_eq!(phase(&b), Phase::Open);
    advance(secs(10)).await;
    old.failure();
    let probe = permit(&b);
    probe.failure();
    assert_eq!(refused(&b), secs(20));
}

#[tokio::test(start_paused = true)]
async fn with_the_slow_rule_a_slow_success_opens_the_circuit_again_for_longer_each_time() {
    let slow = Ratio::default().slow_after(secs(4)).min_calls(5);
    let b = breaker(steady().ratio(slow));
    half_open(&b).await;
    let mut events = b.subscribe();
    for wait in [10, 20, 40, 60] {
        let probe = permit(&b);
        assert_eq!(drain(&mut events), [(Phase::Open, Phase::HalfOpen)]);
        advance(millis(4_001)).await;
        probe.success();
        assert_eq!(refused(&b), secs(wait));
        assert_eq!(events.try_recv().expect("opened again").reason, Reason::ProbeSlow);
        advance(secs(wait)).await;
        assert_eq!(phase(&b), Phase::HalfOpen);
    }
    let probe = permit(&b);
    advance(secs(4)).await;
    probe.success();
    assert_eq!(phase(&b), Phase::Closed, "exactly the limit is not slow");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_waits_for_its_turn_is_no_hang_and_its_lease_begins_when_it_goes_out() {
    let b = breaker(steady());
    half_open(&b).await;
    let unsent = || b.admit(Instant::now(), Lease::unsent(secs(1)));
    let mut waiting = unsent().expect("a probe");
    waiting.unsent();
    assert_eq!(refused(&b), secs(1));
    advance(secs(1)).await;
    assert_eq!((phase(&b), b.snapshot().probes_in_flight), (Phase::HalfOpen, 0));
    assert!(!waiting.hand_over(&b, secs(10), Instant::now()), "its place is gone");
    waiting.record(&b, Outcome::Nothing, Instant::now());
    assert_eq!(b.snapshot().expired_leases, 0);

    let mut probe = unsent().expect("a probe");
    advance(millis(999)).await;
    assert!(probe.hand_over(&b, secs(10), Instant::now()));
    advance(secs(11) - millis(1)).await;
    assert_eq!((phase(&b), b.snapshot().probes_in_flight), (Phase::HalfOpen, 1));
    advance(millis(1)).await;
    assert_eq!((phase(&b), b.snapshot().expired_leases), (Phase::Open, 1));
    assert!(!probe.hand_over(&b, secs(10), Instant::now()), "of another round");
    probe.record(&b, Outcome::Success, Instant::now());
    assert_eq!(phase(&b), Phase::Open);
}

#[tokio::test(start_paused = true)]
async fn a_call_with_a_longer_attempt_than_the_others_has_a_longer_lease() {
    for (attempt, lease) in [(5, 11), (10, 11), (11, 12), (60, 61)] {
        let b = breaker(steady());
        half_open(&b).await;
        let mut probe = b.admit(Instant::now(), Lease::unsent(secs(1))).expect("a probe");
        assert!(probe.hand_over(&b, secs(attempt), Instant::now()));
        advance(secs(lease) - millis(1)).await;
        assert_eq!(phase(&b), Phase::HalfOpen, "{attempt}");
        advance(millis(1)).await;
        assert_eq!((phase(&b), b.snapshot().expired_leases), (Phase::Open, 1));
        probe.record(&b, Outcome::Nothing, Instant::now());
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_has_passed_when_its_answer_begins_to_stream_and_then_counts_as_any_other_call() {
    for (end, run) in [(Outcome::Success, 0), (Outcome::Failure { retry_after: None }, 1)] {
        let b = breaker(steady());
        half_open(&b).await;
        let mut probe = b.admit(Instant::now(), b.lease()).expect("a probe");
        advance(secs(2)).await;
        probe.streams(&b, Instant::now());
        assert_eq!(phase(&b), Phase::Closed);
        advance(secs(60)).await;
        probe.record(&b, end, Instant::now());
        assert_eq!((phase(&b), b.snapshot().consecutive_failures), (Phase::Closed, run));
        assert_eq!((b.snapshot().calls, b.snapshot().expired_leases), (1, 0));
    }
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
    drain(&mut events);
    advance(secs(11) - millis(1)).await;
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
    // The lease ends after 11 s, the wait of 10 s after 21 s.
    advance(secs(15)).await;
    assert_eq!((refused(&b), b.snapshot().in_phase_for), (secs(6), secs(4)));
    advance(secs(20)).await;
    let s = b.snapshot();
    assert_eq!((s.phase, s.in_phase_for, s.opened_for), (Phase::HalfOpen, secs(14), Some(secs(40))));
    drop(lost);
    assert_eq!(phase(&b), Phase::HalfOpen);
    let _probe = permit(&b);
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
    drain(&mut events);
    advance(secs(100)).await;
    let probe = permit(&b);
    assert_eq!(drain(&mut events), [(Phase::HalfOpen, Phase::Open), (Phase::Open, Phase::HalfOpen)]);
    assert_eq!(b.snapshot().expired_leases, 1);
    probe.success();
    assert_eq!(phase(&b), Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn probes_that_hang_together_are_counted_each() {
    let b = breaker(steady().half_open(3, 3));
    half_open(&b).await;
    play(&b, "S");
    let _hung = [permit(&b), permit(&b), permit(&b)];
    advance(secs(11)).await;
    assert_eq!((phase(&b), b.snapshot().expired_leases), (Phase::Open, 3));
    assert_eq!(refused(&b), secs(5), "one had succeeded");
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
    play(&b, "S");
    late().failure();
    late().record(Outcome::Neutral { retry_after: None }, Instant::now());
    assert_eq!((b.snapshot().consecutive_failures, b.snapshot().calls), (0, 0));
    play(&b, "F");
    late().success();
    assert_eq!((b.snapshot().consecutive_failures, b.snapshot().calls), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn after_the_wait_and_one_probe_everybody_is_admitted() {
    let b = breaker(steady());
    half_open(&b).await;
    play(&b, "S");
    let all: Vec<_> = (0..100).map(|_| permit(&b)).collect();
    all.into_iter().for_each(|permit| permit.success());
    assert_eq!(b.snapshot().calls, 100);
}
