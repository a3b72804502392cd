use super::*;
use crate::retry::{Backoff, Jitter};
use crate::sync::{Mutex, lock};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// What was seen at the moment when the process would have ended.
static ENDED: Mutex<Option<(i32, bool)>> = Mutex::new(None);
static READY: Mutex<Option<Readiness>> = Mutex::new(None);

#[tokio::test(start_paused = true)]
async fn an_escalation_that_exits_is_not_ready_before_the_process_ends_and_drains_the_others() {
    let start = Instant::now();
    let mut crew = Supervisor::new();
    crew.exit = |code| {
        let ready = lock(&READY).as_ref().is_some_and(Readiness::is_ready);
        *lock(&ENDED) = Some((code, ready));
    };
    let (readiness, mut events) = (crew.readiness(), crew.events());
    *lock(&READY) = Some(readiness.clone());
    crew.escalate(Escalation::Exit(70));
    let waits = Backoff::exponential(SECOND).cap(30 * SECOND).jitter(Jitter::None);
    crew.spawn("scheduler", SECOND, |_| async { panic!("bad tenant") })
        .policy(Policy::default().backoff(waits));
    let drained = Arc::new(Mutex::new(false));
    let notes = Arc::clone(&drained);
    crew.spawn("relay", 1000 * SECOND, move |heart| {
        let notes = Arc::clone(&notes);
        async move {
            heart.cancelled().await;
            tokio::time::sleep(SECOND).await;
            *lock(&notes) = true;
        }
    });
    assert!(!readiness.is_ready(), "nothing runs yet");
    let report = crew.run_until(std::future::pending::<()>(), 10 * SECOND).await.unwrap();
    assert_eq!(*lock(&ENDED), Some((70, false)));
    assert!(report.clean && *lock(&drained));
    // The sixth restart is due after 1 + 2 + 4 + 8 + 16 s.
    assert_eq!((report.signal, start.elapsed()), (Some("escalation"), 32 * SECOND));
    assert!(readiness.is_shutting_down());
    let mut escalated = 0;
    while let Ok(event) = events.try_recv() {
        escalated += usize::from(matches!(event, Event::Escalated { .. }));
    }
    assert_eq!(escalated, 1);
}

#[tokio::test(start_paused = true)]
async fn a_signal_in_the_grace_of_an_escalation_ends_it_at_once() {
    let start = Instant::now();
    let mut crew = Supervisor::new();
    crew.exit = |_| {};
    crew.escalate(Escalation::Exit(70));
    crew.spawn("scheduler", SECOND, |_| async { panic!("bad tenant") });
    crew.spawn("deaf", 1000 * SECOND, |_| std::future::pending::<()>());
    let report = crew.run_until(tokio::time::sleep(40 * SECOND), 100 * SECOND).await.unwrap();
    assert_eq!((report.signal, start.elapsed()), (Some("escalation"), 40 * SECOND));
    assert_eq!(report.stragglers, ["deaf"]);
}
