//! A stack around what people have, with no other line, and its parts one by one.

use crate::support::*;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, Ready, pending, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tower::ServiceBuilder;
use tower::buffer::Buffer;
use tower::limit::ConcurrencyLimit;
use tower_layer::Layer;
use tower_service::Service;
use unwedge::stack::{
    AttemptLayer, CircuitBreakerLayer, DeadlineLayer, HealthCheckLayer, RetryLayer, StallLayer,
};
use unwedge::testing::{Peer, Reply};
use unwedge::{BoxError, Limits, StackLayer, breaker, retry};

/// Twice through the same service, as tower's own callers do it.
async fn works<S, R>(mut service: S)
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: http_body::Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    for _ in 0..2 {
        std::future::poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into).unwrap();
        let answer = service.call(get("/")).await.map_err(Into::into).unwrap();
        let body = http_body_util::BodyExt::collect(answer.into_body()).await.map_err(Into::into).unwrap();
        assert_eq!(body.to_bytes(), "hello");
    }
}

fn hello() -> Peer {
    Peer::new().forever(Reply::ok("hello"))
}

async fn everything_works() {
    let peer = hello();
    let mine = tower::service_fn(async |_: Request<Full<Bytes>>| {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello"))))
    });
    works(StackLayer::default().layer(plain(&peer))).await;
    works(StackLayer::default().layer(mine)).await;
    works(StackLayer::default().layer(ConcurrencyLimit::new(plain(&peer), 1))).await;
    works(StackLayer::default().layer(Buffer::new(plain(&peer), 8))).await;
    works(Buffer::new(StackLayer::default().layer(plain(&peer)), 8)).await;
    works(ConcurrencyLimit::new(StackLayer::default().layer(plain(&peer)), 1)).await;
    works(StackLayer::default().layer(StackLayer::default().layer(plain(&peer)))).await;
    works(ServiceBuilder::new().layer(StackLayer::default()).concurrency_limit(2).service(plain(&peer)))
        .await;
    works(ServiceBuilder::new().buffer(8).layer(StackLayer::default()).buffer(8).service(plain(&peer))).await;
}

#[tokio::test(start_paused = true)]
async fn a_default_stack_fits_around_any_service_on_one_thread() {
    everything_works().await;
}

#[test]
fn a_default_stack_fits_around_any_service_on_many_threads() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut everywhere = JoinSet::new();
        for _ in 0..4 {
            everywhere.spawn(everything_works());
        }
        everywhere.join_all().await;
    });
}

/// A service that borrows from the stack frame of its user, and is not `Send`.
#[derive(Clone)]
struct Borrows<'a> {
    calls: &'a Cell<u32>,
    text: &'a str,
}

impl Service<Request<Full<Bytes>>> for Borrows<'_> {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        self.calls.set(self.calls.get() + 1);
        ready(Ok(Response::new(Full::new(Bytes::copy_from_slice(self.text.as_bytes())))))
    }
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_may_borrow() {
    let (calls, text) = (Cell::new(0), String::from("hello"));
    works(StackLayer::default().layer(Borrows { calls: &calls, text: &text })).await;
    assert_eq!(calls.get(), 2);
}

struct Parts {
    deadline: DeadlineLayer,
    retry: RetryLayer,
    breaker: CircuitBreakerLayer,
    health: HealthCheckLayer,
    attempt: AttemptLayer,
    stall: StallLayer,
}

fn parts() -> Parts {
    Parts {
        deadline: DeadlineLayer::new(30 * SECOND).unwrap(),
        retry: RetryLayer::new(retry::Settings::default().backoff(SECOND)).unwrap(),
        breaker: CircuitBreakerLayer::new(breaker::Settings::default()).unwrap(),
        health: HealthCheckLayer::new("/").unwrap(),
        attempt: AttemptLayer::new(10 * SECOND).unwrap(),
        stall: StallLayer::new(Limits::default().idle(3 * SECOND)).unwrap(),
    }
}

#[tokio::test(start_paused = true)]
async fn each_part_works_alone_and_all_work_together() {
    let peer = hello();
    let p = parts();
    works(p.deadline.layer(plain(&peer))).await;
    works(p.retry.layer(plain(&peer))).await;
    works(p.breaker.layer(plain(&peer))).await;
    works(p.health.layer(plain(&peer))).await;
    works(p.attempt.layer(plain(&peer))).await;
    works(p.stall.layer(plain(&peer))).await;
    let all = ServiceBuilder::new()
        .layer(p.deadline)
        .layer(p.retry)
        .layer(p.breaker)
        .layer(p.health)
        .layer(p.attempt)
        .layer(p.stall)
        .concurrency_limit(1)
        .service(plain(&peer));
    works(all).await;
}

#[tokio::test(start_paused = true)]
async fn each_part_alone_does_its_work_and_nothing_else() {
    let start = tokio::time::Instant::now;
    let silent = Peer::new().forever(Reply::hang());
    let stalls = Peer::new().forever(Reply::sized(100).hang_after(10));
    let fails = |n| Peer::new().times(n, Reply::status(503)).forever(Reply::ok("hello"));
    let p = parts();

    let began = start();
    let error = call(&p.deadline.layer(plain(&silent)), get("/")).await.unwrap_err();
    assert_eq!((error.is_deadline(), began.elapsed()), (true, 30 * SECOND), "{error}");

    let began = start();
    let error = call(&p.attempt.layer(plain(&silent)), get("/")).await.unwrap_err();
    assert_eq!((error.is_timeout(), began.elapsed()), (true, 10 * SECOND), "{error}");

    let began = start();
    let error = call(&p.stall.layer(plain(&stalls)), get("/")).await.unwrap_err();
    assert_eq!((error.is_stall(), began.elapsed()), (true, 3 * SECOND), "{error}");

    let peer = fails(2);
    let answer = call(&p.retry.layer(plain(&peer)), get("/")).await.unwrap();
    assert_eq!((answer.status().as_u16(), peer.request_count()), (200, 3));

    let peer = fails(99);
    let service = p.breaker.layer(plain(&peer));
    for _ in 0..5 {
        assert_eq!(call(&service, get("/")).await.unwrap().status(), 503);
    }
    assert!(call(&service, get("/")).await.unwrap_err().is_open());
    assert_eq!(p.breaker.breakers().snapshot()[0].phase, breaker::Phase::Open);

    let peer = fails(99);
    assert!(call(&p.health.layer(plain(&peer)), get("/")).await.unwrap_err().is_unhealthy());
    assert_eq!(peer.request_count(), 1, "the health check alone");
}

#[tokio::test(start_paused = true)]
async fn parts_in_a_service_builder_act_together_as_the_stack_does() {
    let peer = Peer::new().on("/health", Reply::status(204)).forever(Reply::hang());
    let breakers = CircuitBreakerLayer::new(breaker::Settings::default()).unwrap();
    let service = ServiceBuilder::new()
        .layer(DeadlineLayer::new(25 * SECOND).unwrap())
        .layer(RetryLayer::new(retry::Settings::default().backoff(Duration::ZERO)).unwrap())
        .layer(breakers.clone())
        .layer(HealthCheckLayer::new("/health").unwrap())
        .layer(AttemptLayer::new(10 * SECOND).unwrap())
        .layer(StallLayer::new(Limits::default()).unwrap())
        .service(plain(&peer));
    let began = tokio::time::Instant::now();
    let error = call(&service, get("/")).await.unwrap_err();
    assert_eq!(began.elapsed(), 25 * SECOND);
    assert!(error.is_deadline(), "{error}");
    assert_eq!(peer.request_count(), 1 + 3, "one health check and three attempts");
    let now = &breakers.breakers().snapshot()[0];
    assert_eq!((now.phase, now.consecutive_failures), (breaker::Phase::Closed, 3), "the third hung for 5 s");
}

#[test]
fn without_a_runtime_there_is_a_configuration_error_and_no_panic() {
    let never =
        tower::service_fn(|_: Request<Full<Bytes>>| pending::<Result<Response<Full<Bytes>>, Infallible>>());
    let layer = StackLayer::default();
    let mut service = layer.layer(never);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Service::<Request<Full<Bytes>>>::poll_ready(&mut service, &mut cx).is_ready());
    let mut calling = pin!(service.call(get("/")));
    let Poll::Ready(Err(error)) = calling.as_mut().poll(&mut cx) else { panic!("it is bound by nothing") };
    assert!(error.is_config() && !error.is_retriable(), "{error}");
    assert_eq!(
        error.to_string(),
        "GET http://peer.test/: no tokio runtime: nothing could bound this wait, run it inside one (attempt 1 of 4)"
    );
    assert!(layer.in_flight().is_empty());
    assert_eq!(layer.breakers().snapshot()[0].consecutive_failures, 0);

    // What needs no timer needs no runtime.
    let at_once = Borrows { calls: &Cell::new(0), text: "hello" };
    let mut service = layer.layer(at_once);
    let mut calling = pin!(service.call(get("/")));
    assert!(matches!(calling.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
}
