//! Whose fault a panic is.

use crate::support::*;
use crate::watch::*;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::convert::Infallible;
use std::future::{Future, poll_fn, ready};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower::limit::ConcurrencyLimit;
use tower_layer::Layer;
use tower_service::Service;
use unwedge::Collect;
use unwedge::breaker::Phase;
use unwedge::retry::Outcome;
use unwedge::stack::RequestHead;
use unwedge::testing::{Peer, Reply};

/// Panics at one place.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bomb {
    Ready,
    Call,
    Polled,
    Body,
}

struct Burst;

impl http_body::Body for Burst {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        panic!("in the body")
    }
}

impl Service<Request<Full<Bytes>>> for Bomb {
    type Response = Response<Burst>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Burst>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        assert!(*self != Bomb::Ready, "in poll_ready");
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        match self {
            Bomb::Call => panic!("in call"),
            Bomb::Polled => Box::pin(async { panic!("in the future") }),
            _ => Box::pin(ready(Ok(Response::new(Burst)))),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_inner_service_reaches_the_caller_and_is_a_failure() {
    for bomb in [Bomb::Ready, Bomb::Call, Bomb::Polled, Bomb::Body] {
        let layer = judged(steady());
        let service = layer.layer(bomb);
        for n in 1..=5 {
            let service = service.clone();
            let mut task = JoinSet::new();
            task.spawn(async move { call(&service, get("/")).await.map(drop) });
            assert!(task.join_next().await.unwrap().unwrap_err().is_panic());
            let expected = if n < 5 { (Phase::Closed, n) } else { (Phase::Open, 0) };
            assert_eq!(state(&layer), expected, "{bomb:?}");
        }
        assert!(layer.in_flight().is_empty());
        // The place of a probe is free again as well.
        sleep(5 * SECOND).await;
        let mut task = JoinSet::new();
        task.spawn(async move { call(&service, get("/")).await.map(drop) });
        assert!(task.join_next().await.unwrap().unwrap_err().is_panic());
        let now = breaker(&layer).snapshot();
        assert_eq!((now.phase, now.probes_in_flight), (Phase::Open, 0), "{bomb:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_body_that_streams_reaches_its_reader_and_is_a_failure() {
    let layer = judged(steady());
    let mut request = get("/");
    request.extensions_mut().insert(Collect::never());
    let answer = call(&layer.layer(Bomb::Body), request).await;
    let mut reader = JoinSet::new();
    reader.spawn(async move { whole(answer).await.map(drop) });
    assert!(reader.join_next().await.unwrap().unwrap_err().is_panic());
    assert_eq!(state(&layer), (Phase::Closed, 1));
    assert!(layer.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_users_classifier_frees_the_place_and_is_no_failure_of_the_server() {
    let peer = Peer::new().times(5, Reply::status(500)).forever(Reply::ok(""));
    let rules = |_: &RequestHead<'_>, outcome: &Outcome<'_>| match outcome {
        Outcome::Head(head) if head.status == 200 => panic!("in the classifier"),
        _ => None,
    };
    let layer = each_once(steady()).retry(sent_once().classify(rules)).build().unwrap();
    let service = stack(&peer, &layer);
    calls(&service, 5).await;
    sleep(5 * SECOND).await;
    for _ in 0..10 {
        let service = service.clone();
        let mut task = JoinSet::new();
        task.spawn(async move { call(&service, get("/")).await.map(drop) });
        assert!(task.join_next().await.unwrap().unwrap_err().is_panic());
        let now = breaker(&layer).snapshot();
        assert_eq!((now.phase, now.probes_in_flight, now.probes_passed), (Phase::HalfOpen, 0, 0));
    }
    assert!(layer.in_flight().is_empty());
}

/// Begins a call, and panics while it is held.
async fn panic_beside<S>(service: S)
where
    S: Service<Request<Full<Bytes>>> + Send + 'static,
    S::Future: Send,
{
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut service = service;
        let mut held = pin!(service.call(get("/")));
        assert!(poll_fn(|cx| Poll::Ready(held.as_mut().poll(cx))).await.is_pending());
        sleep(100 * MS).await;
        panic!("elsewhere");
    });
    assert!(task.join_next().await.unwrap().unwrap_err().is_panic());
}

#[tokio::test(start_paused = true)]
async fn a_panic_elsewhere_in_a_task_that_holds_a_call_is_no_failure() {
    let peer = Peer::new().forever(Reply::headers_then_hang());
    let silent = Peer::new().forever(Reply::silent());
    let strict = || each_once(steady().failures(1));

    let layer = strict().build().unwrap();
    panic_beside(stack(&silent, &layer)).await;
    assert_eq!(state(&layer), (Phase::Closed, 0), "waiting for headers");

    let layer = strict().build().unwrap();
    panic_beside(stack(&peer, &layer)).await;
    assert_eq!(state(&layer), (Phase::Closed, 0), "reading the body");

    let layer = strict().build().unwrap();
    panic_beside(layer.layer(ConcurrencyLimit::new(plain(&peer), 0))).await;
    assert_eq!(state(&layer), (Phase::Closed, 0), "waiting until the service is ready");

    let layer = strict().health("/health").build().unwrap();
    let service = stack(&silent, &layer);
    let leader = service.clone();
    let mut leads = JoinSet::new();
    leads.spawn(async move { call(&leader, get("/")).await.map(drop) });
    settle().await;
    panic_beside(service.clone()).await;
    assert_eq!(state(&layer), (Phase::Closed, 0), "waiting for a health check");
    drop(leads);
    settle().await;
    panic_beside(service).await;
    assert_eq!(state(&layer), (Phase::Closed, 0), "making a health check");
    assert!(layer.in_flight().is_empty());
}
