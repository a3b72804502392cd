//! Many callers at once.

use super::*;
use crate::breaker::Ratio;
use crate::retry::backoff::Rng;
use crate::sync::Arc;
use rand::{RngExt, SeedableRng};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_tasks_of_ten_thousand_calls_are_counted_exactly() {
    for settings in [
        Settings::default(),
        Settings::default().ratio(Ratio::default().failure_ratio(1.0).window(secs(3_600))),
    ] {
        let b = breaker(settings.failures(u32::MAX));
        let mut tasks = JoinSet::new();
        for task in 0..10 {
            let b = b.clone();
            tasks.spawn(async move {
                for n in 0..10_000 {
                    let permit = b.acquire().expect("admitted");
                    match (n + task) % 100 {
                        // Failures at the same moment are one event; time-outs count each.
                        0 => permit.timed_out(),
                        1 => permit.neutral(),
                        2 => permit.cancel(),
                        3 => drop(permit),
                        _ => permit.success(),
                    }
                    if n % 1_000 == 0 {
                        b.snapshot();
                        tokio::task::yield_now().await;
                    }
                }
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.expect("no panic");
        }
        let s = b.snapshot();
        assert_eq!((s.calls, s.failures), (98_000, 2_000));
    }
}

#[test]
fn a_success_that_comes_after_a_failure_always_ends_its_run() {
    let b = breaker(Settings::default().failures(2));
    thread::scope(|scope| {
        scope.spawn(|| (0..20_000).for_each(|_| permit(&b).success()));
        scope.spawn(|| {
            for _ in 0..20_000 {
                permit(&b).failure();
                permit(&b).success();
            }
        });
    });
    assert_eq!((phase(&b), b.snapshot().consecutive_failures), (Phase::Closed, 0));
    assert_eq!((b.snapshot().calls, b.snapshot().failures), (60_000, 20_000));
}

#[test]
fn a_thousand_time_outs_at_once_are_one_transition() {
    let b = breaker(Settings::default());
    let mut events = b.subscribe();
    let permits: Vec<_> = (0..1_000).map(|_| permit(&b)).collect();
    thread::scope(|scope| {
        let mut permits = permits.into_iter();
        for _ in 0..8 {
            let share: Vec<_> = permits.by_ref().take(125).collect();
            scope.spawn(|| share.into_iter().for_each(Permit::timed_out));
        }
    });
    assert_eq!(drain(&mut events), [(Phase::Closed, Phase::Open)]);
}

#[test]
fn a_crowd_before_a_half_open_circuit_never_has_more_calls_in_flight_than_may_probe() {
    for probes in [1, 3] {
        crowd_before_half_open(probes);
    }
}

fn crowd_before_half_open(probes: u32) {
    // The wait is over at once, and so many successes are needed that it stays half-open.
    let b =
        breaker(Settings::default().failures(1).open(Duration::from_nanos(1)).half_open(probes, u32::MAX));
    play(&b, "F");
    let (in_flight, most, admitted) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for n in 0..5_000 {
                    let Ok(permit) = b.acquire() else { continue };
                    most.fetch_max(in_flight.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    admitted.fetch_add(1, Ordering::SeqCst);
                    if n % 64 == 0 {
                        thread::yield_now();
                    }
                    in_flight.fetch_sub(1, Ordering::SeqCst);
                    if n % 2 == 0 { permit.success() } else { drop(permit) }
                }
            });
        }
    });
    assert!(most.into_inner() <= probes as usize);
    assert!(admitted.into_inner() > 0);
    assert_eq!((phase(&b), b.snapshot().probes_in_flight), (Phase::HalfOpen, 0));
}

#[test]
fn commands_and_calls_from_all_sides_leave_a_breaker_that_works() {
    let b = breaker(Settings::default().failures(3).open(Duration::from_nanos(1)));
    thread::scope(|scope| {
        for seed in 0..4 {
            let b = &b;
            scope.spawn(move || {
                let mut rng = Rng::seed_from_u64(seed);
                for _ in 0..5_000 {
                    match rng.random_range(0..40_u8) {
                        0 => b.force_open(),
                        1 => b.disable(),
                        2 => b.force_closed(),
                        3..=5 => b.reset(),
                        n => {
                            if let Ok(permit) = b.acquire() {
                                if n % 3 == 0 { permit.failure() } else { permit.success() }
                            }
                        }
                    }
                }
            });
        }
    });
    b.reset();
    let s = b.snapshot();
    assert_eq!((s.phase, s.calls, s.probes_in_flight), (Phase::Closed, 0, 0));
    play(&b, "SSF");
    assert_eq!((b.snapshot().calls, b.snapshot().consecutive_failures), (3, 1));
}

#[test]
fn a_permit_fits_into_a_cache_line_and_all_handles_can_go_to_other_threads() {
    fn everywhere<T: Send + Sync + 'static>() {}
    everywhere::<Breaker>();
    everywhere::<Permit>();
    everywhere::<Transition>();
    assert!(size_of::<Permit>() <= 64, "{}", size_of::<Permit>());
    let _ = Arc::new(breaker(Settings::default()));
}
