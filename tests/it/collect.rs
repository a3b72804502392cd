//! How much of a body belongs to the attempt.

use crate::support::*;
use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;
use tower_layer::Layer;
use unwedge::testing::{Peer, Reply};
use unwedge::{Body, Collect, ErrorKind, Limits, Phase, StackLayer};

/// No waits, and room for a body that stalls.
fn roomy() -> StackLayer {
    let limits = Limits::default().attempt(25 * SECOND).idle(5 * SECOND).total(60 * SECOND);
    built(exact().limits(limits))
}

fn numbers(count: u32) -> String {
    (0..count).map(|n| format!("{n:08}")).collect()
}

/// Everything in a body up to its end or its error.
async fn drained(mut body: Body) -> (Vec<u8>, Option<unwedge::Error>) {
    let mut read = Vec::new();
    while let Some(frame) = piece(&mut body).await {
        match frame {
            Ok(data) => read.extend_from_slice(&data),
            Err(error) => return (read, Some(error)),
        }
    }
    (read, None)
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_is_repeated_and_arrives_once() {
    let whole_body = numbers(13);
    let full = || Reply::ok(whole_body.clone());
    for broken in [
        full().reset_after(10),
        full().truncate_after(10),
        full().chunked().reset_after(10),
        full().chunked().truncate_after(10),
        full().declare(200),
        Reply::sized(100).declare(1 << 20),
    ] {
        let peer = Peer::new().then(broken.clone()).forever(full());
        let answer = call(&stack(&peer, &roomy()), get("/")).await.unwrap();
        assert!(answer.body().is_collected());
        assert_eq!(whole(Ok(answer)).await.unwrap(), (200, whole_body.clone().into()), "{broken:?}");
        assert_eq!(peer.request_count(), 2, "{broken:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_falls_silent_is_repeated_after_the_idle_bound() {
    for silent in [Reply::headers_then_hang(), Reply::sized(100).hang_after(60)] {
        let peer = Peer::new().then(silent).forever(Reply::sized(100));
        let start = Instant::now();
        let (status, body) = whole(call(&stack(&peer, &roomy()), get("/")).await).await.unwrap();
        assert_eq!((status, body.len(), start.elapsed()), (200, 100, 5 * SECOND));
        assert_eq!(peer.request_count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn the_body_of_a_post_that_breaks_is_an_error_and_no_second_request() {
    let peer = Peer::new().then(Reply::sized(100).reset_after(10)).forever(Reply::sized(100));
    let error = call(&stack(&peer, &roomy()), post("/")).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Transport, Some(Phase::Body)));
    assert_eq!(peer.request_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_declared_length_above_the_limit_streams_at_once() {
    let layer = built(exact().limits(Limits::default().collect(1000)));
    let peer = Peer::new().forever(Reply::sized(1001).drip(100, SECOND));
    let start = Instant::now();
    let answer = call(&stack(&peer, &layer), get("/")).await.unwrap();
    assert!(!answer.body().is_collected());
    assert_eq!((start.elapsed(), layer.in_flight().len()), (Duration::ZERO, 1));
    let (read, error) = drained(answer.into_body()).await;
    assert!(error.is_none());
    assert_eq!((read.len(), start.elapsed()), (1001, 11 * SECOND));
    assert!(layer.in_flight().is_empty());

    let peer = Peer::new().forever(Reply::sized(1000).drip(100, SECOND / 2));
    let answer = call(&stack(&peer, &layer), get("/")).await.unwrap();
    assert!(answer.body().is_collected(), "the limit itself is still collected");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_length_that_passes_the_limit_comes_as_prefix_and_stream() {
    let layer = built(exact().limits(Limits::default().collect(1000)));
    let text = numbers(500);
    for reply in [Reply::ok(text.clone()).chunked(), Reply::ok(text.clone()).until_close()] {
        let peer = Peer::new().forever(reply.drip(300, SECOND));
        let start = Instant::now();
        let answer = call(&stack(&peer, &layer), get("/")).await.unwrap();
        assert!(!answer.body().is_collected());
        assert_eq!(start.elapsed(), 4 * SECOND, "with the piece that went beyond it");
        let (read, error) = drained(answer.into_body()).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(read, text.as_bytes(), "every byte once and in order");
        assert_eq!(peer.request_count(), 1);
    }
    let peer = Peer::new().forever(Reply::ok(numbers(125)).chunked().drip(100, 100 * MS));
    let answer = call(&stack(&peer, &layer), get("/")).await.unwrap();
    assert!(answer.body().is_collected(), "the limit itself is still collected");
}

#[tokio::test(start_paused = true)]
async fn what_breaks_beyond_the_limit_is_an_error_at_the_reader_and_no_second_request() {
    let layer = built(exact().limits(Limits::default().collect(1000)));
    let text = numbers(500);
    for reply in [Reply::ok(text.clone()).chunked(), Reply::ok(text.clone())] {
        let peer = Peer::new().forever(reply.drip(300, SECOND).reset_after(2100));
        let answer = call(&stack(&peer, &layer), get("/")).await.unwrap();
        let (read, error) = drained(answer.into_body()).await;
        assert_eq!(read, &text.as_bytes()[..2100], "what came is not lost");
        let error = error.unwrap();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Transport, Some(Phase::Body)));
        assert_eq!(
            error.to_string(),
            "GET http://peer.test/: connection reset after 2100 bytes of the body (attempt 1 of 4)"
        );
        assert_eq!(peer.request_count(), 1);
        assert!(layer.in_flight().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_can_ask_for_more_or_less_or_nothing_to_be_collected() {
    let layer = built(exact().limits(Limits::default().collect(100)));
    let peer = Peer::new().forever(Reply::sized(200).drip(100, SECOND));
    let service = stack(&peer, &layer);
    let collected = |wish: Option<Collect>| {
        let request = wish.map_or_else(|| get("/"), |wish| with(get("/"), wish));
        let service = &service;
        async move { call(service, request).await.unwrap().body().is_collected() }
    };
    assert!(!collected(None).await);
    assert!(collected(Some(Collect::up_to(200))).await);
    assert!(!collected(Some(Collect::up_to(199))).await);
    assert!(!collected(Some(Collect::never())).await);
}

#[tokio::test(start_paused = true)]
async fn streaming_types_are_handed_over_at_the_head() {
    for kind in [
        "text/event-stream",
        "text/event-stream; charset=utf-8",
        "application/x-ndjson",
        "application/jsonl",
        "application/json-seq",
        "application/stream+json",
        "application/json;stream=watch",
        "application/grpc",
        "application/grpc+proto",
        "application/connect+json",
        "application/vnd.amazon.eventstream",
        "application/vnd.docker.raw-stream",
        "multipart/x-mixed-replace; boundary=b",
        "multipart/mixed",
    ] {
        let events = Reply::ok("data: x\n\n").chunked().header("content-type", kind).drip(1, 3 * SECOND);
        let peer = Peer::new().forever(events);
        let layer = built(exact());
        let start = Instant::now();
        let answer = call(&stack(&peer, &layer), get("/")).await.unwrap();
        assert_eq!((start.elapsed(), answer.body().is_collected()), (Duration::ZERO, false), "{kind}");
        assert_eq!(whole(Ok(answer)).await.unwrap(), (200, "data: x\n\n".into()));
        assert_eq!(start.elapsed(), 27 * SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_have_no_body_come_at_the_head() {
    let declared = || Reply::status(200).header("content-length", "5000000");
    for (method, reply) in [
        ("HEAD", declared()),
        ("GET", Reply::status(204)),
        ("GET", Reply::status(304)),
        ("HEAD", Reply::sized(9)),
    ] {
        let peer = Peer::new().forever(reply);
        let layer = built(exact());
        let start = Instant::now();
        let answer = call(&stack(&peer, &layer), request(method, "/")).await.unwrap();
        let (status, body) = whole(Ok(answer)).await.unwrap();
        assert!(body.is_empty() && status < 400);
        assert_eq!((start.elapsed(), peer.request_count()), (Duration::ZERO, 1));
        assert!(layer.in_flight().is_empty());
    }
}

/// A body that knows that it is over with its only frame, and of which nothing more ever comes.
struct Only(Option<Bytes>);

impl http_body::Body for Only {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.take().map_or(Poll::Pending, |data| Poll::Ready(Some(Ok(Frame::data(data)))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_knows_its_end_is_not_asked_for_it() {
    let inner = tower::service_fn(|_: http::Request<Full<Bytes>>| {
        ready(Ok::<_, Infallible>(http::Response::new(Only(Some("whole".into())))))
    });
    let answer = tokio::time::timeout(MS, call(&built(exact()).layer(inner), get("/"))).await;
    assert_eq!(whole(answer.expect("it does not wait")).await.unwrap(), (200, "whole".into()));
}

/// A body of which nothing ever comes, not even its end.
struct Nothing;

impl http_body::Body for Nothing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_never_comes_is_not_awaited_where_there_is_no_body() {
    for (method, status, waits) in
        [("HEAD", 200, false), ("GET", 204, false), ("GET", 304, false), ("GET", 200, true)]
    {
        let inner = tower::service_fn(move |_: http::Request<Full<Bytes>>| {
            ready(Ok::<_, Infallible>(http::Response::builder().status(status).body(Nothing).unwrap()))
        });
        let service = once(Limits::default()).layer(inner);
        let answer = tokio::time::timeout(MS, call(&service, request(method, "/"))).await;
        assert_eq!(answer.is_err(), waits, "{method} {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn trailers_are_kept() {
    let trailed = |body: &'static str| Reply::ok(body).trailer("x-checksum", "abc");
    for (reply, limit) in [(trailed("hello"), 1 << 20), (trailed("hello"), 2), (trailed(""), 1 << 20)] {
        let peer = Peer::new().forever(reply);
        let layer = built(exact().limits(Limits::default().collect(limit)));
        let answer = call(&stack(&peer, &layer), get("/")).await.unwrap();
        assert_eq!(answer.body().is_collected(), limit > 2);
        let read = answer.into_body().collect().await.unwrap();
        let trailers: Option<&HeaderMap> = read.trailers();
        assert_eq!(trailers.unwrap()["x-checksum"], "abc");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_given_up_on_streams_and_its_verdict_has_fallen_at_the_head() {
    let peer = Peer::new().forever(Reply::status(503).body("x".repeat(100)).drip(10, SECOND));
    let layer =
        StackLayer::builder().retry(unwedge::retry::Settings::default().max_retries(0)).build().unwrap();
    let start = Instant::now();
    let answer = call(&stack(&peer, &layer), get("/")).await.unwrap();
    assert_eq!((start.elapsed(), answer.body().is_collected()), (Duration::ZERO, false));
    assert_eq!(layer.breakers().snapshot()[0].consecutive_failures, 1);
    assert_eq!(whole(Ok(answer)).await.unwrap().1.len(), 100);
    assert_eq!(layer.breakers().snapshot()[0].consecutive_failures, 1, "counted once, and not taken back");
}

/// Text of which a byte comes each second.
fn trickle(bytes: usize) -> Reply {
    Reply::ok("x".repeat(bytes)).header("content-type", "text/plain").chunked().drip(1, SECOND)
}

#[tokio::test(start_paused = true)]
async fn what_flows_beyond_its_attempt_and_cannot_be_asked_for_again_is_handed_over() {
    for reply in [trickle(20), Reply::sized(20).drip(1, SECOND)] {
        let peer = Peer::new().forever(reply);
        let layer = StackLayer::default();
        let start = Instant::now();
        let answer = call(&stack(&peer, &layer), post("/")).await.unwrap();
        assert_eq!((start.elapsed(), answer.body().is_collected()), (10 * SECOND, false));
        let (status, body) = whole(Ok(answer)).await.unwrap();
        assert_eq!(
            (status, body.len(), start.elapsed()),
            (200, 20, 20 * SECOND),
            "what had come comes first"
        );
        assert_eq!(peer.request_count(), 1);
        let snapshot = &layer.breakers().snapshot()[0];
        assert_eq!((snapshot.calls, snapshot.failures), (1, 0));
        assert!(layer.in_flight().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_over_so_ends_with_the_total_of_its_call_and_so_does_its_reader() {
    for pause in [Duration::ZERO, MINUTE] {
        let peer = Peer::new().forever(trickle(5000));
        let layer = StackLayer::default();
        let start = Instant::now();
        let answer = call(&stack(&peer, &layer), post("/")).await.unwrap();
        let listed = &layer.in_flight().snapshot()[0];
        assert_eq!((listed.phase, listed.deadline_in), (Phase::Body, Some(20 * SECOND)));
        tokio::time::sleep(pause).await;
        let (read, error) = drained(answer.into_body()).await;
        let error = error.unwrap();
        let (bytes, ended) = if pause.is_zero() { (29, 30 * SECOND) } else { (9, 70 * SECOND) };
        assert_eq!((error.kind(), read.len(), start.elapsed()), (ErrorKind::Deadline, bytes, ended));
        let said = format!(
            "POST http://peer.test/: the response body was not complete within the total of 30 s, {bytes} bytes \
             received (a stream? mark it LongPoll or Collect::never()) (attempt 1 of 4)"
        );
        assert_eq!(error.to_string(), said);
        assert_eq!(layer.breakers().snapshot()[0].failures, 0, "it flowed to the end");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_over_so_keeps_its_other_bounds() {
    let peer = Peer::new().forever(trickle(5000).hang_after(12));
    let start = Instant::now();
    let answer = call(&stack(&peer, &built(exact())), post("/")).await.unwrap();
    let (read, error) = drained(answer.into_body()).await;
    assert_eq!((read.len(), start.elapsed()), (12, 22 * SECOND));
    assert!(error.unwrap().is_stall());

    let peer = Peer::new().forever(trickle(5000));
    let request = with(post("/"), unwedge::Deadline::after(15 * SECOND));
    let answer = call(&stack(&peer, &built(exact())), request).await.unwrap();
    let error = drained(answer.into_body()).await.1.unwrap().to_string();
    assert!(error.contains("not complete after 15 s, 14 bytes received (deadline"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_limit_of_the_call_itself_goes_before_its_total() {
    let peer = Peer::new().forever(trickle(5000));
    let wish = unwedge::CallOptions::new().stream(2 * MINUTE);
    let start = Instant::now();
    let answer = call(&stack(&peer, &StackLayer::default()), with(post("/"), wish)).await.unwrap();
    assert_eq!(start.elapsed(), 10 * SECOND);
    let (read, error) = drained(answer.into_body()).await;
    assert_eq!((read.len(), start.elapsed()), (129, 130 * SECOND));
    assert!(error.unwrap().to_string().contains("still streaming after 2 m (stream limit), 129 bytes"));
}

#[tokio::test(start_paused = true)]
async fn a_get_that_flows_is_asked_for_again_as_long_as_it_can_be() {
    let layer = |retry: unwedge::retry::Settings| {
        let limits = Limits::default().attempt(5 * SECOND).total(60 * SECOND);
        built(StackLayer::builder().limits(limits).retry(retry.backoff(Duration::ZERO)))
    };
    let retries = unwedge::retry::Settings::default;
    let empty = unwedge::retry::Budget::default().tokens(0);
    for (retry, attempts) in [(retries(), 4), (retries().max_retries(0), 1), (retries().budget(empty), 1)] {
        let peer = Peer::new().forever(trickle(12));
        let layer = layer(retry);
        let start = Instant::now();
        let answer = call(&stack(&peer, &layer), get("/")).await.unwrap();
        assert_eq!((start.elapsed(), peer.request_count()), (attempts * 5 * SECOND, u64::from(attempts)));
        assert_eq!(answer.body().attempts().count, attempts);
        assert_eq!(whole(Ok(answer)).await.unwrap(), (200, "x".repeat(12).into()));
        assert_eq!(start.elapsed(), attempts * 5 * SECOND + 7 * SECOND);
    }
    // One that knows no way to be sent twice.
    let peer = Peer::new().forever(trickle(12));
    let once = request("PUT", "/").map(|_| Body::streaming(Full::<Bytes>::from("x")));
    let service = layer(retries()).layer(over(peer.pipe()));
    assert_eq!(whole(call(&service, once).await).await.unwrap().1.len(), 12);
    assert_eq!(peer.request_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_get_that_flows_until_its_total_is_over_is_told_what_it_may_be() {
    let peer = Peer::new().forever(trickle(5000));
    let layer = built(exact());
    let start = Instant::now();
    let error = call(&stack(&peer, &layer), get("/")).await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Deadline, 30 * SECOND));
    let journal = error.journal();
    assert_eq!((journal.len(), journal[0].error), (2, Some(ErrorKind::Attempt)));
    let hint = "(a stream? mark it LongPoll or Collect::never())";
    let first = format!("the response body was not complete after 10 s, 9 bytes received {hint}");
    assert_eq!(journal[0].cause, first);
    let last =
        format!("the response body was not complete within the total of 30 s, 9 bytes received {hint}");
    assert!(error.to_string().contains(&last), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_layer_alone_hands_nothing_on_and_says_what_to_do() {
    let layer = unwedge::stack::AttemptLayer::new(10 * SECOND).unwrap();
    for request in [get("/"), post("/")] {
        let method = request.method().clone();
        let peer = Peer::new().forever(trickle(5000));
        let error = call(&layer.layer(plain(&peer)), request).await.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Attempt, Some(Phase::Body)));
        assert_eq!(
            error.to_string(),
            format!(
                "{method} http://peer.test/: the response body was not complete after 10 s, 9 bytes received \
                 (a stream? mark it LongPoll or Collect::never())"
            )
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_had_fallen_silent_when_its_attempt_was_over_is_a_stall_and_is_told_nothing_else() {
    for (reply, silent, bytes) in [
        (trickle(5000).hang_after(5), "5 s", "5 bytes"),
        (trickle(5000).hang_after(1), "9 s", "1 byte"),
        (Reply::headers_then_hang().after(SECOND), "9 s", "0 bytes"),
    ] {
        for request in [get("/"), post("/")] {
            let peer = Peer::new().forever(reply.clone());
            let start = Instant::now();
            let error = call(&stack(&peer, &once(Limits::default())), request).await.unwrap_err();
            assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Stall, 10 * SECOND));
            let said = format!(
                "http://peer.test/: the response body stalled: no byte for {silent} after {bytes} (attempt limit of 10 s)"
            );
            assert!(error.to_string().ends_with(&said), "{error}");
        }
    }
    // Half the idle limit is where silence begins.
    let peer = Peer::new().forever(trickle(5000).hang_after(6));
    let answer = call(&stack(&peer, &once(Limits::default())), post("/")).await.unwrap();
    assert!(
        drained(answer.into_body()).await.1.unwrap().to_string().contains("no byte for 10 s after 6 bytes")
    );
}

#[tokio::test(start_paused = true)]
async fn an_empty_body_of_unknown_length_is_empty() {
    for reply in [Reply::ok(Bytes::new()).chunked(), Reply::ok("").until_close(), Reply::ok("")] {
        let peer = Peer::new().forever(reply);
        let answer = call(&stack(&peer, &built(exact())), get("/")).await.unwrap();
        assert!(answer.body().is_collected());
        assert_eq!(whole(Ok(answer)).await.unwrap(), (200, Bytes::new()));
    }
}
