//! Calls over services that no server would be: each always has something ready, and nothing that could end.

use crate::body::Body;
use crate::error::{Error, ErrorKind};
use crate::retry::{self, Backoff};
use crate::stack::builder::StackBuilder;
use crate::{Collect, Limits};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use std::cell::Cell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn get() -> Request<Body> {
    Request::get("http://peer.test/").body(Body::empty()).unwrap()
}

/// How often a service is asked that refuses at once and asks for no time, and how long that takes.
async fn asked(kind: ErrorKind, retry: retry::Settings) -> (u32, Duration, Error) {
    let asked = Rc::new(Cell::new(0));
    let counting = Rc::clone(&asked);
    let refuses = tower::service_fn(move |_: Request<Body>| {
        counting.set(counting.get() + 1);
        let enough = counting.get() > 50_000;
        std::future::ready(if enough {
            Ok(Response::new(Body::empty()))
        } else {
            Err(Error::from_kind(kind, "turned away"))
        })
    });
    let stack =
        StackBuilder::default().limits(Limits::default().total(2 * SECOND)).retry(retry).build().unwrap();
    let start = Instant::now();
    let error = stack.layer(refuses).call(get()).await.expect_err("it would have gone on without an end");
    (asked.get(), start.elapsed(), error)
}

#[tokio::test(start_paused = true)]
async fn a_refusal_from_beneath_that_asks_for_no_time_is_asked_again_after_a_back_off() {
    let none = Duration::ZERO;
    for kind in [ErrorKind::Open { retry_in: none }, ErrorKind::Unhealthy { since: none, retry_in: none }] {
        let (times, took, error) = asked(kind, retry::Settings::default()).await;
        assert!((2..100).contains(&times) && took <= 2 * SECOND, "{times} in {took:?}");
        assert_eq!(error.kind(), kind);
        let (times, took, _) = asked(kind, retry::Settings::default().backoff(Backoff::none())).await;
        assert!((2..=2_000).contains(&times) && took <= 2 * SECOND, "{times} in {took:?}");
    }
}

/// A body that has an empty frame whenever it is asked, for as long as this.
struct Empty(tokio::time::Instant, fn() -> Frame<Bytes>);

impl http_body::Body for Empty {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready((self.0.elapsed() < 4 * SECOND).then(|| Ok((self.1)())))
    }
}

const FRAMES: [fn() -> Frame<Bytes>; 2] =
    [|| Frame::data(Bytes::new()), || Frame::trailers(Default::default())];

#[tokio::test]
async fn a_body_that_always_has_an_empty_frame_ends_with_its_attempt() {
    for frame in FRAMES {
        let empty = tower::service_fn(move |_: Request<Body>| {
            let body = Empty(tokio::time::Instant::now(), frame);
            std::future::ready(Ok::<_, Infallible>(Response::new(body)))
        });
        let limits = Limits::default().attempt(50 * MS).total(SECOND);
        let once = retry::Settings::default().max_retries(0);
        let stack = StackBuilder::default().limits(limits).retry(once).build().unwrap();
        let start = tokio::time::Instant::now();
        let ended = stack.layer(empty).call(get()).await;
        assert!(ended.is_err(), "the attempt was over long before its body");
        assert!(start.elapsed() < 3 * SECOND, "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn a_body_of_many_small_frames_that_is_always_ready_ends_with_its_attempt() {
    let one = || Frame::data(Bytes::from_static(b"x"));
    let endless = tower::service_fn(move |_: Request<Body>| {
        let body = Empty(tokio::time::Instant::now(), one);
        std::future::ready(Ok::<_, Infallible>(Response::new(body)))
    });
    let limits = Limits::default().attempt(50 * MS).total(100 * MS).collect(u64::MAX);
    let once = retry::Settings::default().max_retries(0);
    let stack = StackBuilder::default().limits(limits).retry(once).build().unwrap();
    let start = tokio::time::Instant::now();
    let mut request = get();
    request.extensions_mut().insert(Collect::up_to(u64::MAX));
    let ended = stack.layer(endless).call(request).await;
    assert!(start.elapsed() < 3 * SECOND, "{:?}", start.elapsed());
    drop(ended);
}

#[tokio::test]
async fn what_is_left_of_a_response_that_always_has_an_empty_frame_is_left_after_a_tenth_of_a_second() {
    for frame in FRAMES {
        let mut calls = 0;
        let service = tower::service_fn(move |_: Request<Body>| {
            calls += 1;
            let mut answer = Response::new(Empty(tokio::time::Instant::now(), frame));
            if calls == 1 {
                *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
            } else {
                answer.headers_mut().insert("content-length", 0.into());
                answer.body_mut().0 -= 5 * SECOND;
            }
            std::future::ready(Ok::<_, Infallible>(answer))
        });
        let at_once = retry::Settings::default().backoff(Backoff::none());
        let stack = StackBuilder::default().retry(at_once).build().unwrap();
        let start = tokio::time::Instant::now();
        let answer = stack.layer(service).call(get()).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(start.elapsed() < 3 * SECOND, "{:?}", start.elapsed());
    }
}
