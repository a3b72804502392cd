//! Never worse than nothing: on days on which most things work the stack loses no call that would have been answered
//! without its breaker, and what is dead gets few requests. Shorter days than those of `examples/goodput`.

use crate::support::{MINUTE, MS, SECOND};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tower_layer::Layer;
use tower_service::Service;
use unwedge::retry::Backoff;
use unwedge::stack::StackBuilder;
use unwedge::{StackLayer, breaker, retry};

/// What becomes of an attempt: how long it takes, and a status or an error.
type Fate = (Duration, Result<u16, io::ErrorKind>);

const WELL: Fate = (Duration::from_millis(20), Ok(200));
const UNAVAILABLE: Fate = (Duration::from_millis(5), Ok(503));
const REFUSED: Fate = (Duration::from_millis(1), Err(io::ErrorKind::ConnectionRefused));

/// The number of a call, on each of its requests.
#[derive(Clone, Copy)]
struct Number(u64);

/// A server that is told what becomes of each attempt by its time and a die; the die of attempt k of call n is the same
/// for every client.
#[derive(Clone)]
struct Server {
    start: Instant,
    fate: Arc<dyn Fn(Duration, f64) -> Fate + Send + Sync>,
    /// When requests arrived, and of which call.
    arrived: Arc<Mutex<Vec<(Duration, u64)>>>,
    attempts: Arc<Mutex<Vec<u64>>>,
}

impl Service<Request<Full<Bytes>>> for Server {
    type Response = Response<Full<Bytes>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let Number(n) = *request.extensions().get().expect("a repetition is the same request");
        let server = self.clone();
        Box::pin(async move {
            let now = server.start.elapsed();
            server.arrived.lock().unwrap().push((now, n));
            let k = {
                let mut attempts = server.attempts.lock().unwrap();
                attempts[n as usize] += 1;
                attempts[n as usize]
            };
            let (takes, end) = (server.fate)(now, SmallRng::seed_from_u64(n << 8 | k).random::<f64>());
            sleep(takes).await;
            let status = end.map_err(io::Error::from)?;
            Ok(Response::builder().status(status).body(Full::from("x")).expect("a valid status"))
        })
    }
}

/// What came of a day.
#[derive(Debug)]
struct Day {
    calls: usize,
    /// When calls were answered.
    answered: Vec<Duration>,
    arrived: Vec<Duration>,
}

impl Day {
    fn success(&self) -> f64 {
        100.0 * self.answered.len() as f64 / self.calls as f64
    }

    fn lost(&self) -> usize {
        self.calls - self.answered.len()
    }

    fn requests_between(&self, from: Duration, to: Duration) -> usize {
        self.arrived.iter().filter(|at| (from..to).contains(*at)).count()
    }

    /// From the server's return to the next answer.
    fn back(&self, returned: Duration) -> Duration {
        let after = self.answered.iter().filter(|at| **at >= returned).min();
        *after.expect("it comes back") - returned
    }
}

/// Calls at this rate, a second, each somewhere in its slot and none waiting for another.
async fn day(
    stack: StackBuilder,
    rate: f64,
    length: Duration,
    fate: impl Fn(Duration, f64) -> Fate + Send + Sync + 'static,
) -> Day {
    let calls = (rate * length.as_secs_f64()) as usize;
    let start = Instant::now();
    let server = Server {
        start,
        fate: Arc::new(fate),
        arrived: Arc::default(),
        attempts: Arc::new(Mutex::new(vec![0; calls])),
    };
    let service = stack.build().expect("settings that fit together").layer(server.clone());
    let mut rng = SmallRng::seed_from_u64(42);
    let mut under_way = JoinSet::new();
    for n in 0..calls {
        sleep_until(start + Duration::from_secs_f64((n as f64 + rng.random::<f64>()) / rate)).await;
        let mut request =
            Request::get("http://api.example.com/jobs").body(Full::default()).expect("a request");
        request.extensions_mut().insert(Number(n as u64));
        let call = service.clone().call(request);
        under_way.spawn(async move {
            let answer = call.await;
            answer.is_ok_and(|answer| answer.status().is_success()).then(|| start.elapsed())
        });
    }
    let answered = under_way.join_all().await.into_iter().flatten().collect();
    let arrived = server.arrived.lock().unwrap().iter().map(|(at, _)| *at).collect();
    Day { calls, answered, arrived }
}

/// All defaults, with jitter that is the same in each run.
fn defaults() -> StackBuilder {
    StackLayer::builder().retry(retry())
}

fn without_breaker() -> StackBuilder {
    defaults().breaker(breaker::Settings::default().disabled(true))
}

fn retry() -> retry::Settings {
    retry::Settings::default().backoff(Backoff::default().seed(3))
}

/// Each attempt fails with this probability.
fn failing(share: f64) -> impl Fn(Duration, f64) -> Fate + Clone {
    move |_, die| if die < share { UNAVAILABLE } else { WELL }
}

fn away(from: Duration, to: Duration, how: Fate) -> impl Fn(Duration, f64) -> Fate + Clone {
    move |now, _| if (from..to).contains(&now) { how } else { WELL }
}

#[tokio::test(start_paused = true)]
async fn a_fifth_of_failed_attempts_costs_at_most_one_call_in_two_hundred() {
    let day = day(defaults(), 50.0, 5 * MINUTE, failing(0.2)).await;
    assert!(day.success() >= 99.5, "{:.2} %", day.success());
}

#[tokio::test(start_paused = true)]
async fn a_third_of_failed_attempts_costs_at_most_a_point_more_than_without_a_breaker() {
    for rate in [1.0, 50.0] {
        let length = Duration::from_secs_f64(5_000.0 / rate);
        let stack = day(defaults(), rate, length, failing(1.0 / 3.0)).await.success();
        let bare = day(without_breaker(), rate, length, failing(1.0 / 3.0)).await.success();
        assert!(stack >= bare - 1.0, "{rate}/s: {stack:.2} %, without a breaker {bare:.2} %");
    }
}

#[tokio::test(start_paused = true)]
async fn half_of_all_attempts_failing_costs_at_most_two_points_more_than_without_a_breaker() {
    let stack = day(defaults(), 1.0, 90 * MINUTE, failing(0.5)).await.success();
    let bare = day(without_breaker(), 1.0, 90 * MINUTE, failing(0.5)).await.success();
    assert!(stack >= bare - 2.0, "{stack:.2} %, without a breaker {bare:.2} %");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_for_two_minutes_gets_few_requests_and_is_served_within_an_open_wait() {
    for how in [UNAVAILABLE, REFUSED] {
        for (rate, most) in [(1.0, 30), (50.0, 180)] {
            let (from, to) = (20 * SECOND, 140 * SECOND);
            let day = day(defaults(), rate, to + 20 * SECOND, away(from, to, how)).await;
            let sent = day.requests_between(from, to);
            assert!(sent <= most, "{rate}/s, {how:?}: {sent} requests while it was away");
            assert!(day.back(to) <= 17 * SECOND, "{rate}/s, {how:?}: back after {:?}", day.back(to));
        }
    }
}

/// On this day at least as many calls are answered as without the breaker.
async fn no_worse(
    what: &str,
    rate: f64,
    length: Duration,
    fate: impl Fn(Duration, f64) -> Fate + Clone + Send + Sync + 'static,
) {
    let stack = day(defaults(), rate, length, fate.clone()).await;
    let bare = day(without_breaker(), rate, length, fate).await;
    assert!(
        stack.lost() <= bare.lost(),
        "{what}: {} of {} calls lost, without a breaker {}",
        stack.lost(),
        stack.calls,
        bare.lost()
    );
}

#[tokio::test(start_paused = true)]
async fn a_restart_costs_no_more_calls_than_without_a_breaker() {
    for long in [300 * MS, 2 * SECOND, 8 * SECOND, 20 * SECOND] {
        let fate = away(30 * SECOND, 30 * SECOND + long, REFUSED);
        no_worse(&format!("{long:?}"), 10.0, 80 * SECOND, fate).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_up_for_20_s_and_down_for_5_loses_no_more_calls_than_without_a_breaker() {
    let fate = |now: Duration, _| if now.as_secs() % 25 >= 20 { REFUSED } else { WELL };
    no_worse("flapping", 10.0, 5 * MINUTE, fate).await;
}

#[tokio::test(start_paused = true)]
async fn a_brownout_costs_no_more_calls_than_without_a_breaker() {
    let slow = (12 * SECOND, Ok(200));
    no_worse("brownout", 20.0, 2 * MINUTE, away(30 * SECOND, 60 * SECOND, slow)).await;
}

#[tokio::test(start_paused = true)]
async fn a_limiter_after_an_outage_costs_no_more_than_its_open_wait() {
    let limiter = || {
        let passed = Mutex::new(None);
        move |now: Duration, _| {
            let mut passed = passed.lock().unwrap();
            if (10 * SECOND..30 * SECOND).contains(&now) {
                REFUSED
            } else if passed.is_none_or(|last| now - last >= 20 * MS) {
                *passed = Some(now);
                WELL
            } else {
                UNAVAILABLE
            }
        }
    };
    let stack = day(defaults(), 75.0, 100 * SECOND, limiter()).await;
    let bare = day(without_breaker(), 75.0, 100 * SECOND, limiter()).await;
    // Asked again at most a third of the outage after its end, and never more than 50 a second are let pass.
    assert!(stack.lost() <= bare.lost() + 200, "{} lost, without a breaker {}", stack.lost(), bare.lost());
    assert!(stack.back(30 * SECOND) <= 20 * SECOND / 3, "back after {:?}", stack.back(30 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_caller_of_low_rate_is_not_starved_by_its_budget() {
    let mut rng = SmallRng::seed_from_u64(9);
    let mut windows = Vec::new();
    let mut at = Duration::ZERO;
    while at < 24 * 60 * MINUTE {
        let mut drawn = |mean: f64| Duration::from_secs_f64(-mean * (1.0 - rng.random::<f64>()).ln());
        let from = at + drawn(20.0);
        at = from + drawn(2.0);
        windows.push((from, at));
    }
    let fate = move |now: Duration, _| {
        let next = windows.partition_point(|(_, to)| *to <= now);
        if windows.get(next).is_some_and(|(from, _)| *from <= now) { REFUSED } else { WELL }
    };
    let stack = day(defaults(), 0.1, 24 * 60 * MINUTE, fate.clone()).await;
    let free = day(without_breaker().retry(retry().budget(None)), 0.1, 24 * 60 * MINUTE, fate).await;
    assert!(
        stack.lost() * 10 <= free.lost() * 12,
        "{} of {} calls lost, {} without a budget",
        stack.lost(),
        stack.calls,
        free.lost()
    );
}
