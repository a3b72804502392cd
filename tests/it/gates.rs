//! What an origin remembers of a 429.

use crate::support::*;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response};
use http_body_util::Full;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, advance, sleep};
use tower_layer::Layer;
use unwedge::breaker::Phase;
use unwedge::retry::{Remember, Settings};
use unwedge::stack::StackBuilder;
use unwedge::testing::{Peer, Reply};
use unwedge::{Error, ErrorKind, Group, Limits, StackLayer};

fn layer(remember: Remember) -> StackLayer {
    built(StackLayer::builder().retry(every(MS).remember(remember)))
}

fn throttled(wait: &str) -> Reply {
    Reply::status(429).retry_after(wait)
}

fn by(token: &'static str, path: &str) -> Request<Full<Bytes>> {
    let mut request = get(path);
    request.headers_mut().insert(AUTHORIZATION, token.parse().unwrap());
    request
}

#[track_caller]
fn refused(answer: Result<Response<unwedge::Body>, Error>) -> Duration {
    match answer.map(|answer| answer.status()) {
        Err(error) => match error.kind() {
            ErrorKind::RetryAfter { retry_in } => {
                assert!(error.is_refused() && error.retry_in() == Some(retry_in), "{error}");
                retry_in
            }
            _ => panic!("{error}"),
        },
        Ok(status) => panic!("{status}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_path_that_said_429_is_left_alone_by_its_credential_and_by_nobody_else() {
    let said = throttled("3600");
    let peer = Peer::new().then(said).forever(Reply::ok(""));
    let service = stack(&peer, &StackLayer::default());
    assert_eq!(call(&service, by("Bearer a", "/jobs?page=1")).await.unwrap().status(), 429);
    for n in 0..100 {
        let retry_in = refused(call(&service, by("Bearer a", &format!("/jobs?page={n}"))).await);
        assert!(retry_in <= 300 * SECOND && retry_in > 190 * SECOND, "{retry_in:?}");
        advance(SECOND).await;
    }
    assert_eq!(peer.requests().len(), 1, "none reached the server");
    for request in [by("Bearer a", "/other"), by("Bearer b", "/jobs"), get("/jobs")] {
        assert_eq!(call(&service, request).await.unwrap().status(), 200);
    }
    let grouped = with(by("Bearer a", "/jobs"), Group::new("another"));
    assert_eq!(call(&service, grouped).await.unwrap().status(), 200);
    assert_eq!(service.breakers().snapshot()[0].phase, Phase::Closed);
    assert_eq!(service.breakers().snapshot()[0].failures, 1, "that of the 429 alone");
}

#[tokio::test(start_paused = true)]
async fn after_five_minutes_one_call_goes_to_ask() {
    let peer = Peer::new().times(2, throttled("3600")).forever(Reply::ok(""));
    let service = stack(&peer, &layer(Remember::Path));
    call(&service, get("/")).await.unwrap();
    for asks in 2..=3 {
        advance(300 * SECOND).await;
        let mut crowd = JoinSet::new();
        for _ in 0..20 {
            let service = service.clone();
            crowd.spawn(async move {
                call(&service, with(get("/"), unwedge::CallOptions::new().retries(0))).await
            });
        }
        sleep(SECOND).await;
        assert_eq!(peer.requests().len(), asks, "only one asked");
        // The others ask again when that one has had its time: told no, they are refused; told yes, they are let through.
        let done = crowd.join_all().await;
        let served = done.iter().filter(|done| done.as_ref().is_ok_and(|a| a.status() == 200)).count();
        assert_eq!(served, if asks == 3 { 20 } else { 0 });
    }
}

#[tokio::test(start_paused = true)]
async fn calls_wait_where_that_fits_their_deadline_and_go_spread_the_nearest_deadline_first() {
    let peer = Peer::new().then(throttled("20")).forever(Reply::ok(""));
    let service = stack(&peer, &layer(Remember::Path));
    let told = tokio::spawn({
        let service = service.clone();
        async move { call(&service, get("/?told")).await }
    });
    sleep(SECOND).await;
    let mut waiting = JoinSet::new();
    for left in [29, 25, 21, 27, 23] {
        let service = service.clone();
        waiting.spawn(async move {
            let deadline = unwedge::Deadline::after(left * SECOND);
            call(&service, with(get(&format!("/?{left}")), deadline)).await.unwrap().status()
        });
    }
    sleep(SECOND).await;
    let seen = service.in_flight().snapshot();
    assert!(seen.iter().all(|call| call.phase == unwedge::Phase::BackOff), "{seen:?}");
    assert_eq!(service.breakers().snapshot()[0].gates, 1);
    let opens = service.breakers().snapshot()[0].gate_opens_in.unwrap();
    assert!(opens > 17 * SECOND && opens <= 18 * SECOND, "{opens:?}");
    let late = unwedge::Deadline::after(17 * SECOND);
    refused(call(&service, with(get("/?late"), late)).await);

    waiting.join_all().await.into_iter().for_each(|status| assert_eq!(status, 200));
    assert_eq!(told.await.unwrap().unwrap().status(), 200, "the one that was told waited once");
    let order: Vec<_> = asked(&peer).into_iter().filter(|asked| !asked.contains("told")).collect();
    assert_eq!(order, ["GET /?21", "GET /?23", "GET /?25", "GET /?27", "GET /?29"]);
    let first = times(&peer)[0];
    let after: Vec<_> = times(&peer)[1..].iter().map(|at| *at - first).collect();
    assert!(after.iter().all(|at| (20 * SECOND..=22 * SECOND + 10 * MS).contains(at)), "{after:?}");
    let widest = after.iter().max().unwrap().saturating_sub(*after.iter().min().unwrap());
    assert!(widest > SECOND / 2, "spread over two seconds: {after:?}");
    assert!(service.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_waiting_call_that_is_dropped_leaves_nothing() {
    let peer = Peer::new().then(throttled("20")).forever(Reply::ok(""));
    let service = stack(&peer, &layer(Remember::Path));
    let mut crowd = JoinSet::new();
    for _ in 0..50 {
        let service = service.clone();
        crowd.spawn(async move { call(&service, get("/")).await });
        sleep(MS).await;
    }
    sleep(SECOND).await;
    crowd.shutdown().await;
    assert!(service.in_flight().is_empty());
    sleep(MINUTE).await;
    assert_eq!(call(&service, get("/")).await.unwrap().status(), 200);
    assert_eq!(peer.requests().len(), 2);
    assert_eq!(service.breakers().snapshot()[0].gates, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_chosen_by_the_setting() {
    // (setting, the first answer, whether the same path and another path are refused for the same caller)
    let quota = |remaining: &str, reset: &str| {
        Reply::ok("").header("x-ratelimit-remaining", remaining).header("x-ratelimit-reset", reset)
    };
    let told = || throttled("100");
    for (remember, first, same, other) in [
        (Remember::Path, told(), true, false),
        (Remember::Headers, told(), true, false),
        (Remember::Origin, told(), true, true),
        (Remember::Off, told(), false, false),
        (Remember::Path, Reply::status(429).header("ratelimit", "\"a\";r=0;t=100"), true, false),
        (Remember::Path, Reply::status(429), false, false),
        (Remember::Path, throttled("0"), false, false),
        (Remember::Path, throttled("-5"), false, false),
        (Remember::Path, quota("0", "100"), false, false),
        (Remember::Headers, quota("0", "100"), true, false),
        (Remember::Headers, quota("0", "0"), false, false),
        (Remember::Headers, quota("1", "100"), false, false),
        (Remember::Headers, quota("0", "301"), false, false),
        (Remember::Headers, quota("0", "4000000000"), false, false),
        (Remember::Headers, quota("none", "soon"), false, false),
        (Remember::Headers, Reply::ok("").header("ratelimit", "\"a\";r=0;t=100"), true, false),
        (Remember::Path, Reply::status(503).retry_after("100"), false, false),
    ] {
        let shown = format!("{remember:?} {first:?}");
        let peer = Peer::new().then(first).forever(Reply::ok(""));
        let settings = Settings::default().max_retries(0).remember(remember);
        let service = stack(&peer, &built(StackLayer::builder().retry(settings)));
        call(&service, get("/a")).await.unwrap();
        assert_eq!(call(&service, get("/a")).await.is_err(), same, "the same path: {shown}");
        assert_eq!(call(&service, get("/b")).await.is_err(), other, "another path: {shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_post_waits_too_and_a_stack_without_retries_as_well() {
    let peer = Peer::new().then(throttled("5")).forever(Reply::ok(""));
    let settings = Settings::default().max_retries(0);
    let service = stack(&peer, &built(StackLayer::builder().retry(settings)));
    call(&service, post("/")).await.unwrap();
    let began = Instant::now();
    assert_eq!(call(&service, post("/")).await.unwrap().status(), 200);
    assert!((5 * SECOND..=6 * SECOND + 10 * MS).contains(&began.elapsed()), "{:?}", began.elapsed());
}

/// Answers 429 with the time until the next minute to what is above 600 in a minute; each answer takes 20 ms.
#[derive(Clone, Default)]
struct Quota(Arc<Mutex<Vec<(u32, u32)>>>, Option<Instant>);

impl Quota {
    async fn answer(self) -> Result<Response<Full<Bytes>>, Infallible> {
        sleep(10 * MS).await;
        let elapsed = self.1.expect("it has begun").elapsed();
        let minute = (elapsed.as_secs() / 60) as usize;
        let mut answer = Response::new(Full::default());
        {
            let mut minutes = self.0.lock().unwrap();
            if minutes.len() <= minute {
                minutes.resize(minute + 1, (0, 0));
            }
            let (served, refused) = &mut minutes[minute];
            if *served < 600 {
                *served += 1;
            } else {
                *refused += 1;
                let left = 60 - elapsed.as_secs() % 60;
                *answer.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
                answer.headers_mut().insert("retry-after", left.into());
            }
        }
        sleep(10 * MS).await;
        Ok(answer)
    }
}

#[tokio::test(start_paused = true)]
async fn a_quota_in_each_minute_is_used_up_and_hardly_ever_exceeded() {
    for per_second in [11.0, 20.0] {
        let quota = Quota(Arc::default(), Some(Instant::now()));
        let inner = tower::service_fn({
            let quota = quota.clone();
            move |_: Request<Full<Bytes>>| quota.clone().answer()
        });
        let service = StackLayer::default().layer(inner);
        let mut calls = JoinSet::new();
        let (mut succeeded, minutes) = (0, 6);
        for _ in 0..(per_second * 60.0) as u32 * minutes {
            let service = service.clone();
            calls.spawn(async move { call(&service, get("/jobs")).await.is_ok_and(|a| a.status() == 200) });
            sleep(Duration::from_secs_f64(1.0 / per_second)).await;
            while let Some(done) = calls.try_join_next() {
                succeeded += u32::from(done.unwrap());
            }
        }
        let seen = quota.0.lock().unwrap().clone();
        let served: u32 = seen.iter().map(|minute| minute.0).sum();
        let refused: u32 = seen.iter().map(|minute| minute.1).sum();
        println!("{per_second} calls/s: {seen:?}, {succeeded} calls succeeded");
        assert!(seen[..minutes as usize].iter().all(|minute| minute.0 == 600), "{seen:?}");
        assert!(f64::from(refused) <= 0.01 * f64::from(served + refused), "{refused} of {served}: {seen:?}");
        // What was answered at the very end may not have been counted yet.
        assert!(succeeded + 10 >= served, "{succeeded} of {served}");
    }
}

/// Calls that succeed of 2 000 at this rate, a second, where one of five replicas says 503.
async fn one_of_five(header: Option<&'static str>, stack: StackBuilder, rate: f64) -> u32 {
    /// Which replica each attempt of a call meets: the same ones whatever the waits between them.
    #[derive(Clone)]
    struct Die(Arc<Mutex<SmallRng>>);
    let inner = tower::service_fn(move |request: Request<Full<Bytes>>| {
        let down = request.extensions().get::<Die>().unwrap().0.lock().unwrap().random_range(0..5_u32) == 0;
        async move {
            sleep(5 * MS).await;
            let mut answer = Response::new(Full::<Bytes>::default());
            if down {
                *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
                if let Some(wait) = header {
                    answer.headers_mut().insert("retry-after", wait.parse().unwrap());
                }
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let service = stack.build().unwrap().layer(inner);
    let mut calls = JoinSet::new();
    for n in 0..2_000 {
        let die = Die(Arc::new(Mutex::new(SmallRng::seed_from_u64(n))));
        let (service, request) = (service.clone(), with(get("/jobs"), die));
        calls.spawn(async move { call(&service, request).await.is_ok_and(|a| a.status() == 200) });
        sleep(Duration::from_secs_f64(1.0 / rate)).await;
    }
    calls.join_all().await.into_iter().map(u32::from).sum()
}

#[tokio::test(start_paused = true)]
async fn a_503_with_a_retry_after_of_one_replica_of_five_costs_no_call_that_has_the_time() {
    let patient = || StackLayer::builder().limits(Limits::default().total(5 * MINUTE)).breaker(no_breaker());
    let with = one_of_five(Some("30"), patient(), 20.0).await;
    let without = one_of_five(None, patient(), 20.0).await;
    println!("of 2000 calls {with} succeed with the header, {without} without");
    assert!(with + 2 >= without, "{with} against {without}");
}

#[tokio::test(start_paused = true)]
async fn a_503_that_asks_the_callers_of_one_replica_for_more_time_than_they_have_costs_hardly_a_call_either()
{
    // Longer than the total of 30 s, longer than its cap, and short enough for one wait but not for two.
    for wait in ["30", "3600", "16"] {
        for rate in [0.2, 1.0, 50.0] {
            let with = one_of_five(Some(wait), StackLayer::builder(), rate).await;
            let without = one_of_five(None, StackLayer::builder(), rate).await;
            println!("{wait} s, {rate}/s: of 2000 calls {with} succeed with the header, {without} without");
            // Four times of four it is the same replica: one call in 625. The first word is believed.
            assert!(with >= 1990 && with + 6 >= without, "{wait} s, {rate}/s: {with} against {without}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_503_of_an_origin_that_serves_nobody_meanwhile_is_believed_each_time() {
    let peer = Peer::new().then(Reply::ok("")).forever(Reply::status(503).retry_after("300"));
    let service = stack(&peer, &built(StackLayer::builder()));
    call(&service, get("/")).await.unwrap();
    for n in 2..6 {
        let began = Instant::now();
        let answer = call(&service, get("/")).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), began.elapsed(), peer.request_count()),
            (503, Duration::ZERO, n)
        );
        assert_eq!(answer.body().attempts().retry_after, Some(300 * SECOND));
        sleep(10 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_is_refused_at_a_gate_is_slowed_down_until_a_call_is_admitted() {
    let peer = Peer::new().then(throttled("3600")).forever(Reply::ok(""));
    let service = stack(&peer, &StackLayer::default());
    call(&service, get("/jobs")).await.unwrap();
    for _ in 0..2 {
        let began = Instant::now();
        for n in 1..=20 {
            let asked = Instant::now();
            let retry_in = refused(call(&service, get("/jobs")).await);
            let takes = if n < 10 { 0 } else { (1 << (n - 10).min(7)).min(100) };
            assert_eq!(asked.elapsed(), takes * MS, "refusal {n}");
            assert!(retry_in <= 300 * SECOND);
        }
        assert_eq!(began.elapsed(), 527 * MS);
        assert_eq!(call(&service, get("/other")).await.unwrap().status(), 200);
    }
    // Where less time is left than that takes, the refusal comes before the deadline.
    for _ in 0..20 {
        refused(call(&service, get("/jobs")).await);
    }
    let hurried = with(get("/jobs"), unwedge::Deadline::after(20 * MS));
    let began = Instant::now();
    refused(call(&service, hurried).await);
    assert_eq!(began.elapsed(), 19 * MS);
    assert!(service.in_flight().is_empty());
}
