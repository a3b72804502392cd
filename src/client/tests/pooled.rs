//! Connections of the pool that are not to be trusted any more.

use super::*;
use crate::suspend::Wall;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;
use tokio::time::{Instant, sleep};

/// A client whose wall clock is ahead of the monotonic one by so many seconds.
fn with_wall_clock(peer: &Peer) -> (Client, Arc<AtomicU32>) {
    let ahead = Arc::new(AtomicU32::new(0));
    let (offset, start) = (Arc::clone(&ahead), Instant::now());
    let wall = Wall::new(move || {
        SystemTime::UNIX_EPOCH + 1_000_000 * SEC + start.elapsed() + offset.load(Ordering::Relaxed) * SEC
    });
    (piped(peer).build_by(wall).unwrap(), ahead)
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_not_reused_after_the_machine_slept_for_more_than_30_seconds() {
    let peer = Peer::new().forever(Reply::ok("ok"));
    let (client, ahead) = with_wall_clock(&peer);
    let mut expected = 1;
    // A step of 30 s, a sleep of 31 s, nothing new, and a night.
    for (by, connections) in [(0, 1), (30, 1), (61, 2), (61, 2), (8 * 3600, 3)] {
        ahead.store(by, Ordering::Relaxed);
        sleep(SEC).await;
        client.get(URL).await.unwrap();
        client.get(URL).await.unwrap();
        assert_eq!(peer.connections(), connections, "{by}");
        expected = connections;
    }
    sleep(SEC).await;
    assert_eq!((peer.open_connections(), expected), (1, 3), "those left behind are closed");
}

#[tokio::test(start_paused = true)]
async fn a_call_in_flight_while_the_machine_sleeps_keeps_its_connection() {
    let peer = Peer::new().then(Reply::ok("slow").after(5 * SEC)).forever(Reply::ok("ok"));
    let (client, ahead) = with_wall_clock(&peer);
    let slow = Beside::new(client.get(URL).send());
    sleep(2 * SEC).await;
    ahead.store(3600, Ordering::Relaxed);
    client.get(URL).await.unwrap();
    assert_eq!(slow.ended().await.unwrap().text().await.unwrap(), "slow");
    assert_eq!((peer.connections(), peer.request_count()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_closes_as_a_request_is_written_costs_no_wait_and_no_evidence() {
    let peer = Peer::new().then(Reply::ok("1").stale_on_next()).forever(Reply::ok("2"));
    let client = client(&peer);
    client.get(URL).await.unwrap();
    let start = Instant::now();
    let response = client.get(URL).await.unwrap();
    assert_eq!((response.attempts().count, start.elapsed()), (2, Duration::ZERO));
    assert_eq!(client.breakers().snapshot()[0].consecutive_failures, 0);
}
