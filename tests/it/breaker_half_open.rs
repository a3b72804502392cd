//! A half-open circuit and calls that are long by nature, or wait for something else than the server.

use crate::support::*;
use crate::watch::*;
use http_body_util::BodyExt;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tower::limit::ConcurrencyLimit;
use tower_layer::Layer;
use unwedge::admin::Admin;
use unwedge::breaker::{Phase, Ratio};
use unwedge::supervise::Supervisor;
use unwedge::testing::{Peer, Reply, Script};
use unwedge::{ErrorKind, Limits, StackLayer, long_poll};

/// Larger than what is collected.
const LARGE: u64 = 3_000_000;

fn poll(path: &str) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    with(get(path), long_poll!("jobs are parked here").up_to(50 * SECOND))
}

/// A stack whose circuit is half-open over a server that is well again.
async fn half_open<S>(service: &S, layer: &StackLayer)
where
    S: tower_service::Service<
            http::Request<http_body_util::Full<bytes::Bytes>>,
            Response = http::Response<unwedge::Body>,
            Error = unwedge::Error,
        > + Clone,
{
    calls(service, 5).await;
    assert_eq!(phase(layer), Phase::Open);
    sleep(5 * SECOND).await;
    assert_eq!(phase(layer), Phase::HalfOpen);
}

fn outage() -> Peer {
    Peer::new().times(5, Reply::status(500))
}

#[tokio::test(start_paused = true)]
async fn a_download_closes_the_circuit_when_it_is_handed_over_and_may_take_its_time() {
    let peer = outage().forever(Reply::sized(LARGE).drip(50_000, SECOND));
    let layer = judged(steady());
    let service = stack(&peer, &layer);
    half_open(&service, &layer).await;
    let download = call(&service, get("/")).await.unwrap();
    assert_eq!(phase(&layer), Phase::Closed);
    assert_eq!(whole(Ok(download)).await.unwrap().1.len() as u64, LARGE);
    let now = breaker(&layer).snapshot();
    assert_eq!((now.phase, now.expired_leases, now.calls, now.failures), (Phase::Closed, 0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_pauses_longer_than_a_lease_is_no_failure() {
    let peer = outage().forever(Reply::sized(LARGE));
    let layer = judged(steady());
    let service = stack(&peer, &layer);
    half_open(&service, &layer).await;
    let mut body = call(&service, get("/")).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    sleep(17 * SECOND).await;
    assert_eq!((state(&layer), breaker(&layer).snapshot().expired_leases), ((Phase::Closed, 0), 0));
    drop(body);
    assert_eq!(state(&layer), (Phase::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn a_download_that_stalls_after_its_probe_passed_is_a_failure_like_any_other() {
    let peer = outage().forever(Reply::sized(LARGE).hang_after(100_000));
    let layer = judged(steady());
    let service = stack(&peer, &layer);
    half_open(&service, &layer).await;
    let error = whole(call(&service, get("/")).await).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stall);
    assert_eq!(state(&layer), (Phase::Closed, 1));
}

#[tokio::test(start_paused = true)]
async fn sixteen_downloads_that_stall_together_are_one_event_and_sixteen_silent_calls_an_outage() {
    let peer = Peer::new().forever(Reply::sized(LARGE).hang_after(100_000));
    let silent = Peer::new().forever(Reply::silent());
    for (peer, expected) in [(peer, (Phase::Closed, 1)), (silent, (Phase::Open, 0))] {
        let layer = judged(steady().half_open(1, 9));
        let service = stack(&peer, &layer);
        let mut crowd = JoinSet::new();
        for _ in 0..16 {
            let service = service.clone();
            crowd.spawn(async move { whole(call(&service, get("/")).await).await.is_ok() });
        }
        assert!(crowd.join_all().await.iter().all(|ok| !ok));
        assert_eq!(state(&layer), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn parked_polls_refuse_no_ordinary_call() {
    let peer = outage().on("/poll", Reply::long_poll(50 * SECOND)).forever(Reply::ok("fine"));
    let layer = judged(steady().half_open(1, 2));
    let service = stack(&peer, &layer);
    half_open(&service, &layer).await;
    let mut parked = JoinSet::new();
    for _ in 0..3 {
        let service = service.clone();
        parked.spawn(async move { call(&service, poll("/poll")).await.is_ok() });
        sleep(SECOND).await;
    }
    assert_eq!(phase(&layer), Phase::HalfOpen);
    assert_eq!(call(&service, get("/")).await.unwrap().status(), 200);
    assert!(parked.join_all().await.into_iter().all(|answered| answered));
    assert_eq!(state(&layer).0, Phase::Closed, "the answer of a poll was the second success");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_only_polls_closes_its_circuit_with_the_first_answer() {
    for pollers in [1, 3, 10] {
        let peer = outage().forever(Reply::ok("job").after(50 * SECOND));
        let layer = judged(steady());
        let service = stack(&peer, &layer);
        half_open(&service, &layer).await;
        let mut loops = JoinSet::new();
        for _ in 0..pollers {
            let service = service.clone();
            loops.spawn(async move {
                loop {
                    let ended = call(&service, poll("/")).await;
                    if let Some(wait) = ended.err().and_then(|error| error.retry_in()) {
                        sleep(wait).await;
                    }
                }
            });
        }
        sleep(50 * SECOND + 10 * MS).await;
        let now = breaker(&layer).snapshot();
        assert_eq!((now.phase, now.expired_leases), (Phase::Closed, 0), "{pollers} pollers");
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_a_program_that_only_polls_closes_its_circuit_within_one_open_wait_and_a_hold() {
    for down in [Reply::refuse(), Reply::reset(), Reply::status(503)] {
        for pollers in [1, 3, 10] {
            let job = || Reply::ok("job").after(50 * SECOND);
            let peer = Peer::new().until(100 * SECOND, job()).until(400 * SECOND, down.clone());
            let peer = peer.forever(job());
            let layer = StackLayer::default();
            let service = stack(&peer, &layer);
            let mut loops = JoinSet::new();
            for _ in 0..pollers {
                let service = service.clone();
                loops.spawn(async move {
                    loop {
                        let _ = call(&service, poll("/")).await;
                    }
                });
            }
            let seen = format!("{pollers} pollers, {down:?}");
            sleep(390 * SECOND).await;
            assert_ne!(phase(&layer), Phase::Closed, "{seen}");
            sleep((10 + 17 + 50 + 1) * SECOND).await;
            let now = breaker(&layer).snapshot();
            assert_eq!((now.phase, now.expired_leases), (Phase::Closed, 0), "{seen}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_fails_at_once_reopens_the_circuit_and_a_parked_one_that_is_cut_off_does_not() {
    let balancer = Reply::status(500);
    for (after, expected) in [(900 * MS, Phase::Open), (1100 * MS, Phase::HalfOpen)] {
        let peer = outage().forever(balancer.clone().after(after));
        let layer = judged(steady());
        let service = stack(&peer, &layer);
        half_open(&service, &layer).await;
        let _ = call(&service, poll("/")).await;
        assert_eq!(phase(&layer), expected, "after {after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_waits_for_a_full_pool_lets_others_ask_and_is_no_hang() {
    let peer = outage().then(Reply::ok("long").after(60 * SECOND)).forever(Reply::ok("fine"));
    let limited = ConcurrencyLimit::new(plain(&peer), 1);
    let elsewhere = built(StackLayer::builder().limits(Limits::default().total(MINUTE * 2).attempt(MINUTE)));
    let other = elsewhere.layer(limited.clone());
    let layer = each_once(steady()).limits(Limits::default().total(2 * MINUTE).attempt(10 * SECOND)).build();
    let layer = layer.unwrap();
    let service = layer.layer(limited);
    half_open(&service, &layer).await;
    // Somebody else takes the one permit.
    let mut busy = JoinSet::new();
    busy.spawn(async move { call(&other, get("/")).await.map(drop) });
    settle().await;
    let start = Instant::now();
    let mut waiting = JoinSet::new();
    let probe = service.clone();
    waiting.spawn(async move { call(&probe, get("/")).await.map(drop) });
    settle().await;
    assert_eq!(breaker(&layer).snapshot().probes_in_flight, 1);
    sleep(1001 * MS).await;
    let now = breaker(&layer).snapshot();
    assert_eq!((now.phase, now.probes_in_flight, now.expired_leases), (Phase::HalfOpen, 0, 0));
    waiting.join_all().await.into_iter().for_each(|ended| ended.unwrap());
    assert!(start.elapsed() >= 59 * SECOND, "{:?}", start.elapsed());
    assert_eq!(state(&layer), (Phase::Closed, 0));
    busy.join_all().await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_health_check_is_slow_has_its_whole_lease_for_the_call_itself() {
    let peer = outage()
        .on("/health", Script::new().then(Reply::ok("")).forever(Reply::ok("").after(4 * SECOND)))
        .forever(Reply::ok("").after(9 * SECOND));
    let layer = each_once(steady()).health("/health").build().unwrap();
    let service = stack(&peer, &layer);
    half_open(&service, &layer).await;
    let start = Instant::now();
    assert_eq!(call(&service, get("/")).await.unwrap().status(), 200);
    assert_eq!(start.elapsed(), 13 * SECOND);
    assert_eq!((phase(&layer), breaker(&layer).snapshot().expired_leases), (Phase::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_needs_five_seconds_for_all_is_left_alone_for_longer_after_each_slow_probe() {
    let peer = outage().forever(Reply::ok("").after(5 * SECOND));
    let layer = judged(steady().ratio(Ratio::default().slow_after(4 * SECOND)));
    let service = stack(&peer, &layer);
    half_open(&service, &layer).await;
    for wait in [10, 20, 40, 60] {
        assert!(call(&service, get("/")).await.is_ok());
        assert_eq!(call(&service, get("/")).await.unwrap_err().retry_in(), Some(wait * SECOND));
        sleep(wait * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_two_hundred_callers_are_told_at_one_moment_is_one_failure_and_the_fifth_time_an_outage() {
    let peer = Peer::new().forever(Reply::status(503).after(SECOND));
    let layer = judged(steady());
    let mut news = layer.breakers().subscribe();
    let service = stack(&peer, &layer);
    for round in 1..=5 {
        let mut crowd = JoinSet::new();
        for _ in 0..200 {
            let service = service.clone();
            crowd.spawn(async move { call(&service, get("/")).await.map(drop) });
        }
        crowd.join_all().await;
        let expected = if round < 5 { (Phase::Closed, round) } else { (Phase::Open, 0) };
        assert_eq!(state(&layer), expected);
    }
    assert_eq!(told(&mut news), [(Phase::Closed, Phase::Open)]);
}

#[tokio::test(start_paused = true)]
async fn one_dead_replica_of_five_opens_nothing() {
    let layer = judged(unwedge::breaker::Settings::default());
    let mut rng = SmallRng::seed_from_u64(6);
    let mut news = layer.breakers().subscribe();
    let (up, down) = (Peer::new().forever(Reply::ok("")), Peer::new().forever(Reply::refuse()));
    let (up, down) = (stack(&up, &layer), stack(&down, &layer));
    let mut longest = 0;
    for _ in 0..3_000 {
        sleep(20 * MS).await;
        let _ = call(if rng.random_range(0..5_u8) == 0 { &down } else { &up }, get("/")).await;
        longest = longest.max(state(&layer).1);
    }
    assert!(longest >= 5, "chance made such runs: {longest}");
    assert_eq!(told(&mut news), []);
}

#[tokio::test(start_paused = true)]
async fn an_operator_who_looks_changes_nothing_and_the_next_call_is_told_of() {
    let peer = Peer::new().times(5, Reply::status(500)).forever(Reply::ok("x"));
    let layer = judged(steady());
    let service = stack(&peer, &layer);
    calls(&service, 5).await;
    let crew = Supervisor::new();
    let admin = Admin::new(&crew).breakers(layer.breakers()).calls(layer.in_flight()).router().unwrap();
    let (mut all, mut one) = (layer.breakers().subscribe(), breaker(&layer).subscribe());
    let (log, _listens) = Log::listen();
    sleep(MINUTE).await;
    for path in
        ["/metrics", "/healthz", "/readyz", "/admin", "/admin/breakers", "/admin/calls", "/admin/liveness"]
    {
        crate::admin::get(&admin, path).await;
    }
    let seen = [format!("{layer:?}"), format!("{:?}", layer.breakers()), format!("{:?}", breaker(&layer))];
    assert!(seen[1].contains("HalfOpen") && seen[2].contains("HalfOpen"), "{seen:?}");
    assert_eq!((phase(&layer), breaker(&layer).phase()), (Phase::HalfOpen, Phase::HalfOpen));
    assert_eq!((told(&mut all), told(&mut one)), (vec![], vec![]), "to look is no event");
    assert_eq!(log.lines(), [""; 0]);
    calls(&service, 1).await;
    let closed = vec![(Phase::Open, Phase::HalfOpen), (Phase::HalfOpen, Phase::Closed)];
    assert_eq!((told(&mut all), told(&mut one)), (closed.clone(), closed));
    assert_eq!(peer.request_count(), 6);
}
