//! Servers that break the rules of HTTP/2, or flood their client.

use super::http2::{SETTINGS, dialled, frame, raw, serve, two};
use super::*;
use crate::{ErrorKind, breaker, retry};
use std::sync::atomic::Ordering;
use tokio::time::Instant;

const PING: u8 = 6;

/// How a server that plays this with its first connection ends a call, and that the next one is fine.
async fn attacked(then: Vec<u8>) -> (Result<u32, Error>, Duration) {
    let (client, dials) = dialled(Duration::ZERO, move |number, io| {
        let then = then.clone();
        async move {
            if number == 0 {
                return raw(io, then).await;
            }
            if let Ok(connection) = h2::server::handshake(io).await {
                serve(connection).await;
            }
        }
    });
    let client = client
        .retry(retry::Settings::default().max_retries(0))
        .breaker(breaker::Settings::default())
        .build()
        .unwrap();
    let start = Instant::now();
    let first = client.get(URL).await.map(|response| response.attempts().count);
    let took = start.elapsed();
    // What is left on the wire arrives.
    tokio::time::sleep(MS).await;
    assert_eq!(client.get(URL).await.unwrap().status(), 200);
    assert_eq!(dials.load(Ordering::Relaxed), 2, "the first connection was retired");
    (first, took)
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_sends_settings_has_5_s_for_them_and_the_request_leaves_on_another_connection() {
    let peer = Peer::new().then(Reply::silent()).forever(Reply::ok("ok"));
    let client = two(&peer).build().unwrap();
    let start = Instant::now();
    let response = client.post(URL).body("job").await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 5, "{:?}", start.elapsed());
    assert_eq!((response.attempts().count, peer.connections()), (1, 2), "not one byte of it had been sent");
}

#[tokio::test(start_paused = true)]
async fn what_no_server_may_send_ends_the_connection_at_once_and_the_next_call_is_fine() {
    let mut endless = frame(1, 0x1, 1, &[0x88]);
    for _ in 0..64 {
        // Literal headers that are not indexed, 4 KiB each, and never the end of them.
        let mut header = vec![0x00, 0x01, b'a', 0x7f, 0x81, 0x1f];
        header.extend([b'x'; 4096]);
        endless.extend(frame(9, 0, 1, &header));
    }
    for (what, then) in [
        ("a response on a stream never opened", frame(1, 0x5, 7, &[0x88])),
        ("a push without leave", frame(5, 0x4, 1, &[0, 0, 0, 2, 0x88])),
        ("a settings frame of five bytes", frame(SETTINGS, 0, 0, &[0; 5])),
        ("headers without end", endless),
    ] {
        let (ended, took) = attacked(then).await;
        let error = ended.expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Transport, "{what}: {error:?}");
        assert!(took < SEC, "{what}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn floods_of_pings_and_settings_are_answered_in_bounded_memory() {
    for (what, flood) in [("pings", frame(PING, 0, 0, &[7; 8])), ("settings", frame(SETTINGS, 0, 0, &[]))] {
        let flood = flood.repeat(20_000);
        let reply = [flood, frame(1, 0x5, 1, &[0x88])].concat();
        let (client, _) = dialled(Duration::ZERO, move |_, io| raw(io, reply.clone()));
        let response = client.build().unwrap().get(URL).await.expect(what);
        assert_eq!(response.status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_frames_that_say_nothing_is_an_error_that_says_so() {
    // Of a kind that nobody knows, which is to be passed over (RFC 9113, section 5.5).
    let (ended, took) = attacked(frame(0xbe, 0, 0, &[7; 8]).repeat(100_100)).await;
    let error = ended.unwrap_err();
    assert_eq!((error.kind(), error.is_retriable()), (ErrorKind::Transport, true));
    let said = format!("GET {URL}: more than 100000 frames of HTTP/2 in a row without a response");
    assert!(error.to_string().starts_with(&said) && took < SEC, "{error}, {took:?}");
}

#[tokio::test(start_paused = true)]
async fn more_1xx_than_requests_pay_for_end_a_connection_of_http_2() {
    // `:status: 103`, written out and not remembered.
    let hints = frame(1, 0x4, 1, &[0x08, 0x03, b'1', b'0', b'3']);
    let (ended, took) = attacked(hints.repeat(1000)).await;
    let error = ended.unwrap_err();
    let said = format!("GET {URL}: more heads than responses were asked for");
    assert!(error.to_string().starts_with(&said) && took < SEC, "{error}, {took:?}");
    let some = [hints.repeat(100), frame(1, 0x5, 1, &[0x88])].concat();
    let (client, _) = dialled(Duration::ZERO, move |_, io| raw(io, some.clone()));
    assert_eq!(client.build().unwrap().get(URL).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_that_is_flooded_is_closed() {
    const RESET: u8 = 3;
    let resets = frame(RESET, 0, 1, &[0, 0, 0, 8]).repeat(100_100);
    let (ended, _) = attacked([frame(1, 0x5, 1, &[0x88]), resets].concat()).await;
    assert_eq!(ended.expect("it was answered"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_response_head_above_its_cap_is_an_error() {
    let peer = Peer::new().forever(Reply::ok("").head_size(70_000));
    let client = two(&peer).retry(retry::Settings::default().max_retries(0)).build().unwrap();
    let error = client.get(URL).await.unwrap_err();
    assert!(!error.to_string().is_empty() && error.attempts() == 1, "{error:?}");
}
