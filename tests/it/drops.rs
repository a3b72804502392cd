//! Ten thousand calls that are given up at random moments leave nothing behind.

use crate::support::*;
use crate::watch::*;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower_layer::Layer;
use unwedge::breaker::Phase;
use unwedge::health::Settings;
use unwedge::retry::{self, Budget};
use unwedge::testing::{Peer, Pipe, Reply};
use unwedge::{Collect, LongPoll, Stack, StackLayer};

const CALLS: usize = 10_000;
/// So many at the same time.
const CROWD: usize = 50;
const POOL: usize = 8;

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

fn pooled(pipe: Pipe) -> Plain {
    Client::builder(TokioExecutor::new()).pool_max_idle_per_host(POOL).build(pipe)
}

/// Calls as `make` says, each given up after at most `patience`, at a random moment.
async fn storm(
    service: &Stack<Plain>,
    seed: u64,
    patience: Duration,
    make: impl Fn(&mut SmallRng) -> Request<Full<Bytes>>,
) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut crowd = JoinSet::new();
    for n in 0..CALLS {
        let (service, request) = (service.clone(), make(&mut rng));
        let (moment, frames) = (patience.mul_f64(rng.random::<f64>()), rng.random_range(0..40_usize));
        crowd.spawn(async move {
            let _ = timeout(moment, async {
                let Ok(answer) = call(&service, request).await else { return };
                let mut body = answer.into_body();
                for _ in 0..frames {
                    if !matches!(piece(&mut body).await, Some(Ok(_))) {
                        return;
                    }
                }
            })
            .await;
        });
        if n % CROWD == CROWD - 1 {
            while crowd.join_next().await.is_some() {}
        }
    }
}

/// Everything that a server can do, by number.
fn faults() -> Vec<Reply> {
    let large = Reply::sized(2 << 20);
    let ms = Duration::from_millis;
    vec![
        Reply::ok("fine"),
        Reply::ok("fine").after(ms(200)),
        Reply::status(204).after(ms(20)),
        Reply::hang(),
        Reply::reset(),
        Reply::reset().after(ms(300)),
        Reply::close(),
        Reply::garbage(),
        Reply::status(429),
        Reply::status(502).after(ms(10)),
        Reply::status(503).retry_after("1").body("busy"),
        Reply::status(500).body("x".repeat(20_000)).drip(100, ms(50)),
        Reply::headers_then_hang(),
        Reply::ok("fine").slow_head(ms(15)),
        Reply::ok("fine").stale_on_next(),
        Reply::ok("fine").stale(),
        Reply::sized(5000).drip(100, ms(50)),
        Reply::sized(100).truncate_after(40),
        Reply::sized(100).reset_after(40),
        Reply::sized(100_000).chunked().hang_after(70_000),
        large.clone(),
        large.clone().drip(100_000, ms(20)),
        large.clone().chunked().drip(100_000, ms(20)),
        large.clone().reset_after(1_500_000),
        large.hang_after(1_000_000),
        Reply::endless().drip(10, ms(100)).header("content-type", "text/event-stream"),
        Reply::long_poll(ms(700)),
    ]
}

#[tokio::test(start_paused = true)]
async fn whatever_the_server_does_calls_that_are_given_up_leave_no_task_slot_or_connection() {
    let before = tasks();
    let calm = Arc::new(AtomicBool::new(false));
    let faults = faults();
    let kinds = faults.len();
    let dice = Mutex::new(SmallRng::seed_from_u64(7));
    let is_calm = Arc::clone(&calm);
    let health = Reply::by(move |_| match dice.lock().unwrap().random_range(0..10_u8) {
        _ if is_calm.load(Ordering::Relaxed) => Reply::status(204),
        0 => Reply::status(503),
        1 => Reply::hang(),
        2 => Reply::reset(),
        n => Reply::status(204).after(Duration::from_millis(30) * u32::from(n)),
    });
    let fault = Reply::by(move |request| faults[request.path()[1..].parse::<usize>().unwrap()].clone());
    let peer = Peer::new().on("/health", health).forever(fault);
    let (refuses, hangs) = (Peer::new().forever(Reply::refuse()), Peer::new().forever(Reply::connect_hang()));
    let listening = tasks();

    let layer = StackLayer::builder()
        .breaker(steady().open(50 * MS).overdue_after(3 * SECOND))
        .health(Settings::new("/health").interval(SECOND))
        .retry(retry::Settings::default().wait_when_refused(MINUTE))
        .build()
        .unwrap();
    let pipe = peer.pipe().host("refuses.test", &refuses).host("hangs.test", &hangs);
    let service = layer.layer(pooled(pipe));
    storm(&service, 42, 4 * SECOND, |rng| {
        let host = ["refuses", "hangs", "peer", "peer", "peer", "peer"][rng.random_range(0..6_usize)];
        let method = ["GET", "GET", "POST", "HEAD"][rng.random_range(0..4_usize)];
        let url = format!("http://{host}.test/{}", rng.random_range(0..kinds));
        let request = Request::builder().method(method).uri(url);
        let request = match rng.random_range(0..6_u8) {
            0 => request.extension(LongPoll::because("it may wait").up_to(SECOND)),
            1 => request.extension(Collect::never()),
            2 => request.extension(LongPoll::because("it may wait for ever").unbounded()),
            _ => request,
        };
        request.body(Full::from("payload")).unwrap()
    })
    .await;

    settle().await;
    assert!(layer.in_flight().is_empty(), "{:?}", layer.in_flight());
    for breaker in layer.breakers().snapshot() {
        assert_eq!(breaker.probes_in_flight, 0, "{breaker:?}");
        assert_eq!(breaker.expired_leases, 0, "no lease had to run out");
    }
    let open = peer.open_connections();
    assert!(open <= POOL, "{open} connections");
    assert_eq!((refuses.open_connections(), hangs.open_connections()), (0, 0));
    // Two tasks for each connection that is kept: the client's and the server's.
    assert!(tasks() <= listening + 2 * open, "{} tasks, {listening} before, {open} connections", tasks());

    // It works as on the first day.
    calm.store(true, Ordering::Relaxed);
    sleep(31 * SECOND).await;
    for n in 0..100 {
        let answer = call(&service, get("/0")).await;
        assert!(answer.is_ok(), "call {n}: {}", answer.unwrap_err());
    }
    assert_eq!(state(&layer), (Phase::Closed, 0));

    drop(service);
    settle().await;
    assert_eq!(peer.open_connections(), 0);
    drop((peer, refuses, hangs));
    settle().await;
    assert_eq!(tasks(), before);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_is_as_before_and_one_check_at_most_is_on_the_wire() {
    let replies = [Reply::hang(), Reply::headers_then_hang(), Reply::sized(500).drip(1, 100 * MS)];
    let health = Reply::status(204).after(100 * MS);
    let peer = Peer::new()
        .on("/health", health)
        .on("/bad", Reply::status(500))
        .on("/good", Reply::ok("good"))
        .forever(Reply::by(move |request| replies[request.path()[1..].parse::<usize>().unwrap()].clone()));
    let layer = each_once(steady()).health(Settings::new("/health").interval(150 * MS)).build().unwrap();
    let service = layer.layer(pooled(peer.pipe()));
    let somewhere = |rng: &mut SmallRng| get(&format!("/{}", rng.random_range(0..3_usize)));
    for _ in 0..4 {
        call(&service, get("/bad")).await.unwrap();
    }
    let seen = |layer: &StackLayer| {
        let mut now = breaker(layer).snapshot();
        now.in_phase_for = Duration::ZERO;
        now.opened_for = now.opened_for.map(|_| Duration::ZERO);
        now
    };

    let closed = seen(&layer);
    assert_eq!(closed.consecutive_failures, 4);
    storm(&service, 1, 950 * MS, somewhere).await;
    assert_eq!(seen(&layer), closed);

    call(&service, get("/bad")).await.unwrap();
    sleep(5 * SECOND).await;
    let half_open = seen(&layer);
    assert_eq!(half_open.phase, Phase::HalfOpen);
    storm(&service, 2, 950 * MS, somewhere).await;
    assert_eq!(seen(&layer), half_open, "every place for a probe is free");

    sleep(SECOND).await;
    let sent = |path: &str| peer.requests().iter().filter(|r| r.path() == path).count();
    peer.reset();
    for n in 1..=4 {
        assert!(call(&service, get("/good")).await.is_ok());
        assert_eq!((sent("/health"), sent("/good")), (1, n));
    }
    assert_eq!(phase(&layer), Phase::Closed);
    assert!(layer.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_budget_lacks_exactly_the_retries_that_were_sent() {
    // The first attempt fails sooner or later, the second never ends.
    let peer = Peer::new().forever(Reply::by(|request| match request.header("first") {
        Some(first) if request.path() == "/dropped" => {
            Reply::status(502).after(Duration::from_millis(first.parse().unwrap()))
        }
        _ => Reply::status(502),
    }));
    // A retry costs so much that what comes back by time is nothing beside it.
    let (cost, worth) = (100_000, CALLS as u32);
    let budget = Budget::default().tokens(cost * worth).retry_cost(cost);
    let retries = retry::Settings::default().max_retries(1).budget(budget);
    let layer = built(StackLayer::builder().retry(retries));
    let hang = Peer::new().forever(Reply::hang());
    let client = pooled(peer.pipe());
    let second = pooled(hang.pipe());
    let sent = Arc::new(AtomicU32::new(0));
    let counting = Arc::clone(&sent);
    let inner = tower::service_fn(move |request: Request<Full<Bytes>>| {
        let (mut client, mut second) = (client.clone(), second.clone());
        let again =
            request.extensions().get::<Again>().is_some_and(|again| again.0.swap(true, Ordering::Relaxed));
        counting.fetch_add(u32::from(again), Ordering::Relaxed);
        async move {
            let chosen = if again { &mut second } else { &mut client };
            tower_service::Service::call(chosen, request).await
        }
    });
    let service = layer.layer(inner);
    let mut rng = SmallRng::seed_from_u64(3);
    let mut crowd = JoinSet::new();
    for n in 0..CALLS {
        let request = Request::get("http://peer.test/dropped")
            .header("first", rng.random_range(0..500_u32))
            .extension(Again::default())
            .body(Full::default())
            .unwrap();
        let (service, moment) = (service.clone(), SECOND.mul_f64(rng.random::<f64>()));
        crowd.spawn(async move { timeout(moment, call(&service, request)).await.map(drop) });
        if n % 2 == 1 {
            while let Some(done) = crowd.join_next().await {
                assert!(done.unwrap().is_err(), "every one was given up");
            }
        }
    }
    let sent = sent.load(Ordering::Relaxed);
    assert!((1_000..9_000).contains(&sent), "many had come to their second attempt, and not all: {sent}");
    let mut left = 0;
    loop {
        let before = peer.request_count();
        call(&service, get("/spent")).await.unwrap();
        match peer.request_count() - before {
            1 => break,
            _ => left += 1,
        }
    }
    assert_eq!(left, worth - sent);
}

/// Whether this call had its first attempt.
#[derive(Clone, Default)]
struct Again(Arc<AtomicBool>);
