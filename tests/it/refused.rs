//! Calls that are turned away by the circuit breaker or the health check, and those that wait for better times.

use crate::support::*;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tower_layer::Layer;
use unwedge::retry::Budget;
use unwedge::stack::{CircuitBreakerLayer, RetryLayer};
use unwedge::testing::{Peer, Reply, Script};
use unwedge::{Deadline, ErrorKind, Limits, Phase, StackLayer, breaker, retry, within};

/// Opens after two failures for exactly five seconds.
fn quick() -> breaker::Settings {
    breaker::Settings::default().failures(2).open(retry::Backoff::constant(5 * SECOND)).half_open(3, 1)
}

/// No retries and not a token to spend, but patience.
fn patient() -> retry::Settings {
    retry::Settings::default().max_retries(0).budget(Budget::default().tokens(0)).wait_when_refused(MINUTE)
}

fn layer(retry: retry::Settings) -> StackLayer {
    StackLayer::builder().retry(retry).breaker(quick()).build().unwrap()
}

/// A stack whose circuit two failures have just opened, over a server that is well again.
async fn opened(layer: &StackLayer) -> (unwedge::Stack<Plain>, Peer) {
    let peer = Peer::new().times(2, Reply::status(500)).forever(Reply::ok("x"));
    let service = stack(&peer, layer);
    for _ in 0..2 {
        assert_eq!(call(&service, get("/")).await.unwrap().status(), 500);
    }
    assert_eq!(layer.breakers().snapshot()[0].phase, breaker::Phase::Open);
    (service, peer)
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_the_call_at_once_and_says_when_to_come_back() {
    let layer = layer(retry::Settings::default().max_retries(0));
    let (service, peer) = opened(&layer).await;
    sleep(SECOND).await;
    let start = Instant::now();
    let error = call(&service, get("/jobs")).await.unwrap_err();
    assert_eq!((start.elapsed(), peer.request_count()), (Duration::ZERO, 2));
    assert_eq!(error.kind(), ErrorKind::Open { retry_in: 4 * SECOND });
    assert_eq!((error.attempts(), error.retry_in()), (0, Some(4 * SECOND)));
    assert!(error.is_refused() && error.is_retriable());
    assert_eq!(error.to_string(), "GET http://peer.test/jobs: circuit open, next try in 4 s");
    assert!(layer.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn patience_sleeps_the_refusal_out_and_spends_neither_attempt_nor_token() {
    let mut waits = Vec::new();
    for _ in 0..20 {
        let (service, peer) = opened(&layer(patient())).await;
        let start = Instant::now();
        let answer = call(&service, get("/")).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().attempts().count), (200, 1));
        assert_eq!(peer.request_count(), 3);
        let waited = start.elapsed();
        assert!((5 * SECOND..=5500 * MS + MS).contains(&waited), "a tenth of jitter at most: {waited:?}");
        waits.push(waited);
    }
    waits.sort();
    waits.dedup();
    assert!(waits.len() > 5, "the callers do not come back together: {waits:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_is_shown_in_its_back_off_and_sends_nothing_when_dropped() {
    let layer = layer(patient());
    let (service, peer) = opened(&layer).await;
    let mut waiting = Box::pin(call(&service, get("/")));
    assert!(timeout(SECOND, &mut waiting).await.is_err());
    assert_eq!(layer.in_flight().snapshot()[0].phase, Phase::BackOff);
    drop(waiting);
    sleep(MINUTE).await;
    assert_eq!(peer.request_count(), 2);
    assert!(layer.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn patience_ends_where_the_deadline_is_nearer() {
    let layer = layer(patient());
    let (service, peer) = opened(&layer).await;
    let start = Instant::now();
    let own = call(&service, with(get("/"), Deadline::after(3 * SECOND))).await.unwrap_err();
    let scoped = within(3 * SECOND, call(&service, get("/"))).await.unwrap().unwrap_err();
    assert_eq!(start.elapsed(), Duration::ZERO, "at once, not at the deadline");
    assert!(own.is_open() && scoped.is_open());
    assert_eq!(peer.request_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_circuit_that_is_held_open_is_asked_again_under_the_deadline_alone() {
    let layer = layer(patient());
    let peer = Peer::new().forever(Reply::ok("x"));
    let service = stack(&peer, &layer);
    layer.breakers().of(get("/").uri()).unwrap().force_open();
    let start = Instant::now();
    assert!(call(&service, get("/")).await.unwrap_err().is_open());
    let waited = start.elapsed();
    assert!((20 * SECOND..30 * SECOND).contains(&waited), "{waited:?}");
    let poll = with(get("/"), unwedge::long_poll!("jobs are parked").unbounded());
    let start = Instant::now();
    assert!(call(&service, poll).await.unwrap_err().is_open());
    let waited = start.elapsed();
    assert!((20 * SECOND..30 * SECOND).contains(&waited), "a long poll has no more patience: {waited:?}");
    assert_eq!(peer.connects(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_circuit_that_the_call_itself_opened_is_waited_for_too() {
    let settings = retry::Settings::default().backoff(Duration::ZERO).wait_when_refused(MINUTE);
    let peer = Peer::new().times(2, Reply::status(500)).forever(Reply::ok("x"));
    let answer = call(&stack(&peer, &layer(settings)), get("/")).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.body().attempts().count), (200, 3));
    let at = peer.requests()[2].at;
    assert!((5 * SECOND..=5500 * MS + MS).contains(&at), "{at:?}");

    let impatient = retry::Settings::default().backoff(Duration::ZERO);
    let peer = Peer::new().times(2, Reply::status(500)).forever(Reply::ok("x"));
    let start = Instant::now();
    let answer = call(&stack(&peer, &layer(impatient)), get("/")).await.unwrap();
    let attempts = answer.body().attempts();
    assert_eq!((answer.status().as_u16(), attempts.count, peer.request_count()), (500, 2, 2));
    assert_eq!((attempts.retry_in, start.elapsed()), (Some(5 * SECOND), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_bad_health_verdict_is_waited_for_and_asked_again() {
    let health = Script::new().then(Reply::status(503)).forever(Reply::status(200));
    let peer = Peer::new().on("/health", health).forever(Reply::ok("x"));
    let builder = StackLayer::builder().retry(patient()).health("/health");
    let service = stack(&peer, &builder.build().unwrap());
    let failed = call(&service, get("/")).await.unwrap_err();
    assert!(failed.is_unhealthy() && !failed.is_refused(), "its own check failed: that is an attempt");
    let start = Instant::now();
    let answer = call(&service, get("/")).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.body().attempts().count), (200, 1));
    let waited = start.elapsed();
    assert!((SECOND..=1100 * MS + MS).contains(&waited), "{waited:?}");
    let paths: Vec<_> = peer.requests().iter().map(|r| r.target.clone()).collect();
    assert_eq!(paths, ["/health", "/health", "/"]);
}

#[tokio::test(start_paused = true)]
async fn the_parts_as_layers_of_their_own_have_the_same_patience() {
    let breaker = CircuitBreakerLayer::new(quick()).unwrap();
    let peer = Peer::new().times(2, Reply::status(500)).forever(Reply::ok("x"));
    let beneath = breaker.layer(plain(&peer));
    let impatient = RetryLayer::new(retry::Settings::default().max_retries(0)).unwrap();
    let patient = patient().max_retries(1);
    let (patient, impatient) =
        (RetryLayer::new(patient).unwrap().layer(beneath.clone()), impatient.layer(beneath));
    for _ in 0..2 {
        assert_eq!(call(&impatient, get("/")).await.unwrap().status(), 500);
    }
    assert!(call(&impatient, get("/")).await.unwrap_err().is_open());
    let start = Instant::now();
    let answer = call(&patient, get("/")).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.body().attempts().count), (200, 1));
    assert!((5 * SECOND..=5500 * MS + MS).contains(&start.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn patience_adds_no_attempt_to_those_that_fail() {
    let settings =
        retry::Settings::default().max_retries(1).backoff(Duration::ZERO).wait_when_refused(MINUTE);
    let peer = Peer::new().forever(Reply::status(503));
    let layer = StackLayer::builder().retry(settings).build().unwrap();
    assert_eq!(call(&stack(&peer, &layer), get("/")).await.unwrap().status(), 503);
    assert_eq!(peer.request_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn patience_that_outlasts_an_attempt_is_bounded_by_the_total() {
    let limits = Limits::default().total(8 * SECOND).attempt(2 * SECOND);
    let layer = StackLayer::builder().limits(limits).retry(patient()).breaker(quick()).build().unwrap();
    let (service, _peer) = opened(&layer).await;
    let start = Instant::now();
    assert_eq!(call(&service, get("/")).await.unwrap().status(), 200);
    assert!(start.elapsed() >= 5 * SECOND, "the attempt limit does not count it");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_gets_a_place_is_refused_in_the_same_words_as_one_that_had_one() {
    let labelled = || with(get("/t/s3cret/jobs"), unwedge::Label::new("jobs"));
    let at_once = {
        let layer = layer(retry::Settings::default().max_retries(0));
        let (service, _) = opened(&layer).await;
        call(&service, labelled()).await.unwrap_err()
    };
    // It would have waited for the circuit, had it had the time.
    let layer = layer(patient());
    let (service, _) = opened(&layer).await;
    let after_a_look = call(&service, with(labelled(), Deadline::after(SECOND))).await.unwrap_err();
    for error in [at_once, after_a_look] {
        assert_eq!(error.to_string(), "GET http://peer.test [jobs]: circuit open, next try in 5 s");
        assert_eq!(error.kind(), ErrorKind::Open { retry_in: 5 * SECOND });
        assert_eq!((error.attempts(), error.phase(), error.journal().len()), (0, None, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_is_told_before_an_open_circuit() {
    let layer = layer(retry::Settings::default().max_retries(0));
    let (service, _) = opened(&layer).await;
    let late = with(get("/"), Deadline::at(Instant::now()));
    assert!(call(&service, late).await.unwrap_err().is_deadline());
    assert!(call(&service, get("/")).await.unwrap_err().is_open());
}
