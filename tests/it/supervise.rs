//! Loops that panic, fail, return and are started again.

use crate::support::{MINUTE, SECOND};
use crate::watch::Log;
use std::future::{Future, pending};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::time::{Instant, sleep};
use unwedge::retry::{Backoff, Jitter};
use unwedge::supervise::{Event, Heartbeat, OnReturn, Policy, Reason, Report, Supervisor};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The default policy without jitter, so that times are exact.
pub(crate) fn exact() -> Policy {
    Policy::default().backoff(Backoff::exponential(SECOND).cap(30 * SECOND).jitter(Jitter::None))
}

/// Runs the crew for so long, and ends it.
pub(crate) async fn lasts(crew: Supervisor, time: Duration) -> Report {
    crew.run_until(sleep(time), 10 * SECOND).await.expect("settings that fit together")
}

/// What happened since the last look.
pub(crate) fn news(events: &mut Receiver<Event>) -> Vec<Event> {
    std::iter::from_fn(|| events.try_recv().ok()).collect()
}

/// Seconds since the start at which something happened.
#[derive(Clone)]
pub(crate) struct Times(Instant, Arc<Mutex<Vec<u64>>>);

impl Times {
    pub(crate) fn from_now() -> Times {
        Times(Instant::now(), Arc::default())
    }

    pub(crate) fn note(&self) {
        self.1.lock().unwrap().push(self.0.elapsed().as_secs());
    }

    pub(crate) fn all(&self) -> Vec<u64> {
        self.1.lock().unwrap().clone()
    }
}

/// A crew of one, and when it was started.
fn alone<F>(make: impl Fn(Heartbeat) -> F + Send + Sync + 'static) -> (Supervisor, Times)
where
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    let times = Times::from_now();
    let notes = times.clone();
    let mut crew = Supervisor::new();
    crew.spawn("scheduler", DAY, move |heart| {
        notes.note();
        make(heart)
    })
    .policy(exact());
    (crew, times)
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_panics_is_started_again_after_1_2_4_to_30_seconds() {
    let (crew, times) = alone(|_| async { panic!("bad data of tenant 7") });
    let (log, _guard) = Log::listen();
    let report = lasts(crew, 125 * SECOND).await;
    assert_eq!(times.all(), [0, 1, 3, 7, 15, 31, 61, 91, 121]);
    assert_eq!(report.restarts, 9);
    let panics = log.with("ERROR panicked, loop will continue");
    assert_eq!(panics.len(), 9);
    for word in [
        "subsystem=\"scheduler\"",
        "panic=\"bad data of tenant 7 at tests/it/supervise.rs:",
        "a_loop_that_panics",
    ] {
        assert!(panics[0].contains(word), "{word} is missing in {}", panics[0]);
    }
}

#[tokio::test(start_paused = true)]
async fn ticks_go_on_after_a_panic_in_the_second() {
    let ticks = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&ticks);
    let mut crew = Supervisor::new();
    let mut events = crew.events();
    crew.spawn("relay", SECOND, move |heart| {
        let ticks = Arc::clone(&counted);
        async move {
            loop {
                heart.progress();
                assert_ne!(ticks.fetch_add(1, Ordering::Relaxed), 1, "the second tick");
                heart.rest(SECOND).await;
                if heart.is_cancelled() {
                    return;
                }
            }
        }
    })
    .policy(exact());
    lasts(crew, 10 * SECOND).await;
    assert_eq!(ticks.load(Ordering::Relaxed), 10);
    let told: Vec<_> = news(&mut events)
        .into_iter()
        .filter_map(|event| match event {
            Event::Panicked { message, .. } => Some(message.split(" at ").next().unwrap().to_owned()),
            Event::Restart { reason, wait, restarts, .. } => Some(format!("{reason} {wait:?} {restarts}")),
            Event::Recovered { after, .. } => Some(format!("recovered {after:?}")),
            _ => None,
        })
        .collect();
    assert!(told[0].contains("the second tick"), "{told:?}");
    assert_eq!(told[1..], ["panic 1s 1", "recovered 1s"]);
}

#[tokio::test(start_paused = true)]
async fn thirty_seconds_of_health_make_the_next_wait_the_first_again() {
    let runs = AtomicU32::new(0);
    let (crew, times) = alone(move |_| {
        let run = runs.fetch_add(1, Ordering::Relaxed);
        async move {
            if run == 3 {
                sleep(30 * SECOND).await;
            }
            Err("refused".to_owned())
        }
    });
    let (log, _guard) = Log::listen();
    lasts(crew, 39 * SECOND).await;
    assert_eq!(times.all(), [0, 1, 3, 7, 38]);
    let line = "WARN loop failed, restarting subsystem=\"scheduler\" reason=\"error\" error=\"refused\" restarts=1 in=1s";
    assert_eq!(log.with("loop failed, restarting")[0], line);
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_returns_is_started_again_after_five_seconds_and_that_is_a_warning() {
    let (crew, times) = alone(|_| async { Ok(()) });
    let (log, _guard) = Log::listen();
    lasts(crew, 12 * SECOND).await;
    assert_eq!(times.all(), [0, 5, 10]);
    assert_eq!(
        log.with("exited unexpectedly")[0],
        "WARN loop exited unexpectedly, restarting subsystem=\"scheduler\" restarts=1 in=5s"
    );
    assert_eq!(log.with("loop stopping"), ["INFO loop stopping subsystem=\"scheduler\""]);
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_may_return_is_not_started_again_and_the_crew_ends_with_the_last_one() {
    let mut crew = Supervisor::new();
    let liveness = crew.liveness();
    crew.spawn("import", SECOND, |heart| async move { heart.progress() }).on_return(OnReturn::Stop);
    let (log, _guard) = Log::listen();
    let report = crew.run_until(pending::<()>(), SECOND).await.unwrap();
    assert_eq!((report.signal, report.clean, report.exit_code()), (None, true, 0));
    assert_eq!(log.with("loop returned"), ["INFO loop returned, not restarting subsystem=\"import\""]);
    assert_eq!(liveness.snapshot()[0].state.as_str(), "stopped");
    assert!(!liveness.snapshot()[0].stale);
}

#[tokio::test(start_paused = true)]
async fn what_is_told_to_end_before_the_start_never_runs() {
    let (crew, times) = alone(|_| async { Ok(()) });
    let readiness = crew.readiness();
    let (log, _guard) = Log::listen();
    let report = crew.run_until(async { "SIGTERM" }, SECOND).await.unwrap();
    assert_eq!((report.signal, report.clean), (Some("SIGTERM"), true));
    assert_eq!(times.all(), [0; 0]);
    assert!(!readiness.is_ready());
    let end = log.with("shut");
    assert_eq!(end[0], "INFO shutting down signal=\"SIGTERM\" in_flight=0");
    assert_eq!(end[1..], ["INFO shutdown complete signal=\"SIGTERM\" killed=0 clean=true took=0s"]);
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_restart_ends_at_once_with_the_program() {
    let start = Instant::now();
    let (crew, times) = alone(|_| async { Ok(()) });
    let report = lasts(crew, 2 * SECOND).await;
    assert_eq!((start.elapsed(), times.all()), (2 * SECOND, vec![0]));
    assert!(report.clean);
}

#[tokio::test(start_paused = true)]
async fn a_closure_that_panics_before_there_is_a_future_is_restarted_like_a_loop() {
    let times = Times::from_now();
    let notes = times.clone();
    let mut crew = Supervisor::new();
    let mut events = crew.events();
    crew.spawn("relay", SECOND, move |_| {
        notes.note();
        assert!(times_out_of(&notes) > 1, "no socket");
        pending::<()>()
    })
    .policy(exact());
    lasts(crew, 10 * SECOND).await;
    assert_eq!(times.all(), [0, 1]);
    assert!(
        matches!(&news(&mut events)[0], Event::Panicked { message, .. } if message.contains("no socket"))
    );
}

fn times_out_of(times: &Times) -> usize {
    times.all().len()
}

#[tokio::test(start_paused = true)]
async fn what_panics_when_it_is_dropped_takes_nobody_with_it() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let (mut crew, times) = alone(|_| async {
        let _bomb = Bomb;
        Err("refused".to_owned())
    });
    crew.spawn("held", DAY, |_| async {
        let _bomb = Bomb;
        pending::<()>().await;
    });
    let report = lasts(crew, 4 * SECOND).await;
    assert_eq!(times.all(), [0, 1, 3]);
    assert_eq!(report.stragglers, ["held"]);
}

#[tokio::test(start_paused = true)]
async fn too_many_restarts_escalate_once_and_the_loop_goes_on() {
    let (mut crew, times) = alone(|_| async { Ok(()) });
    let (readiness, mut events) = (crew.readiness(), crew.events());
    crew.spawn("relay", DAY, |heart| async move { heart.cancelled().await });
    let (log, _guard) = Log::listen();
    let look = async {
        sleep(24 * SECOND).await;
        let before = readiness.is_ready();
        sleep(3 * SECOND).await;
        let after = readiness.is_ready();
        sleep(MINUTE).await;
        (before, after)
    };
    let seen = Arc::new(Mutex::new(None));
    let told = Arc::clone(&seen);
    let ended = async { *told.lock().unwrap() = Some(look.await) };
    crew.run_until(ended, SECOND).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), Some((true, false)));
    assert_eq!(times.all(), [0, 5, 10, 15, 20, 25, 55, 85]);
    assert_eq!(
        log.with("restarted too often"),
        ["ERROR restarted too often, not ready until it is healthy subsystem=\"scheduler\" restarts=6"]
    );
    let escalated = news(&mut events).iter().filter(|event| matches!(event, Event::Escalated { .. })).count();
    assert_eq!(escalated, 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_healthy_again_is_ready_again() {
    let runs = AtomicU32::new(0);
    let (crew, _) = alone(move |heart| {
        let run = runs.fetch_add(1, Ordering::Relaxed);
        async move {
            if run > 6 {
                heart.beat();
                heart.cancelled().await;
            }
            Err("refused".to_owned())
        }
    });
    let readiness = crew.readiness();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    // Waits of 1, 2, 4, 8, 16 s, then 30 twice: up for good after 91 s.
    let ended = async move {
        for pause in [60, 60, 2] {
            sleep(pause * SECOND).await;
            told.lock().unwrap().push(readiness.is_ready());
        }
    };
    crew.run_until(ended, SECOND).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [false, false, true]);
}

#[tokio::test(start_paused = true)]
async fn a_policy_of_its_own_sets_waits_and_limits() {
    let (mut crew, _) = alone(|_| async { Ok(()) });
    let times = Times::from_now();
    let notes = times.clone();
    let policy = Policy::default().backoff(Backoff::constant(3 * SECOND)).intensity(100, MINUTE);
    crew.spawn("own", DAY, move |_| {
        notes.note();
        async { Err::<(), _>("refused") }
    })
    .policy(policy);
    let mut events = crew.events();
    lasts(crew, 10 * SECOND).await;
    assert_eq!(times.all(), [0, 3, 6, 9]);
    let own = |event: &Event| match event {
        Event::Restart { name, reason, .. } if **name == *"own" => Some(*reason),
        _ => None,
    };
    assert_eq!(news(&mut events).iter().filter_map(own).collect::<Vec<_>>(), [Reason::Error; 4]);
}

/// When each of ten loops, whose database is away for a minute, was started: in milliseconds, loop by loop.
async fn ten_loops_that_lost_one_database(seed: u64, policy: Policy) -> Vec<Vec<u128>> {
    let start = Instant::now();
    let starts: Vec<Arc<Mutex<Vec<u128>>>> = (0..10).map(|_| Arc::default()).collect();
    let mut crew = Supervisor::new();
    crew.seed(seed);
    for (n, starts) in starts.iter().enumerate() {
        let starts = Arc::clone(starts);
        crew.spawn(format!("loop-{n}"), DAY, move |heart| {
            starts.lock().unwrap().push(start.elapsed().as_millis());
            async move {
                if start.elapsed() < MINUTE {
                    return Err("the database is away");
                }
                heart.cancelled().await;
                Ok(())
            }
        })
        .policy(policy.clone());
    }
    lasts(crew, 2 * MINUTE).await;
    starts.iter().map(|starts| starts.lock().unwrap().clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn ten_loops_that_lost_one_database_come_back_spread_over_a_tenth_of_their_waits() {
    let starts = ten_loops_that_lost_one_database(7, Policy::default()).await;
    for (n, wait) in [1_000, 2_000, 4_000, 8_000, 16_000].into_iter().enumerate() {
        let mut waits: Vec<u128> = starts.iter().map(|starts| starts[n + 1] - starts[n]).collect();
        waits.sort_unstable();
        assert!(waits[0] >= wait * 9 / 10 && waits[9] <= wait * 11 / 10 + 1, "{n}: {waits:?}");
        assert!(waits[9] - waits[0] > wait / 10, "{n}: {waits:?}");
    }
    let back: Vec<u128> = starts.iter().map(|starts| *starts.last().unwrap()).collect();
    assert!(back.iter().max().unwrap() - back.iter().min().unwrap() > 1_000, "{back:?}");
    // Without jitter they come in step.
    let starts = ten_loops_that_lost_one_database(7, exact()).await;
    assert!(starts.iter().all(|of| *of == starts[0]), "{starts:?}");
}

#[tokio::test(start_paused = true)]
async fn two_runs_on_one_seed_restart_alike() {
    let one = ten_loops_that_lost_one_database(7, Policy::default()).await;
    assert_eq!(one, ten_loops_that_lost_one_database(7, Policy::default()).await);
    assert_ne!(one, ten_loops_that_lost_one_database(8, Policy::default()).await);
}
