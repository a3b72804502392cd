//! Sweeps on a ticker: bounded, counted, and never the end of their patrol.

use crate::supervise::{Times, lasts, news};
use crate::support::{MINUTE, SECOND};
use crate::watch::Log;
use std::future::pending;
use std::time::Duration;
use tokio::time::{Instant, advance, sleep};
use unwedge::supervise::{Event, Outcome, Supervisor};
use unwedge::within;

const HOUR: Duration = Duration::from_secs(3600);

/// Each sweep as `n outcome phase seconds`, and skipped ticks.
fn sweeps(events: Vec<Event>) -> Vec<String> {
    let show = |event| match event {
        Event::Sweep { n, outcome, phase, took, .. } => {
            Some(format!("{n} {} {} {}", outcome.as_str(), phase.unwrap_or("-"), took.as_secs()))
        }
        Event::Skipped { ticks, .. } => Some(format!("skipped {ticks}")),
        _ => None,
    };
    events.into_iter().filter_map(show).collect()
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_blocks_is_ended_at_its_limit_in_its_phase_and_the_next_tick_runs() {
    let mut crew = Supervisor::new();
    let mut events = crew.events();
    let start = Instant::now();
    crew.patrol("alerts", HOUR, 5 * MINUTE, move |sweep| async move {
        sweep.phase("collect");
        sleep(SECOND).await;
        sweep.phase("analyze");
        if sweep.number() == 2 {
            pending::<()>().await;
        }
    });
    let (log, _guard) = Log::listen();
    lasts(crew, 2 * HOUR + 5 * SECOND).await;
    assert_eq!(sweeps(news(&mut events)), ["1 ok analyze 1", "2 timeout analyze 300", "3 ok analyze 1"]);
    assert_eq!(start.elapsed(), 2 * HOUR + 5 * SECOND);
    assert_eq!(
        log.with("sweep"),
        [
            "INFO sweep complete patrol=\"alerts\" phase=\"analyze\" outcome=\"ok\" duration=1s",
            "WARN sweep failed patrol=\"alerts\" phase=\"analyze\" outcome=\"timeout\" duration=5m failures=1 \
             error=\"not done within 5m, in analyze\"",
            "INFO sweep complete patrol=\"alerts\" phase=\"analyze\" outcome=\"ok\" duration=1s",
            "INFO sweeps succeed again patrol=\"alerts\" failures=1 down_for=1h1s",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_or_an_error_ends_the_sweep_and_not_the_patrol() {
    let mut crew = Supervisor::new();
    let mut events = crew.events();
    crew.patrol("alerts", MINUTE, 30 * SECOND, |sweep| async move {
        match sweep.number() {
            1 => panic!("no such rule"),
            2 => Err("502"),
            _ => Ok(()),
        }
    });
    let (log, _guard) = Log::listen();
    let report = lasts(crew, 2 * MINUTE + SECOND).await;
    assert_eq!(sweeps(news(&mut events)), ["1 panic - 0", "2 error - 0", "3 ok - 0"]);
    assert_eq!(report.restarts, 0);
    let panics = log.with("ERROR panicked, loop will continue");
    assert!(panics[0].contains("subsystem=\"alerts\"") && panics[0].contains("no such rule"), "{panics:?}");
    assert!(log.with("failures=2 error=\"502\"").len() == 1, "{:?}", log.with("sweep"));
    assert_eq!(log.with("succeed again").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wedged_patrol_does_not_delay_another() {
    let mut crew = Supervisor::new();
    let times = Times::from_now();
    let notes = times.clone();
    crew.patrol("wedged", MINUTE, MINUTE, |_| pending::<()>());
    crew.patrol("alive", MINUTE, 30 * SECOND, move |_| {
        notes.note();
        async {}
    });
    let mut events = crew.events();
    lasts(crew, 5 * MINUTE + SECOND).await;
    assert_eq!(times.all(), [0, 60, 120, 180, 240, 300]);
    let timeouts = sweeps(news(&mut events)).iter().filter(|line| line.contains("timeout - 60")).count();
    assert_eq!(timeouts, 5, "a limit as long as the interval skips no tick");
}

#[tokio::test(start_paused = true)]
async fn ticks_that_pass_during_a_sweep_are_skipped_and_counted_and_not_made_up_for() {
    let times = Times::from_now();
    let notes = times.clone();
    let mut crew = Supervisor::new();
    let mut events = crew.events();
    crew.patrol("alerts", MINUTE, MINUTE, move |sweep| {
        notes.note();
        async move {
            if sweep.number() == 2 {
                // As a thread that is blocked: time passes, and no timer fires.
                advance(3 * MINUTE + 30 * SECOND).await;
            }
        }
    });
    let (log, _guard) = Log::listen();
    lasts(crew, 7 * MINUTE - SECOND).await;
    assert_eq!(times.all(), [0, 60, 300, 360]);
    assert_eq!(sweeps(news(&mut events)), ["1 ok - 0", "2 ok - 210", "skipped 3", "3 ok - 0", "4 ok - 0"]);
    assert_eq!(log.with("skipped"), ["WARN ticks skipped patrol=\"alerts\" ticks=3"]);
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_sweep_that_see_its_limit_make_it_a_timeout() {
    let mut crew = Supervisor::new();
    let mut events = crew.events();
    crew.patrol("alerts", MINUTE, 10 * SECOND, |sweep| async move {
        sweep.phase("execute");
        within(MINUTE, pending::<()>()).await.map_err(|error| error.to_string())
    });
    lasts(crew, 30 * SECOND).await;
    let told = news(&mut events);
    assert!(
        matches!(told[0], Event::Sweep { outcome: Outcome::Timeout, phase: Some("execute"), .. }),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn splay_makes_the_first_and_every_later_tick_late_by_a_share_of_the_interval() {
    let times = Times::from_now();
    let notes = times.clone();
    let mut crew = Supervisor::new();
    crew.seed(7);
    crew.patrol("alerts", HOUR, MINUTE, move |_| {
        notes.note();
        async {}
    })
    .splay(0.1);
    lasts(crew, 50 * HOUR).await;
    let late: Vec<u64> = times.all().iter().enumerate().map(|(n, at)| at - 3600 * n as u64).collect();
    assert!(late.len() == 50 || late.len() == 51, "{late:?}");
    assert!(late.iter().all(|late| *late <= 360), "{late:?}");
    assert!(late.iter().min() < Some(&90) && late.iter().max() > Some(&270), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_under_way_has_the_grace_and_no_other_begins() {
    let mut crew = Supervisor::new();
    let mut events = crew.events();
    crew.patrol("alerts", 10 * SECOND, 10 * SECOND, |_| sleep(6 * SECOND));
    let report = lasts(crew, 12 * SECOND).await;
    assert_eq!(sweeps(news(&mut events)), ["1 ok - 6", "2 ok - 6"]);
    assert_eq!((report.clean, report.took), (true, 4 * SECOND));
}
