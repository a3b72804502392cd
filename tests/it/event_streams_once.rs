//! Event streams that are asked for once: what a POST gets, and a GET that wants it.

use crate::event_streams::{data, last_word, over, steady};
use crate::support::{
    MINUTE, MS, SECOND, built, client, events, events_then_silence, get, no_breaker, post, stack, times, with,
};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use unwedge::retry::Idempotent;
use unwedge::sse::{EventStream, Phase, Settings};
use unwedge::testing::{Peer, Reply};
use unwedge::{Body, StackLayer};

fn asked(peer: &Peer, settings: Settings, request: Request<Full<Bytes>>) -> EventStream {
    settings.connect(stack(peer, &built(StackLayer::builder())), request).expect("settings that fit")
}

fn posted(peer: &Peer, settings: Settings) -> EventStream {
    asked(peer, settings, post("/chat"))
}

/// It has ended without an error, and nothing more is sent.
async fn is_over(stream: &mut EventStream, peer: &Peer, requests: u64) {
    assert!(stream.next().await.is_none());
    let status = stream.status();
    assert_eq!((status.phase, status.error), (Phase::Ended, None));
    sleep(60 * MINUTE).await;
    assert_eq!(peer.request_count(), requests);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_answer_to_a_post_is_the_end_of_the_stream() {
    let peer = Peer::new().forever(events("data: a\n\ndata: b\n\n"));
    let mut stream = posted(&peer, steady());
    assert_eq!([data(&mut stream).await, data(&mut stream).await], ["a", "b"]);
    is_over(&mut stream, &peer, 1).await;
    assert_eq!(peer.requests()[0].body, "payload");
}

#[tokio::test(start_paused = true)]
async fn a_post_whose_answer_breaks_ends_with_that_error_and_is_not_sent_again() {
    let peer = Peer::new().forever(events("data: a\n\nlost").chunked().reset_after(12));
    let mut stream = posted(&peer, steady());
    assert_eq!(data(&mut stream).await, "a");
    let error = last_word(&mut stream).await;
    assert!(error.is_retriable() && !error.is_timeout(), "{error}");
    sleep(60 * MINUTE).await;
    assert_eq!(peer.request_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn silence_behind_a_post_is_bounded_by_ten_minutes_or_the_idle_limit() {
    for (settings, bound) in [(steady(), 10 * MINUTE), (steady().idle(5 * SECOND), 5 * SECOND)] {
        let peer = Peer::new().forever(events_then_silence("data: a\n\n"));
        let mut stream = posted(&peer, settings);
        assert_eq!(data(&mut stream).await, "a");
        let start = Instant::now();
        let error = last_word(&mut stream).await;
        assert!(error.is_stall(), "{error}");
        assert!(start.elapsed() >= bound && start.elapsed() <= bound + MS, "{:?}", start.elapsed());
        assert_eq!(peer.request_count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_is_no_promise_where_nobody_comes_back() {
    let text = ": thinking\n".repeat(3) + "data: a\n\n";
    // Comments each 2 s, and the answer 5 min later.
    let peer = Peer::new().on("POST /chat", events(text.clone()).drip(11, 2 * SECOND));
    assert_eq!(data(&mut posted(&peer, steady())).await, "a");
    let peer = Peer::new().forever(events(text[..33].to_owned()).drip(11, 2 * SECOND).hang_after(33));
    let mut stream = posted(&peer, steady());
    let start = Instant::now();
    assert!(last_word(&mut stream).await.is_stall());
    assert!(start.elapsed() >= 10 * MINUTE, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_post_that_may_be_repeated_comes_back() {
    let mut keyed = post("/chat");
    keyed.headers_mut().insert("idempotency-key", "k".parse().unwrap());
    for (request, settings) in [
        (keyed, steady()),
        (with(post("/chat"), Idempotent), steady()),
        (post("/chat"), steady().reconnect(true)),
    ] {
        let peer = Peer::new().then(events("data: a\n\n")).forever(events_then_silence("data: b\n\n"));
        let mut stream = asked(&peer, settings, request);
        assert_eq!([data(&mut stream).await, data(&mut stream).await], ["a", "b"]);
        assert_eq!(times(&peer)[1], SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_get_that_is_asked_for_once_is_like_a_post() {
    let peer = Peer::new().forever(events("data: a\n\n"));
    let mut stream = over(&peer, steady().once());
    assert_eq!(data(&mut stream).await, "a");
    is_over(&mut stream, &peer, 1).await;
    let peer = Peer::new().forever(events("data: a\n\nlost").chunked().reset_after(12));
    let mut stream = over(&peer, steady().once());
    assert_eq!(data(&mut stream).await, "a");
    last_word(&mut stream).await;
    assert_eq!(peer.request_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_says_so_is_the_end() {
    let text = "data: a\n\ndata: [DONE]\n\ndata: more\n\n";
    for request in [get("/events"), post("/chat")] {
        let peer = Peer::new().forever(events_then_silence(text));
        let mut stream = asked(&peer, steady().end_at("[DONE]"), request);
        assert_eq!(data(&mut stream).await, "a");
        is_over(&mut stream, &peer, 1).await;
        assert_eq!(peer.open_connections(), 0);
    }
    // No other event is.
    let peer = Peer::new().forever(events("data: [DONE] \n\ndata: [DONE]\ndata: x\n\n"));
    let mut stream = posted(&peer, steady());
    assert_eq!([data(&mut stream).await, data(&mut stream).await], ["[DONE] ", "[DONE]\nx"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_ends_before_its_last_event_was_cut_off() {
    let peer = Peer::new().forever(events("data: a\n\n"));
    let mut stream = posted(&peer, steady().end_at("[DONE]"));
    assert_eq!(data(&mut stream).await, "a");
    let error = last_word(&mut stream).await;
    assert!(error.to_string().contains("before \"[DONE]\"") && error.is_retriable(), "{error}");
    assert_eq!(peer.request_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_post_that_was_not_processed_is_sent_again_until_its_head_is_there() {
    let peer = Peer::new()
        .then(Reply::refuse())
        .then(Reply::status(429).retry_after("5"))
        .then(Reply::status(425))
        .forever(events("data: a\n\n"));
    let mut stream = posted(&peer, steady());
    assert_eq!(data(&mut stream).await, "a");
    let times = times(&peer);
    assert_eq!((times.len(), times[0], times[2] - times[1]), (3, SECOND, 4 * SECOND));
    let asked = times[1] - times[0];
    assert!(asked >= 5 * SECOND && asked <= 5_501 * MS, "{asked:?}");
    is_over(&mut stream, &peer, 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_post_that_may_have_been_processed_ends_at_once() {
    for (reply, status) in [
        (Reply::status(503), Some(503)),
        (Reply::status(500), Some(500)),
        (Reply::status(408), Some(408)),
        (Reply::status(404), Some(404)),
        (Reply::reset(), None),
        (Reply::hang(), None),
    ] {
        let peer = Peer::new().forever(reply);
        let error = last_word(&mut posted(&peer, steady())).await;
        assert_eq!(error.status().map(|status| status.as_u16()), status, "{error}");
        assert_eq!(peer.request_count(), 1, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_post_is_tried_four_times_and_does_not_wait_for_hours() {
    let peer = Peer::new().forever(Reply::refuse());
    let start = Instant::now();
    assert!(last_word(&mut posted(&peer, steady())).await.is_connect());
    assert_eq!(start.elapsed(), 7 * SECOND, "1, 2 and 4 s between four tries");
    let peer = Peer::new().forever(Reply::status(429).retry_after("3600"));
    let start = Instant::now();
    let error = last_word(&mut posted(&peer, steady())).await;
    assert_eq!((error.retry_in(), peer.request_count()), (Some(60 * MINUTE), 1));
    assert!(start.elapsed() < 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_can_be_sent_once_is_sent_once() {
    let ask = || {
        let body = Body::streaming(Full::<Bytes>::from("once"));
        http::Request::post("http://peer.test/chat").body(body).unwrap()
    };
    let peer = Peer::new().forever(events("data: a\n\n"));
    let plain = |peer: &Peer| client(peer).breaker(no_breaker()).build().unwrap();
    let mut stream = steady().connect(plain(&peer), ask()).unwrap();
    assert_eq!(data(&mut stream).await, "a");
    is_over(&mut stream, &peer, 1).await;
    assert_eq!(peer.requests()[0].body, "once");
    let peer = Peer::new().forever(Reply::status(429));
    let error = last_word(&mut steady().connect(plain(&peer), ask()).unwrap()).await;
    assert_eq!((error.status().unwrap().as_u16(), peer.request_count()), (429, 1));
}

#[tokio::test(start_paused = true)]
async fn two_hundred_streams_of_a_server_that_restarts_come_back_over_two_seconds() {
    let peer = Peer::new().times(200, events("data: a\n\n")).forever(events_then_silence("data: b\n\n"));
    let returns = |settings: Settings, peer: Peer| async move {
        let layer = built(StackLayer::builder());
        let streams = (0..200).map(|_| {
            let mut stream = settings.clone().connect(stack(&peer, &layer), get("/events")).unwrap();
            async move { assert_eq!([data(&mut stream).await, data(&mut stream).await], ["a", "b"]) }
        });
        futures_util::future::join_all(streams).await;
        let back = times(&peer).split_off(200);
        (*back.iter().min().unwrap(), *back.iter().max().unwrap())
    };
    let (first, last) = returns(Settings::default(), peer).await;
    assert!(last - first >= 2 * SECOND, "{first:?} {last:?}");
    assert!(first >= SECOND && last <= 4 * SECOND + 2 * MS, "{first:?} {last:?}");
    let peer = Peer::new().times(200, events("data: a\n\n")).forever(events_then_silence("data: b\n\n"));
    let none = unwedge::sse::Reconnect::default().spread(Duration::ZERO);
    let (first, last) = returns(Settings::default().reconnect(none), peer).await;
    assert!(first >= 750 * MS && last <= 1_252 * MS, "{first:?} {last:?}");
}

#[tokio::test(start_paused = true)]
async fn the_spread_is_for_the_first_wait_after_a_connection_alone() {
    let peer = Peer::new()
        .then(Reply::status(503))
        .then(events("data: a\n\n"))
        .times(2, Reply::status(503))
        .forever(events_then_silence("data: b\n\n"));
    let spread = crate::event_streams::waits().spread(10 * SECOND);
    let mut stream = over(&peer, Settings::default().reconnect(spread));
    assert_eq!([data(&mut stream).await, data(&mut stream).await], ["a", "b"]);
    let times = times(&peer);
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!([gaps[0], gaps[2], gaps[3]], [SECOND, 2 * SECOND, 4 * SECOND]);
    assert!(gaps[1] >= SECOND && gaps[1] <= 11 * SECOND && gaps[1].subsec_millis() != 0, "{gaps:?}");
}
