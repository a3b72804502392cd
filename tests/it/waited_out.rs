//! What a call does about a circuit that opens under it: waits where that is short, and else ends with what it has.

use crate::support::*;
use crate::watch::{breaker, settle};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tower_layer::Layer;
use unwedge::breaker::Settings;
use unwedge::retry::{self, Backoff, Budget};
use unwedge::stack::{CircuitBreakerLayer, DeadlineLayer, HealthCheckLayer, RetryLayer};
use unwedge::testing::{Peer, Reply, Script};
use unwedge::{Deadline, ErrorKind, StackLayer};

/// Opens at the first failure, for exactly this long.
fn opens_for(wait: Duration) -> Settings {
    Settings::default().failures(1).open(Backoff::constant(wait)).half_open(3, 1)
}

fn layer(retry: retry::Settings, breaker: Settings) -> StackLayer {
    StackLayer::builder().retry(retry).breaker(breaker).build().unwrap()
}

/// Forced open after this time, for so long as the breaker says by default.
fn refuses_after(layer: &StackLayer, wait: Duration) {
    let breaker = breaker(layer);
    tokio::spawn(async move {
        sleep(wait).await;
        breaker.force_open();
    });
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_three_seconds_is_waited_out_and_a_longer_one_is_not_unless_that_is_asked_for() {
    let waits = |retry: retry::Settings| retry.max_retries(0);
    let usual = || waits(retry::Settings::default());
    for (open, retry, waited) in [
        (3 * SECOND, usual(), true),
        (3 * SECOND + MS, usual(), false),
        (MS, usual().wait_when_refused(Duration::ZERO), false),
        (20 * SECOND, usual().wait_when_refused(MINUTE), true),
    ] {
        let peer = Peer::new().then(Reply::status(500)).forever(Reply::ok("x"));
        let service = stack(&peer, &layer(retry, opens_for(open)));
        assert_eq!(call(&service, get("/")).await.unwrap().status(), 500);
        let start = Instant::now();
        let ended = call(&service, get("/")).await;
        assert_eq!(ended.is_ok(), waited, "{open:?}: {ended:?}");
        let took = start.elapsed();
        match ended {
            Ok(answer) => {
                assert_eq!(answer.body().attempts().count, 1, "it costs no attempt");
                assert!(took >= open && took <= open.mul_f64(1.1) + MS, "{took:?}");
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Open { retry_in: open });
                assert_eq!(took, Duration::ZERO);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_failure_that_opens_the_circuit_for_long_comes_back_at_once_as_it_is() {
    let down = || Reply::status(503).header("x-why", "deploy").body("d".repeat(9000));
    for (reply, read) in [(down(), true), (Reply::reset(), false)] {
        let peer = Peer::new().forever(reply);
        let service = stack(&peer, &layer(retry::Settings::default(), opens_for(20 * SECOND)));
        let start = Instant::now();
        let ended = call(&service, get("/")).await;
        assert_eq!((start.elapsed(), peer.request_count()), (Duration::ZERO, 1));
        if read {
            let answer = ended.unwrap();
            let attempts = answer.body().attempts();
            assert_eq!((attempts.count, attempts.retry_in, attempts.cut), (1, Some(20 * SECOND), false));
            let told = answer.extensions().get::<unwedge::Attempts>().unwrap();
            assert_eq!(*told, attempts, "also for those who have no body of ours");
            assert_eq!(answer.headers()["x-why"], "deploy");
            assert_eq!(whole(Ok(answer)).await.unwrap(), (503, "d".repeat(9000).into()));
        } else {
            let error = ended.unwrap_err();
            assert_eq!((error.kind(), error.attempts(), error.journal().len()), (ErrorKind::Transport, 1, 0));
            assert_eq!(error.retry_in(), Some(20 * SECOND));
            assert!(!error.is_refused() && error.to_string().contains("next try in 20 s"), "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_open_wait_takes_the_place_of_the_back_off_and_spends_attempt_and_budget() {
    // A back-off of ten seconds would be too long, one of a millisecond would meet the open circuit.
    for back_off in [MS, 10 * SECOND] {
        let peer = Peer::new().times(3, Reply::status(503)).forever(Reply::ok("x"));
        let retry = retry::Settings::default().backoff(Backoff::constant(back_off)).max_retries(2);
        let service = stack(&peer, &layer(retry, opens_for(2 * SECOND)));
        let answer = call(&service, get("/")).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().attempts().count), (503, 3));
        let at = times(&peer);
        for gap in at.windows(2).map(|pair| pair[1] - pair[0]) {
            assert!((2 * SECOND..=2200 * MS + MS).contains(&gap), "{at:?}");
        }
    }
    let none = Budget::default().tokens(0);
    let peer = Peer::new().forever(Reply::status(503));
    let service = stack(&peer, &layer(retry::Settings::default().budget(none), opens_for(SECOND)));
    assert_eq!(call(&service, get("/")).await.unwrap().status(), 503);
    assert_eq!(peer.request_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_repeated_is_not_repeated_after_the_open_wait_either() {
    let peer = Peer::new().forever(Reply::status(503));
    let service = stack(&peer, &layer(retry::Settings::default(), opens_for(SECOND)));
    let start = Instant::now();
    let answer = call(&service, post("/")).await.unwrap();
    assert_eq!((answer.status().as_u16(), start.elapsed(), peer.request_count()), (503, Duration::ZERO, 1));
    assert_eq!(answer.body().attempts().retry_in, Some(SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_call_refused_after_its_back_off_ends_with_its_last_answer_and_what_was_read_of_it() {
    let body = |n| "b".repeat(n);
    for (n, kept, cut) in [(0, 0, false), (100, 100, false), (4096, 4096, false), (10_000, 4096, true)] {
        let peer = Peer::new().forever(Reply::status(503).header("x-why", "deploy").body(body(n)));
        let layer = layer(every(SECOND), Settings::default());
        let service = stack(&peer, &layer);
        refuses_after(&layer, 500 * MS);
        let start = Instant::now();
        let answer = call(&service, get("/")).await.unwrap();
        assert_eq!((start.elapsed(), peer.request_count()), (SECOND, 1));
        let attempts = answer.body().attempts();
        assert_eq!((attempts.count, attempts.cut), (1, cut), "{n}");
        assert!(attempts.retry_in.unwrap() > 3 * SECOND);
        assert_eq!(answer.headers()["x-why"], "deploy");
        assert_eq!(whole(Ok(answer)).await.unwrap(), (503, body(kept).into()), "{n}");
        assert!(layer.in_flight().is_empty());
    }
    // One that drips is not waited for.
    let peer = Peer::new().forever(Reply::status(503).body("slowly").drip(1, 40 * MS));
    let layer = layer(every(SECOND), Settings::default());
    let service = stack(&peer, &layer);
    refuses_after(&layer, 500 * MS);
    let answer = call(&service, get("/")).await.unwrap();
    assert!(answer.body().attempts().cut);
    let (status, read) = whole(Ok(answer)).await.unwrap();
    assert!(status == 503 && (1..6).contains(&read.len()), "{read:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_refused_after_its_back_off_ends_with_its_last_error() {
    let peer = Peer::new().then(Reply::status(502).closing()).forever(Reply::reset());
    let layer = layer(every(SECOND), Settings::default());
    let service = stack(&peer, &layer);
    refuses_after(&layer, 1500 * MS);
    let error = call(&service, get("/")).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Transport, 2));
    assert_eq!(error.phase(), Some(unwedge::Phase::Headers));
    let before: Vec<_> = error.journal().iter().map(|attempt| attempt.cause.to_string()).collect();
    assert_eq!(before, ["502"], "the attempt that it is about is not one before it");
    assert!(error.retry_in().unwrap() > 3 * SECOND && !error.is_refused());
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_a_refusal_kept_from_being_sent_gives_its_tokens_back() {
    let one = Budget::default().tokens(14).retry_cost(14).refund(0);
    let peer = Peer::new().times(2, Reply::status(503)).forever(Reply::ok("x"));
    let layer = layer(every(SECOND).budget(one), Settings::default());
    let service = stack(&peer, &layer);
    refuses_after(&layer, 500 * MS);
    assert_eq!(call(&service, get("/")).await.unwrap().status(), 503);
    breaker(&layer).reset();
    let answer = call(&service, get("/")).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.body().attempts().count), (200, 2));
}

#[tokio::test(start_paused = true)]
async fn a_retry_layer_over_a_breaker_layer_ends_with_what_it_has_too() {
    let breaker = CircuitBreakerLayer::new(opens_for(20 * SECOND)).unwrap();
    let peer = Peer::new().forever(Reply::status(503).body("down"));
    let service = RetryLayer::new(every(SECOND)).unwrap().layer(breaker.layer(plain(&peer)));
    let start = Instant::now();
    let answer = call(&service, get("/")).await.unwrap();
    assert_eq!((answer.body().attempts().retry_in, start.elapsed()), (Some(20 * SECOND), Duration::ZERO));
    assert_eq!(whole(Ok(answer)).await.unwrap(), (503, "down".into()));

    // Others open it during the back-off.
    let breaker = CircuitBreakerLayer::new(Settings::default()).unwrap();
    let service = RetryLayer::new(every(SECOND)).unwrap().layer(breaker.layer(plain(&peer)));
    let handle = breaker.breakers().of(get("/").uri()).unwrap();
    tokio::spawn(async move {
        sleep(500 * MS).await;
        handle.force_open();
    });
    let answer = call(&service, get("/")).await.unwrap();
    assert_eq!(answer.body().attempts().count, 1);
    assert_eq!(whole(Ok(answer)).await.unwrap(), (503, "down".into()));
}

#[tokio::test(start_paused = true)]
async fn a_call_in_a_long_back_off_is_woken_when_the_circuit_closes_and_a_crowd_is_spread() {
    let peer = Peer::new().times(100, Reply::status(503)).forever(Reply::ok("x"));
    let layer = layer(every(20 * SECOND).budget(None), Settings::default().failures(1000));
    let service = stack(&peer, &layer);
    let mut crowd = JoinSet::new();
    for _ in 0..100 {
        let service = service.clone();
        crowd.spawn(async move { call(&service, get("/")).await.unwrap().status().as_u16() });
    }
    sleep(2 * SECOND).await;
    breaker(&layer).force_open();
    sleep(SECOND).await;
    assert_eq!(peer.request_count(), 100, "bad news wakes nobody");
    breaker(&layer).force_closed();
    assert!(crowd.join_all().await.iter().all(|status| *status == 200));
    let mut back: Vec<_> = times(&peer).into_iter().skip(100).collect();
    assert!(back.iter().all(|at| (3 * SECOND..=4 * SECOND + 2 * MS).contains(at)), "{back:?}");
    back.dedup();
    assert!(back.len() > 50, "not all in the same millisecond: {back:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_a_refusal_out_is_woken_when_the_circuit_closes() {
    let peer = Peer::new().forever(Reply::ok("x"));
    let layer = layer(retry::Settings::default().wait_when_refused(MINUTE), opens_for(20 * SECOND));
    let service = stack(&peer, &layer);
    breaker(&layer).force_open();
    let start = Instant::now();
    let waiting = tokio::spawn(async move { call(&service, get("/")).await.unwrap() });
    sleep(SECOND).await;
    breaker(&layer).reset();
    waiting.await.unwrap();
    assert!((SECOND..=2 * SECOND + 2 * MS).contains(&start.elapsed()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_the_server_asked_for_is_kept_whatever_becomes_of_the_circuit() {
    let peer = Peer::new().then(Reply::status(503).retry_after("10")).forever(Reply::ok("x"));
    let layer = layer(retry::Settings::default(), Settings::default().failures(1000));
    let service = stack(&peer, &layer);
    let start = Instant::now();
    let waiting = tokio::spawn(async move { call(&service, get("/")).await.unwrap().status() });
    sleep(SECOND).await;
    breaker(&layer).force_open();
    breaker(&layer).reset();
    assert_eq!(waiting.await.unwrap(), 200);
    assert!(start.elapsed() >= 10 * SECOND, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_call_in_a_long_back_off_is_woken_when_the_health_check_passes_again() {
    let health = Script::new().then(Reply::status(503)).forever(Reply::status(204));
    let peer = Peer::new().on("/health", health).forever(Reply::ok("x"));
    let layer = StackLayer::builder().retry(every(20 * SECOND)).health("/health").build().unwrap();
    let service = stack(&peer, &layer);
    let start = Instant::now();
    let first = service.clone();
    let waiting = tokio::spawn(async move { call(&first, get("/")).await.unwrap().status() });
    sleep(2 * SECOND).await;
    assert_eq!(call(&service, get("/")).await.unwrap().status(), 200);
    assert_eq!(waiting.await.unwrap(), 200);
    assert!(start.elapsed() <= 3 * SECOND + 2 * MS, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_in_its_sleep_leaves_nothing_to_be_woken() {
    let peer = Peer::new().times(3, Reply::status(503)).forever(Reply::ok("x"));
    let layer = layer(every(20 * SECOND), Settings::default().failures(1000));
    let service = stack(&peer, &layer);
    let mut crowd = JoinSet::new();
    for _ in 0..3 {
        let service = service.clone();
        crowd.spawn(async move { call(&service, get("/")).await.map(drop) });
    }
    sleep(SECOND).await;
    crowd.abort_all();
    while crowd.join_next().await.is_some() {}
    breaker(&layer).force_open();
    breaker(&layer).reset();
    sleep(MINUTE).await;
    settle().await;
    assert_eq!(peer.request_count(), 3);
    assert!(layer.in_flight().is_empty());
}

/// Calls that are refused, one right after the other, for so long; when each ended.
async fn hammer<S>(service: &S, time: Duration) -> Vec<Duration>
where
    S: tower_service::Service<
            http::Request<http_body_util::Full<bytes::Bytes>>,
            Response = http::Response<unwedge::Body>,
            Error = unwedge::Error,
        > + Clone,
{
    let start = Instant::now();
    let mut ended = Vec::new();
    while start.elapsed() < time && ended.len() < 100_000 {
        let error = call(service, get("/")).await.unwrap_err();
        assert!(error.is_refused() && error.attempts() == 0, "{error}");
        ended.push(start.elapsed());
    }
    ended
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_calls_against_an_open_circuit_without_waiting_is_slowed_down_from_the_tenth_refusal_on()
{
    let peer = Peer::new().forever(Reply::ok("x"));
    let layer = StackLayer::default();
    let service = stack(&peer, &layer);
    breaker(&layer).force_open();
    let ended = hammer(&service, 10 * SECOND).await;
    let at: Vec<_> = ended.iter().take(18).map(Duration::as_millis).collect();
    assert_eq!(at[..9], [0; 9], "a few tries are no loop");
    assert_eq!(at[9..], [1, 3, 7, 15, 31, 63, 127, 227, 327]);
    let in_second = |n| ended.iter().filter(|at| (n * SECOND..(n + 1) * SECOND).contains(*at)).count();
    assert!((0..10).all(|n| in_second(n) <= 100), "{ended:?}");
    assert!(in_second(5) <= 11);
    assert_eq!(peer.connects(), 0);

    breaker(&layer).reset();
    assert!(call(&service, get("/")).await.is_ok());
    breaker(&layer).force_open();
    let start = Instant::now();
    assert!(call(&service, get("/")).await.unwrap_err().is_open());
    assert_eq!(start.elapsed(), Duration::ZERO, "an admission ends the row");
}

#[tokio::test(start_paused = true)]
async fn a_loop_against_a_bad_health_verdict_is_slowed_down_too() {
    let peer = Peer::new().on("/health", Reply::status(503)).forever(Reply::ok("x"));
    let service = HealthCheckLayer::new("/health").unwrap().layer(plain(&peer));
    let start = Instant::now();
    let mut calls = 0;
    while start.elapsed() < 10 * SECOND && calls < 100_000 {
        assert!(call(&service, get("/")).await.unwrap_err().is_unhealthy());
        calls += 1;
    }
    assert!((50..=1000).contains(&calls), "{calls}");
}

#[tokio::test(start_paused = true)]
async fn callers_are_slowed_down_each_by_itself_and_under_their_deadlines() {
    let peer = Peer::new().forever(Reply::ok("x"));
    let layer = StackLayer::default();
    let service = stack(&peer, &layer);
    breaker(&layer).force_open();
    hammer(&service, SECOND).await;
    let start = Instant::now();
    let mut crowd = JoinSet::new();
    for _ in 0..50 {
        let service = service.clone();
        crowd.spawn(async move { call(&service, get("/")).await.unwrap_err() });
    }
    assert!(crowd.join_all().await.iter().all(|error| error.is_open()));
    assert_eq!(start.elapsed(), 100 * MS, "not one after the other");

    let start = Instant::now();
    let hurried = call(&service, with(get("/"), Deadline::after(20 * MS))).await.unwrap_err();
    assert!(hurried.is_open(), "a refusal is better news than a deadline: {hurried}");
    assert!(start.elapsed() <= 20 * MS && start.elapsed() >= 15 * MS, "{:?}", start.elapsed());
    let slowed = call(&service, get("/")).await.unwrap_err();
    assert!(slowed.retry_in().unwrap() > SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_waits_between_its_calls_is_never_slowed_down() {
    let peer = Peer::new().forever(Reply::ok("x"));
    let layer = StackLayer::default();
    let service = stack(&peer, &layer);
    breaker(&layer).force_open();
    for _ in 0..50 {
        let start = Instant::now();
        assert!(call(&service, get("/")).await.unwrap_err().is_open());
        assert_eq!(start.elapsed(), Duration::ZERO);
        sleep(101 * MS).await;
    }
}

/// As the breaker is by default, whatever that is.
fn usual() -> Settings {
    let waits = Backoff::exponential(SECOND).multiplier(1.5).cap(15 * SECOND);
    Settings::default().open(waits.jitter(retry::Jitter::Proportional(0.1))).half_open(1, 1)
}

#[tokio::test(start_paused = true)]
async fn a_call_in_flight_when_an_outage_begins_has_an_answer_or_an_error_within_nine_seconds() {
    let mut longest = Duration::ZERO;
    for down in [Reply::refuse(), Reply::reset(), Reply::status(503)] {
        for every in [20 * MS, 200 * MS, SECOND] {
            for seed in [0, 1, 5, 6] {
                let peer = Peer::new()
                    .until(10 * SECOND, Reply::ok("x").after(300 * MS))
                    .until(130 * SECOND, down.clone());
                let peer = peer.forever(Reply::ok("x"));
                let retry = retry::Settings::default().backoff(Backoff::default().seed(seed));
                let service = stack(&peer, &layer(retry, usual()));
                let mut crowd = JoinSet::new();
                let start = Instant::now();
                while start.elapsed() < 60 * SECOND {
                    let service = service.clone();
                    crowd.spawn(async move {
                        let start = Instant::now();
                        let _ = whole(call(&service, get("/")).await).await;
                        start.elapsed()
                    });
                    sleep(every).await;
                }
                longest = longest.max(crowd.join_all().await.into_iter().max().unwrap());
            }
        }
    }
    println!("longest {longest:?}");
    assert!(longest <= 9 * SECOND, "{longest:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_after_an_open_wait_tells_of_no_time_to_come_back() {
    let peer = Peer::new().then(Reply::status(503)).forever(Reply::ok("x"));
    let service = stack(&peer, &layer(every(MS), opens_for(2 * SECOND)));
    let answer = call(&service, get("/")).await.unwrap();
    let attempts = answer.body().attempts();
    assert_eq!((answer.status().as_u16(), attempts.count, attempts.retry_in), (200, 2, None));
}

#[tokio::test(start_paused = true)]
async fn layers_around_a_retry_layer_and_a_breaker_layer_tell_what_those_have_to_tell() {
    let total = || DeadlineLayer::new(30 * SECOND).unwrap();
    let peer = Peer::new().times(2, Reply::status(503)).forever(Reply::ok("x"));
    let service = total().layer(RetryLayer::new(every(MS)).unwrap().layer(plain(&peer)));
    let answer = call(&service, get("/")).await.unwrap();
    let told = *answer.extensions().get::<unwedge::Attempts>().unwrap();
    assert_eq!((answer.body().attempts(), told.count), (told, 3));

    let peer = Peer::new().forever(Reply::status(503).retry_after("7"));
    let breaker = CircuitBreakerLayer::new(opens_for(20 * SECOND)).unwrap();
    let service = total().layer(RetryLayer::new(every(MS)).unwrap().layer(breaker.layer(plain(&peer))));
    let attempts = call(&service, get("/")).await.unwrap().body().attempts();
    assert_eq!((attempts.count, attempts.retry_after), (1, Some(7 * SECOND)));
    assert_eq!(attempts.retry_in, Some(20 * SECOND));
}
