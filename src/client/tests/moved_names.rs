//! Names whose addresses change, and name servers.

use super::resolving::{Gate, addresses, resolving};
use super::*;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::Instant;

#[tokio::test]
async fn a_look_up_that_hangs_is_not_waited_for_once_another_one_has_an_address() {
    let peer = Peer::new().forever(Reply::ok("ok").header("connection", "close"));
    let url = format!("http://api.example:{}/", peer.listen().unwrap().port());
    let gate = Gate::default();
    let (hanging, mended) = (gate.clone(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let well = Arc::clone(&mended);
    let client = resolving(move |_| {
        if !well.load(Ordering::SeqCst) {
            hanging.pass();
            return Err(io::Error::other("the name server is dead"));
        }
        addresses(&["127.0.0.1"])
    })
    .build()
    .unwrap();
    let start = Instant::now();
    let early = Beside::new(client.get(&url).send());
    while gate.inside() == 0 {
        tokio::time::sleep(MS).await;
    }
    // The machine is told of another name server. What was begun before goes on asking the old one.
    mended.store(true, Ordering::SeqCst);
    assert_eq!(early.ended().await.unwrap().status(), 200);
    let took = start.elapsed();
    assert!(took >= SEC && took < 9 * SEC, "{took:?}");
    // Those who come later do not wait for it. A busy machine may need long for one of them.
    let mut shortest = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        assert_eq!(client.get(&url).await.unwrap().status(), 200);
        shortest = shortest.min(start.elapsed());
    }
    assert!(shortest < SEC, "{shortest:?}");
    assert_eq!(gate.inside(), 1, "it still hangs");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_name_that_moves_is_followed_under_traffic_within_the_age_of_connections() {
    for http2 in [false, true] {
        let (old, new) = (Peer::new().forever(Reply::ok("old")), Peer::new().forever(Reply::ok("new")));
        let port = old.listen_on(([127, 0, 0, 1], 0).into()).unwrap().port();
        new.listen_on(([127, 0, 0, 2], port).into()).unwrap();
        let moved = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let moves = Arc::clone(&moved);
        let client = resolving(move |_| {
            addresses(&[if moves.load(Ordering::SeqCst) { "127.0.0.2" } else { "127.0.0.1" }])
        });
        let network = Network::default().no_proxy().connections(Connections::default().age(300 * MS).seed(7));
        let network = if http2 { network.http2_only() } else { network };
        let client = client.network(network).build().unwrap();
        let url = format!("http://moving.example:{port}/");
        let asked = async || client.post(&url).body("job").await.unwrap().text().await.unwrap();
        assert_eq!(asked().await, "old");
        moved.store(true, Ordering::SeqCst);
        let start = Instant::now();
        // Without a pause, so that no connection is ever idle for long.
        while asked().await == "old" {
            assert!(start.elapsed() < 10 * SEC, "{http2}: it is never left");
        }
        for _ in 0..50 {
            assert_eq!(asked().await, "new", "{http2}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_of_many_calls_that_wait_for_a_name_knows_it_and_blames_no_server_when_it_is_given_up() {
    for http2 in [false, true] {
        let hangs = tower::service_fn(|_| std::future::pending::<io::Result<[std::net::SocketAddr; 0]>>());
        let network = Network::default().no_proxy();
        let network = if http2 { network.http2_only() } else { network };
        let client = Client::builder().network(network).resolver(hangs).build().unwrap();
        let calls: Vec<_> =
            (0..200).map(|_| Beside::new(client.get("http://api.example:1/").send())).collect();
        tokio::time::sleep(MS).await;
        let waiting = client.in_flight().snapshot();
        let for_a_name = waiting.iter().filter(|call| call.phase == crate::Phase::Resolve).count();
        assert_eq!((waiting.len(), for_a_name), (200, 200), "{http2}");
        tokio::time::sleep(2 * SEC).await;
        drop(calls);
        tokio::time::sleep(MS).await;
        for circuit in client.breakers().snapshot() {
            assert_eq!(circuit.consecutive_failures, 0, "{http2}");
        }
    }
}
