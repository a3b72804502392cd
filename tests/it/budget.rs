//! What retries may cost an origin.

use crate::support::*;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use unwedge::retry::{Backoff, Budget};
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
async fn five_hundred_tokens_are_a_hundred_and_twenty_five_retries_in_a_row() {
    let peer = Peer::new().forever(Reply::status(500));
    let service = stack(&peer, &built(StackLayer::builder().retry(free_of_waits(200))));
    assert_eq!(spent(&service, &peer, "/").await, 126, "496, 492, 488 and so on down to none");
    assert_eq!(spent(&service, &peer, "/").await, 1);
}

#[tokio::test(start_paused = true)]
async fn one_token_a_second_comes_back_by_itself() {
    let peer = Peer::new().forever(Reply::status(500));
    let service = stack(&peer, &built(StackLayer::builder().retry(free_of_waits(200))));
    spent(&service, &peer, "/").await;
    for (seconds, sent) in [(3, 1), (1, 2), (3, 1), (9, 4), (3600, 126)] {
        sleep(seconds * SECOND).await;
        assert_eq!(spent(&service, &peer, "/").await, sent, "{seconds} s later");
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_that_seldom_calls_is_not_starved_by_short_outages() {
    // Up for 20 s and down for 2 s on average, one call each 10 s for a day: how many are lost.
    async fn lost(budget: Option<Budget>) -> u32 {
        let mut rng = SmallRng::seed_from_u64(7);
        let mut turns = vec![Duration::ZERO];
        while turns[turns.len() - 1] < 24 * 60 * MINUTE {
            let mean = if turns.len() % 2 == 1 { 20.0 } else { 2.0 };
            let lasts = Duration::from_secs_f64(-mean * (1.0 - rng.random::<f64>()).ln());
            turns.push(turns[turns.len() - 1] + lasts);
        }
        let start = Instant::now();
        let peer = Peer::new().forever(Reply::by(move |_| {
            let begun = turns.partition_point(|turn| *turn <= start.elapsed());
            if begun % 2 == 1 { Reply::ok("x") } else { Reply::status(503) }
        }));
        let backoff = Backoff::default().seed(11);
        let retry = retry::Settings::default().backoff(backoff).budget(budget);
        let service = stack(&peer, &built(StackLayer::builder().retry(retry)));
        let mut lost = 0;
        for n in 0..8_640_u32 {
            tokio::time::sleep_until(start + 10 * n * SECOND).await;
            lost += u32::from(!call(&service, get("/")).await.unwrap().status().is_success());
        }
        lost
    }
    let (with, without) = (lost(Some(Budget::default())).await, lost(None).await);
    assert!(without > 50, "there are outages that no retry outlasts: {without}");
    assert!(f64::from(with) <= 1.2 * f64::from(without), "{with} lost, {without} without a budget");
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
    let service = stack(&peer, &built(StackLayer::builder().retry(free_of_waits(200))));
    for _ in 0..30 {
        assert_eq!(spent(&service, &peer, "/well").await, 1);
    }
    assert_eq!(spent(&service, &peer, "/").await, 126, "full is full");
    for _ in 0..3 {
        spent(&service, &peer, "/well").await;
    }
    assert_eq!(spent(&service, &peer, "/").await, 1, "3 tokens");
    spent(&service, &peer, "/well").await;
    assert_eq!(spent(&service, &peer, "/").await, 2, "4 tokens");
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
    let retry = free_of_waits(100).budget(Budget::default().tokens(40));
    let service = stack(&peer, &built(StackLayer::builder().retry(retry)));
    for _ in 0..5 {
        assert_eq!(spent(&service, &peer, "/flaky").await, 3);
    }
    // Each call took 8 and gave 4 back: 40 - 5 x 4 leaves 20, that is five retries.
    assert_eq!(spent(&service, &peer, "/").await, 6);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_retry_costs_as_much_as_any_other() {
    for throttled in [Reply::status(429), Reply::status(503).retry_after("0")] {
        let peer = Peer::new().forever(throttled);
        let service = stack(&peer, &built(StackLayer::builder().retry(free_of_waits(200))));
        assert_eq!(spent(&service, &peer, "/").await, 126);
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
    let retry = free_of_waits(100).budget(Budget::default().tokens(8));
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
    let retry = every(2 * SECOND).budget(Budget::default().tokens(4));
    let service = stack(&peer, &built(StackLayer::builder().retry(retry)));
    for _ in 0..3 {
        let dropped = tokio::time::timeout(SECOND, call(&service, get("/"))).await;
        assert!(dropped.is_err(), "it was given up in its back-off");
    }
    assert_eq!(spent(&service, &peer, "/").await, 2, "the tokens are all there");
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_its_caller_gives_up_in_flight_has_cost_its_tokens() {
    let peer = Peer::new().on("/slow", Script::new().then(Reply::status(500)).forever(Reply::hang()));
    let peer = peer.forever(Reply::status(500));
    let retry = free_of_waits(1).budget(Budget::default().tokens(4));
    let service = stack(&peer, &built(StackLayer::builder().retry(retry)));
    assert!(tokio::time::timeout(SECOND, call(&service, get("/slow"))).await.is_err());
    assert_eq!(spent(&service, &peer, "/").await, 1, "it was sent");
}

#[tokio::test(start_paused = true)]
async fn callers_that_give_up_in_mid_retry_send_no_more_than_the_budget_allows() {
    let turn = std::sync::atomic::AtomicU32::new(0);
    let peer = Peer::new().forever(Reply::by(move |_| {
        match turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 2 {
            0 => Reply::status(503),
            _ => Reply::hang(),
        }
    }));
    let retry = free_of_waits(3).budget(Budget::default().tokens(4));
    let service = stack(&peer, &built(StackLayer::builder().retry(retry)));
    for _ in 0..20 {
        let _ = tokio::time::timeout(200 * MS, call(&service, get("/"))).await;
    }
    assert!((20..=22).contains(&peer.request_count()), "{} requests", peer.request_count());
}

#[tokio::test(start_paused = true)]
async fn a_retry_whose_health_check_fails_was_never_sent_and_costs_nothing() {
    let health = Script::new().then(Reply::status(500)).forever(Reply::status(204));
    let peer = Peer::new().on("/health", health).forever(Reply::status(500));
    let settings = unwedge::health::Settings::new("/health").mode(unwedge::health::Mode::AfterFailure);
    let retry = free_of_waits(1).budget(Budget::default().tokens(4));
    let layer = built(StackLayer::builder().retry(retry).health(settings));
    let service = stack(&peer, &layer);
    let asked = || asked(&peer).join(", ");
    assert!(call(&service, get("/")).await.unwrap_err().is_unhealthy());
    assert_eq!(asked(), "GET /, GET /health");
    sleep(SECOND).await;
    assert_eq!(call(&service, get("/")).await.unwrap().status(), 500);
    assert_eq!(
        asked(),
        "GET /, GET /health, GET /health, GET /, GET /health, GET /",
        "its tokens were there"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_repeated_for_free_moves_no_token_and_earns_as_a_first_try() {
    let stale = || Reply::ok("x").stale_on_next();
    let peer = Peer::new().on("/down", Reply::status(500)).forever(stale());
    let retry = free_of_waits(10).budget(Budget::default().tokens(8));
    let service = stack(&peer, &built(StackLayer::builder().retry(retry)));
    assert_eq!(spent(&service, &peer, "/down").await, 3);
    for _ in 0..5 {
        assert_eq!(call(&service, get("/")).await.unwrap().status(), 200);
    }
    assert!(
        peer.requests().len() > 3 + 5,
        "some met a connection that was closed: {}",
        peer.requests().len()
    );
    let down = spent(&service, &peer, "/down").await;
    assert_eq!(down, 3, "one met a closed connection, and 5 tokens for 5 calls that went well are one retry");
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_ends_in_an_error_has_cost_its_tokens() {
    let peer = Peer::new().forever(Reply::reset());
    let retry = free_of_waits(1).budget(Budget::default().tokens(7));
    let service = stack(&peer, &built(StackLayer::builder().retry(retry)));
    assert_eq!(spent(&service, &peer, "/").await, 2);
    assert_eq!(spent(&service, &peer, "/").await, 1, "3 tokens are left");
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_the_breaker_refuses_costs_nothing() {
    let peer = Peer::new().forever(Reply::status(500));
    let retry = every(2 * SECOND).budget(Budget::default().tokens(4));
    let layer = StackLayer::builder().retry(retry).build().unwrap();
    let service = stack(&peer, &layer);
    let breaker = layer.breakers().of(&"http://peer.test/".parse().unwrap()).unwrap();
    let (refused, ()) = tokio::join!(call(&service, get("/")), async {
        tokio::time::sleep(SECOND).await;
        breaker.force_open();
    });
    assert_eq!(refused.unwrap().status(), 500, "what it had");
    breaker.reset();
    assert_eq!(spent(&service, &peer, "/").await, 2);
}
