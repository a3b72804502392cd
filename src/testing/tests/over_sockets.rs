//! The same peers on real sockets, in real time: few, and short.

use std::net::SocketAddr;

use hyper_util::client::legacy::connect::HttpConnector;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::*;

fn http() -> Plain<HttpConnector> {
    over(HttpConnector::new())
}

fn at(url: impl std::fmt::Display) -> Request<Full<Bytes>> {
    Request::get(url.to_string()).body(Full::default()).unwrap()
}

async fn dial(addr: SocketAddr) -> TcpStream {
    timeout(SEC, TcpSocket::new_v4().unwrap().connect(addr)).await.unwrap().unwrap()
}

/// What a raw client reads up to the end, and how it ends.
async fn read(mut stream: TcpStream) -> (String, Option<std::io::ErrorKind>) {
    let mut all = Vec::new();
    let end = timeout(10 * SEC, stream.read_to_end(&mut all)).await.unwrap();
    (String::from_utf8(all).unwrap(), end.err().map(|e| e.kind()))
}

/// Waits for what another task is about to do.
async fn soon(mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        sleep(10 * MS).await;
    }
    panic!("waited 5 s in vain");
}

#[tokio::test]
async fn a_peer_serves_sockets_and_pipe_alike() {
    let peer = Peer::new().then(Reply::status(502)).forever(Reply::ok("0123456789").drip(5, 20 * MS));
    let url = format!("http://{}/", peer.listen().unwrap());
    assert_eq!(http().request(at(&url)).await.unwrap().status(), 502);
    let start = Instant::now();
    assert_eq!(whole(http().request(at(&url)).await).await, ok("0123456789"));
    assert!(start.elapsed() >= 40 * MS);
    assert_eq!(whole(client(&peer).request(get("/")).await).await, ok("0123456789"));
    assert_eq!((peer.connections(), peer.request_count(), peer.ran_out()), (3, 3, false));
    drop(peer);
    soon(|| std::net::TcpListener::bind(url[7..].trim_end_matches('/')).is_ok()).await;
}

#[tokio::test]
async fn resets_and_closes_are_told_apart_by_the_kernel() {
    let peer = Peer::new()
        .then(Reply::reset())
        .then(Reply::ok("0123456789").reset_after(4))
        .then(Reply::close())
        .then(Reply::ok("0123456789").truncate_after(4))
        .then(Reply::refuse());
    let addr = peer.listen().unwrap();
    let reset = Some(std::io::ErrorKind::ConnectionReset);
    for (sent, end) in [("", reset), ("0123", reset), ("", None), ("0123", None)] {
        let mut stream = dial(addr).await;
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let (text, how) = read(stream).await;
        assert!(text.ends_with(sent), "{text}");
        assert_eq!(how, end, "{text}");
    }
    assert_eq!(read(dial(addr).await).await, (String::new(), reset));
    assert_eq!((peer.connections(), peer.connects()), (4, 5));
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_without_reading() {
    let peer = Peer::new().then(Reply::silent()).forever(Reply::hang());
    let addr = peer.listen().unwrap();
    let mut silent = dial(addr).await;
    soon(|| peer.open_connections() == 1).await;
    let mut hung = dial(addr).await;
    silent.write_all(b"not read").await.unwrap();
    hung.write_all(b"GET / HTTP/1.1\r\n\r\nand more").await.unwrap();
    assert!(peer.arrived(1, SEC).await);
    sleep(50 * MS).await;
    silent.write_all(b"nor this").await.unwrap();
    sleep(50 * MS).await;
    assert_eq!((peer.open_connections(), peer.request_count()), (2, 1));
    drop(silent);
    soon(|| peer.open_connections() == 1).await;
    drop(hung);
    soon(|| peer.open_connections() == 0).await;
}

#[tokio::test]
async fn a_server_that_is_away_refuses_and_comes_back_on_its_port() {
    let peer = Peer::new()
        .until(200 * MS, Reply::hang())
        .until(600 * MS, Reply::refuse())
        .forever(Reply::ok("back"));
    let url = format!("http://{}/", peer.listen().unwrap());
    let client = http();
    let start = Instant::now();
    assert!(client.request(at(&url)).await.is_err());
    assert!(start.elapsed() < 550 * MS, "the open connection ended when the server went");
    let mut refused = 0;
    let back = loop {
        match client.request(at(&url)).await {
            Err(e) if e.is_connect() => refused += 1,
            // Accepted by the kernel in the instant in which the server went.
            Err(_) => {}
            up => break whole(up).await,
        }
        assert!(start.elapsed() < 10 * SEC);
        sleep(10 * MS).await;
    };
    assert!(refused > 0);
    assert_eq!(back, ok("back"));
    assert!(start.elapsed() >= 550 * MS);
}

#[tokio::test]
async fn a_server_that_is_gone_for_good_refuses_from_its_last_answer_on() {
    let peer = Peer::new().then(Reply::ok("last").closing()).forever(Reply::refuse());
    let url = format!("http://{}/", peer.listen().unwrap());
    assert_eq!(whole(http().request(at(&url)).await).await, ok("last"));
    sleep(50 * MS).await;
    let e = http().request(at(&url)).await.unwrap_err();
    assert!(e.is_connect(), "{}", chain(&e));
    peer.reset();
    sleep(50 * MS).await;
    assert_eq!(whole(http().request(at(&url)).await).await, ok("last"));
}

#[test]
fn a_peer_outside_of_a_runtime_or_on_a_taken_port_says_so() {
    let e = Peer::new().listen().unwrap_err();
    assert!(e.to_string().contains("inside of a tokio runtime"), "{e}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let e = runtime.block_on(async { Peer::new().listen_on(addr) }).unwrap_err();
    assert_eq!(e.kind(), std::io::ErrorKind::AddrInUse);
    assert!(e.to_string().contains(&addr.to_string()), "{e}");
}

#[test]
fn faults_have_distinct_names_and_an_unknown_one_is_answered_with_them() {
    let mut names: Vec<_> = Fault::all().iter().map(|f| f.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Fault::all().len());
    let e = FaultServer::start(&["drip", "dripp"]).unwrap_err();
    assert_eq!(e.kind(), std::io::ErrorKind::InvalidInput);
    assert!(e.to_string().starts_with("unknown fault `dripp`; there are: refused, black-hole, "), "{e}");
}

/// The list against a client that bounds what a plain one does not: time, and the size of the body.
#[tokio::test]
async fn every_fault_plays_what_it_promises() {
    let faults = FaultServer::start_all().unwrap();
    let client = http();
    let mut calls = tokio::task::JoinSet::new();
    for (fault, url) in faults.urls() {
        // No TLS here: the plain client speaks HTTP to it, which stalls and is answered all the same.
        let (client, url) = (client.clone(), url.replace("https:", "http:"));
        // They depend on the moment, or keep a core busy as long as they are read.
        if !["flapping", "endless-1xx"].contains(&fault.name) {
            calls.spawn(async move { (fault, meets(client, url, 1500 * MS).await) });
        }
    }
    let busy = faults.url("endless-1xx").unwrap().to_owned();
    while let Some(call) = calls.join_next().await {
        let (fault, seen) = call.unwrap();
        let expected = match fault.name {
            "tls-plain" => Expect::Status(200),
            "reset-on-accept" if seen == Expect::Refused => continue,
            // Below what hyper takes; a careful client takes less.
            "huge-head" => Expect::Status(200),
            _ => fault.expect,
        };
        assert_eq!(seen, expected, "{}: {}", fault.name, fault.about);
    }
    // hyper counts no informational responses; a careful client does.
    assert_eq!(meets(client.clone(), busy, 100 * MS).await, Expect::NoHead);
    for (name, counts) in faults.counts() {
        let accepted = !["refused", "black-hole", "reset-on-accept"].contains(&name);
        let read = accepted && !["accept-silence", "tls-stall"].contains(&name);
        if name != "flapping" {
            assert_eq!((counts.connections, counts.requests), (accepted.into(), read.into()), "{name}");
        }
    }
    assert_eq!(faults.peer("drip").unwrap().requests()[0].path(), "/");
    faults.reset();
    assert!(faults.counts().iter().all(|(_, counts)| *counts == Counts::default()));
    assert_eq!(whole(client.request(at(faults.url("excess-body").unwrap())).await).await, ok("xxxxx"));
}

async fn meets(client: Plain<HttpConnector>, url: String, limit: Duration) -> Expect {
    let response = match timeout(limit, client.request(at(url))).await {
        Err(_) => return Expect::NoHead,
        Ok(Err(e)) if e.is_connect() => return Expect::Refused,
        Ok(Err(_)) => return Expect::Broken,
        Ok(Ok(response)) => response,
    };
    let status = response.status().as_u16();
    match timeout(limit, up_to(response.into_body(), 10_000_000)).await {
        Err(_) | Ok(Ok(false)) => Expect::NoEnd,
        Ok(Err(())) => Expect::Broken,
        Ok(Ok(true)) => Expect::Status(status),
    }
}

/// Reads until the end (true), `max` bytes (false) or an error.
async fn up_to(mut body: hyper::body::Incoming, max: usize) -> Result<bool, ()> {
    let mut read = 0;
    while read < max {
        match body.frame().await {
            None => return Ok(true),
            Some(frame) => read += frame.map_err(drop)?.into_data().map_or(0, |data| data.len()),
        }
    }
    Ok(false)
}

#[tokio::test]
async fn a_flapping_fault_is_up_and_away_in_turn() {
    let faults = FaultServer::start(&["flapping", "flapping"]).unwrap();
    assert_eq!(faults.urls().count(), 1);
    let start = Instant::now();
    let (mut up, mut away, mut torn) = (0, 0, 0);
    while start.elapsed() < 1500 * MS {
        match http().request(at(faults.url("flapping").unwrap())).await {
            Ok(response) if response.status() == 200 => up += 1,
            Err(e) if e.is_connect() => away += 1,
            // In the instant in which it goes.
            Err(_) => torn += 1,
            Ok(other) => panic!("{other:?}"),
        }
        sleep(20 * MS).await;
    }
    assert!(up > 0 && away > 0 && torn < 2, "{up} up, {away} away, {torn} torn");
}
