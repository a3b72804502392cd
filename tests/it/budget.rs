//! What retries may cost an origin.

use crate::support::*;
use std::time::Duration;
use unwedge::retry::Budget;
use unwedge::testing::{Peer, Reply, Script};
use unwedge::{Stack, StackLayer, retry};

fn free_of_waits(retries: u32) -> retry::Settings {
    retry::Settings::default().max_retries(retries).backoff(Duration::ZERO)
}

/// One call: how many requests it sent.
async fn spent(service: &Stack<Plain>, peer: &Peer, path: &str) -> u64 {
    let before = peer.request_count();
    let _ = call(service, get(path)).await;
    peer.request_count() - before
}

#[tokio::test(start_paused = true)]
async fn five_hundred_tokens_are_thirty_five_retries_in_a_row() {
    let peer = Peer::new().forever(Reply::status(500));
    let service = stack(&peer, &built(StackLayer::builder().retry(free_of_waits(100))));
    assert_eq!(spent(&service, &peer, "/").await, 36, "486, 472, 458 and so on down to 10");
    assert_eq!(spent(&service, &peer, "/").await, 1, "10 tokens are too few for a retry");
}

#[tokio::test(start_paused = true)]
async fn an_empty_budget_returns_the_last_answer_as_it_is() {
    let peer = Peer::new().forever(Reply::status(503).retry_after("1").body("busy"));
    let retry = free_of_waits(3).budget(Budget::default().tokens(0));
    let service = stack(&peer, &built(StackLayer::builder().retry(retry)));
    let answer = call(&service, get("/")).await.unwrap();
    assert_eq!(answer.body().attempts().retry_after, Some(SECOND));
    assert_eq!(whole(Ok(answer)).await.unwrap(), (503, "busy".into()));
    assert_eq!(peer.request_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_success_at_the_first_try_earns_one_token_up_to_the_capacity() {
    let peer = Peer::new().on("/well", Reply::ok("x")).forever(Reply::status(500));
    let service = stack(&peer, &built(StackLayer::builder().retry(free_of_waits(100))));
    for _ in 0..30 {
        assert_eq!(spent(&service, &peer, "/well").await, 1);
    }
    assert_eq!(spent(&service, &peer, "/").await, 36, "full is full");
    for _ in 0..3 {
        spent(&service, &peer, "/well").await;
    }
    assert_eq!(spent(&service, &peer, "/").await, 1, "13 tokens");
    spent(&service, &peer, "/well").await;
    assert_eq!(spent(&service, &peer, "/").await, 2, "14 tokens");
}

#[tokio::test(start_paused = true)]
async fn a_success_after_a_retry_gives_its_cost_back_and_no_more() {
    let flaky = Reply::by({
        let turn = std::sync::atomic::AtomicU32::new(0);
        move |_| match turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 3 {
            2 => Reply::ok("x"),
            _ => Reply::status(500),
        }
    });
    let peer = Peer::new().on("/flaky", flaky).forever(Reply::status(500));
    let retry = free_of_waits(100).budget(Budget::default().tokens(140));
    let service = stack(&peer, &built(StackLayer::builder().retry(retry)));
    for _ in 0..5 {
        assert_eq!(spent(&service, &peer, "/flaky").await, 3);
    }
    // Each call took 28 and gave 14 back: 140 - 5 x 14 leaves 70, that is five retries.
    assert_eq!(spent(&service, &peer, "/").await, 6);
}

#[tokio::test(start_paused = true)]
async fn retries_of_throttled_answers_cost_five() {
    for throttled in [Reply::status(429), Reply::status(503).retry_after("0")] {
        let peer = Peer::new().forever(throttled);
        let service = stack(&peer, &built(StackLayer::builder().retry(free_of_waits(200))));
        assert_eq!(spent(&service, &peer, "/").await, 101);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_budget_the_number_of_retries_is_the_only_limit() {
    let peer = Peer::new().forever(Reply::status(500));
    let service = stack(&peer, &built(StackLayer::builder().retry(free_of_waits(100).budget(None))));
    assert_eq!(spent(&service, &peer, "/").await, 101);
}

#[tokio::test(start_paused = true)]
async fn origins_have_budgets_of_their_own_and_clones_of_a_layer_share_them() {
    let (peer, other) = (Peer::new().forever(Reply::status(500)), Peer::new().forever(Reply::status(500)));
    let retry = free_of_waits(100).budget(Budget::default().tokens(28));
    let layer = built(StackLayer::builder().retry(retry));
    let pipe = || peer.pipe().host("other.test", &other);
    let one = tower_layer::Layer::layer(&layer, over(pipe()));
    let two = tower_layer::Layer::layer(&layer.clone(), over(pipe()));
    assert_eq!(spent(&one, &peer, "/").await, 3);
    assert_eq!(spent(&two, &peer, "/").await, 1, "the same bucket");
    let request = http::Request::get("http://other.test/").body(http_body_util::Full::default()).unwrap();
    call(&one, request).await.unwrap();
    assert_eq!(other.request_count(), 3, "another origin, another bucket");
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_never_made_costs_nothing() {
    let peer = Peer::new().forever(Reply::status(500));
    let retry = every(2 * SECOND).budget(Budget::default().tokens(14));
    let service = stack(&peer, &built(StackLayer::builder().retry(retry)));
    for _ in 0..3 {
        let dropped = tokio::time::timeout(SECOND, call(&service, get("/"))).await;
        assert!(dropped.is_err(), "it was given up in its back-off");
    }
    assert_eq!(spent(&service, &peer, "/").await, 2, "the tokens are all there");
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_given_up_in_flight_costs_nothing_and_one_that_fails_does() {
    let peer = Peer::new().on("/slow", Script::new().then(Reply::status(500)).forever(Reply::hang()));
    let peer = peer.forever(Reply::status(500));
    let retry = free_of_waits(1).budget(Budget::default().tokens(14));
    let service = stack(&peer, &built(StackLayer::builder().retry(retry)));
    assert!(tokio::time::timeout(SECOND, call(&service, get("/slow"))).await.is_err());
    assert_eq!(spent(&service, &peer, "/").await, 2, "nobody knows what would have become of it");
    assert_eq!(spent(&service, &peer, "/").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_ends_in_an_error_has_cost_its_tokens() {
    let peer = Peer::new().forever(Reply::reset());
    let retry = free_of_waits(1).budget(Budget::default().tokens(20));
    let service = stack(&peer, &built(StackLayer::builder().retry(retry)));
    assert_eq!(spent(&service, &peer, "/").await, 2);
    assert_eq!(spent(&service, &peer, "/").await, 1, "6 tokens are left");
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_the_breaker_refuses_costs_nothing() {
    let peer = Peer::new().forever(Reply::status(500));
    let retry = every(2 * SECOND).budget(Budget::default().tokens(14));
    let layer = StackLayer::builder().retry(retry).build().unwrap();
    let service = stack(&peer, &layer);
    let breaker = layer.breakers().of(&"http://peer.test/".parse().unwrap()).unwrap();
    let (refused, ()) = tokio::join!(call(&service, get("/")), async {
        tokio::time::sleep(SECOND).await;
        breaker.force_open();
    });
    assert!(refused.unwrap_err().is_open());
    breaker.reset();
    assert_eq!(spent(&service, &peer, "/").await, 2);
}
