//! Health checks in the background: a fresh verdict for callers, and nothing sent that nobody wants.

use crate::support::*;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use unwedge::health::{Mode, Settings};
use unwedge::testing::{Peer, Reply, Script};
use unwedge::{Client, StackLayer};

fn health() -> Settings {
    Settings::new("/health").mode(Mode::Background)
}

fn client(peer: &Peer) -> Client {
    Client::builder().pipe(peer.pipe()).health(health()).build().unwrap()
}

fn checks(peer: &Peer) -> usize {
    peer.requests().iter().filter(|request| request.path() == "/health").count()
}

/// Time in which every task does what is due, a second at a time.
async fn pass(seconds: u32) {
    for _ in 0..seconds {
        sleep(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_verdict_stays_fresh_without_a_call_and_no_call_waits_for_it() {
    let peer = Peer::new().on("/health", Reply::ok("").after(2 * SECOND)).forever(Reply::ok("x"));
    let client = client(&peer);
    client.get("http://peer.test/").send().await.unwrap();
    assert_eq!(checks(&peer), 1, "the first call brings the first check");
    pass(100).await;
    assert_eq!(checks(&peer), 4, "one about every 30 s");
    let start = Instant::now();
    client.get("http://peer.test/").send().await.unwrap();
    assert_eq!((start.elapsed(), checks(&peer)), (Duration::ZERO, 4));
}

#[tokio::test(start_paused = true)]
async fn a_call_in_the_middle_of_a_check_goes_at_once_and_the_failed_check_stands_against_the_next() {
    let slow = |reply: Reply| reply.after(2 * SECOND);
    let script = Script::new().until(SECOND, slow(Reply::ok(""))).forever(slow(Reply::status(503)));
    let peer = Peer::new().on("/health", script).forever(Reply::ok("x"));
    let client = client(&peer);
    client.get("http://peer.test/").send().await.unwrap();
    pass(31).await;
    assert_eq!(checks(&peer), 2, "the second check is under way from 32 s to 34 s");
    let start = Instant::now();
    assert_eq!(client.get("http://peer.test/").send().await.unwrap().status(), 200);
    assert_eq!((start.elapsed(), checks(&peer)), (Duration::ZERO, 2));
    sleep(1500 * MS).await;
    assert!(client.get("http://peer.test/").send().await.unwrap_err().is_unhealthy());
}

#[tokio::test(start_paused = true)]
async fn an_outage_and_its_end_are_noticed_without_a_call() {
    let down = Reply::status(503);
    let script = Script::new().until(60 * SECOND, Reply::ok("")).until(70 * SECOND, down);
    let peer = Peer::new().on("/health", script.forever(Reply::ok(""))).forever(Reply::ok("x"));
    let client = client(&peer);
    client.get("http://peer.test/").send().await.unwrap();
    pass(62).await;
    let refused = client.get("http://peer.test/").send().await.unwrap_err();
    assert!(refused.is_unhealthy(), "{refused}");
    pass(20).await;
    assert_eq!(client.get("http://peer.test/").send().await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_while_the_circuit_is_open() {
    let peer = Peer::new().forever(Reply::ok(""));
    let client = client(&peer);
    client.get("http://peer.test/").send().await.unwrap();
    client.breakers().of(&"http://peer.test/".parse().unwrap()).unwrap().force_open();
    let before = peer.request_count();
    pass(300).await;
    assert_eq!(peer.request_count(), before);
}

#[tokio::test(start_paused = true)]
async fn the_checks_end_with_the_last_clone_of_the_client() {
    let peer = Peer::new().forever(Reply::ok(""));
    let client = client(&peer);
    let clone = client.clone();
    client.get("http://peer.test/").send().await.unwrap();
    drop(client);
    pass(40).await;
    let while_cloned = checks(&peer);
    assert!(while_cloned >= 2, "{while_cloned}");
    drop(clone);
    pass(300).await;
    assert_eq!(checks(&peer), while_cloned);
}

#[tokio::test(start_paused = true)]
async fn a_stack_without_a_client_runs_the_checks_where_its_user_wants_them() {
    let peer = Peer::new().forever(Reply::ok(""));
    let layer = StackLayer::builder().health(health()).build().unwrap();
    let service = stack(&peer, &layer);
    let origin: http::Uri = "http://peer.test/".parse().unwrap();
    let fresh = service.keep_health_fresh(origin);
    tokio::select! {
        ended = fresh => panic!("{ended:?}"),
        () = pass(95) => {}
    }
    assert_eq!(checks(&peer), 4);
    assert!(service.keep_health_fresh("/no/host".parse().unwrap()).await.unwrap_err().is_config());
    let unchecked = stack(&peer, &StackLayer::default());
    assert!(unchecked.keep_health_fresh("http://peer.test/".parse().unwrap()).await.unwrap_err().is_config());
}
