//! What is an outage, and what is chance or one event.

use super::*;
use crate::breaker::{Outcome, Ratio, Reason};
use tokio::time::Instant;

/// These calls each second for five minutes, after which a success is a second old.
async fn five_minutes(b: &Breaker, calls: &str) {
    for _ in 0..300 {
        play(b, calls);
        advance(secs(1)).await;
    }
    play(b, "S");
    advance(secs(1)).await;
    assert_eq!((phase(b), b.snapshot().consecutive_failures), (Phase::Closed, 0));
}

/// How many failures in a row it takes.
fn run(b: &Breaker) -> u32 {
    let mut n = 0;
    while phase(b) == Phase::Closed {
        play(b, "F");
        n += 1;
    }
    n
}

#[tokio::test(start_paused = true)]
async fn a_handful_of_failures_makes_the_next_run_longer_only_where_little_else_is_known() {
    let b = breaker(steady());
    play(&b, &"S".repeat(100));
    play(&b, "FFFFS");
    advance(secs(1)).await;
    assert_eq!(run(&b), 5);

    let b = breaker(steady());
    play(&b, "FFFFS");
    advance(secs(1)).await;
    assert_eq!(run(&b), 11);
}

#[tokio::test(start_paused = true)]
async fn nothing_opens_the_circuit_within_a_second_of_a_success_and_no_timer_does_after_it() {
    let b = breaker(steady());
    play(&b, "FFFFS");
    play(&b, &"F".repeat(20));
    advance(millis(999)).await;
    play(&b, "F");
    assert_eq!(phase(&b), Phase::Closed);
    advance(millis(1)).await;
    assert_eq!(phase(&b), Phase::Closed, "judged at a failure");
    play(&b, "X");
    assert_eq!(phase(&b), Phase::Closed, "a 429 is none");
    play(&b, "F");
    assert_eq!(phase(&b), Phase::Open);
}

#[tokio::test(start_paused = true)]
async fn a_success_that_was_recorded_without_the_lock_keeps_the_circuit_closed_for_a_second_as_well() {
    let b = breaker(steady());
    play(&b, "S");
    advance(secs(10)).await;
    // The second in the same step of time is no news to the machine.
    play(&b, "S");
    advance(millis(500)).await;
    play(&b, "S");
    advance(millis(999)).await;
    play(&b, "FFFFFF");
    assert_eq!(phase(&b), Phase::Closed);
    advance(millis(1)).await;
    play(&b, "F");
    assert_eq!(phase(&b), Phase::Open);
}

#[tokio::test(start_paused = true)]
async fn successes_that_were_counted_without_the_lock_weigh_in_the_share_of_failures() {
    let b = breaker(steady());
    play(&b, "FFFFS");
    // All but the first of each step of time.
    play(&b, &"S".repeat(100));
    advance(secs(1)).await;
    assert_eq!(run(&b), 5);
}

#[tokio::test(start_paused = true)]
async fn where_every_third_call_fails_a_run_of_eight_is_chance_and_one_of_twelve_is_none() {
    let b = breaker(steady());
    for _ in 0..100 {
        for call in ["S", "F", "S"] {
            play(&b, call);
            advance(secs(1)).await;
        }
    }
    play(&b, "FFFFFFFF");
    assert_eq!(phase(&b), Phase::Closed);
    play(&b, "FFFF");
    assert_eq!(phase(&b), Phase::Open);
    advance(secs(3_600)).await;
    play(&b, "S");
    advance(secs(1)).await;
    assert_eq!(run(&b), 5, "after an hour of silence");
}

#[tokio::test(start_paused = true)]
async fn where_one_call_in_ten_succeeds_a_run_of_sixty_is_an_outage_all_the_same() {
    let b = breaker(steady());
    let mut events = b.subscribe();
    five_minutes(&b, "SFFFFFFFFF").await;
    play(&b, &"F".repeat(25));
    assert_eq!(phase(&b), Phase::Closed);
    assert_eq!(25 + run(&b), 60);
    assert_eq!(events.try_recv().expect("opened").reason, Reason::Consecutive { failures: 60 });
}

#[tokio::test(start_paused = true)]
async fn a_higher_least_number_of_failures_is_kept_and_may_be_above_sixty() {
    for least in [7, 70] {
        let b = breaker(steady().failures(least));
        assert_eq!(run(&b), least);
        let b = breaker(steady().failures(least));
        five_minutes(&b, "SFFFFFFFFF").await;
        assert_eq!(run(&b), least.max(60));
    }
}

#[tokio::test(start_paused = true)]
async fn the_run_that_opened_the_circuit_says_nothing_of_chance_and_the_record_outlives_the_outage() {
    let b = breaker(steady());
    half_open(&b).await;
    play(&b, "S");
    advance(secs(1)).await;
    assert_eq!(run(&b), 5, "five failures and a success have passed");

    let b = breaker(steady());
    play(&b, "FFFFS");
    half_open(&b).await;
    play(&b, "S");
    assert_eq!((phase(&b), b.snapshot().calls), (Phase::Closed, 0));
    advance(secs(1)).await;
    let needed = run(&b);
    assert!(needed > 5, "{needed}");
    b.reset();
    assert_eq!(run(&b), 5, "a reset forgets");
}

#[tokio::test(start_paused = true)]
async fn a_reset_forgets_the_last_success_too() {
    let b = breaker(steady());
    play(&b, "SS");
    b.reset();
    assert_eq!(run(&b), 5);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_succeeded_keeps_the_circuit_closed_for_a_second() {
    let b = breaker(steady());
    half_open(&b).await;
    play(&b, "S");
    play(&b, &"F".repeat(60));
    assert_eq!(phase(&b), Phase::Closed);
    advance(secs(1)).await;
    play(&b, "F");
    assert_eq!(phase(&b), Phase::Open);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_calls_that_break_together_are_one_event_and_five_such_rounds_one_transition() {
    let b = breaker(steady());
    let mut events = b.subscribe();
    for round in 1..=5 {
        let crowd: Vec<_> = (0..1_000).map(|_| permit(&b)).collect();
        for (n, permit) in crowd.into_iter().enumerate() {
            if n % 10 == 0 {
                advance(millis(1)).await;
            }
            permit.failure();
        }
        let s = b.snapshot();
        let expected = if round < 5 { (Phase::Closed, round, u64::from(round)) } else { (Phase::Open, 0, 0) };
        assert_eq!((s.phase, s.consecutive_failures, s.failures), expected);
    }
    assert_eq!(drain(&mut events), [(Phase::Closed, Phase::Open)]);
}

#[tokio::test(start_paused = true)]
async fn an_event_lasts_a_tenth_of_a_second_and_takes_only_what_was_sent_before_it() {
    let b = breaker(steady());
    let [first, within, after, again] = [(); 4].map(|()| permit(&b));
    advance(millis(1)).await;
    first.failure();
    let sent_with_it = permit(&b);
    sent_with_it.failure();
    assert_eq!(b.snapshot().consecutive_failures, 2, "the second was sent when the first was known");
    advance(millis(100)).await;
    within.failure();
    assert_eq!(b.snapshot().consecutive_failures, 2);
    advance(millis(1)).await;
    after.failure();
    assert_eq!(b.snapshot().consecutive_failures, 3, "an event of its own");
    advance(millis(1)).await;
    again.failure();
    assert_eq!(b.snapshot().consecutive_failures, 3);
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_the_midst_of_an_event_does_not_make_it_two() {
    let b = breaker(steady());
    let [first, fine, second] = [(); 3].map(|()| permit(&b));
    advance(millis(1)).await;
    first.failure();
    fine.success();
    second.failure();
    assert_eq!((b.snapshot().consecutive_failures, b.snapshot().failures), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn readers_that_leave_streams_which_stalled_together_tell_of_one_event() {
    let b = breaker(steady());
    let mut crowd: Vec<_> = (0..16).map(|_| permit(&b)).collect();
    advance(secs(1)).await;
    for stream in &mut crowd {
        stream.call().streams(&b, Instant::now());
        stream.heard();
    }
    advance(secs(5)).await;
    drop(crowd);
    assert_eq!((phase(&b), b.snapshot().consecutive_failures), (Phase::Closed, 1));
    let silent: Vec<_> = (0..16).map(|_| permit(&b)).collect();
    advance(secs(5)).await;
    drop(silent);
    assert_eq!(phase(&b), Phase::Open, "calls without an answer hang each for itself");
}

#[tokio::test(start_paused = true)]
async fn time_outs_count_each_however_close_they_are() {
    let b = breaker(steady());
    let crowd: Vec<_> = (0..4).map(|_| permit(&b)).collect();
    advance(secs(10)).await;
    crowd.into_iter().for_each(Permit::timed_out);
    assert_eq!(b.snapshot().consecutive_failures, 4);
    play(&b, "T");
    assert_eq!(phase(&b), Phase::Open);
}

#[tokio::test(start_paused = true)]
async fn one_event_is_one_failure_for_the_ratio_too_and_a_429_counts_each() {
    let b = breaker(steady().ratio(Ratio::default()));
    let crowd: Vec<_> = (0..20).map(|_| permit(&b)).collect();
    advance(millis(1)).await;
    crowd.into_iter().for_each(Permit::failure);
    assert_eq!((phase(&b), b.snapshot().calls, b.snapshot().failures), (Phase::Closed, 1, 1));
    let crowd: Vec<_> = (0..9).map(|_| permit(&b)).collect();
    for permit in crowd {
        permit.record(Outcome::Neutral { retry_after: None }, Instant::now());
    }
    assert_eq!(phase(&b), Phase::Open);
}
