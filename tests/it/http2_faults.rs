//! Every fault of the fault server against a client that speaks HTTP/2 from the first byte, on real sockets.

use crate::support::*;
use flate2::read::MultiGzDecoder;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use unwedge::client::Network;
use unwedge::testing::{Counts, Fault, FaultServer, Peer, Reply};
use unwedge::{Client, Limits, retry};

/// What a busy machine may add.
const GRACE: Duration = Duration::from_secs(3);

/// One retry at once, and an attempt that is long enough to be one in vain.
fn two() -> Client {
    let limits = Limits::default().total(5 * SECOND).attempt(1100 * MS).stream(1500 * MS);
    let once = retry::Settings::default().max_retries(1).backoff(Duration::ZERO);
    let client = Client::builder().limits(limits).retry(once).breaker(no_breaker());
    client.network(Network::default().http2_only()).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_ends_within_the_deadline_over_http_2_too_and_the_next_call_is_fine() {
    let faults = Arc::new(FaultServer::start_all().unwrap());
    let client = two();
    let few = Arc::new(Semaphore::new(8));
    let mut calls = JoinSet::new();
    for fault in Fault::all() {
        let (client, faults, few) = (client.clone(), Arc::clone(&faults), Arc::clone(&few));
        calls.spawn(async move {
            let _place = few.acquire().await;
            let url = faults.url(fault.name).unwrap();
            let begun = Instant::now();
            let ended = async { client.get(url).await?.into_body().bytes(64 << 20).await };
            let ended = tokio::time::timeout(60 * SECOND, ended).await;
            (fault.name, ended.map(|ended| ended.map(|bytes| bytes.len())), begun.elapsed())
        });
    }
    for (name, ended, took) in calls.join_all().await {
        let ended = ended.unwrap_or_else(|_| panic!("{name} hangs"));
        assert!(took < 5 * SECOND + 1500 * MS + GRACE, "{name}: {took:?}, {ended:?}");
    }
    let well = Peer::new().forever(Reply::ok("well"));
    let at = well.listen().unwrap();
    assert_eq!(client.get(format!("http://{at}/")).await.unwrap().text().await.unwrap(), "well");
    assert!(client.in_flight().is_empty());
}

/// The attempts of a POST to this fault, and what its server saw.
async fn posted(name: &'static str) -> (u32, Counts) {
    let faults = FaultServer::start(&[name]).unwrap();
    let error = two().post(faults.url(name).unwrap()).body("job").await.unwrap_err();
    (error.attempts(), faults.counts()[0].1)
}

#[tokio::test]
async fn what_a_server_says_it_has_not_processed_is_sent_again_and_what_it_swallowed_is_not() {
    let (attempts, seen) = posted("h2-refused-stream").await;
    assert_eq!(
        (attempts, seen.requests, seen.connections),
        (3, 3, 3),
        "the first repetition is free, and each has another connection"
    );
    let (attempts, seen) = posted("h2-goaway").await;
    assert_eq!((attempts, seen.requests, seen.connections), (3, 3, 3));
    let (attempts, seen) = posted("h2-dead").await;
    assert_eq!((attempts, seen.requests, seen.connections), (1, 1, 1));
}

#[tokio::test]
async fn a_connection_of_http_2_that_died_is_not_used_for_the_next_call() {
    let faults = FaultServer::start(&["h2-dead"]).unwrap();
    let client = two();
    for calls in 1..=2 {
        let error = client.post(faults.url("h2-dead").unwrap()).body("job").await.unwrap_err();
        assert!(error.is_timeout(), "{error}");
        assert_eq!(faults.counts()[0].1.connections, calls, "each call has one of its own");
    }
}

#[tokio::test]
async fn the_bomb_of_the_fault_server_is_one_and_ends_at_the_cap() {
    let faults = FaultServer::start(&["gzip-bomb"]).unwrap();
    let url = faults.url("gzip-bomb").unwrap();
    let plain = Client::builder().gzip(false).build().unwrap();
    let packed = plain.get(url).await.unwrap().bytes().await.unwrap();
    let mut decoded = Vec::new();
    MultiGzDecoder::new(&packed[..]).read_to_end(&mut decoded).unwrap();
    assert!(packed.len() < 17 << 10 && decoded.len() == 16 << 20 && decoded.iter().all(|byte| *byte == 0));
    let client = Client::new().unwrap();
    let error = client.get(url).await.unwrap().bytes().await.unwrap_err();
    assert!(error.is_too_large() && error.to_string().contains("above its cap"), "{error}");
    assert_eq!(client.get(url).await.unwrap().cap(32 << 20).bytes().await.unwrap().len(), 16 << 20);
}
