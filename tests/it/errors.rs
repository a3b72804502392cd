//! What a caller is told: the words, and what must never be among them.

use crate::support::*;
use crate::watch::*;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::sleep;
use tower::buffer::Buffer;
use tower::timeout::Timeout;
use tower_layer::Layer;
use tower_service::Service;
use unwedge::testing::{Peer, Reply};
use unwedge::{BoxError, Error, ErrorKind, Label, Limits, StackLayer, long_poll, retry, within};

/// The error of a call to this peer with so many attempts, a second apart.
async fn error_of(peer: &Peer, retries: u32) -> Error {
    let layer = built(exact().retry(every(SECOND).max_retries(retries)));
    match whole(call(&stack(peer, &layer), get("/session")).await).await {
        Ok((status, _)) => panic!("{status}"),
        Err(error) => error,
    }
}

#[tokio::test(start_paused = true)]
async fn each_fault_has_a_sentence_that_says_where() {
    let large = Reply::sized(2 << 20);
    for (fault, said) in [
        (Reply::refuse(), "connection refused"),
        (Reply::hang(), "no response headers after 10 s"),
        (Reply::silent(), "no response headers after 10 s"),
        (Reply::ok("x").slow_head(SECOND), "no response headers after 10 s"),
        (Reply::reset(), "connection reset"),
        (Reply::close(), "connection closed before message completed"),
        (
            Reply::garbage(),
            "invalid HTTP version parsed (the port does not speak HTTP/1: is its URL https://?)",
        ),
        (Reply::sized(100).reset_after(1), "connection reset after 1 byte of the body"),
        (Reply::sized(100).truncate_after(40), "connection closed in mid-message after 40 bytes of the body"),
        (
            Reply::sized(100).drip(1, SECOND),
            "the response body was not complete within the total of 30 s, 29 bytes received \
             (a stream? mark it LongPoll or Collect::never())",
        ),
        (
            Reply::sized(100).drip(1, SECOND).hang_after(1),
            "the response body stalled: no byte for 9 s after 1 byte (attempt limit of 10 s)",
        ),
        (large.clone().hang_after(70_000), "the response body stalled: no byte for 10 s after 70000 bytes"),
        (large.reset_after(70_000), "connection reset after 70000 bytes of the body"),
    ] {
        let peer = Peer::new().forever(fault);
        let error = error_of(&peer, 0).await;
        assert_eq!(error.to_string(), format!("GET http://peer.test/session: {said}"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_story_of_the_attempts_stands_in_one_bracket() {
    let peer = Peer::new()
        .then(Reply::status(502).after(12 * MS).closing())
        .times(3, Reply::reset())
        .forever(Reply::ok("x").hang_after(0));
    let error = error_of(&peer, 4).await;
    assert_eq!(
        error.to_string(),
        "GET http://peer.test/session: the response body stalled: no byte for 10 s after 0 bytes \
         (attempt 5 of 5; before: 502 after 12 ms, 3 x connection reset)"
    );
    let peer = Peer::new().forever(Reply::hang());
    let layer = built(exact());
    let error = call(&stack(&peer, &layer), get("/session")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "GET http://peer.test/session: no response headers after 10 s \
         (deadline; attempt 3 of 4; before: 2 x no response headers after 10 s)"
    );
}

#[tokio::test(start_paused = true)]
async fn refusals_say_when() {
    let peer = Peer::new().on("/health", Reply::status(503)).forever(Reply::status(500));
    let layer = judged(steady());
    let service = stack(&peer, &layer);
    calls(&service, 5).await;
    sleep(1500 * MS).await;
    let refused = call(&service, get("/")).await.unwrap_err();
    assert_eq!(refused.to_string(), "GET http://peer.test/: circuit open, next try in 3.5 s");

    let layer = each_once(steady()).health("/health").build().unwrap();
    let service = stack(&peer, &layer);
    let failed = call(&service, get("/")).await.unwrap_err();
    assert_eq!(failed.to_string(), "GET http://peer.test/: health check failed: 503");
    sleep(100 * MS).await;
    let refused = call(&service, get("/")).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "GET http://peer.test/: unhealthy for 100 ms, next health check in 900 ms"
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_that_ran_out_of_hold_repeats_its_reason() {
    let peer = Peer::new().forever(Reply::hang());
    let poll = long_poll!("the broker parks it").up_to(30 * SECOND);
    let error = call(&stack(&peer, &StackLayer::default()), with(get("/message"), poll)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "GET http://peer.test/message: the long poll was not answered within 35 s (the broker parks it) \
         (attempt 1 of 4)"
    );
}

/// Calls through a service whose error is boxed, and makes it ours again.
async fn through<S, R>(mut service: S) -> Error
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>>,
    S::Error: Into<BoxError>,
{
    std::future::poll_fn(|cx| service.poll_ready(cx)).await.map_err(|_| "not ready").unwrap();
    match service.call(get("/session")).await {
        Ok(_) => panic!("it was to fail"),
        Err(error) => Error::from(error.into()),
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_stays_what_it_is_through_other_layers() {
    let peer = Peer::new().forever(Reply::refuse());
    let layer = built(exact());
    let direct = through(stack(&peer, &layer)).await;
    assert_eq!((direct.kind(), direct.attempts(), direct.journal().len()), (ErrorKind::Connect, 4, 3));
    let service = stack(&peer, &layer);
    for wrapped in [
        through(Timeout::new(service.clone(), 60 * SECOND)).await,
        through(Buffer::new(service.clone(), 4)).await,
        through(Buffer::new(Timeout::new(service.clone(), 60 * SECOND), 4)).await,
        // A stack around the whole neither repeats nor retells it.
        through(
            StackLayer::builder()
                .retry(retry::Settings::default().max_retries(0))
                .build()
                .unwrap()
                .layer(Buffer::new(service, 4)),
        )
        .await,
    ] {
        assert_eq!(wrapped.to_string(), direct.to_string());
        assert_eq!((wrapped.kind(), wrapped.phase(), wrapped.attempts()), (direct.kind(), direct.phase(), 4));
    }
}

#[tokio::test(start_paused = true)]
async fn a_scope_and_a_call_that_end_together_tell_the_same_kind() {
    let peer = Peer::new().forever(Reply::hang());
    let ended = within(SECOND, call(&stack(&peer, &StackLayer::default()), get("/"))).await;
    let error = ended.and_then(|answer| answer).unwrap_err();
    assert!(error.is_deadline() && error.is_timeout() && error.is_retriable(), "{error}");
}

const SECRETS: &str = "http://admin:s3cret@peer.test/session?token=s3cret#s3cret";

fn secret(label: bool) -> Request<Full<Bytes>> {
    let request = Request::post(SECRETS).header("authorization", "Bearer s3cret").body(Full::from("s3cret"));
    let request = request.unwrap();
    if label { with(request, Label::new("sessions")) } else { request }
}

#[tokio::test(start_paused = true)]
async fn neither_errors_nor_logs_nor_spans_nor_the_table_show_secrets() {
    for (label, shown) in [(false, "http://peer.test/session"), (true, "http://peer.test [sessions]")] {
        for fault in [
            Reply::hang(),
            Reply::refuse(),
            Reply::reset(),
            Reply::status(429),
            Reply::sized(9).reset_after(3),
        ] {
            let peer = Peer::new().times(3, fault.clone()).forever(Reply::headers_then_hang());
            let (log, _guard) = Log::listen();
            let layer = exact().limits(Limits::default().attempt(2 * SECOND)).build().unwrap();
            let service = stack(&peer, &layer);
            let mut told = Vec::new();
            let calling = async {
                for _ in 0..3 {
                    if let Err(error) = whole(call(&service, secret(label)).await).await {
                        assert!(error.to_string().starts_with(&format!("POST {shown}: ")), "{error}");
                        told.push(format!("{error} {error:?} {error:#?}"));
                    }
                }
            };
            let table = layer.in_flight();
            let watching = async {
                sleep(SECOND).await;
                let seen = table.snapshot();
                assert!(seen.iter().all(|call| call.url == shown), "{seen:?}");
                format!("{seen:?} {table:?} {}", seen.iter().map(ToString::to_string).collect::<String>())
            };
            let ((), seen) = tokio::join!(calling, watching);
            told.push(seen);
            told.push(format!("{layer:?} {service:?} {:?}", layer.breakers().snapshot()));
            assert!(log.with("span call").iter().all(|span| span.contains(shown)), "{:?}", log.lines());
            assert!(!log.with("span call").is_empty() && !log.with("span attempt").is_empty());
            told.extend(log.lines());
            for text in told {
                assert!(!text.contains("s3cret") && !text.contains("admin"), "{fault:?}: {text}");
            }
        }
    }
}
