use super::*;
use crate::supervise::Liveness;
use tokio::time::advance;

const PERIOD: Duration = Duration::from_millis(100);

fn watched() -> Arc<Watched> {
    let registry = Liveness::new().0;
    Arc::new(Watched {
        recorder: registry.recorder.clone(),
        registry,
        calls: Vec::new(),
        calls_seen: Mutex::default(),
        published: Mutex::default(),
        began: Instant::now(),
        looked: Mutex::new(Instant::now()),
        period: PERIOD,
        pulse: AtomicU64::new(0),
        nudged: AtomicBool::new(false),
        ends: AtomicBool::new(false),
    })
}

#[tokio::test(start_paused = true)]
async fn a_watchdog_that_was_late_itself_calls_nobody_blocked_until_it_has_looked_in_time() {
    let (watched, start) = (watched(), Instant::now());
    let mut seen = LastLook { pulse: 0, moved: start, blocked: false, woke: start };
    // The machine gave this thread no time, and may have given the runtime none either.
    advance(100 * PERIOD).await;
    watched.looks_once(&mut seen, &Handle::current());
    assert_eq!((seen.blocked, watched.registry.lag()), (false, 99 * PERIOD));
    // In time, and there is still no sign of the runtime.
    advance(PERIOD).await;
    watched.looks_once(&mut seen, &Handle::current());
    assert_eq!((seen.blocked, watched.registry.lag()), (true, Duration::ZERO));
    watched.looks_inside(Instant::now());
    advance(PERIOD).await;
    watched.looks_once(&mut seen, &Handle::current());
    assert!(!seen.blocked);
}

#[tokio::test(start_paused = true)]
async fn a_runtime_is_blocked_when_two_looks_in_time_saw_no_sign_of_it() {
    let (watched, start) = (watched(), Instant::now());
    let mut seen = LastLook { pulse: 0, moved: start, blocked: false, woke: start };
    for (look, blocked) in [(1, false), (2, false), (3, true)] {
        advance(PERIOD).await;
        watched.looks_once(&mut seen, &Handle::current());
        assert_eq!(seen.blocked, blocked, "look {look}");
    }
}

#[test]
fn systemd_hears_from_it_at_a_third_of_its_time_or_more_often() {
    let second = Duration::from_secs(1);
    for (looks, waits, every) in [
        (second, None, second),
        (second, Some(second), second / 3),
        (second, Some(30 * second), second),
        (60 * second, Some(30 * second), 10 * second),
        (second, Some(3 * LEAST / 2), LEAST),
    ] {
        assert_eq!(for_systemd(looks, waits), every, "{looks:?} {waits:?}");
    }
}
