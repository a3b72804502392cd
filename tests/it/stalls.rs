//! Bodies that are collected and stop flowing.

use crate::support::*;
use http_body_util::Full;
use tokio::time::Instant;
use unwedge::stack::StallLayer;
use unwedge::testing::{Peer, Reply};
use unwedge::{ErrorKind, Limits, Phase};

/// Room for a body that stalls inside an attempt.
fn limits() -> Limits {
    Limits::default().attempt(25 * SECOND).idle(5 * SECOND).total(60 * SECOND)
}

#[tokio::test(start_paused = true)]
async fn silence_after_the_head_is_a_stall_after_the_idle_bound() {
    let peer = Peer::new().forever(Reply::headers_then_hang().after(SECOND));
    let start = Instant::now();
    let error = call(&stack(&peer, &once(limits())), get("/jobs")).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Stall, Some(Phase::Body)));
    assert_eq!(start.elapsed(), 6 * SECOND);
    let said = "GET http://peer.test/jobs: the response body stalled: no byte for 5 s after 0 bytes";
    assert_eq!(error.to_string(), said);
    assert!(error.is_stall() && error.is_timeout() && error.is_retriable());
}

#[tokio::test(start_paused = true)]
async fn silence_inside_the_body_says_after_how_many_bytes() {
    let peer = Peer::new().forever(Reply::sized(100).drip(10, SECOND).hang_after(40));
    let start = Instant::now();
    let error = call(&stack(&peer, &once(limits())), get("/")).await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Stall, 9 * SECOND));
    assert!(error.to_string().ends_with("no byte for 5 s after 40 bytes"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_drip_just_above_the_idle_bound_is_ended_by_the_attempt() {
    for reply in [Reply::sized(1000), Reply::endless()] {
        let peer = Peer::new().forever(reply.drip(1, 4999 * MS));
        let start = Instant::now();
        let error = call(&stack(&peer, &built(exact().limits(limits()))), get("/")).await.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Deadline, Some(Phase::Body)));
        assert_eq!(start.elapsed(), 60 * SECOND);
        let before: Vec<_> = error.journal().iter().map(|attempt| (attempt.error, attempt.took)).collect();
        assert_eq!(before, [(Some(ErrorKind::Attempt), 25 * SECOND); 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_is_the_business_of_the_attempt() {
    let peer = Peer::new().forever(Reply::ok("x").slow_head(4 * SECOND));
    let start = Instant::now();
    let error = call(&stack(&peer, &once(limits())), get("/")).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Attempt, Some(Phase::Headers)));
    assert_eq!(start.elapsed(), 25 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_body_below_its_least_progress_stalls_although_it_never_idles() {
    let peer = Peer::new().forever(Reply::sized(1000).drip(10, SECOND));
    let start = Instant::now();
    let layer = once(limits().min_progress(100, 8 * SECOND));
    let error = call(&stack(&peer, &layer), get("/")).await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Stall, 8 * SECOND));
    let said = "the response body is too slow: less than 100 bytes in 8 s, after";
    assert!(error.to_string().contains(said), "{error}");

    let peer = Peer::new().forever(Reply::sized(200).drip(10, SECOND));
    let layer = once(limits().min_progress(70, 8 * SECOND));
    assert!(call(&stack(&peer, &layer), get("/")).await.is_ok(), "just enough is enough");
}

#[tokio::test(start_paused = true)]
async fn a_burst_buys_no_more_than_its_own_span_of_silence() {
    let peer = Peer::new().forever(Reply::sized(1000).hang_after(900));
    let start = Instant::now();
    let layer = once(limits().idle(20 * SECOND).min_progress(100, 4 * SECOND));
    let error = call(&stack(&peer, &layer), get("/")).await.unwrap_err();
    assert_eq!(
        (error.kind(), start.elapsed()),
        (ErrorKind::Stall, 8 * SECOND),
        "the second span had nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stall_layer_alone_knows_no_other_limit() {
    let layer = StallLayer::new(limits().idle(3 * SECOND)).unwrap();
    let service = |peer: &Peer| tower_layer::Layer::layer(&layer, plain(peer));
    let slow = Peer::new().forever(Reply::sized(40).drip(1, 2 * SECOND).after(MINUTE));
    assert_eq!(whole(call(&service(&slow), get("/")).await).await.unwrap().1.len(), 40);
    let silent = Peer::new().forever(Reply::headers_then_hang());
    let start = Instant::now();
    assert!(call(&service(&silent), get("/")).await.unwrap_err().is_stall());
    assert_eq!((start.elapsed(), silent.request_count()), (3 * SECOND, 1));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_reading_an_upload_is_ended_by_the_attempt() {
    let peer = Peer::new().forever(Reply::silent());
    let service = stack(&peer, &once(Limits::default()));
    let upload = request("PUT", "/").map(|_| Full::from(vec![0; 4 << 20]));
    let began = Instant::now();
    let error = call(&service, upload).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Attempt, Some(Phase::Headers)), "{error}");
    assert_eq!(began.elapsed(), 10 * SECOND);
    assert!(service.in_flight().is_empty());
}
