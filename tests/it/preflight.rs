//! The health check before a call.

use crate::support::*;
use crate::watch::*;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tower_layer::Layer;
use unwedge::breaker::Phase;
use unwedge::stack::{HealthCheckLayer, StackBuilder};
use unwedge::testing::{Peer, Reply, Script};
use unwedge::{Deadline, ErrorKind, StackLayer, within};

fn well() -> Reply {
    Reply::status(204)
}

fn down() -> Reply {
    Reply::status(503)
}

/// A server whose health endpoint follows this script, and which else says `done`.
fn server(health: impl Into<Script>) -> Peer {
    Peer::new().on("/health", health).forever(Reply::ok("done"))
}

fn checked() -> StackBuilder {
    each_once(steady()).health("/health")
}

#[tokio::test(start_paused = true)]
async fn without_a_path_nothing_asks_for_health() {
    let peer = server(well());
    let layer = StackLayer::default();
    let service = stack(&peer, &layer);
    calls(&service, 5).await;
    assert_eq!(health_and_others(&peer), (0, 5));
}

#[tokio::test(start_paused = true)]
async fn one_check_serves_all_calls_for_thirty_seconds() {
    let peer = server(well());
    let layer = checked().build().unwrap();
    let service = stack(&peer, &layer);
    for n in 0..30 {
        assert_eq!(call(&service, get("/")).await.unwrap().body().attempts().count, 1);
        assert_eq!(health_and_others(&peer), (1, n + 1));
        sleep(SECOND).await;
    }
    calls(&service, 1).await;
    assert_eq!(health_and_others(&peer), (2, 31));
    let probe = &peer.requests()[0];
    assert_eq!((probe.method.as_str(), probe.path(), probe.body_len), ("GET", "/health", 0));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_is_asked_ever_more_seldom_and_callers_hear_when() {
    let peer = server(down());
    let layer = HealthCheckLayer::new("/health").unwrap();
    let service = layer.layer(plain(&peer));
    let start = Instant::now();
    let mut probes = 0;
    for wait in [1, 2, 4, 8, 16, 30, 30] {
        let failed = call(&service, get("/")).await.unwrap_err();
        probes += 1;
        assert!(failed.is_unhealthy() && !failed.is_refused(), "{failed}");
        assert_eq!(failed.phase(), Some(unwedge::Phase::HealthCheck));
        assert_eq!(failed.retry_in(), Some(wait * SECOND));
        sleep(wait * SECOND - MS).await;
        let refused = call(&service, get("/")).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unhealthy { since: start.elapsed(), retry_in: MS });
        assert!(refused.is_refused());
        assert_eq!(health_and_others(&peer), (probes, 0));
        sleep(MS).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_callers_share_one_check() {
    let peer = server(well().after(100 * MS));
    let layer = checked().build().unwrap();
    let service = stack(&peer, &layer);
    let mut crowd = JoinSet::new();
    for _ in 0..100 {
        let service = service.clone();
        crowd.spawn(async move { call(&service, get("/")).await.map(drop) });
    }
    settle().await;
    sleep(50 * MS).await;
    let waiting = layer.in_flight().snapshot();
    assert_eq!(waiting.len(), 100);
    assert!(waiting.iter().all(|call| call.phase == unwedge::Phase::HealthCheck), "{waiting:?}");
    assert_eq!(health_and_others(&peer), (1, 0));
    for done in crowd.join_all().await {
        done.unwrap();
    }
    assert_eq!(health_and_others(&peer), (1, 100));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_leaves_costs_one_more_check() {
    let peer = server(well().after(100 * MS));
    let layer = checked().build().unwrap();
    let service = stack(&peer, &layer);
    let mut leaders = JoinSet::new();
    let leader = service.clone();
    leaders.spawn(async move { call(&leader, get("/")).await.map(drop) });
    settle().await;
    let mut crowd = JoinSet::new();
    for _ in 0..99 {
        let service = service.clone();
        crowd.spawn(async move { call(&service, get("/")).await.map(drop) });
    }
    sleep(50 * MS).await;
    leaders.abort_all();
    for done in crowd.join_all().await {
        done.unwrap();
    }
    assert_eq!(health_and_others(&peer), (2, 99));
}

#[tokio::test(start_paused = true)]
async fn a_caller_without_time_gets_its_own_deadline_and_leaves_the_verdict_unknown() {
    let peer = server(well().after(100 * MS));
    let layer = checked().build().unwrap();
    let service = stack(&peer, &layer);
    let start = Instant::now();
    let mut request = get("/");
    request.extensions_mut().insert(Deadline::after(50 * MS));
    let error = call(&service, request).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Deadline, Some(unwedge::Phase::HealthCheck)));
    let ended = within(50 * MS, call(&service, get("/"))).await;
    assert!(ended.is_err() || ended.unwrap().unwrap_err().is_deadline());
    assert_eq!(start.elapsed(), 100 * MS);
    assert_eq!(state(&layer), (Phase::Closed, 0));
    assert!(call(&service, get("/")).await.is_ok(), "neither down nor healthy: it was checked anew");
    assert_eq!(health_and_others(&peer), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_check_knows_nothing_of_the_scope_of_the_call_it_is_made_for() {
    let seen: Arc<Mutex<Vec<(String, Option<Duration>)>>> = Arc::default();
    let look = Arc::clone(&seen);
    let inner = tower::service_fn(move |request: Request<Full<Bytes>>| {
        let (look, path) = (Arc::clone(&look), request.uri().path().to_owned());
        let called = Deadline::current().map(Deadline::remaining);
        look.lock().unwrap().push((path.clone(), called));
        async move {
            let polled = Deadline::current().map(Deadline::remaining);
            look.lock().unwrap().push((path, polled));
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    });
    let layer = checked().build().unwrap();
    within(7 * SECOND, call(&layer.layer(inner), get("/"))).await.unwrap().unwrap();
    let (health, other) = (("/health".to_owned(), None), ("/".to_owned(), Some(7 * SECOND)));
    assert_eq!(*seen.lock().unwrap(), [health.clone(), health, other.clone(), other]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_check_counts_once_however_many_waited_for_it() {
    let peer = server(down().after(100 * MS));
    let layer = checked().build().unwrap();
    let service = stack(&peer, &layer);
    let mut crowd = JoinSet::new();
    for _ in 0..10 {
        let service = service.clone();
        crowd.spawn(async move { call(&service, get("/")).await.unwrap_err() });
    }
    for error in crowd.join_all().await {
        assert!(error.is_unhealthy() && !error.is_refused() && error.attempts() == 1, "{error}");
    }
    assert_eq!(state(&layer), (Phase::Closed, 1));
    // What is known already is a refusal, and no evidence.
    for _ in 0..20 {
        let refused = call(&service, get("/")).await.unwrap_err();
        assert!(refused.is_refused() && refused.attempts() == 0);
    }
    assert_eq!(state(&layer), (Phase::Closed, 1));
    assert_eq!(health_and_others(&peer), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failed_check_is_retried_with_back_off_also_for_a_post() {
    let peer = server(Script::new().times(2, down()).forever(well()));
    let settings = unwedge::retry::Settings::default().backoff(unwedge::retry::Backoff::constant(5 * SECOND));
    let layer = checked().retry(settings).build().unwrap();
    let start = Instant::now();
    let answer = call(&stack(&peer, &layer), post("/")).await.unwrap();
    assert_eq!(answer.body().attempts().count, 3);
    assert_eq!(start.elapsed(), 10 * SECOND);
    assert_eq!(health_and_others(&peer), (3, 1));
    assert_eq!(peer.requests()[3].body, "payload");
}

#[tokio::test(start_paused = true)]
async fn a_check_on_a_reused_connection_that_went_away_is_made_again_and_says_nothing() {
    for method in ["GET", "POST"] {
        let peer =
            Peer::new().on("/health", well()).then(Reply::ok("").stale_on_next()).forever(Reply::ok(""));
        let layer = StackLayer::builder().breaker(steady().failures(1)).health("/health").build().unwrap();
        let service = stack(&peer, &layer);
        let (log, _guard) = Log::listen();
        calls(&service, 1).await;
        sleep(30 * SECOND).await;
        let start = Instant::now();
        let answer = call(&service, request(method, "/")).await.unwrap();
        assert_eq!((answer.body().attempts().count, start.elapsed()), (2, Duration::ZERO));
        assert_eq!(state(&layer), (Phase::Closed, 0));
        assert_eq!(health_and_others(&peer), (3, 2), "one of three checks was lost");
        assert_eq!(log.with("health check passed").len(), 0, "nothing was down");
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_checks_nothing_and_the_first_call_after_it_is_checked_first() {
    let health = Script::new().then(well()).then(down()).forever(well());
    let peer = Peer::new().on("/health", health).times(5, Reply::status(500)).forever(Reply::ok("done"));
    let (log, _guard) = Log::listen();
    let layer = checked().build().unwrap();
    let service = stack(&peer, &layer);
    calls(&service, 5).await;
    assert_eq!(health_and_others(&peer), (1, 5));
    for _ in 0..5 {
        assert!(call(&service, get("/")).await.unwrap_err().is_open());
    }
    assert_eq!(health_and_others(&peer), (1, 5), "no check while open, though the verdict says healthy");

    sleep(5 * SECOND).await;
    let failed = call(&service, get("/")).await.unwrap_err();
    assert!(failed.is_unhealthy());
    assert_eq!(health_and_others(&peer), (2, 5), "the request itself was not sent");
    assert_eq!(phase(&layer), Phase::Open);
    assert_eq!(call(&service, get("/")).await.unwrap_err().retry_in(), Some(10 * SECOND));
    assert_eq!(log.with("health check passed").len(), 0);

    sleep(10 * SECOND).await;
    assert!(call(&service, get("/")).await.is_ok());
    assert_eq!(health_and_others(&peer), (3, 6));
    assert_eq!(state(&layer), (Phase::Closed, 0));
    calls(&service, 2).await;
    assert_eq!(health_and_others(&peer), (3, 8), "it is healthy");
    assert_eq!(
        log.with("health check passed"),
        ["INFO health check passed, resuming normal operations origin=http://peer.test down_for=\"15s\""]
    );
}

#[tokio::test(start_paused = true)]
async fn a_recovery_is_told_once_with_how_long_it_took() {
    let peer = server(Script::new().until(7 * SECOND, down()).forever(well()));
    let (log, _guard) = Log::listen();
    let layer = checked().build().unwrap();
    let service = stack(&peer, &layer);
    for _ in 0..80 {
        calls(&service, 1).await;
        sleep(125 * MS).await;
    }
    // Checked at 0, 1, 3 and 7 s.
    assert_eq!(
        log.with("health check passed"),
        ["INFO health check passed, resuming normal operations origin=http://peer.test down_for=\"7s\""]
    );
    assert_eq!(health_and_others(&peer), (4, 24));
}

#[tokio::test(start_paused = true)]
async fn a_health_endpoint_that_hangs_fails_after_five_seconds() {
    let peer = server(Reply::hang());
    let layer = checked().build().unwrap();
    let service = stack(&peer, &layer);
    let start = Instant::now();
    let error = call(&service, get("/")).await.unwrap_err();
    assert_eq!(start.elapsed(), 5 * SECOND);
    assert!(error.is_unhealthy());
    assert_eq!(error.phase().map(|phase| phase.to_string()).as_deref(), Some("health check"));
    assert_eq!(state(&layer), (Phase::Closed, 1));
    settle().await;
    assert_eq!(peer.open_connections(), 0, "the connection of a check that hung is closed");
}

#[tokio::test(start_paused = true)]
async fn a_health_path_that_is_not_there_is_said_to_be_so() {
    let layer = checked().build().unwrap();
    let error = call(&stack(&server(Reply::status(404)), &layer), get("/")).await.unwrap_err();
    assert_eq!(error.to_string(), "GET http://peer.test/: health check failed: 404, the path is not there");
    let settings = unwedge::health::Settings::new("/health");
    let odd = StackLayer::builder().health(settings.accept(|status| status == 404)).build().unwrap();
    assert!(
        call(&stack(&server(Reply::status(404)), &odd), get("/")).await.is_ok(),
        "that is for the user to say"
    );
}

#[tokio::test(start_paused = true)]
async fn a_green_health_endpoint_cannot_hide_a_stalled_service() {
    let peer = Peer::new().on("/health", well()).forever(Reply::hang());
    let layer = checked().build().unwrap();
    let service = stack(&peer, &layer);
    calls(&service, 5).await;
    assert_eq!(phase(&layer), Phase::Open);
}

#[tokio::test(start_paused = true)]
async fn a_leader_dropped_in_a_silent_check_is_a_hang_and_a_waiter_is_not() {
    let peer = server(Reply::hang());
    let layer = checked().build().unwrap();
    let service = stack(&peer, &layer);
    let mut crowd = JoinSet::new();
    for _ in 0..10 {
        let service = service.clone();
        crowd.spawn(async move { timeout(2 * SECOND, call(&service, get("/"))).await.map(drop) });
    }
    crowd.join_all().await;
    let (phase, run) = state(&layer);
    assert_eq!((phase, run), (Phase::Closed, 1), "one check was silent for two seconds");
}
