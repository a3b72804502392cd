use crate::support::*;
use tokio::time::Instant;
use unwedge::testing::{Peer, Reply};
use unwedge::{ErrorKind, Phase, StackLayer};

#[tokio::test(start_paused = true)]
async fn an_answer_comes_through() {
    let peer = Peer::new().forever(Reply::ok("hello"));
    let layer = StackLayer::default();
    let service = stack(&peer, &layer);
    let (status, body) = whole(call(&service, get("/")).await).await.unwrap();
    assert_eq!((status, &body[..]), (200, &b"hello"[..]));
    assert!(layer.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn silence_ends_at_the_attempt_and_in_all_at_the_deadline() {
    let peer = Peer::new().forever(Reply::silent());
    let layer = exact().build().unwrap();
    let start = Instant::now();
    let error = call(&stack(&peer, &layer), get("/jobs?token=x")).await.unwrap_err();
    assert_eq!(start.elapsed(), 30 * SECOND);
    assert_eq!(error.phase(), Some(Phase::Headers));
    println!("{error}");
    assert_eq!(error.kind(), ErrorKind::Deadline);
    assert_eq!(error.journal().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn bad_gateways_are_outlived() {
    let peer = Peer::new().then(Reply::status(502)).then(Reply::status(502)).forever(Reply::ok("x"));
    let layer = StackLayer::default();
    let answer = call(&stack(&peer, &layer), get("/")).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(peer.request_count(), 3);
    println!("{:?}", answer.body().attempts());
}

#[tokio::test(start_paused = true)]
async fn refused_says_so() {
    let peer = Peer::new().forever(Reply::refuse());
    let layer = StackLayer::default();
    let error = call(&stack(&peer, &layer), get("/")).await.unwrap_err();
    println!("{error}");
    assert!(error.is_connect());
}

#[tokio::test(start_paused = true)]
async fn reset_mid_body_is_retried() {
    let peer = Peer::new().then(Reply::sized(100).reset_after(10)).forever(Reply::sized(100));
    let layer = StackLayer::default();
    let (status, body) = whole(call(&stack(&peer, &layer), get("/")).await).await.unwrap();
    assert_eq!((status, body.len()), (200, 100));
    assert_eq!(peer.request_count(), 2);
}
