//! Who makes the health check: a leader that stalls, and a pool of the caller's own that is full.

use crate::support::*;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tower::limit::ConcurrencyLimit;
use tower_layer::Layer;
use unwedge::breaker::Phase;
use unwedge::health::Settings;
use unwedge::stack::{DeadlineLayer, RetryLayer};
use unwedge::testing::{Peer, Reply};
use unwedge::{StackLayer, retry};

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_held_and_not_polled_delays_the_others_by_one_check_and_not_for_ever() {
    let peer = Peer::new().on("/health", Reply::ok("").after(300 * MS)).forever(Reply::ok("x"));
    let layer = StackLayer::builder().health("/health").build().unwrap();
    let service = stack(&peer, &layer);
    let mut held = pin!(call(&service, get("/")));
    assert!(timeout(50 * MS, &mut held).await.is_err());
    let start = Instant::now();
    call(&service, get("/")).await.unwrap();
    let waited = start.elapsed();
    assert!(
        waited > 5 * SECOND && waited < 7 * SECOND,
        "the time of a check and a second, then a check: {waited:?}"
    );
    let start = Instant::now();
    call(&service, get("/")).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO, "the verdict is known");
    // What the held call has to say comes too late to be news, and the call itself goes on.
    assert!(held.await.is_ok());
}

struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

#[tokio::test(start_paused = true)]
async fn a_call_that_leaves_while_another_checks_leaves_its_place_among_those_who_wait_for_the_verdict() {
    let peer = Peer::new().on("/health", Reply::ok("").after(SECOND)).forever(Reply::ok("x"));
    let layer = StackLayer::builder().health("/health").build().unwrap();
    let service = stack(&peer, &layer);
    let mut leads = pin!(call(&service, get("/")));
    assert!(timeout(50 * MS, &mut leads).await.is_err());
    let task = Arc::new(Nobody);
    let waker = Waker::from(Arc::clone(&task));
    let mut waits: Vec<_> = (0..100).map(|_| Box::pin(call(&service, get("/")))).collect();
    for waits in &mut waits {
        assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    drop(waker);
    assert!(Arc::strong_count(&task) > 100, "each is to be woken");
    drop(waits);
    assert_eq!(Arc::strong_count(&task), 1, "nobody is left to be woken");
    assert!(leads.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_full_pool_of_the_callers_own_is_no_failed_health_check() {
    let peer = Peer::new().on("/slow", Reply::ok("").after(2 * SECOND)).forever(Reply::ok("x"));
    let health = Settings::new("/health").interval(500 * MS).timeout(700 * MS);
    let layer = StackLayer::builder().health(health).build().unwrap();
    let service = layer.layer(ConcurrencyLimit::new(plain(&peer), 1));
    call(&service, get("/")).await.unwrap();
    let slow = call(&service, get("/slow"));
    let other = async {
        sleep(600 * MS).await;
        call(&service, get("/")).await
    };
    let (slow, other) = tokio::join!(slow, other);
    assert!(slow.is_ok() && other.is_ok(), "{other:?}");
    let breaker = &layer.breakers().snapshot()[0];
    assert_eq!((breaker.phase, breaker.failures), (Phase::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn a_retry_layer_beneath_a_deadline_layer_knows_the_deadline() {
    let peer = Peer::new().forever(Reply::status(503).retry_after("30"));
    let retry = RetryLayer::new(retry::Settings::default()).unwrap();
    let service = DeadlineLayer::new(2 * SECOND).unwrap().layer(retry.layer(plain(&peer)));
    let start = Instant::now();
    let answer = call(&service, get("/")).await.unwrap();
    assert_eq!((answer.status().as_u16(), start.elapsed()), (503, Duration::ZERO));
}
