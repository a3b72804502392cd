//! The end of a crew: told, drained, aborted and named.

use crate::supervise::{DAY, lasts, news};
use crate::support::{MINUTE, MS, SECOND, call, get, stack, whole, with};
use crate::watch::{Log, state};
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use unwedge::breaker::Phase;
use unwedge::supervise::{Event, Supervisor};
use unwedge::testing::{Peer, Reply};
use unwedge::{ErrorKind, Limits, StackLayer, long_poll, retry};

type Notes = Arc<Mutex<Vec<(Duration, String)>>>;

/// A call of a supervised loop that is told to end after ten seconds, with a grace of ten more: when it ended, how,
/// and what the breaker thinks.
async fn ended(
    peer: &Peer,
    layer: &StackLayer,
    request: http::Request<http_body_util::Full<bytes::Bytes>>,
) -> Ended {
    let service = stack(peer, layer);
    let (notes, start) = (Notes::default(), Instant::now());
    let told = Arc::clone(&notes);
    let mut crew = Supervisor::new();
    let request = Mutex::new(Some(request));
    crew.spawn("listener", DAY, move |_| {
        let (service, told) = (service.clone(), Arc::clone(&told));
        let request = request.lock().unwrap().take();
        async move {
            let Some(request) = request else { return };
            let answer = match whole(call(&service, request).await).await {
                Ok((status, _)) => status.to_string(),
                Err(error) => format!("{} {error}", error.kind()),
            };
            told.lock().unwrap().push((start.elapsed(), answer));
        }
    });
    let report = lasts(crew, 10 * SECOND).await;
    let answer = notes.lock().unwrap().first().cloned();
    Ended { answer, clean: report.clean, breaker: state(layer) }
}

struct Ended {
    answer: Option<(Duration, String)>,
    clean: bool,
    breaker: (Phase, u32),
}

#[tokio::test(start_paused = true)]
async fn a_back_off_ends_at_once_with_what_the_attempts_before_died_of() {
    let peer = Peer::new().forever(Reply::status(502));
    let layer = StackLayer::builder().retry(retry::Settings::default().backoff(15 * SECOND)).build().unwrap();
    let ended = ended(&peer, &layer, get("/jobs")).await;
    let told =
        "cancelled GET http://peer.test/jobs: cancelled by shutdown (after 1 of 4 attempts: 502 after 0 s)";
    assert_eq!(ended.answer, Some((10 * SECOND, told.to_owned())));
    assert!(ended.clean);
    assert_eq!(ended.breaker, (Phase::Closed, 1), "the 502 counts, the end does not");
    assert_eq!(peer.request_count(), 1);
    assert!(layer.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_ends_at_once_and_is_no_failure_of_the_server() {
    let peer = Peer::new().forever(Reply::hang());
    let layer = StackLayer::default();
    let request = with(get("/message"), long_poll!("the broker parks it until there is a job").up_to(MINUTE));
    let ended = ended(&peer, &layer, request).await;
    let told = "cancelled GET http://peer.test/message: cancelled by shutdown (attempt 1 of 4)";
    assert_eq!(ended.answer, Some((10 * SECOND, told.to_owned())));
    assert_eq!(ended.breaker, (Phase::Closed, 0));
    assert!(layer.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn so_does_the_body_of_one_that_has_begun_to_answer() {
    let peer = Peer::new().forever(Reply::sized(100).hang_after(10));
    let layer = StackLayer::default();
    let request = with(get("/watch"), long_poll!("a watch is quiet where nothing changes").up_to(5 * MINUTE));
    let ended = ended(&peer, &layer, request).await;
    let told = "cancelled GET http://peer.test/watch: cancelled by shutdown (attempt 1 of 4)";
    assert_eq!(ended.answer, Some((10 * SECOND, told.to_owned())));
    assert!(ended.clean && layer.in_flight().is_empty());
    assert_eq!(ended.breaker, (Phase::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn another_call_goes_on_and_is_answered_within_the_grace() {
    let peer = Peer::new().forever(Reply::ok("done").after(15 * SECOND));
    let layer = StackLayer::builder().limits(Limits::default().attempt(20 * SECOND)).build().unwrap();
    let ended = ended(&peer, &layer, get("/jobs")).await;
    assert_eq!(ended.answer, Some((15 * SECOND, "200".to_owned())));
    assert!(ended.clean);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_the_grace_cuts_off_is_named_and_no_failure_of_the_server() {
    let peer = Peer::new().forever(Reply::hang());
    let layer = StackLayer::builder()
        .limits(Limits::default().total(10 * MINUTE).attempt(5 * MINUTE))
        .build()
        .unwrap();
    let (log, _guard) = Log::listen();
    let ended = ended(&peer, &layer, get("/jobs")).await;
    assert_eq!((ended.answer, ended.clean), (None, false));
    assert_eq!(ended.breaker, (Phase::Closed, 0));
    assert!(layer.in_flight().is_empty());
    let told = log.with("WARN did not end in time, aborted");
    assert!(
        told[0]
            .contains("in GET http://peer.test/jobs, attempt 1 of 4, waiting for response headers for 20s"),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_on_the_way_out_is_made_and_its_back_off_is_not_waited_out() {
    let peer = Peer::new().then(Reply::ok("")).forever(Reply::status(503));
    let service = stack(&peer, &StackLayer::default());
    let notes = Notes::default();
    let told = Arc::clone(&notes);
    let mut crew = Supervisor::new();
    crew.spawn("listener", DAY, move |heart| {
        let (service, told) = (service.clone(), Arc::clone(&told));
        async move {
            heart.cancelled().await;
            for _ in 0..2 {
                let answer = match call(&service, get("/session")).await {
                    Ok(answer) => answer.status().to_string(),
                    Err(error) => {
                        assert!(matches!(error.kind(), ErrorKind::Cancelled) && !error.is_retriable());
                        error.kind().to_string()
                    }
                };
                told.lock().unwrap().push((Duration::ZERO, answer));
            }
        }
    });
    let report = lasts(crew, SECOND).await;
    let answers: Vec<_> = notes.lock().unwrap().iter().map(|(_, answer)| answer.clone()).collect();
    assert_eq!(answers, ["200 OK", "cancelled"]);
    assert_eq!((report.clean, report.took), (true, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn outside_of_a_crew_nothing_is_cancelled() {
    let peer = Peer::new().then(Reply::status(502)).forever(Reply::ok(""));
    let service = stack(&peer, &StackLayer::default());
    let mut crew = Supervisor::new();
    crew.spawn("listener", DAY, |heart| async move { heart.cancelled().await });
    lasts(crew, SECOND).await;
    assert_eq!(call(&service, get("/jobs")).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn the_end_is_told_from_the_signal_to_the_last_straggler() {
    let mut crew = Supervisor::new();
    let (readiness, mut events) = (crew.readiness(), crew.events());
    crew.spawn("relay", DAY, |heart| async move {
        heart.cancelled().await;
        sleep(3 * SECOND).await;
    });
    crew.spawn("deaf", DAY, |_| pending::<()>());
    let (log, _guard) = Log::listen();
    let start = Instant::now();
    let signal = async {
        sleep(MINUTE).await;
        assert!(readiness.is_ready() && !readiness.is_shutting_down());
        "SIGTERM"
    };
    let report = crew.run_until(signal, 10 * SECOND).await.unwrap();
    assert_eq!(start.elapsed(), 70 * SECOND);
    assert!(readiness.is_shutting_down() && !readiness.is_ready());
    assert_eq!((report.signal, report.running, report.took), (Some("SIGTERM"), 2, 10 * SECOND));
    assert_eq!((report.clean, report.exit_code()), (false, 1));
    assert_eq!(report.stragglers, ["deaf"]);
    assert!(matches!(news(&mut events).last(), Some(Event::ShuttingDown { signal: "SIGTERM" })));
    let end: Vec<_> =
        log.lines().into_iter().filter(|line| line.contains("INFO") || line.contains("WARN")).collect();
    assert_eq!(
        end[end.len() - 4..],
        [
            "INFO shutting down signal=\"SIGTERM\" in_flight=2",
            "INFO loop stopping subsystem=\"relay\"",
            "WARN did not end in time, aborted: deaf: never seen subsystem=\"deaf\"",
            "INFO shutdown complete signal=\"SIGTERM\" killed=1 clean=false took=10s",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_crew_that_is_dropped_in_mid_run_leaves_no_task_behind() {
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let mut crew = Supervisor::new();
    crew.spawn("relay", DAY, move |_| {
        let held = Arc::clone(&held);
        async move {
            let _held = held;
            pending::<()>().await;
        }
    });
    let run = crew.run_until(pending::<()>(), SECOND);
    assert!(tokio::time::timeout(MINUTE, run).await.is_err());
    sleep(MS).await;
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[tokio::test(start_paused = true)]
async fn a_future_that_a_task_of_the_loop_polls_is_woken_too() {
    // Polled by nobody but its own waker, as in a FuturesUnordered or a task of its own.
    let peer = Peer::new().forever(Reply::hang());
    let service = stack(&peer, &StackLayer::default());
    let mut crew = Supervisor::new();
    crew.spawn("listener", DAY, move |heart| {
        let service = service.clone();
        async move {
            let poll = long_poll!("the broker parks it").up_to(MINUTE);
            let mut tasks = tokio::task::JoinSet::new();
            tasks.spawn(heart.scope(async move { call(&service, with(get("/m"), poll)).await.is_err() }));
            assert!(tasks.join_next().await.unwrap().unwrap());
        }
    });
    let report = lasts(crew, SECOND).await;
    assert_eq!((report.clean, report.took), (true, Duration::ZERO));
}
