//! Requests written by hand.

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tower_service::Service;

use super::*;

async fn dial(peer: &Peer) -> TokioIo<PipeStream> {
    peer.pipe().call("http://peer.test".parse().unwrap()).await.unwrap()
}

/// Writes the pieces a second apart, then reads to the end.
async fn exchange(peer: &Peer, pieces: &[&str]) -> String {
    let mut stream = dial(peer).await.into_inner();
    for piece in pieces {
        stream.write_all(piece.as_bytes()).await.unwrap();
        sleep(SEC).await;
    }
    let mut all = String::new();
    stream.read_to_string(&mut all).await.unwrap();
    all
}

#[tokio::test(start_paused = true)]
async fn a_chunked_request_arrives_whole_however_it_is_cut() {
    let peer = Peer::new().forever(Reply::status(204));
    let head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Enc";
    let pieces =
        [head, "oding: chunked\r\n\r\n3\r\nab", "c\r", "\n2;x=y\r\nde\r\n0\r\nTrailer: 1\r\n", "\r\n"];
    let answer = exchange(&peer, &pieces).await;
    assert_eq!(answer, "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
    let seen = &peer.requests()[0];
    assert_eq!((&seen.body[..], seen.body_len, seen.complete), (&b"abcde"[..], 5, true));
    assert_eq!(seen.at, SEC);
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order() {
    let peer = Peer::new().then(Reply::ok("a")).then(Reply::ok("b").closing());
    let answer = exchange(&peer, &["GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n"]).await;
    assert!(answer.find("\r\n\r\na").unwrap() < answer.find("\r\n\r\nb").unwrap(), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn an_expected_continue_is_sent_before_the_body_is_read() {
    let peer = Peer::new().forever(Reply::ok("done").closing());
    let mut stream = dial(&peer).await.into_inner();
    stream.write_all(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n").await.unwrap();
    let mut go = [0; 25];
    stream.read_exact(&mut go).await.unwrap();
    assert_eq!(&go, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ab").await.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.starts_with("HTTP/1.1 200 OK\r\n") && rest.ends_with("\r\n\r\ndone"), "{rest}");
    assert_eq!(peer.requests()[0].body, "ab");
}

#[tokio::test(start_paused = true)]
async fn an_early_answer_does_not_wait_for_the_body() {
    let peer = Peer::new().forever(Reply::status(413).early());
    let answer = exchange(&peer, &["POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nab"]).await;
    assert_eq!(answer, "HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    assert!(!peer.requests()[0].complete);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_none_is_refused_and_not_counted() {
    let peer = Peer::new().forever(Reply::ok("x"));
    assert!(exchange(&peer, &["\x16\x03\x01 hello\r\n\r\n"]).await.starts_with("HTTP/1.1 400 "));
    assert!(
        exchange(&peer, &["POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"])
            .await
            .starts_with("HTTP/1.1 400 ")
    );
    let endless = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(70_000));
    let mut stream = dial(&peer).await.into_inner();
    let mut answer = String::new();
    let _ = stream.write_all(endless.as_bytes()).await;
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert_eq!((peer.request_count(), peer.connections()), (0, 3));
    let bad_chunk = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    assert!(exchange(&peer, &[bad_chunk]).await.starts_with("HTTP/1.1 400 "));
    assert_eq!((peer.request_count(), peer.requests()[0].complete), (1, false));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_ends_is_given_up_and_an_idle_connection_is_not() {
    let peer = Peer::new().forever(Reply::ok("x"));
    let idle = dial(&peer).await;
    assert_eq!(exchange(&peer, &["GET / HT"]).await, "");
    assert_eq!(exchange(&peer, &["POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nab"]).await, "");
    let seen = &peer.requests()[0];
    assert_eq!((seen.complete, &seen.body[..], seen.body_len), (false, &b"ab"[..], 2));
    sleep(YEAR).await;
    assert_eq!(peer.open_connections(), 1);
    drop(idle);
    sleep(MS).await;
    assert_eq!(peer.open_connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_holds_up_a_writer_and_a_long_body_is_kept_in_part() {
    let peer = Peer::new().then(Reply::silent()).forever(Reply::ok("x"));
    let mut stream = dial(&peer).await.into_inner();
    assert!(timeout(YEAR, stream.write_all(&[0; 100_000])).await.is_err());
    assert_eq!(whole(client(&peer).request(post("/", vec![b'z'; 3 << 20])).await).await, ok("x"));
    let seen = &peer.requests()[0];
    assert_eq!((seen.body.len(), seen.body_len, seen.complete), (1 << 20, 3 << 20, true));
}

#[tokio::test(start_paused = true)]
async fn the_record_has_bounds_and_the_count_has_none() {
    let peer = Peer::new().forever(Reply::ok(""));
    let client = client(&peer);
    for _ in 0..10_050 {
        client.request(get("/")).await.unwrap();
    }
    assert_eq!((peer.requests().len(), peer.request_count(), peer.connections()), (10_000, 10_050, 1));
}
