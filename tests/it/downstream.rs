//! What a client tells the server about its deadline.

use crate::support::*;
use http::{HeaderName, Request};
use http_body_util::Full;
use tokio::time::sleep;
use unwedge::deadline::{Headers, Incoming, IncomingLayer};
use unwedge::testing::{Peer, Reply};
use unwedge::{Collect, Deadline, Limits, StackLayer, long_poll, within};

pub(crate) fn telling(limits: Limits) -> StackLayer {
    built(exact().limits(limits).propagate_deadline(Headers::default()))
}

/// What arrived in the two headers, request by request.
pub(crate) fn told(peer: &Peer) -> Vec<(Option<u64>, Option<u64>)> {
    let number = |text: Option<&str>| text.map(|text| text.parse().expect("a number"));
    let read = |name: &'static str| move |r: &unwedge::testing::Received| number(r.header(name));
    let (time, attempt) = (read("x-request-timeout-ms"), read("x-request-attempt"));
    peer.requests().iter().map(|received| (time(received), attempt(received))).collect()
}

#[tokio::test(start_paused = true)]
async fn each_attempt_says_how_long_it_is_waited_for_and_which_it_is() {
    let peer = Peer::new().forever(Reply::hang());
    let layer = telling(Limits::default().total(25 * SECOND).attempt(10 * SECOND));
    assert!(call(&stack(&peer, &layer), get("/")).await.unwrap_err().is_deadline());
    assert_eq!(
        told(&peer),
        [(Some(10_000), Some(1)), (Some(10_000), Some(2)), (Some(5_000), Some(3))],
        "the attempt limit binds until less than that is left of the call"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_left_shrinks_from_attempt_to_attempt() {
    let peer = Peer::new().forever(Reply::status(503).after(SECOND));
    let layer = built(
        StackLayer::builder()
            .limits(Limits::default().total(11 * SECOND).attempt(11 * SECOND))
            .retry(every(2 * SECOND))
            .propagate_deadline(Headers::default()),
    );
    assert_eq!(call(&stack(&peer, &layer), get("/")).await.unwrap().status(), 503);
    let left: Vec<_> = told(&peer).into_iter().map(|(left, _)| left.unwrap()).collect();
    assert_eq!(left, [11_000, 8_000, 5_000, 2_000]);
}

#[tokio::test(start_paused = true)]
async fn scope_request_and_limits_all_count_and_the_nearest_is_sent() {
    let peer = Peer::new().forever(Reply::ok("x"));
    let service = stack(&peer, &telling(Limits::default()));
    call(&service, get("/")).await.unwrap();
    call(&service, with(get("/"), Deadline::after(4 * SECOND))).await.unwrap();
    let scope = within(3 * SECOND, async {
        sleep(SECOND).await;
        call(&service, with(get("/"), Deadline::after(4 * SECOND))).await
    });
    scope.await.unwrap().unwrap();
    call(&service, with(get("/"), Collect::never())).await.unwrap();
    let left: Vec<_> = told(&peer).into_iter().map(|(left, _)| left.unwrap()).collect();
    assert_eq!(left, [10_000, 4_000, 2_000, 10_000]);
}

#[tokio::test(start_paused = true)]
async fn time_spent_before_an_attempt_is_not_sent_along() {
    let peer = Peer::new().on("/health", Reply::status(204).after(2 * SECOND)).forever(Reply::ok("x"));
    let limits = Limits::default().total(6 * SECOND).attempt(6 * SECOND);
    let layer = built(exact().limits(limits).health("/health").propagate_deadline(Headers::default()));
    call(&stack(&peer, &layer), get("/")).await.unwrap();
    assert_eq!(told(&peer), [(None, None), (Some(4_000), Some(1))], "and a health check carries none");
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_sends_its_hold_and_without_any_bound_only_the_attempt() {
    let peer = Peer::new().forever(Reply::ok("job"));
    let service = stack(&peer, &telling(Limits::default()));
    let poll = long_poll!("jobs are parked");
    call(&service, with(get("/a"), poll.clone().up_to(50 * SECOND))).await.unwrap();
    call(&service, with(get("/b"), poll.clone().unbounded())).await.unwrap();
    within(7 * SECOND, call(&service, with(get("/c"), poll.unbounded()))).await.unwrap().unwrap();
    assert_eq!(told(&peer), [(Some(55_000), Some(1)), (None, Some(1)), (Some(7_000), Some(1))]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_where_it_was_not_asked_for() {
    let peer = Peer::new().forever(Reply::hang());
    let service = stack(&peer, &built(exact()));
    within(SECOND, call(&service, get("/"))).await.unwrap().unwrap_err();
    assert_eq!(told(&peer), [(None, None)]);
    let own = Request::get("http://peer.test/").header("x-request-timeout-ms", "77").body(Full::default());
    within(SECOND, call(&service, own.unwrap())).await.unwrap().unwrap_err();
    assert_eq!(told(&peer)[1], (Some(77), None), "what the request brings is nobody's business");
}

#[tokio::test(start_paused = true)]
async fn a_shorter_time_of_the_request_is_kept_and_a_stale_longer_one_is_not() {
    let peer = Peer::new().forever(Reply::ok("x"));
    let service = stack(&peer, &telling(Limits::default()));
    for own in ["77", "60000", "-5", "soon"] {
        let request = Request::get("http://peer.test/").header("x-request-timeout-ms", own);
        call(&service, request.header("x-request-attempt", "9").body(Full::default()).unwrap())
            .await
            .unwrap();
    }
    let left: Vec<_> = told(&peer).into_iter().map(|(left, _)| left.unwrap()).collect();
    assert_eq!(left, [77, 10_000, 10_000, 10_000]);
    assert!(told(&peer).iter().all(|(_, attempt)| *attempt == Some(1)));
}

#[tokio::test(start_paused = true)]
async fn other_names_are_a_setting_and_impossible_ones_an_error() {
    let peer = Peer::new().forever(Reply::ok("x"));
    let layer = built(exact().propagate_deadline(Headers::envoy()));
    call(&stack(&peer, &layer), get("/")).await.unwrap();
    let received = &peer.requests()[0];
    assert_eq!(received.header("x-envoy-expected-rq-timeout-ms"), Some("10000"));
    assert_eq!(received.header("x-envoy-attempt-count"), Some("1"));
    let grpc = Headers::default().remaining(HeaderName::from_static("grpc-timeout"));
    let error = StackLayer::builder().propagate_deadline(grpc.clone()).build().unwrap_err();
    assert!(error.is_config());
    assert!(IncomingLayer::new(Incoming::default().headers(grpc)).unwrap_err().is_config());
}
