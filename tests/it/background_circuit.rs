//! Health checks in the background and the circuit: they close it although nobody calls, and never end.

use crate::support::*;
use crate::watch::{breaker, phase, settle};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::sleep;
use tower_layer::Layer;
use tower_service::Service;
use unwedge::breaker::{self, Phase};
use unwedge::health::{Mode, Settings};
use unwedge::retry::{Backoff, Jitter};
use unwedge::stack::HealthCheckLayer;
use unwedge::testing::{Peer, Reply, Script};
use unwedge::{Client, StackLayer};

fn health() -> Settings {
    Settings::new("/health").mode(Mode::Background)
}

/// A second, half as much more each time, up to 15 s; one probe closes.
fn quick() -> breaker::Settings {
    let waits =
        Backoff::exponential(SECOND).multiplier(1.5).cap(15 * SECOND).jitter(Jitter::Proportional(0.1));
    breaker::Settings::default().open(waits).half_open(3, 1)
}

fn layer(breaker: breaker::Settings) -> StackLayer {
    StackLayer::builder().breaker(breaker).health(health()).build().unwrap()
}

fn checks(peer: &Peer) -> usize {
    peer.requests().iter().filter(|request| request.path() == "/health").count()
}

fn origin() -> http::Uri {
    "http://peer.test/".parse().unwrap()
}

async fn pass(seconds: u32) {
    for _ in 0..seconds {
        sleep(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_circuit_closes_within_one_open_wait_of_the_servers_return_although_nobody_calls() {
    for down in [Reply::status(503), Reply::reset(), Reply::hang()] {
        let script =
            Script::new().until(20 * SECOND, Reply::ok("")).until(320 * SECOND, down).forever(Reply::ok(""));
        let peer = Peer::new().on("/health", script).forever(Reply::ok("x"));
        let client = Client::builder().pipe(peer.pipe()).breaker(quick()).health(health()).build().unwrap();
        client.get("http://peer.test/").send().await.unwrap();
        let circuit = client.breakers().of(&origin()).unwrap();
        // Read without asking the machine: nobody but the checks moves it.
        let mut news = circuit.subscribe();
        let mut now = Phase::Closed;
        let mut closed_at = None;
        for second in 1..400 {
            sleep(SECOND).await;
            while let Ok(told) = news.try_recv() {
                now = told.to;
            }
            if second == 315 {
                assert_ne!(now, Phase::Closed, "the checks alone have opened it");
            }
            if second > 320 && now == Phase::Closed {
                closed_at.get_or_insert(second);
            }
        }
        assert!(closed_at.is_some_and(|at| at <= 320 + 17 + 1), "{closed_at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_whose_readiness_is_the_circuit_becomes_ready_again_although_nobody_calls() {
    let script = Script::new()
        .until(20 * SECOND, Reply::ok(""))
        .until(320 * SECOND, Reply::status(503))
        .forever(Reply::ok(""));
    let peer = Peer::new().on("/health", script).forever(Reply::ok("x"));
    let client = Client::builder().pipe(peer.pipe()).breaker(quick()).health(health()).build().unwrap();
    client.get("http://peer.test/").send().await.unwrap();
    let mut crew = unwedge::supervise::Supervisor::new();
    crew.spawn("relay", 60 * MINUTE, |heart| async move {
        heart.beat();
        heart.cancelled().await;
    });
    let admin = unwedge::admin::Admin::new(&crew).breakers(client.breakers());
    let router = admin.ready_when_closed("http://peer.test").router().unwrap();
    let asked = async || crate::admin::get(&router, "/readyz").await;
    let running = tokio::spawn(async move { crew.run_until(std::future::pending::<()>(), SECOND).await });
    pass(10).await;
    assert_eq!(asked().await.0, 200, "{:?}", asked().await);
    pass(300).await;
    let (status, said) = asked().await;
    assert!(status == 503 && said.contains("\"breaker\""), "in the outage: {said}");
    pass(10 + 17 + 1).await;
    assert_eq!(asked().await.0, 200, "{:?}", asked().await);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_circuit_that_calls_have_opened_is_closed_by_a_check_and_a_waiting_call_goes_on() {
    let peer = Peer::new().on("/health", Reply::ok("")).times(5, Reply::status(500)).forever(Reply::ok("x"));
    let layer = layer(quick());
    let service = stack(&peer, &layer);
    let fresh = tokio::spawn(service.keep_health_fresh(origin()));
    // In the midst of a verdict that holds for 30 s.
    pass(5).await;
    for _ in 0..5 {
        let _ = call(&service, post("/")).await;
    }
    settle().await;
    let mut news = breaker(&layer).subscribe();
    pass(3).await;
    let told: Vec<_> = std::iter::from_fn(|| news.try_recv().ok()).map(|told| told.to).collect();
    assert_eq!(told, [Phase::HalfOpen, Phase::Closed]);
    assert_eq!(checks(&peer), 2);
    fresh.abort();
}

#[tokio::test(start_paused = true)]
async fn in_half_open_checks_follow_each_other_at_once_until_they_have_closed_the_circuit() {
    let peer = Peer::new().on("/health", Reply::ok("").after(10 * MS)).forever(Reply::ok("x"));
    let layer = layer(quick().failures(1).half_open(3, 3));
    let service = stack(&peer, &layer);
    let fresh = tokio::spawn(service.keep_health_fresh(origin()));
    pass(1).await;
    breaker(&layer).acquire().unwrap().failure();
    pass(3).await;
    assert_eq!((phase(&layer), checks(&peer)), (Phase::Closed, 4));
    let at: Vec<_> = peer.requests().iter().map(|request| request.at).collect();
    assert!(at[3] - at[1] <= 25 * MS, "{at:?}");
    pass(25).await;
    assert_eq!(checks(&peer), 4, "and then as seldom as ever");
    fresh.abort();
}

#[tokio::test(start_paused = true)]
async fn a_failed_check_in_half_open_opens_the_circuit_for_longer() {
    let peer = Peer::new().on("/health", Reply::status(503)).forever(Reply::ok("x"));
    let layer =
        layer(quick().open(Backoff::exponential(SECOND).cap(60 * SECOND).jitter(Jitter::None)).failures(1));
    let service = stack(&peer, &layer);
    let fresh = tokio::spawn(service.keep_health_fresh(origin()));
    pass(32).await;
    let at: Vec<_> = peer.requests().iter().map(|request| request.at.as_secs()).collect();
    assert_eq!(at, [0, 1, 3, 7, 15, 31], "each a probe, and none while it is open");
    fresh.abort();
}

#[tokio::test(start_paused = true)]
async fn a_layer_of_health_checks_alone_asks_no_breaker_and_its_checks_go_on_after_an_outage() {
    let script = Script::new().until(300 * SECOND, Reply::status(503)).forever(Reply::ok(""));
    let peer = Peer::new().on("/health", script).forever(Reply::ok("x"));
    let service = HealthCheckLayer::new(health()).unwrap().layer(plain(&peer));
    let fresh = service.keep_health_fresh::<Full<Bytes>, hyper::body::Incoming>(origin());
    let fresh = tokio::spawn(fresh);
    pass(300).await;
    let in_outage = checks(&peer);
    assert!(in_outage >= 12, "{in_outage}");
    pass(3600).await;
    assert!(checks(&peer) - in_outage >= 110, "{}", checks(&peer) - in_outage);
    assert!(!fresh.is_finished());
    fresh.abort();
}

#[tokio::test(start_paused = true)]
async fn a_check_that_is_given_up_in_half_open_leaves_its_place_and_nothing_recorded() {
    let peer = Peer::new().on("/health", Reply::hang()).forever(Reply::ok("x"));
    let layer = layer(quick().failures(1));
    let service = stack(&peer, &layer);
    breaker(&layer).acquire().unwrap().failure();
    let fresh = tokio::spawn(service.keep_health_fresh(origin()));
    pass(4).await;
    assert_eq!(breaker(&layer).snapshot().probes_in_flight, 1);
    fresh.abort();
    settle().await;
    let now = breaker(&layer).snapshot();
    assert_eq!((now.phase, now.probes_in_flight), (Phase::HalfOpen, 0));
    let answer = tokio::spawn(async move { call(&service, get("/")).await.map(drop) });
    pass(1).await;
    assert_eq!(checks(&peer), 2, "the next caller checks");
    answer.abort();
}

#[tokio::test(start_paused = true)]
async fn connections_that_went_stale_are_no_evidence_for_a_check_in_the_background() {
    let script = Script::new().times(3, Reply::ok("").stale_on_next()).forever(Reply::ok(""));
    let peer = Peer::new().on("/health", script).forever(Reply::ok("x"));
    let layer = layer(quick().failures(1));
    let service = stack(&peer, &layer);
    let fresh = tokio::spawn(service.keep_health_fresh(origin()));
    let mut news = breaker(&layer).subscribe();
    pass(200).await;
    assert!(news.try_recv().is_err(), "one failure would have opened it");
    assert!(checks(&peer) >= 7, "{}", checks(&peer));
    assert!(!fresh.is_finished());
    fresh.abort();
}

/// Answers well, but for one call that panics and one readiness that fails.
#[derive(Clone, Default)]
struct Faulty {
    asked: Arc<AtomicUsize>,
    ready: Arc<AtomicUsize>,
}

impl Service<Request<Full<Bytes>>> for Faulty {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Full<Bytes>>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        assert_ne!(self.asked.fetch_add(1, Ordering::Relaxed), 2, "a bug of the user's service");
        ready(Ok(Response::default()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_panics_in_a_check_fails_it_and_ends_no_other() {
    let inner = Faulty::default();
    let layer = StackLayer::builder().health(health()).build().unwrap();
    let fresh = tokio::spawn(layer.layer(inner.clone()).keep_health_fresh(origin()));
    pass(200).await;
    assert!(!fresh.is_finished());
    assert!(inner.asked.load(Ordering::Relaxed) >= 7);
    assert_eq!(breaker(&layer).snapshot().consecutive_failures, 1);
    fresh.abort();
}

/// A runtime of its own whose clock stands still.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

#[test]
fn sixty_four_origins_are_watched_and_all_of_them_on_the_next_runtime_too_and_no_more() {
    let peer = Peer::new().forever(Reply::ok(""));
    let hosts: Vec<_> = (0..66).map(|n| format!("h{n}")).collect();
    let pipe = hosts.iter().fold(peer.pipe(), |pipe, host| pipe.host(host, &peer));
    let client = Client::builder().pipe(pipe).health(health()).build().unwrap();
    let of = |host: &str| {
        let asked = |r: &unwedge::testing::Received| r.path() == "/health" && r.header("host") == Some(host);
        peer.requests().iter().filter(|r| asked(r)).count()
    };
    let first = runtime();
    first.block_on(async {
        for host in &hosts {
            client.get(format!("http://{host}/")).send().await.unwrap();
        }
    });
    drop(first);
    let before: Vec<_> = hosts.iter().map(|host| of(host)).collect();
    runtime().block_on(async {
        client.get("http://h3/").send().await.unwrap();
        pass(200).await;
    });
    for (n, host) in hosts.iter().enumerate() {
        let more = of(host) - before[n];
        assert_eq!(more >= 5, n < 64, "{host}: {more}");
    }
}

#[test]
fn a_runtime_that_ends_before_the_first_check_costs_no_origin_its_place() {
    let peer = Peer::new().forever(Reply::ok(""));
    let client = Client::builder().pipe(peer.pipe()).health(health()).build().unwrap();
    for _ in 0..3 {
        runtime().block_on(async { client.get("http://peer.test/").send().await.unwrap() });
    }
    let before = checks(&peer);
    runtime().block_on(async {
        client.get("http://peer.test/").send().await.unwrap();
        pass(200).await;
    });
    assert!(checks(&peer) >= before + 5, "{before}, {}", checks(&peer));
}

#[test]
fn the_time_of_a_check_is_the_shorter_of_its_own_and_that_of_an_attempt() {
    runtime().block_on(async {
        let peer = Peer::new().on("/health", Reply::hang()).forever(Reply::ok("x"));
        let layer = layer(quick().failures(1));
        let service = stack(&peer, &layer);
        let mut news = breaker(&layer).subscribe();
        let fresh = tokio::spawn(service.keep_health_fresh(origin()));
        sleep(5 * SECOND - MS).await;
        assert!(news.try_recv().is_err());
        sleep(Duration::from_millis(3)).await;
        assert_eq!(news.try_recv().unwrap().to, Phase::Open);
        fresh.abort();
    });
}
