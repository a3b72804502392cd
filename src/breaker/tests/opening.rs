//! When a closed circuit opens, and for how long.

use super::*;
use crate::breaker::{Outcome, Ratio, Reason};
use crate::retry::{Backoff, Jitter};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn five_failures_in_a_row_open_the_circuit_and_clear_the_counts() {
    let b = breaker(Settings::default());
    let mut events = b.subscribe();
    play(&b, "FFFF");
    assert_eq!(phase(&b), Phase::Closed);
    assert_eq!((b.snapshot().consecutive_failures, b.snapshot().calls, b.snapshot().failures), (4, 4, 4));
    play(&b, "F");
    let s = b.snapshot();
    assert_eq!((s.phase, s.consecutive_failures, s.calls, s.failures), (Phase::Open, 0, 0, 0));
    let opened = events.try_recv().expect("one transition");
    assert_eq!(opened.reason, Reason::Consecutive { failures: 5 });
    assert_eq!(
        (opened.from, opened.to, &*opened.origin),
        (Phase::Closed, Phase::Open, "https://api.example.com")
    );
    assert_eq!(opened.wait, s.retry_in);
}

#[tokio::test(start_paused = true)]
async fn one_success_ends_the_run_of_failures() {
    let b = breaker(Settings::default());
    play(&b, "FFFFS");
    assert_eq!(b.snapshot().consecutive_failures, 0);
    advance(secs(1)).await;
    play(&b, "FFFF");
    assert_eq!((phase(&b), b.snapshot().consecutive_failures), (Phase::Closed, 4));
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_refuses_until_the_very_millisecond_its_wait_is_over() {
    let b = breaker(Settings::default().open(Backoff::constant(secs(30))));
    play(&b, "FFFFF");
    assert_eq!(refused(&b), secs(30));
    advance(secs(30) - millis(1)).await;
    assert_eq!(refused(&b), millis(1));
    assert_eq!(b.snapshot().retry_in, Some(millis(1)));
    advance(millis(1)).await;
    let probe = permit(&b);
    assert_eq!((phase(&b), b.snapshot().probes_in_flight), (Phase::HalfOpen, 1));
    probe.cancel();
}

#[tokio::test(start_paused = true)]
async fn the_tenth_call_trips_the_ratio_whether_it_is_a_success_or_a_failure() {
    for (last, reason) in [('S', (8, 10)), ('F', (9, 10))] {
        let b = breaker(Settings::default().ratio(Ratio::default().min_calls(10).window(secs(10))));
        let mut events = b.subscribe();
        play(&b, "FFFFSFFFF");
        assert_eq!(phase(&b), Phase::Closed);
        assert_eq!((b.snapshot().calls, b.snapshot().failures), (9, 8));
        play(&b, &last.to_string());
        assert_eq!(phase(&b), Phase::Open);
        let (failures, calls) = reason;
        let expected = Reason::FailureRatio { failures, calls };
        assert_eq!(events.try_recv().expect("opened").reason, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_share_just_below_the_ratio_keeps_the_circuit_closed_and_the_exact_one_opens_it() {
    let ratio = Ratio::default().failure_ratio(0.3).min_calls(10);
    let b = breaker(Settings::default().ratio(ratio));
    play(&b, "SSSSSSSSFF");
    assert_eq!(phase(&b), Phase::Closed);
    play(&b, "SSF");
    assert_eq!((b.snapshot().calls, b.snapshot().failures), (13, 3));
    b.reset();
    play(&b, "SFSFSSSSS");
    assert_eq!(phase(&b), Phase::Closed);
    play(&b, "F");
    assert_eq!(phase(&b), Phase::Open, "3 of 10 is 0.3");
}

#[tokio::test(start_paused = true)]
async fn the_window_loses_one_bucket_a_second_and_none_a_tick_early() {
    let b = breaker(Settings::default().ratio(Ratio::default().window(secs(10)).buckets(10)));
    advance(millis(300)).await;
    play(&b, "S");
    for _ in 1..10 {
        advance(secs(1)).await;
        play(&b, "S");
    }
    for left in (0..10).rev() {
        advance(secs(1) - Duration::from_nanos(1)).await;
        assert_eq!(b.snapshot().calls, left + 1);
        advance(Duration::from_nanos(1)).await;
        assert_eq!(b.snapshot().calls, left);
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_that_does_not_divide_is_rounded_up() {
    let b = breaker(Settings::default().ratio(Ratio::default().window(secs(10)).buckets(3)));
    play(&b, "S");
    advance(secs(10) + Duration::from_nanos(1)).await;
    assert_eq!(b.snapshot().calls, 1);
    advance(Duration::from_nanos(1)).await;
    assert_eq!(b.snapshot().calls, 0);
}

#[tokio::test(start_paused = true)]
async fn slow_successes_alone_open_the_circuit_and_exactly_the_limit_is_not_slow() {
    let ratio = Ratio::default().slow_after(secs(4)).slow_ratio(0.5).min_calls(5);
    let take = async |b: &Breaker, times: [u64; 5]| {
        for time in times {
            let permit = permit(b);
            advance(millis(time)).await;
            permit.success();
        }
    };
    let b = breaker(Settings::default().ratio(ratio.clone()));
    let mut events = b.subscribe();
    take(&b, [4_001, 0, 4_001, 0, 4_001]).await;
    assert_eq!(phase(&b), Phase::Open);
    assert_eq!(events.try_recv().expect("opened").reason, Reason::SlowRatio { slow: 3, calls: 5 });

    let b = breaker(Settings::default().ratio(ratio));
    take(&b, [4_000; 5]).await;
    assert_eq!((phase(&b), b.snapshot().slow), (Phase::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_slow_is_more_than_half_the_attempt() {
    let b = breaker(Settings::default().ratio(Ratio::default().slow_after(None)));
    for time in [5_000, 5_001] {
        let permit = permit(&b);
        advance(millis(time)).await;
        permit.success();
    }
    assert_eq!(b.snapshot().slow, 1);
}

#[tokio::test(start_paused = true)]
async fn how_long_a_stream_lived_is_neither_slow_nor_a_measure_of_silence() {
    let b = breaker(Settings::default().ratio(Ratio::default()));
    let mut stream = permit(&b);
    stream.call().streams(&b, Instant::now());
    advance(secs(50)).await;
    stream.success();
    assert_eq!((b.snapshot().calls, b.snapshot().slow), (1, 0));
    assert_eq!(b.hang_threshold(Instant::now()), secs(1));
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_neither_add_to_the_run_nor_end_it() {
    let b = breaker(Settings::default());
    play(&b, "XXXXF");
    assert_eq!(b.snapshot().consecutive_failures, 1);
    b.reset();
    play(&b, "FFXF");
    assert_eq!(b.snapshot().consecutive_failures, 3);
    play(&b, "XF");
    assert_eq!(phase(&b), Phase::Closed);
    play(&b, "F");
    assert_eq!(phase(&b), Phase::Open);
}

#[tokio::test(start_paused = true)]
async fn with_the_ratio_rule_too_many_requests_count_as_failures() {
    let b = breaker(Settings::default().ratio(Ratio::default()));
    play(&b, "SSSSSXXXX");
    assert_eq!((phase(&b), b.snapshot().failures), (Phase::Closed, 4));
    play(&b, "X");
    assert_eq!(phase(&b), Phase::Open);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_on_the_opening_failure_holds_the_circuit_open_for_up_to_five_minutes() {
    let hour = Backoff::constant(secs(3_600));
    for (open, asked, kept) in [
        (Backoff::constant(secs(5)), 120, 120),
        (Backoff::constant(secs(5)), 86_400, 300),
        (Backoff::constant(secs(5)), 1, 5),
        (hour.clone(), 86_400, 3_600),
        (hour, 1, 3_600),
    ] {
        let b = breaker(Settings::default().open(open));
        play(&b, "FFFF");
        permit(&b).failure_retry_after(secs(asked));
        assert_eq!(refused(&b), secs(kept), "asked for {asked} s");
    }
    let b = breaker(steady());
    permit(&b).failure_retry_after(secs(120));
    play(&b, "FFFF");
    assert_eq!(refused(&b), secs(5), "only the opening failure extends");
}

#[tokio::test(start_paused = true)]
async fn a_429_that_trips_the_ratio_extends_the_wait_too() {
    let b = breaker(steady().ratio(Ratio::default().min_calls(1)));
    permit(&b).record(Outcome::Neutral { retry_after: Some(secs(90)) }, Instant::now());
    assert_eq!(refused(&b), secs(90));
}

#[tokio::test(start_paused = true)]
async fn jitter_stays_within_a_tenth_never_above_the_cap_and_never_below_a_retry_after() {
    let (mut least, mut most) = (Duration::MAX, Duration::ZERO);
    for seed in 0..200 {
        let open = |base| {
            Backoff::exponential(secs(base)).cap(secs(60)).jitter(Jitter::Proportional(0.1)).seed(seed)
        };
        let b = breaker(Settings::default().failures(1).open(open(5)));
        play(&b, "F");
        (least, most) = (least.min(refused(&b)), most.max(refused(&b)));
        assert!((millis(4_500)..=millis(5_500)).contains(&refused(&b)));

        let b = breaker(Settings::default().failures(1).open(open(60)));
        play(&b, "F");
        assert!((secs(54)..=secs(60)).contains(&refused(&b)));

        let b = breaker(Settings::default().failures(1).open(open(60)));
        permit(&b).failure_retry_after(secs(60));
        assert_eq!(refused(&b), secs(60));
    }
    assert!(least < millis(4_700) && most > millis(5_300), "{least:?} {most:?}");
}

#[tokio::test(start_paused = true)]
async fn a_duration_is_a_constant_wait_of_which_up_to_a_tenth_is_left_out_at_random() {
    let (mut least, mut most) = (Duration::MAX, Duration::ZERO);
    for _ in 0..200 {
        let b = breaker(Settings::default().failures(1).open(secs(30)));
        play(&b, "F");
        (least, most) = (least.min(refused(&b)), most.max(refused(&b)));
    }
    assert!(secs(27) <= least && least < millis(27_300) && millis(29_700) < most && most <= secs(30));
    let exact = breaker(Settings::default().failures(1).open(Backoff::constant(secs(30))));
    play(&exact, "F");
    assert_eq!(refused(&exact), secs(30));
}

#[tokio::test(start_paused = true)]
async fn by_default_an_open_circuit_waits_a_second_give_or_take_a_tenth() {
    for _ in 0..50 {
        let b = breaker(Settings::default());
        play(&b, "FFFFF");
        assert!((millis(900)..=millis(1_100)).contains(&refused(&b)), "{:?}", refused(&b));
    }
}

#[tokio::test(start_paused = true)]
async fn failures_while_open_neither_extend_it_nor_tell_anybody() {
    let b = breaker(steady());
    let mut events = b.subscribe();
    let late: Vec<_> = (0..10).map(|_| permit(&b)).collect();
    play(&b, "FFFFF");
    advance(secs(2)).await;
    late.into_iter().for_each(|permit| permit.failure_retry_after(secs(100)));
    assert_eq!(refused(&b), secs(3));
    assert_eq!(drain(&mut events), [(Phase::Closed, Phase::Open)]);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_saw_ten_thousand_successes_opens_as_fast_as_a_new_one_once_they_are_a_second_old() {
    let b = breaker(Settings::default());
    play(&b, &"S".repeat(10_000));
    assert_eq!(b.snapshot().calls, 10_000);
    advance(secs(1)).await;
    play(&b, "FFFFF");
    assert_eq!(phase(&b), Phase::Open);

    let b = breaker(Settings::default().failures(1_000).ratio(Ratio::default()));
    play(&b, &"S".repeat(10_000));
    for _ in 0..30 {
        advance(secs(1)).await;
        if phase(&b) == Phase::Closed {
            play(&b, "F");
        }
    }
    assert_eq!(phase(&b), Phase::Open);
}

#[tokio::test(start_paused = true)]
async fn the_longest_waits_are_clamped_and_panic_nowhere() {
    let years = secs(10 * 365 * 24 * 60 * 60);
    let b = breaker(Settings::default().failures(1).open(Backoff::constant(years)));
    for _ in 0..40 {
        play(&b, "F");
        assert_eq!(refused(&b), years);
        advance(years).await;
    }
    let b = breaker(
        Settings::default().failures(1).open(Backoff::exponential(secs(1)).cap(years)).half_open(1, 1),
    );
    for _ in 0..100 {
        play(&b, "F");
        let wait = refused(&b);
        assert!(wait <= years);
        advance(wait).await;
    }
}
