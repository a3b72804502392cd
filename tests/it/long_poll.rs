//! Requests that may wait for long because they say why.

use crate::support::*;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use unwedge::testing::{Peer, Reply};
use unwedge::{Deadline, ErrorKind, Limits, LongPoll, Phase, StackLayer, breaker, long_poll, within};

const WHY: &str = "the broker parks GetMessage until a job arrives";

fn parked() -> LongPoll {
    long_poll!(WHY)
}

fn consecutive(layer: &StackLayer) -> u32 {
    layer.breakers().snapshot()[0].consecutive_failures
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_the_grace_after_the_hold_is_in_time() {
    let peer = Peer::new().forever(Reply::ok("job").after(34 * SECOND));
    let poll = with(get("/message"), parked().up_to(30 * SECOND));
    let start = Instant::now();
    let answer = call(&stack(&peer, &StackLayer::default()), poll).await;
    assert_eq!(whole(answer).await.unwrap(), (200, "job".into()));
    assert_eq!((start.elapsed(), peer.request_count()), (34 * SECOND, 1));
}

#[tokio::test(start_paused = true)]
async fn silence_ends_it_five_seconds_after_the_hold_and_is_no_failure_of_the_origin() {
    let peer = Peer::new().forever(Reply::hang());
    let layer = StackLayer::default();
    let service = stack(&peer, &layer);
    for n in 1..=6 {
        let start = Instant::now();
        let poll = with(get("/message"), parked().up_to(30 * SECOND));
        let error = call(&service, poll).await.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Attempt, Some(Phase::Headers)));
        // The base back-off that a loop gets after an error comes on top.
        let gap = if n == 1 { Duration::ZERO } else { SECOND / 2 };
        assert_eq!((start.elapsed(), peer.request_count()), (35 * SECOND + gap, n), "not repeated");
        assert!(error.is_timeout() && error.is_retriable());
        let said = format!("the long poll was not answered within 35 s ({WHY})");
        assert!(error.to_string().contains(&said), "{error}");
    }
    assert_eq!(consecutive(&layer), 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_hold_the_ceiling_of_the_limits_binds_and_not_the_total() {
    let peer = Peer::new().then(Reply::ok("job").after(9 * MINUTE)).forever(Reply::hang());
    let layer = StackLayer::default();
    let service = stack(&peer, &layer);
    assert_eq!(call(&service, with(get("/"), parked())).await.unwrap().status(), 200);
    for (layer, ceiling) in
        [(layer, 10), (built(exact().limits(Limits::default().long_poll(20 * MINUTE))), 20)]
    {
        let start = Instant::now();
        let error = call(&stack(&peer, &layer), with(get("/"), parked())).await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Attempt, ceiling * MINUTE));
    }
}

#[tokio::test(start_paused = true)]
async fn only_unbounded_lifts_the_ceiling_and_a_scope_still_binds() {
    let peer = Peer::new().then(Reply::ok("job").after(300 * MINUTE)).forever(Reply::hang());
    let layer = StackLayer::default();
    let service = stack(&peer, &layer);
    let poll = || with(get("/"), parked().up_to(30 * SECOND).unbounded());
    assert_eq!(call(&service, poll()).await.unwrap().status(), 200);
    let start = Instant::now();
    let error = within(MINUTE, call(&service, poll())).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Deadline, MINUTE));
    let own = with(poll(), Deadline::after(MINUTE));
    let error = call(&service, own).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    assert_eq!(consecutive(&layer), 0);
    assert!(layer.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn it_is_listed_with_its_reason_from_start_to_end() {
    let peer = Peer::new().forever(Reply::ok("job").after(2 * MINUTE));
    let layer = StackLayer::default();
    let service = stack(&peer, &layer);
    let poll = tokio::spawn({
        let service = service.clone();
        async move { whole(call(&service, with(get("/message?s=x"), parked().unbounded())).await).await }
    });
    for after in [0, 50, 119] {
        sleep(after * SECOND - layer.in_flight().snapshot().first().map_or(Duration::ZERO, |c| c.age)).await;
        tokio::task::yield_now().await;
        let listed = layer.in_flight().snapshot();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].long_poll.as_deref(), Some(WHY));
        assert!(listed[0].unbounded && listed[0].deadline_in.is_none());
        assert_eq!((listed[0].phase, &listed[0].url[..]), (Phase::Headers, "http://peer.test/message"));
        let said = format!("no deadline (long poll: {WHY})");
        assert!(listed[0].to_string().ends_with(&said), "{}", listed[0]);
    }
    assert_eq!(poll.await.unwrap().unwrap(), (200, "job".into()));
    assert!(layer.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_that_is_dropped_leaves_the_table_and_counts_as_no_hang() {
    let peer = Peer::new().forever(Reply::hang());
    let layer = StackLayer::default();
    let service = stack(&peer, &layer);
    for _ in 0..6 {
        let dropped = timeout(20 * SECOND, call(&service, with(get("/"), parked()))).await;
        assert!(dropped.is_err());
        assert!(layer.in_flight().is_empty());
    }
    assert_eq!(consecutive(&layer), 0);
}

#[tokio::test(start_paused = true)]
async fn it_is_never_overdue() {
    let peer = Peer::new().forever(Reply::hang());
    let settings = breaker::Settings::default().failures(1).overdue_after(3 * SECOND);
    let layer = StackLayer::builder().breaker(settings).build().unwrap();
    let service = stack(&peer, &layer);
    let _ = call(&service, with(get("/"), parked().up_to(30 * SECOND))).await;
    assert_eq!(layer.breakers().snapshot()[0].phase, breaker::Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_refuses_it_like_any_call() {
    let peer = Peer::new().forever(Reply::ok("job"));
    let layer = StackLayer::default();
    let service = stack(&peer, &layer);
    layer.breakers().of(get("/").uri()).unwrap().force_open();
    let error = call(&service, with(get("/"), parked())).await.unwrap_err();
    assert!(error.is_open());
    assert_eq!(peer.connects(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_and_a_bad_gateway_are_failures_and_repeated() {
    for broken in [Reply::reset(), Reply::status(502), Reply::refuse()] {
        let peer = Peer::new().then(broken.after(20 * SECOND)).forever(Reply::ok("job").after(50 * SECOND));
        let layer = StackLayer::default();
        let mut changes = layer.breakers();
        let answer = call(&stack(&peer, &layer), with(get("/"), parked())).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().attempts().count), (200, 2));
        let snapshot = std::mem::replace(&mut changes, layer.breakers()).snapshot();
        assert_eq!((snapshot[0].calls, snapshot[0].failures), (2, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn its_body_is_handed_over_at_the_head_and_may_not_idle() {
    let peer = Peer::new().forever(Reply::sized(100).hang_after(10).after(MINUTE));
    let start = Instant::now();
    let answer = call(&stack(&peer, &StackLayer::default()), with(get("/"), parked())).await.unwrap();
    assert_eq!((start.elapsed(), answer.body().is_collected()), (MINUTE, false));
    assert!(whole(Ok(answer)).await.unwrap_err().is_stall());
    assert_eq!(start.elapsed(), MINUTE + 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn only_the_wait_for_the_head_is_exempt_and_not_the_one_for_a_ready_service() {
    use tower::limit::ConcurrencyLimitLayer;
    use tower_layer::Layer;
    let peer = Peer::new().forever(Reply::hang());
    let layer = StackLayer::default();
    let service = layer.layer(ConcurrencyLimitLayer::new(1).layer(plain(&peer)));
    let first = tokio::spawn({
        let service = service.clone();
        async move { call(&service, with(get("/"), parked())).await }
    });
    tokio::task::yield_now().await;
    let start = Instant::now();
    let error = call(&service, with(get("/"), parked().unbounded())).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Deadline, Some(Phase::Ready)));
    assert_eq!((start.elapsed(), peer.request_count()), (30 * SECOND, 1));
    assert_eq!(consecutive(&layer), 0);
    first.abort();
}
