//! What a call counts for that nobody waited for to the end.

use super::*;
use crate::breaker::{Lease, Outcome, Ratio};
use std::future::pending;
use tokio::time::{Instant, sleep, timeout};

/// A call to a server that never answers, given up by its caller.
async fn cut_off(b: &Breaker, after: Duration) {
    let call = async {
        let permit = b.acquire().expect("admitted");
        pending::<()>().await;
        permit.success();
    };
    timeout(after, call).await.expect_err("cut off");
}

#[tokio::test(start_paused = true)]
async fn five_silent_calls_cut_off_after_two_seconds_open_the_circuit() {
    let b = breaker(Settings::default());
    for n in 0..5 {
        assert_eq!(b.snapshot().consecutive_failures, n);
        cut_off(&b, secs(2)).await;
    }
    assert_eq!(phase(&b), Phase::Open);
}

#[tokio::test(start_paused = true)]
async fn five_silent_calls_cut_off_after_fifty_milliseconds_say_nothing() {
    let b = breaker(Settings::default());
    for _ in 0..5 {
        cut_off(&b, millis(50)).await;
    }
    assert_eq!((phase(&b), b.snapshot().consecutive_failures), (Phase::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_a_hang_is_met_exactly() {
    let b = breaker(Settings::default());
    cut_off(&b, millis(999)).await;
    assert_eq!(b.snapshot().consecutive_failures, 0);
    cut_off(&b, secs(1)).await;
    assert_eq!(b.snapshot().consecutive_failures, 1);
}

#[tokio::test(start_paused = true)]
async fn a_hang_counts_for_the_run_and_not_for_the_ratio() {
    let b = breaker(Settings::default().ratio(Ratio::default().min_calls(1).failure_ratio(0.1)));
    for _ in 0..4 {
        cut_off(&b, secs(2)).await;
    }
    let s = b.snapshot();
    assert_eq!((s.phase, s.consecutive_failures, s.calls, s.failures), (Phase::Closed, 4, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_slow_but_fine_a_moment_ago_is_no_hang() {
    let b = breaker(Settings::default());
    for _ in 0..10 {
        let permit = permit(&b);
        sleep(secs(2)).await;
        permit.success();
    }
    for _ in 0..5 {
        cut_off(&b, millis(1_200)).await;
    }
    assert_eq!((phase(&b), b.snapshot().consecutive_failures), (Phase::Closed, 0));
    cut_off(&b, secs(4)).await;
    assert_eq!(b.snapshot().consecutive_failures, 1);
    sleep(secs(61)).await;
    cut_off(&b, millis(1_200)).await;
    assert_eq!(b.snapshot().consecutive_failures, 2, "a minute later two seconds are no longer usual");
}

#[tokio::test(start_paused = true)]
async fn the_slowest_success_is_remembered_for_a_minute_and_forgotten_after_64_seconds() {
    for (age, threshold) in [(60_000, 6), (64_000, 1)] {
        let b = breaker(Settings::default());
        let permit = permit(&b);
        sleep(secs(3)).await;
        permit.success();
        play(&b, "SSS");
        advance(millis(age)).await;
        assert_eq!(b.hang_threshold(Instant::now()), secs(threshold));
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_as_slow_as_an_older_one_renews_the_memory_of_it() {
    let b = breaker(Settings::default());
    for _ in 0..2 {
        let permit = permit(&b);
        sleep(secs(3)).await;
        permit.success();
        sleep(secs(30)).await;
    }
    sleep(secs(25)).await;
    assert_eq!(b.hang_threshold(Instant::now()), secs(6), "88 s after the first, 55 s after the second");
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_ends_over_healthy_calls_says_nothing() {
    let b = breaker(Settings::default());
    let calls = async {
        loop {
            let permit = permit(&b);
            sleep(millis(200)).await;
            permit.success();
        }
    };
    for _ in 0..8 {
        timeout(millis(5_100), async { calls_in_parallel(&b).await }).await.expect_err("endless");
    }
    timeout(secs(5), calls).await.expect_err("endless");
    assert_eq!((phase(&b), b.snapshot().consecutive_failures), (Phase::Closed, 0));
}

async fn calls_in_parallel(b: &Breaker) {
    loop {
        let permits: Vec<_> = (0..8).map(|_| permit(b)).collect();
        sleep(millis(200)).await;
        permits.into_iter().for_each(Permit::success);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_with_bytes_flowing_says_nothing_and_its_silence_counts_from_the_last_byte() {
    let b = breaker(Settings::default());
    let mut flowing = permit(&b);
    for _ in 0..10 {
        advance(millis(900)).await;
        flowing.heard();
    }
    advance(millis(999)).await;
    drop(flowing);
    assert_eq!(b.snapshot().consecutive_failures, 0);

    let mut silent = permit(&b);
    advance(secs(5)).await;
    silent.heard();
    advance(secs(1)).await;
    drop(silent);
    assert_eq!(b.snapshot().consecutive_failures, 1);
}

#[tokio::test(start_paused = true)]
async fn silence_that_nobody_listens_to_is_not_the_servers() {
    let b = breaker(Settings::default());
    let mut permit = permit(&b);
    permit.heard();
    permit.call().quiet();
    advance(secs(60)).await;
    drop(permit);
    assert_eq!(b.snapshot().consecutive_failures, 0);

    let mut permit = super::permit(&b);
    permit.call().quiet();
    advance(secs(60)).await;
    permit.heard();
    advance(secs(1)).await;
    drop(permit);
    assert_eq!(b.snapshot().consecutive_failures, 1);
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_may_be_silent_for_as_long_as_it_likes() {
    let b = breaker(Settings::default().overdue_after(secs(3)));
    for _ in 0..5 {
        let mut poll = b.admit(Instant::now(), Lease::poll()).expect("admitted");
        assert_eq!(poll.overdue_at(&b), None);
        advance(secs(30)).await;
        poll.note_overdue(&b, Instant::now());
        poll.abandon(&b);
    }
    assert_eq!(b.snapshot().consecutive_failures, 0);
    let poll = b.admit(Instant::now(), Lease::poll()).expect("admitted");
    advance(secs(30)).await;
    poll.record(&b, Outcome::Success, Instant::now());
    assert_eq!(b.hang_threshold(Instant::now()), secs(1), "its hold is not the pace of the server");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_says_nothing_however_long_it_was_silent() {
    let b = breaker(steady().half_open(1, 1));
    let permit = permit(&b);
    advance(secs(100)).await;
    permit.cancel();
    assert_eq!(b.snapshot().consecutive_failures, 0);
    half_open(&b).await;
    let probe = super::permit(&b);
    advance(secs(10)).await;
    probe.cancel();
    assert_eq!((phase(&b), b.snapshot().probes_in_flight), (Phase::HalfOpen, 0));
}

#[tokio::test(start_paused = true)]
async fn a_probe_dropped_early_frees_its_place_and_one_dropped_late_reopens_the_circuit() {
    let b = breaker(steady().half_open(1, 1));
    half_open(&b).await;
    cut_off(&b, millis(10)).await;
    let s = b.snapshot();
    assert_eq!((s.phase, s.probes_in_flight, s.probes_passed), (Phase::HalfOpen, 0, 0));
    cut_off(&b, millis(1_500)).await;
    assert_eq!(phase(&b), Phase::Open);
    assert_eq!(refused(&b), secs(10));
}

#[tokio::test(start_paused = true)]
async fn five_overdue_calls_open_the_circuit_before_one_has_ended() {
    let b = breaker(Settings::default().overdue_after(secs(3)));
    let mut calls: Vec<_> = (0..5).map(|_| permit(&b)).collect();
    assert_eq!(calls[0].call().overdue_at(&b), Some(Instant::now() + secs(3)));
    advance(secs(3) - millis(1)).await;
    calls.iter_mut().for_each(Permit::overdue);
    assert_eq!(b.snapshot().consecutive_failures, 0, "a millisecond early");
    advance(millis(1)).await;
    for call in &mut calls[..4] {
        call.overdue();
        call.overdue();
        assert_eq!(call.call().overdue_at(&b), None);
    }
    assert_eq!((phase(&b), b.snapshot().consecutive_failures), (Phase::Closed, 4));
    calls[4].overdue();
    assert_eq!(phase(&b), Phase::Open);
    assert_eq!(calls.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn an_overdue_call_that_fails_does_not_count_again_and_one_that_succeeds_ends_the_run() {
    let b = breaker(Settings::default().overdue_after(secs(3)));
    let late = |n: usize| {
        let b = &b;
        async move {
            let mut calls: Vec<_> = (0..n).map(|_| permit(b)).collect();
            advance(secs(3)).await;
            calls.iter_mut().for_each(Permit::overdue);
            calls
        }
    };
    for call in late(2).await {
        call.timed_out();
    }
    assert_eq!((b.snapshot().consecutive_failures, b.snapshot().calls), (2, 2));
    drop(late(1).await);
    assert_eq!((b.snapshot().consecutive_failures, b.snapshot().calls), (3, 2), "nor when it is dropped");
    for call in late(1).await {
        call.success();
    }
    assert_eq!(b.snapshot().consecutive_failures, 0);
}

#[tokio::test(start_paused = true)]
async fn an_overdue_probe_reopens_the_circuit() {
    let b = breaker(steady().half_open(1, 1).overdue_after(secs(3)));
    half_open(&b).await;
    let mut probe = permit(&b);
    advance(secs(3)).await;
    probe.overdue();
    assert_eq!((phase(&b), refused(&b)), (Phase::Open, secs(10)));
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_a_call_is_under_way_is_a_failure_and_frees_its_place() {
    let b = breaker(steady().half_open(1, 1));
    let panic_over = |permit: Permit| {
        let over = std::panic::AssertUnwindSafe(|| {
            let _permit = permit;
            panic!("in the inner service");
        });
        std::panic::catch_unwind(over).expect_err("unwinding reaches the caller");
    };
    panic_over(permit(&b));
    assert_eq!((b.snapshot().consecutive_failures, b.snapshot().failures), (1, 1));
    play(&b, "S");
    half_open(&b).await;
    panic_over(permit(&b));
    assert_eq!(refused(&b), secs(10));
    advance(secs(10)).await;
    play(&b, "S");
    assert_eq!(phase(&b), Phase::Closed);
}
