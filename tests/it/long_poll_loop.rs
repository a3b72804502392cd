//! A loop of long polls against a server that does not park them.

use crate::support::*;
use std::time::Duration;
use unwedge::retry::{Backoff, Budget};
use unwedge::testing::{Peer, Reply};
use unwedge::{LongPoll, Stack, StackLayer, long_poll, retry};

fn parked() -> LongPoll {
    long_poll!("jobs are parked until there is one")
}

/// So many polls of a path, one after the other.
async fn polls(service: &Stack<Plain>, path: &str, count: u32) {
    for _ in 0..count {
        if let Ok(answer) = call(service, with(get(path), parked())).await {
            let _ = whole(Ok(answer)).await;
        }
    }
}

fn milliseconds(peer: &Peer) -> Vec<u128> {
    times(peer).iter().map(Duration::as_millis).collect()
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_at_once_is_followed_by_a_gap() {
    let declared = Reply::status(200);
    for empty in [Reply::long_poll(Duration::ZERO), Reply::status(204), declared] {
        let peer = Peer::new().forever(empty);
        polls(&stack(&peer, &StackLayer::default()), "/message", 5).await;
        assert_eq!(milliseconds(&peer), [0, 100, 200, 300, 400]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_gap_is_counted_from_the_answer() {
    let peer = Peer::new().forever(Reply::long_poll(50 * MS));
    polls(&stack(&peer, &StackLayer::default()), "/message", 3).await;
    assert_eq!(milliseconds(&peer), [0, 150, 300]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_parked_and_one_that_brings_something_need_no_gap() {
    let peer = Peer::new().forever(Reply::long_poll(100 * MS));
    polls(&stack(&peer, &StackLayer::default()), "/message", 3).await;
    assert_eq!(milliseconds(&peer), [0, 100, 200]);
    let peer = Peer::new().forever(Reply::ok("job"));
    polls(&stack(&peer, &StackLayer::default()), "/message", 3).await;
    assert_eq!(milliseconds(&peer), [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn the_gap_holds_for_its_path_and_origin_and_for_long_polls_alone() {
    let (peer, other) = (Peer::new().forever(Reply::status(204)), Peer::new().forever(Reply::status(204)));
    let layer = StackLayer::default();
    let service = tower_layer::Layer::layer(&layer, over(peer.pipe().host("other.test", &other)));
    polls(&service, "/a?session=1", 1).await;
    polls(&service, "/b", 1).await;
    let elsewhere = http::Request::get("http://other.test/a").extension(parked());
    call(&service, elsewhere.body(Default::default()).unwrap()).await.unwrap();
    call(&service, get("/a")).await.unwrap();
    assert_eq!((milliseconds(&peer), milliseconds(&other)), (vec![0, 0, 0], vec![0]));
    polls(&service, "/a?session=2", 1).await;
    assert_eq!(milliseconds(&peer), [0, 0, 0, 100], "a query makes no other path");
}

#[tokio::test(start_paused = true)]
async fn after_an_error_comes_the_base_back_off_even_with_an_empty_budget() {
    let retry = retry::Settings::default().budget(Budget::default().tokens(0));
    let layer = built(StackLayer::builder().retry(retry));
    for broken in
        [Reply::reset(), Reply::status(503), Reply::status(502).body("sorry"), Reply::status(429).body("x")]
    {
        let peer = Peer::new().forever(broken.clone());
        polls(&stack(&peer, &layer), &format!("/{broken:?}").replace(' ', ""), 3).await;
        assert_eq!(milliseconds(&peer), [0, 500, 1000], "{broken:?}");
    }
    let peer = Peer::new().forever(Reply::refuse());
    let start = tokio::time::Instant::now();
    polls(&stack(&peer, &layer), "/refused", 3).await;
    assert_eq!((peer.connects(), start.elapsed()), (3, SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_longer_base_is_a_longer_gap_and_no_base_is_none() {
    for (base, gap) in [(5 * SECOND, 5000), (Duration::ZERO, 0)] {
        let retry = retry::Settings::default().max_retries(0).backoff(Backoff::constant(base));
        let peer = Peer::new().forever(Reply::reset());
        polls(&stack(&peer, &built(StackLayer::builder().retry(retry))), "/", 3).await;
        assert_eq!(milliseconds(&peer), [0, gap, 2 * gap]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_waits_out_its_gap_says_so_and_obeys_its_scope() {
    let retry = retry::Settings::default().max_retries(0).backoff(Backoff::constant(5 * SECOND));
    let layer = built(StackLayer::builder().retry(retry));
    let peer = Peer::new().forever(Reply::reset());
    let service = stack(&peer, &layer);
    polls(&service, "/", 1).await;
    let start = tokio::time::Instant::now();
    let (ended, phase) =
        tokio::join!(unwedge::within(2 * SECOND, call(&service, with(get("/"), parked()))), async {
            tokio::time::sleep(SECOND).await;
            layer.in_flight().snapshot()[0].phase
        });
    let error = ended.unwrap().unwrap_err();
    assert_eq!((error.phase(), start.elapsed()), (Some(unwedge::Phase::BackOff), 2 * SECOND));
    assert!(error.is_deadline());
    assert_eq!((phase, peer.request_count()), (unwedge::Phase::BackOff, 1));
}
