//! Which outcomes are repeated, and for which requests.

use crate::support::*;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use std::future::ready;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::time::Instant;
use tower::service_fn;
use tower_layer::Layer;
use unwedge::retry::Idempotent;
use unwedge::testing::{Cut, Peer, Reply};
use unwedge::{Attempts, BoxError, ErrorKind, Phase, StackLayer};

#[tokio::test(start_paused = true)]
async fn a_healthy_answer_takes_one_request_and_leaves_nothing_in_flight() {
    let peer = Peer::new().forever(Reply::ok("hello"));
    let layer = StackLayer::default();
    let answer = call(&stack(&peer, &layer), get("/")).await.unwrap();
    assert_eq!(answer.body().attempts().count, 1);
    assert_eq!(answer.extensions().get::<Attempts>(), None, "said only where there was more than one");
    assert_eq!(whole(Ok(answer)).await.unwrap(), (200, "hello".into()));
    assert_eq!(peer.request_count(), 1);
    assert!(layer.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn two_bad_gateways_are_outlived_by_three_requests() {
    let peer = Peer::new().times(2, Reply::status(502)).forever(Reply::ok("x"));
    let answer = call(&stack(&peer, &StackLayer::default()), get("/")).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(peer.request_count(), 3);
    let attempts = answer.body().attempts();
    assert_eq!(attempts.count, 3);
    assert_eq!(attempts.elapsed, peer.requests()[2].at, "the waits are part of it");
    assert_eq!(answer.extensions().get::<Attempts>(), Some(&attempts));
}

#[tokio::test(start_paused = true)]
async fn statuses_of_a_passing_trouble_are_repeated() {
    let all = [408, 421, 425, 429, 500, 502, 503, 504, 507, 509, 529, 598, 599];
    for status in all.into_iter().chain(520..=530) {
        let peer = Peer::new().then(Reply::status(status)).forever(Reply::ok("x"));
        let answer = call(&stack(&peer, &built(exact())), get("/")).await.unwrap();
        assert_eq!((answer.status().as_u16(), peer.request_count()), (200, 2), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn statuses_that_would_be_the_same_again_are_not_repeated() {
    for status in
        [301, 400, 401, 403, 404, 405, 409, 410, 413, 418, 422, 426, 451, 501, 505, 506, 508, 510, 511, 600]
    {
        let peer = Peer::new().forever(Reply::status(status).body("why"));
        let (seen, body) = whole(call(&stack(&peer, &built(exact())), get("/")).await).await.unwrap();
        assert_eq!((seen, &body[..], peer.request_count()), (status, &b"why"[..], 1), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_answer_is_returned_as_it_is() {
    let peer = Peer::new().forever(Reply::status(503).body("still busy"));
    let answer = call(&stack(&peer, &built(exact())), get("/")).await.unwrap();
    assert_eq!(answer.body().attempts().count, 4);
    assert_eq!(whole(Ok(answer)).await.unwrap(), (503, "still busy".into()));
    assert_eq!(peer.request_count(), 4);
}

#[tokio::test(start_paused = true)]
async fn connections_that_end_before_or_inside_the_head_are_repeated() {
    let half = |how| Reply::ok("x").cut_head(12, how);
    for broken in [
        Reply::close(),
        Reply::reset(),
        Reply::garbage(),
        half(Cut::Close),
        half(Cut::Reset),
        Reply::refuse(),
    ] {
        let peer = Peer::new().then(broken.clone()).forever(Reply::ok("x"));
        let answer = call(&stack(&peer, &built(exact())), get("/")).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().attempts().count), (200, 2), "{broken:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_tells_what_each_attempt_before_it_died_of() {
    let peer = Peer::new()
        .then(Reply::status(502).closing().after(12 * MS))
        .then(Reply::refuse())
        .forever(Reply::hang());
    let layer = built(exact().retry(every(SECOND).max_retries(2)));
    let error = call(&stack(&peer, &layer), get("/session?token=s3cret")).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Attempt, Some(Phase::Headers)));
    assert_eq!((error.attempts(), error.journal().len()), (3, 2));
    assert_eq!(error.journal()[0].status.unwrap(), 502);
    assert_eq!(error.journal()[1].error, Some(ErrorKind::Connect));
    assert_eq!(
        error.to_string(),
        "GET http://peer.test/session: no response headers after 10 s \
         (attempt 3 of 3; before: 502 after 12 ms, connection refused)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_post_that_may_have_been_processed_is_sent_once() {
    for broken in [Reply::status(503), Reply::status(500), Reply::reset(), Reply::close(), Reply::hang()] {
        let peer = Peer::new().then(broken.clone()).forever(Reply::ok("x"));
        let answer = call(&stack(&peer, &built(exact())), post("/")).await;
        assert!(answer.is_err() || answer.unwrap().status().is_server_error(), "{broken:?}");
        assert_eq!(peer.request_count(), 1, "{broken:?}");
        assert_eq!(peer.requests()[0].body, "payload");
    }
}

#[tokio::test(start_paused = true)]
async fn a_post_with_an_idempotency_key_is_repeated_with_the_same_key() {
    let peer = Peer::new().then(Reply::status(503)).then(Reply::reset()).forever(Reply::ok("x"));
    let mut request = post("/");
    request.headers_mut().insert("idempotency-key", "k-17".parse().unwrap());
    let answer = call(&stack(&peer, &built(exact())), request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let keys: Vec<_> =
        peer.requests().iter().map(|r| r.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!(keys, ["k-17"; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_post_that_is_marked_idempotent_is_repeated() {
    let peer = Peer::new().then(Reply::status(503)).forever(Reply::ok("x"));
    let answer = call(&stack(&peer, &built(exact())), with(post("/"), Idempotent)).await.unwrap();
    assert_eq!((answer.status().as_u16(), peer.request_count()), (200, 2));
}

#[tokio::test(start_paused = true)]
async fn a_post_that_was_provably_not_processed_is_repeated() {
    for broken in [Reply::refuse(), Reply::status(429), Reply::status(425)] {
        let peer = Peer::new().then(broken.clone()).forever(Reply::ok("x"));
        let answer = call(&stack(&peer, &built(exact())), post("/")).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().attempts().count), (200, 2), "{broken:?}");
        assert_eq!(peer.requests().last().unwrap().body, "payload");
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_post_comes_back_when_the_server_said() {
    let peer = Peer::new().then(Reply::status(429).retry_after("1")).forever(Reply::ok("x"));
    let start = Instant::now();
    let answer = call(&stack(&peer, &built(exact())), post("/")).await.unwrap();
    assert_eq!((answer.status().as_u16(), peer.request_count()), (200, 2));
    assert!((SECOND..=1100 * MS).contains(&start.elapsed()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_cause_is_found_however_deep_it_is_wrapped() {
    #[derive(Debug)]
    struct Wrapped(BoxError);
    impl std::fmt::Display for Wrapped {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("something of somebody's broke")
        }
    }
    impl std::error::Error for Wrapped {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&*self.0)
        }
    }
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, InvalidData};
    for (request, kind, text, sent) in [
        (get("/"), ConnectionReset, "reset", 4),
        (post("/"), ConnectionReset, "reset", 1),
        (post("/"), ConnectionRefused, "refused", 4),
        (get("/"), InvalidData, "invalid peer certificate: UnknownIssuer", 1),
    ] {
        let count = Arc::new(AtomicU32::new(0));
        let inner = service_fn({
            let count = Arc::clone(&count);
            move |_: Request<Full<Bytes>>| {
                count.fetch_add(1, Ordering::Relaxed);
                let deep = Wrapped(Wrapped(io::Error::new(kind, text).into()).into());
                ready(Err::<http::Response<Full<Bytes>>, _>(deep))
            }
        });
        let error = call(&built(exact()).layer(inner), request).await.unwrap_err();
        assert_eq!(count.load(Ordering::Relaxed), sent, "{kind}");
        assert_eq!(error.is_connect(), kind == ConnectionRefused);
        assert_eq!(error.is_retriable(), kind != InvalidData);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_asked_again_and_the_late_answer_wins_nothing() {
    let peer = Peer::new().then(Reply::ok("late").after(11 * SECOND)).forever(Reply::ok("in time"));
    let start = Instant::now();
    let answer = call(&stack(&peer, &built(exact())), get("/")).await;
    assert_eq!(whole(answer).await.unwrap(), (200, "in time".into()));
    assert_eq!(start.elapsed(), 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_never_polled_sends_nothing() {
    let peer = Peer::new().forever(Reply::ok("x"));
    let layer = StackLayer::default();
    drop(call(&stack(&peer, &layer), get("/")));
    tokio::time::sleep(MINUTE).await;
    assert_eq!((peer.connects(), peer.request_count()), (0, 0));
    assert!(layer.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_in_its_back_off_sends_nothing_more() {
    let peer = Peer::new().forever(Reply::status(503));
    let layer = built(exact().retry(every(2 * SECOND)));
    let service = stack(&peer, &layer);
    let dropped = tokio::time::timeout(SECOND, call(&service, get("/"))).await;
    assert!(dropped.is_err());
    assert!(layer.in_flight().is_empty());
    tokio::time::sleep(MINUTE).await;
    assert_eq!(peer.request_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_user_knows_better_what_an_outcome_means() {
    use unwedge::retry::{Outcome, Repeat};
    let peer = Peer::new().times(2, Reply::status(404)).forever(Reply::ok("x"));
    let layer = built(exact().retry(at_once().classify(|_, outcome| match outcome {
        Outcome::Head(head) if head.status == 404 => {
            let mut class = outcome.class();
            class.repeat = Repeat::IfIdempotent;
            Some(class)
        }
        _ => None,
    })));
    let request = Request::get("http://peer.test/").body(Full::default()).unwrap();
    assert_eq!(call(&stack(&peer, &layer), request).await.unwrap().status(), 200);
    assert_eq!(peer.request_count(), 3);
}
