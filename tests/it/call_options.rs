//! Limits and number of retries of one call, by the extension of its request.

use crate::support::*;
use std::time::Duration;
use tokio::time::Instant;
use unwedge::stack::RetryLayer;
use unwedge::testing::{Peer, Reply};
use unwedge::{CallOptions, Error, ErrorKind, Limits, LongPoll, StackLayer};

use tower_layer::Layer;

/// How long it took, and what came of it.
async fn timed(peer: &Peer, options: CallOptions) -> (Duration, Error) {
    let service = stack(peer, &built(exact()));
    let began = Instant::now();
    let error = match call(&service, with(get("/"), options)).await {
        Err(error) => error,
        Ok(response) => response.into_body().bytes(u64::MAX).await.expect_err("it must end with an error"),
    };
    (began.elapsed(), error)
}

#[tokio::test(start_paused = true)]
async fn the_attempt_and_the_total_of_a_request_replace_those_of_the_stack() {
    let peer = Peer::new().forever(Reply::hang());
    let (took, error) = timed(&peer, CallOptions::new().attempt(2 * SECOND).total(7 * SECOND)).await;
    assert_eq!((took, error.kind()), (7 * SECOND, ErrorKind::Deadline), "{error}");
    assert_eq!(peer.requests().len(), 4);

    // Longer than the stack has it, too.
    let longer = CallOptions::new().attempt(40 * SECOND).total(40 * SECOND).retries(0);
    let (took, error) = timed(&peer, longer).await;
    assert_eq!(took, 40 * SECOND, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_shorter_total_alone_leaves_room_for_a_second_attempt() {
    let peer = Peer::new().forever(Reply::hang());
    let (took, _) = timed(&peer, CallOptions::new().total(3 * SECOND)).await;
    assert_eq!((took, peer.requests().len()), (3 * SECOND, 2));
}

#[tokio::test(start_paused = true)]
async fn no_retries_means_that_the_request_is_sent_once() {
    let peer = Peer::new().forever(Reply::status(503));
    let service = stack(&peer, &built(exact()));
    let answer = call(&service, with(get("/"), CallOptions::new().retries(0))).await.unwrap();
    assert_eq!((answer.status().as_u16(), peer.requests().len()), (503, 1));
    call(&service, with(get("/"), CallOptions::new().retries(5))).await.unwrap();
    assert_eq!(peer.requests().len(), 1 + 6);
}

#[tokio::test(start_paused = true)]
async fn the_idle_limit_of_a_request_bounds_its_body() {
    let peer = Peer::new().forever(Reply::ok("a piece").hang_after(2));
    let (took, error) = timed(&peer, CallOptions::new().idle(SECOND).retries(0)).await;
    assert_eq!((took, error.kind()), (SECOND, ErrorKind::Stall), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_stream_limit_of_a_request_ends_its_stream() {
    let peer = Peer::new().forever(Reply::ok("x".repeat(10_000)).drip(1, SECOND));
    let service = stack(&peer, &built(exact()));
    let request = with(get("/"), CallOptions::new().stream(30 * SECOND));
    let answer = call(&service, with(request, unwedge::Collect::never())).await.unwrap();
    let began = Instant::now();
    let error = answer.into_body().bytes(u64::MAX).await.unwrap_err();
    assert_eq!(began.elapsed(), 30 * SECOND, "{error}");
}

#[tokio::test(start_paused = true)]
async fn impossible_options_are_errors_that_name_both_values_before_anything_is_sent() {
    let peer = Peer::new().forever(Reply::ok(""));
    let limits = Limits::default().total(20 * SECOND);
    let service = stack(&peer, &built(exact().limits(limits)));
    for (options, said) in [
        (CallOptions::new().attempt(6 * SECOND).total(5 * SECOND), ["6 s", "5 s"]),
        // Above the total of the stack.
        (CallOptions::new().attempt(21 * SECOND), ["21 s", "20 s"]),
        (CallOptions::new().attempt(Duration::ZERO), ["attempt", "0 s"]),
        (CallOptions::new().total(Duration::ZERO), ["total", "0 s"]),
        (CallOptions::new().idle(Duration::ZERO), ["idle", "0 s"]),
        (CallOptions::new().stream(Duration::MAX), ["stream", "10 years"]),
    ] {
        let error = call(&service, with(get("/"), options)).await.unwrap_err();
        assert!(error.is_config(), "{error}");
        for said in said {
            assert!(error.to_string().contains(said), "{error}");
        }
    }
    assert_eq!(peer.requests().len(), 0);
    assert!(service.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_keeps_its_hold_whatever_the_total_of_its_request() {
    let peer = Peer::new().forever(Reply::ok("").after(20 * SECOND));
    let service = stack(&peer, &built(exact()));
    let poll = with(get("/"), LongPoll::because("jobs are parked").up_to(30 * SECOND));
    assert!(call(&service, with(poll, CallOptions::new().total(2 * SECOND))).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_single_part_takes_the_options_that_are_its_own() {
    let peer = Peer::new().forever(Reply::status(503).after(SECOND));
    let service = RetryLayer::new(every(MS)).unwrap().layer(plain(&peer));
    let options = CallOptions::new().attempt(10 * MS).retries(1);
    let answer = call(&service, with(get("/"), options)).await.unwrap();
    assert_eq!((answer.status().as_u16(), peer.requests().len()), (503, 2), "no limit, one retry");
}

#[tokio::test(start_paused = true)]
async fn the_builder_of_a_clients_request_takes_options() {
    let peer = Peer::new().forever(Reply::hang());
    let client = client(&peer).build().unwrap();
    let began = Instant::now();
    let sent = client.get("http://a/").options(CallOptions::new().total(SECOND).retries(0)).send();
    assert!(sent.await.unwrap_err().is_timeout());
    assert!(began.elapsed() <= SECOND);
    let wrong = client.get("http://a/").options(CallOptions::new().total(Duration::ZERO)).send();
    assert!(wrong.await.unwrap_err().is_config());
    let layer = StackLayer::default();
    assert!(layer.in_flight().is_empty());
}
