//! Permits against drop against transition, in every interleaving of two or three threads.
//!
//! `now` is given where it can be; `drop` reads the clock, which stands still.

use super::counter::ShardedCounter;
use super::{Outcome, Permit, Phase, Settings};
use crate::breaker::Breaker;
use crate::retry::Backoff;
use crate::sync::{Arc, explore};
use loom::thread::{self, JoinHandle};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn breaker(settings: Settings) -> Breaker {
    Breaker::new("b", settings).expect("valid settings")
}

fn run(breaker: &Breaker, job: impl FnOnce(Breaker) + Send + 'static) -> JoinHandle<()> {
    let breaker = breaker.clone();
    thread::spawn(move || job(breaker))
}

fn permit(breaker: &Breaker) -> Permit {
    breaker.acquire_owned().expect("admitted")
}

fn taken(tally: &ShardedCounter, generation: u32) -> u64 {
    tally.take(generation).map(|(count, _)| count).sum()
}

/// A failure a second after the clock stands, when no success is younger than that.
fn fail_later(breaker: &Breaker) {
    permit(breaker).record(Outcome::TimedOut, Instant::now() + Duration::from_secs(1));
}

/// Opened by one failure, and half-open since a call that came later than the clock stands. Where there are several
/// places the first probe has passed.
fn half_open(places: u32) -> Breaker {
    let b = breaker(Settings::default().failures(1).half_open(places, 3).lease(YEAR));
    permit(&b).failure();
    let later = Instant::now() + YEAR;
    let first = b.admit(later, b.lease()).expect("the open wait is over");
    first.record(&b, if places > 1 { Outcome::Success } else { Outcome::Nothing }, later);
    b
}

#[test]
fn successes_are_counted_once_whoever_carries_them_away() {
    explore(3, || {
        let tally = Arc::new(ShardedCounter::default());
        let threads = [0, 0].map(|generation| {
            let tally = Arc::clone(&tally);
            thread::spawn(move || assert!(tally.add(generation, 1)))
        });
        let early = taken(&tally, 0);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(early + taken(&tally, 0), 2);
    });
}

#[test]
fn a_success_of_an_older_generation_is_never_counted_in_a_newer_one() {
    explore(3, || {
        let tally = Arc::new(ShardedCounter::default());
        let threads = [0, 1].map(|generation| {
            let tally = Arc::clone(&tally);
            thread::spawn(move || assert!(tally.add(generation, 1)))
        });
        let early = taken(&tally, 1);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(early + taken(&tally, 1), 1);
    });
}

#[test]
fn a_result_counts_in_the_generation_of_its_admission_or_not_at_all() {
    explore(3, || {
        let b = breaker(Settings::default());
        let admitted = Arc::new(AtomicUsize::new(0));
        let caller = run(&b, {
            let admitted = Arc::clone(&admitted);
            move |b| {
                let permit = b.acquire().expect("closed throughout");
                admitted.store(b.snapshot().generation as usize, Ordering::SeqCst);
                permit.success();
            }
        });
        b.reset();
        caller.join().unwrap();
        assert!(b.is_mirrored());
        let s = b.snapshot();
        assert_eq!((s.phase, s.generation), (Phase::Closed, 1));
        // The snapshot came after the admission: where it still says 0, so did the admission.
        assert!(s.calls <= 1 && (admitted.load(Ordering::SeqCst) == 1 || s.calls == 0), "{s:?}");
    });
}

#[test]
fn a_circuit_that_opens_takes_no_count_along() {
    explore(3, || {
        let b = breaker(Settings::default().failures(1));
        let fast = run(&b, |b| {
            if let Ok(permit) = b.acquire() {
                permit.success();
            }
        });
        fail_later(&b);
        fast.join().unwrap();
        assert!(b.is_mirrored());
        let s = b.snapshot();
        assert_eq!((s.phase, s.generation, s.calls, s.failures), (Phase::Open, 1, 0, 0));
        assert!(b.acquire().is_err());
    });
}

#[test]
fn a_success_after_a_failure_ends_its_run_whatever_another_thread_does() {
    explore(3, || {
        let b = breaker(Settings::default().failures(2));
        let other = run(&b, |b| permit(&b).success());
        permit(&b).failure();
        permit(&b).success();
        permit(&b).failure();
        other.join().unwrap();
        assert!(b.is_mirrored());
        let s = b.snapshot();
        assert_eq!((s.phase, s.calls, s.failures), (Phase::Closed, 4, 2));
        assert!(s.consecutive_failures <= 1, "{s:?}");
    });
}

#[test]
fn every_result_of_two_threads_is_counted() {
    explore(2, || {
        let b = breaker(Settings::default().failures(10));
        let other = run(&b, |b| {
            permit(&b).success();
            permit(&b).failure();
            b.snapshot();
        });
        permit(&b).success();
        permit(&b).success();
        other.join().unwrap();
        assert!(b.is_mirrored());
        let s = b.snapshot();
        assert_eq!((s.calls, s.failures), (4, 1));
    });
}

#[test]
fn a_half_open_circuit_has_as_many_calls_in_flight_as_places() {
    explore(3, || {
        let b = half_open(1);
        let in_flight = Arc::new(AtomicUsize::new(0));
        let probe = |b: &Breaker, in_flight: &AtomicUsize| {
            if let Ok(permit) = b.acquire() {
                assert_eq!(in_flight.fetch_add(1, Ordering::SeqCst), 0, "one place");
                thread::yield_now();
                in_flight.fetch_sub(1, Ordering::SeqCst);
                drop(permit);
            }
        };
        let other = run(&b, {
            let in_flight = Arc::clone(&in_flight);
            move |b| probe(&b, &in_flight)
        });
        probe(&b, &in_flight);
        other.join().unwrap();
        assert_eq!(b.snapshot().probes_in_flight, 0);
        permit(&b).cancel();
    });
}

#[test]
fn a_dropped_probe_gives_its_place_back_whatever_becomes_of_the_circuit() {
    explore(3, || {
        let b = half_open(1);
        let probe = permit(&b);
        let dropped = run(&b, move |_| drop(probe));
        let reset = run(&b, |b| b.reset());
        if let Ok(permit) = b.acquire() {
            permit.success();
        }
        dropped.join().unwrap();
        reset.join().unwrap();
        assert!(b.is_mirrored());
        let s = b.snapshot();
        assert_eq!((s.phase, s.probes_in_flight), (Phase::Closed, 0));
        assert!(s.calls <= 1, "{s:?}");
        permit(&b).success();
    });
}

#[test]
fn of_two_failed_probes_one_opens_the_circuit_again() {
    explore(3, || {
        let b = half_open(2);
        let probes = [permit(&b), permit(&b)];
        let generation = b.snapshot().generation;
        let threads = probes.map(|probe| run(&b, move |_| probe.failure()));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(b.is_mirrored());
        let s = b.snapshot();
        assert_eq!((s.phase, s.probes_in_flight, s.generation), (Phase::Open, 0, generation + 1));
    });
}

#[test]
fn a_refusal_names_a_wait_that_was_true() {
    explore(3, || {
        let b = breaker(Settings::default().failures(1).open(Backoff::constant(Duration::from_secs(5))));
        permit(&b).failure();
        let other = run(&b, |b| {
            b.reset();
            permit(&b).failure_retry_after(Duration::from_secs(60));
        });
        if let Err(refused) = b.acquire() {
            let wait = refused.retry_in().expect("a refusal says when").as_secs();
            assert!(wait == 5 || wait == 60, "{wait}");
        }
        other.join().unwrap();
        assert!(b.is_mirrored());
        let refused = b.acquire().expect_err("open");
        assert_eq!(refused.retry_in(), Some(Duration::from_secs(60)));
    });
}
