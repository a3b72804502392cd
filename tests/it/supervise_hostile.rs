//! Code under supervision that behaves as badly as it can.

use crate::supervise::{DAY, Times, exact, lasts, news};
use crate::support::{MINUTE, SECOND};
use std::fmt;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::time::sleep;
use unwedge::supervise::{Event, OnReturn, Outcome, Supervisor};

/// An error that cannot be told.
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no words for it");
    }
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn a_loop_whose_error_panics_when_it_is_told_is_started_again() {
    let times = Times::from_now();
    let notes = times.clone();
    let mut crew = Supervisor::new();
    let mut events = crew.events();
    crew.spawn("relay", DAY, move |_| {
        notes.note();
        async { Err(Unspeakable) }
    })
    .policy(exact());
    lasts(crew, 4 * SECOND).await;
    assert_eq!(times.all(), [0, 1, 3]);
    let first = &news(&mut events)[0];
    assert!(matches!(first, Event::Panicked { message, .. } if message.contains("no words")), "{first:?}");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_whose_error_panics_when_it_is_told_ends_as_a_panic_and_the_next_tick_runs() {
    let mut crew = Supervisor::new();
    let mut events = crew.events();
    crew.patrol("alerts", MINUTE, SECOND, |_| async { Err(Unspeakable) });
    let report = lasts(crew, 150 * SECOND).await;
    let sweeps = news(&mut events).into_iter().filter_map(|event| match event {
        Event::Sweep { n, outcome, .. } => Some((n, outcome)),
        _ => None,
    });
    let wanted = [(1, Outcome::Panic), (2, Outcome::Panic), (3, Outcome::Panic)];
    assert_eq!(sweeps.collect::<Vec<_>>(), wanted);
    assert_eq!(report.restarts, 0, "the patrol itself goes on");
}

#[tokio::test(start_paused = true)]
async fn a_closure_that_panics_when_it_is_dropped_has_stopped_all_the_same() {
    let mut crew = Supervisor::new();
    let (liveness, mut events) = (crew.liveness(), crew.events());
    let bomb = Bomb;
    crew.spawn("import", MINUTE, move |_| {
        let _ = &bomb;
        async {}
    })
    .on_return(OnReturn::Stop);
    crew.spawn("relay", DAY, |heart| async move { heart.cancelled().await });
    let report = lasts(crew, MINUTE).await;
    assert_eq!(liveness.snapshot()[0].state.as_str(), "stopped");
    assert_eq!((report.running, report.clean), (1, true));
    let told = news(&mut events);
    assert!(
        told.iter()
            .any(|event| matches!(event, Event::Panicked { message, .. } if message.starts_with("dropped"))),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_parks_twice_is_parked_until_the_last_guard_is_gone() {
    let mut crew = Supervisor::new();
    let liveness = crew.liveness();
    crew.spawn("listener", SECOND, |heart| async move {
        let outer = heart.parked("the broker parks it");
        let inner = heart.parked("the queue is empty");
        sleep(10 * SECOND).await;
        drop(inner);
        sleep(10 * SECOND).await;
        let inner = heart.parked("and once more");
        drop(outer);
        sleep(10 * SECOND).await;
        drop(inner);
        pending::<()>().await;
    });
    let looks = async {
        for wanted in ["the queue is empty", "the broker parks it", "and once more"] {
            sleep(5 * SECOND).await;
            let shown = &liveness.snapshot()[0];
            assert_eq!((shown.to_string(), shown.stale), (format!("listener: parked ({wanted})"), false));
            sleep(5 * SECOND).await;
        }
        sleep(5 * SECOND).await;
        assert!(liveness.snapshot()[0].stale, "nobody parks any more");
    };
    crew.run_until(looks, SECOND).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_outlives_its_run_does_not_bring_it_back() {
    let mut crew = Supervisor::new();
    let liveness = crew.liveness();
    crew.spawn("import", SECOND, |heart| async move {
        HELD.lock().unwrap().replace(heart.parked("somebody else holds this"));
    })
    .on_return(OnReturn::Stop);
    crew.spawn("relay", DAY, |heart| async move { heart.cancelled().await });
    let looks = async {
        sleep(SECOND).await;
        assert_eq!(liveness.snapshot()[0].state.as_str(), "stopped");
        drop(HELD.lock().unwrap().take().expect("the guard"));
        assert_eq!(liveness.snapshot()[0].state.as_str(), "stopped");
        sleep(MINUTE).await;
        assert!(!liveness.snapshot()[0].stale);
    };
    crew.run_until(looks, SECOND).await.unwrap();
}

static HELD: std::sync::Mutex<Option<unwedge::supervise::Parked>> = std::sync::Mutex::new(None);

#[tokio::test(start_paused = true)]
async fn a_crew_that_is_dropped_is_not_ready_and_tells_the_tasks_of_its_loops() {
    let told = Arc::new(AtomicBool::new(false));
    let tells = Arc::clone(&told);
    let mut crew = Supervisor::new();
    let readiness = crew.readiness();
    crew.spawn("relay", DAY, move |heart| {
        let (tells, inner) = (Arc::clone(&tells), heart.clone());
        async move {
            #[expect(clippy::disallowed_methods, reason = "a task that outlives its loop is what is tested")]
            tokio::spawn(async move {
                inner.cancelled().await;
                tells.store(true, Ordering::Relaxed);
            });
            pending::<()>().await;
        }
    });
    let run = crew.run_until(pending::<()>(), SECOND);
    assert!(tokio::time::timeout(MINUTE, run).await.is_err());
    assert!(!readiness.is_ready() && readiness.is_shutting_down());
    sleep(SECOND).await;
    assert!(told.load(Ordering::Relaxed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_signal_is_asked_before_any_thread_runs_a_task() {
    let (starts, started) = mpsc::channel();
    let mut crew = Supervisor::new();
    crew.spawn("relay", DAY, move |heart| {
        let _ = starts.send(());
        async move { heart.cancelled().await }
    });
    let mut first = true;
    let signal = std::future::poll_fn(move |_| {
        // Time enough for a worker thread to begin with what was spawned before.
        if std::mem::take(&mut first) {
            assert!(started.recv_timeout(Duration::from_millis(300)).is_err(), "a task ran unasked");
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(())
    });
    let report = crew.run_until(signal, 10 * SECOND).await.unwrap();
    assert!(report.clean);
}

#[tokio::test(start_paused = true)]
async fn what_a_panic_says_is_cut_before_it_fills_the_log() {
    let mut crew = Supervisor::new();
    let mut events = crew.events();
    crew.spawn("relay", DAY, |_| async { panic!("{}", "ü".repeat(1 << 20)) });
    crew.spawn("writer", DAY, |_| async { Err("x".repeat(1 << 20)) });
    let (log, _guard) = crate::watch::Log::listen();
    lasts(crew, SECOND / 2).await;
    let Some(Event::Panicked { message, .. }) =
        news(&mut events).into_iter().find(|event| matches!(event, Event::Panicked { .. }))
    else {
        panic!("no panic was told")
    };
    assert!(message.len() < 5000 && message.contains("more bytes"), "{} bytes", message.len());
    assert!(message.contains(" at tests/it/supervise_hostile.rs:"), "the place is kept");
    let longest = log.lines().iter().map(String::len).max();
    assert!(longest < Some(50_000), "{longest:?}");
}
