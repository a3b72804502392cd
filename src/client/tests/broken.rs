//! Servers that break the protocol or say too much: an error that says so, bounded memory, the connection closed.

use super::*;
use crate::{ErrorKind, breaker, retry};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_head_above_64_kib_is_an_error_that_says_so() {
    let peer = Peer::new()
        .then(Reply::ok("ok").head_size(60_000))
        .then(Reply::ok("ok").head_size(70_000))
        .then(Reply::endless_headers(Duration::ZERO))
        .forever(Reply::ok("fine"));
    let client = client(&peer);
    assert_eq!(client.get(URL).await.unwrap().text().await.unwrap(), "ok");
    for _ in 0..2 {
        let error = client.get(URL).await.unwrap_err();
        assert!(error.is_too_large() && !error.is_retriable(), "{error}");
        assert!(error.to_string().contains("the response head is above its cap of 64 KiB"), "{error}");
        tokio::time::sleep(MS).await;
        assert_eq!(peer.open_connections(), 0);
    }
    assert_eq!(client.get(URL).await.unwrap().text().await.unwrap(), "fine");
    assert_eq!(peer.request_count(), 4);
}

/// A response with so many headers of its own.
fn headed(headers: usize) -> Reply {
    (0..headers).fold(Reply::ok("ok"), |reply, n| reply.header(&format!("x-{n}"), "1"))
}

#[tokio::test(start_paused = true)]
async fn a_response_of_more_than_100_headers_is_refused_over_http_1_as_broken_and_taken_over_http_2() {
    // Those that the peer adds leave room for so many.
    let peer =
        Peer::new().then(headed(97)).times(3, headed(101)).then(headed(400)).forever(Reply::ok("fine"));
    let client = piped(&peer).build().unwrap();
    let taken = client.get(URL).await.unwrap();
    assert!((97..=100).contains(&taken.headers().len()), "{}", taken.headers().len());
    for sent in 2..=5 {
        let error = client.get(URL).await.unwrap_err();
        assert!(error.is_too_large() && !error.is_retriable(), "{error}");
        let said = format!(
            "GET {URL}: the response head is above its cap of 64 KiB or 100 headers (attempt 1 of 4)"
        );
        assert_eq!((error.to_string(), error.attempts(), peer.request_count()), (said, 1, sent));
        tokio::time::sleep(MS).await;
        assert_eq!(peer.open_connections(), 0);
    }
    assert_eq!(client.get(URL).await.unwrap().text().await.unwrap(), "fine");
    let seen = client.breakers().snapshot().remove(0);
    assert_eq!((seen.calls, seen.failures, seen.phase), (6, 4, breaker::Phase::Closed));
    // There the size alone is bounded.
    let peer = Peer::new().then(headed(101)).forever(headed(400));
    let client = http2::two(&peer).build().unwrap();
    for headers in [101, 400] {
        let taken = client.get(URL).await.unwrap();
        assert!(taken.headers().len() >= headers);
        assert_eq!(taken.text().await.unwrap(), "ok");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_informational_responses_are_borne_and_one_more_is_an_error() {
    let peer = Peer::new()
        .times(2, Reply::ok("ok").informational(100))
        .then(Reply::ok("ok").informational(101).closing())
        .then(Reply::endless_informational(Duration::ZERO))
        .then(Reply::endless_informational(10 * MS))
        .forever(Reply::ok("fine"));
    let client = client(&peer);
    for _ in 0..2 {
        assert_eq!(client.get(URL).await.unwrap().text().await.unwrap(), "ok");
    }
    let mut took = Vec::new();
    for _ in 0..3 {
        let start = Instant::now();
        let error = client.get(URL).await.unwrap_err();
        assert!(error.is_too_large() && !error.is_retriable(), "{error}");
        assert!(error.to_string().contains("more than 100 informational responses"), "{error}");
        took.push(start.elapsed());
        tokio::time::sleep(MS).await;
        assert_eq!(peer.open_connections(), 0);
    }
    assert_eq!(took, [Duration::ZERO, Duration::ZERO, 1010 * MS]);
    assert_eq!(client.get(URL).await.unwrap().text().await.unwrap(), "fine");
    assert_eq!(peer.request_count(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_stale_connection_is_replaced_without_a_wait_and_without_a_failure() {
    let peer = Peer::new().then(Reply::ok("1").stale_on_next()).forever(Reply::ok("2"));
    let client = piped(&peer).breaker(breaker::Settings::default().failures(1)).build().unwrap();
    assert_eq!(client.get(URL).await.unwrap().text().await.unwrap(), "1");
    let start = Instant::now();
    let response = client.get(URL).await.unwrap();
    assert_eq!((response.attempts().count, start.elapsed()), (2, Duration::ZERO));
    assert_eq!(response.text().await.unwrap(), "2");
    assert_eq!(client.breakers().snapshot()[0].phase, breaker::Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_reached_the_wire_is_sent_again_by_the_pool() {
    let peer = Peer::new().then(Reply::ok("1").stale()).forever(Reply::ok("2"));
    let client = client(&peer);
    assert_eq!(client.get(URL).await.unwrap().text().await.unwrap(), "1");
    let response = client.post(URL).body("b").await.unwrap();
    assert_eq!((response.attempts().count, response.text().await.unwrap().as_str()), (1, "2"));
}

#[tokio::test(start_paused = true)]
async fn a_reset_on_a_fresh_connection_is_a_failure_and_is_waited_for() {
    let peer = Peer::new().then(Reply::reset()).forever(Reply::ok("2"));
    let settings = retry::Settings::default().backoff(retry::Backoff::constant(SEC));
    let client =
        piped(&peer).retry(settings).breaker(breaker::Settings::default().failures(2)).build().unwrap();
    let start = Instant::now();
    assert_eq!(client.get(URL).await.unwrap().attempts().count, 2);
    assert_eq!(start.elapsed(), SEC);
}

#[tokio::test(start_paused = true)]
async fn a_body_of_the_callers_that_breaks_is_the_callers_fault() {
    struct Broken;
    impl http_body::Body for Broken {
        type Data = bytes::Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, std::io::Error>>> {
            Poll::Ready(Some(Err(std::io::Error::other("the file is gone"))))
        }
    }
    let peer = Peer::new().forever(Reply::ok(""));
    let client = piped(&peer).breaker(breaker::Settings::default().failures(1)).build().unwrap();
    let error = client.put(URL).body(Body::streaming(Broken)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.is_retriable(), error.attempts()),
        (ErrorKind::Transport, false, 1),
        "{error}"
    );
    assert!(error.to_string().contains("the file is gone"), "{error}");
    assert_eq!(client.breakers().snapshot()[0].phase, breaker::Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_closed_after_50_s_and_at_most_256_are_kept() {
    let peer = Peer::new().forever(Reply::ok("ok").after(SEC));
    let client = client(&peer);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..270 {
        calls.spawn(client.get(URL).send());
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap().unwrap();
    }
    tokio::time::sleep(SEC).await;
    assert_eq!((peer.connections(), peer.open_connections()), (270, 256));
    tokio::time::sleep(48 * SEC).await;
    assert_eq!(peer.open_connections(), 256);
    tokio::time::sleep(60 * SEC).await;
    assert_eq!(peer.open_connections(), 0);
}
