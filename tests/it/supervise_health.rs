//! What makes a loop healthy again that was restarted too often, and what does not.

use crate::supervise::{exact, lasts, news};
use crate::support::{MINUTE, SECOND};
use crate::watch::Log;
use std::future::{Future, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::sleep;
use unwedge::supervise::{Event, Heartbeat, Reason, Supervisor, Watch};

/// A crew of one loop, stale after two minutes, whose first seven runs beat and fail at once: given up after 31 s, and
/// started for the last time after 91 s. `then` is what it does from there on.
fn given_up<F>(watch: Watch, then: impl Fn(Heartbeat) -> F + Send + Sync + 'static) -> Supervisor
where
    F: Future<Output = ()> + Send + 'static,
{
    let (runs, then) = (AtomicU32::new(0), Arc::new(then));
    let mut crew = Supervisor::new();
    crew.spawn("scheduler", MINUTE, move |heart| {
        let fails = runs.fetch_add(1, Ordering::Relaxed) < 7;
        let then = Arc::clone(&then);
        async move {
            match fails {
                true => heart.beat(),
                false => then(heart).await,
            }
            Err::<(), _>("refused")
        }
    })
    .policy(exact())
    .watch(watch);
    crew
}

/// Whether the program is ready at these seconds, and how often the log says that the loop is healthy again.
async fn ready_at<const N: usize>(crew: Supervisor, seconds: [u32; N]) -> ([bool; N], usize) {
    let readiness = crew.readiness();
    let (log, _guard) = Log::listen();
    let mut ready = [false; N];
    let looks = async {
        let mut now = 0;
        for (ready, at) in ready.iter_mut().zip(seconds) {
            sleep((at - now) * SECOND).await;
            *ready = readiness.is_ready();
            now = at;
        }
    };
    crew.run_until(looks, SECOND).await.unwrap();
    (ready, log.with("healthy again after too many restarts").len())
}

#[tokio::test(start_paused = true)]
async fn a_run_that_hangs_makes_nothing_ready_again_however_long_it_hangs() {
    let crew = given_up(Watch::Warn, |_| pending::<()>());
    // Stale at 211 s; before that it is only silent.
    assert_eq!(ready_at(crew, [20, 40, 130, 200, 400]).await, ([true, false, false, false, false], 0));
}

#[tokio::test(start_paused = true)]
async fn a_run_is_healthy_from_its_first_sign_of_life_after_thirty_seconds() {
    let beats_late = |heart: Heartbeat| async move {
        sleep(MINUTE).await;
        heart.beat();
        heart.cancelled().await;
    };
    // Started after 91 s: its first heartbeat is at 151 s, and it is looked at every second.
    let crew = given_up(Watch::Warn, beats_late);
    assert_eq!(ready_at(crew, [122, 150, 153]).await, ([false, false, true], 1));
    let parks = |heart: Heartbeat| async move {
        let _parked = heart.parked("nothing to do");
        heart.cancelled().await;
    };
    assert_eq!(ready_at(given_up(Watch::Warn, parks), [120, 122]).await, ([false, true], 1));
    let rests = |heart: Heartbeat| async move { while heart.rest(MINUTE).await {} };
    assert_eq!(ready_at(given_up(Watch::Warn, rests), [120, 122]).await, ([false, true], 1));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_stale_when_it_is_long_enough_makes_nothing_ready_again() {
    let (runs, mut crew) = (AtomicU32::new(0), Supervisor::new());
    // Silent from its first heartbeat on, and stale a minute before it is as long as a healthy one.
    crew.spawn("scheduler", MINUTE, move |heart| {
        let fails = runs.fetch_add(1, Ordering::Relaxed) < 7;
        async move {
            heart.beat();
            if !fails {
                pending::<()>().await;
            }
            Err::<(), _>("refused")
        }
    })
    .policy(exact().healthy_after(3 * MINUTE));
    assert_eq!(ready_at(crew, [40, 260, 300, 600]).await, ([false; 4], 0));
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_nobody_watches_is_healthy_by_its_length_alone() {
    let crew = given_up(Watch::Off, |heart| async move { heart.cancelled().await });
    assert_eq!(ready_at(crew, [120, 122]).await, ([false, true], 1));
}

/// The waits before the restarts of a loop, and how often it was given up.
async fn restarts(crew: Supervisor, time: Duration) -> (Vec<u64>, usize) {
    let mut events = crew.events();
    lasts(crew, time).await;
    let (mut waits, mut escalated) = (Vec::new(), 0);
    for event in news(&mut events) {
        match event {
            Event::Restart { reason, wait, .. } => {
                assert_eq!(reason, Reason::Stale);
                waits.push(wait.as_secs());
            }
            Event::Escalated { .. } => escalated += 1,
            _ => {}
        }
    }
    (waits, escalated)
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_hangs_at_every_start_and_is_ended_for_it_escalates_once() {
    let mut crew = Supervisor::new();
    crew.spawn("scheduler", MINUTE, |_| pending::<()>()).policy(exact()).watch(Watch::Enforce);
    let readiness = crew.readiness();
    let (waits, escalated) = restarts(crew, 20 * MINUTE).await;
    assert_eq!((&waits[..7], escalated), ([1, 2, 4, 8, 16, 30, 30].as_slice(), 1));
    assert!(!readiness.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_works_for_long_before_each_hang_begins_anew_each_time() {
    let mut crew = Supervisor::new();
    crew.spawn("scheduler", MINUTE, |heart| async move {
        for _ in 0..10 {
            heart.progress();
            sleep(MINUTE).await;
        }
        pending::<()>().await;
    })
    .policy(exact())
    .watch(Watch::Enforce);
    let (waits, escalated) = restarts(crew, 120 * MINUTE).await;
    assert_eq!((&waits[..], escalated), ([1; 10].as_slice(), 0));
}
