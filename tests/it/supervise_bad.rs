//! Settings that cannot work, and signals that cannot be had: said at the start, by name and value.

use crate::support::{MINUTE, SECOND};
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use unwedge::Error;
use unwedge::supervise::{Heartbeat, Policy, Supervisor};

/// The error of a crew that is set up like this beside one that is fine, and that nothing was started.
async fn refused(set_up: impl FnOnce(&mut Supervisor)) -> String {
    let started = Arc::new(AtomicBool::new(false));
    let starts = Arc::clone(&started);
    let mut crew = Supervisor::new();
    crew.spawn("first", MINUTE, move |_| {
        starts.store(true, Ordering::Relaxed);
        pending::<()>()
    });
    set_up(&mut crew);
    let readiness = crew.readiness();
    let error: Error = crew.run_until(pending::<()>(), SECOND).await.unwrap_err();
    assert!(error.is_config());
    assert!(!started.load(Ordering::Relaxed) && !readiness.is_ready());
    error.to_string()
}

async fn idle(heart: Heartbeat) {
    heart.cancelled().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_work_is_refused_before_anything_starts() {
    let says = |error: String, words: &[&str]| {
        for word in words {
            assert!(error.contains(word), "{word} is missing in: {error}");
        }
    };
    says(refused(|crew| _ = crew.spawn("first", MINUTE, idle)).await, &["\"first\" already"]);
    says(refused(|crew| _ = crew.spawn(" ", MINUTE, idle)).await, &["blank"]);
    says(
        refused(|crew| _ = crew.watch_every(Duration::from_nanos(1))).await,
        &["period of the watchdog is", "at least 1 ms"],
    );
    says(refused(|crew| _ = crew.spawn("b", Duration::ZERO, idle)).await, &["the interval of b is 0 s"]);
    says(
        refused(|crew| _ = crew.spawn("b", Duration::MAX, idle)).await,
        &["the interval of b is", "10 years"],
    );
    says(
        refused(|crew| _ = crew.spawn("b", MINUTE, idle).stale_after(59 * SECOND)).await,
        &["the stale threshold of b is 59 s", "1 m"],
    );
    says(
        refused(|crew| _ = crew.patrol("p", MINUTE, 61 * SECOND, |_| async {})).await,
        &["the limit of p is 1 m 1 s", "its interval of 1 m"],
    );
    says(refused(|crew| _ = crew.patrol("p", MINUTE, Duration::ZERO, |_| async {})).await, &["of p is 0 s"]);
    says(
        refused(|crew| _ = crew.patrol("p", MINUTE, SECOND, |_| async {}).splay(1.5)).await,
        &["the splay of p is 1.5"],
    );
    says(
        refused(|crew| _ = crew.patrol("p", MINUTE, SECOND, |_| async {}).splay(f64::NAN)).await,
        &["the splay of p is NaN"],
    );
    says(
        refused(|crew| {
            crew.spawn("b", MINUTE, idle).policy(Policy::default().intensity(1, Duration::ZERO));
        })
        .await,
        &["the window of restarts of b is 0 s"],
    );
    says(refused(|crew| _ = crew.watch_every(Duration::ZERO)).await, &["the period of the watchdog is 0 s"]);
    says(
        refused(|crew| _ = crew.watch_every(3 * MINUTE)).await,
        &["the watchdog looks every 3 m", "threshold is 2 m"],
    );
}

#[tokio::test(start_paused = true)]
async fn a_crew_of_nobody_and_a_grace_of_nothing_are_refused() {
    let error = Supervisor::new().run_until(pending::<()>(), SECOND).await.unwrap_err();
    assert!(error.to_string().contains("no subsystem to run"), "{error}");
    let mut crew = Supervisor::new();
    crew.spawn("b", MINUTE, idle);
    let error = crew.run_until(pending::<()>(), Duration::ZERO).await.unwrap_err();
    assert!(error.to_string().contains("the grace is 0 s"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_signal_handler_that_cannot_be_installed_is_an_error_and_nothing_starts() {
    let started = Arc::new(AtomicBool::new(false));
    let starts = Arc::clone(&started);
    let mut crew = Supervisor::new();
    crew.spawn("b", MINUTE, move |heart| {
        starts.store(true, Ordering::Relaxed);
        idle(heart)
    });
    let no_handler = async { Err::<(), _>(io::Error::other("too many handlers")) };
    let error = crew.run_until(no_handler, SECOND).await.unwrap_err();
    assert_eq!(error.to_string(), "the handler for SIGINT cannot be installed: too many handlers");
    assert!(error.is_config() && !started.load(Ordering::Relaxed));
}
