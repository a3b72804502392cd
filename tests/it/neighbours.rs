//! The stack and its parts among other services, and across runtimes.

use crate::support::*;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::client::legacy;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, timeout};
use tower::ServiceBuilder;
use tower::buffer::BufferLayer;
use tower::limit::ConcurrencyLimitLayer;
use tower_layer::Layer;
use tower_service::Service;
use unwedge::stack::{
    AttemptLayer, CircuitBreakerLayer, DeadlineLayer, HealthCheckLayer, RetryLayer, StallLayer,
};
use unwedge::testing::{Peer, Reply};
use unwedge::{Body, Error, ErrorKind, Limits, Phase, StackLayer, breaker, retry, within};

/// Panics when it is called without having been ready, as tower's own services do.
#[derive(Debug, Default)]
struct Strict {
    ready: bool,
    calls: Arc<AtomicU32>,
}

impl Clone for Strict {
    fn clone(&self) -> Strict {
        Strict { ready: false, calls: Arc::clone(&self.calls) }
    }
}

impl<B> Service<Request<B>> for Strict {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Full<Bytes>>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without having been ready");
        let status = if self.calls.fetch_add(1, Ordering::Relaxed) < 2 { 503 } else { 200 };
        ready(Ok(Response::builder().status(status).body(Full::default()).unwrap()))
    }
}

#[tokio::test(start_paused = true)]
async fn only_an_instance_that_was_ready_is_called_on_every_attempt() {
    let inner = Strict::default();
    let answer = call(&built(exact()).layer(inner.clone()), get("/")).await.unwrap();
    assert_eq!((answer.status().as_u16(), inner.calls.load(Ordering::Relaxed)), (200, 3));
    // A health check and its request are two calls.
    let inner = Strict::default();
    inner.calls.store(2, Ordering::Relaxed);
    let answer = call(&built(exact().health("/health")).layer(inner.clone()), get("/")).await.unwrap();
    assert_eq!((answer.status().as_u16(), inner.calls.load(Ordering::Relaxed)), (200, 4));
}

/// Three calls at once through this layer over a limit of one and a buffer.
async fn among_neighbours<S>(name: &str, layer: impl FnOnce(BufferedLimit) -> S)
where
    S: Service<Request<Full<Bytes>>, Response = Response<Body>, Error = Error> + Clone,
{
    let peer = Peer::new().on("/health", Reply::status(204)).forever(Reply::ok("x").after(SECOND));
    let beneath: BufferedLimit = ServiceBuilder::new()
        .layer(BufferLayer::new(8))
        .layer(ConcurrencyLimitLayer::new(1))
        .service(plain(&peer));
    let service = layer(beneath);
    let start = Instant::now();
    let (a, b, c) =
        tokio::join!(call(&service, get("/")), call(&service, get("/")), call(&service, get("/")));
    for answer in [a, b, c] {
        assert_eq!(whole(answer).await.unwrap(), (200, "x".into()), "{name}");
    }
    assert_eq!(start.elapsed(), 3 * SECOND, "{name}: one after the other");
}

type BufferedLimit = tower::buffer::Buffer<
    Request<Full<Bytes>>,
    tower::limit::concurrency::future::ResponseFuture<legacy::ResponseFuture>,
>;

#[tokio::test(start_paused = true)]
async fn every_layer_works_over_a_buffer_and_a_concurrency_limit() {
    among_neighbours("stack", |beneath| StackLayer::default().layer(beneath)).await;
    among_neighbours("deadline", |beneath| DeadlineLayer::new(9 * SECOND).unwrap().layer(beneath)).await;
    among_neighbours("attempt", |beneath| AttemptLayer::new(9 * SECOND).unwrap().layer(beneath)).await;
    among_neighbours("retry", |beneath| RetryLayer::new(retry::Settings::default()).unwrap().layer(beneath))
        .await;
    among_neighbours("breaker", |beneath| {
        CircuitBreakerLayer::new(breaker::Settings::default()).unwrap().layer(beneath)
    })
    .await;
    among_neighbours("health", |beneath| HealthCheckLayer::new("/health").unwrap().layer(beneath)).await;
    among_neighbours("stall", |beneath| StallLayer::new(Limits::default()).unwrap().layer(beneath)).await;
}

#[tokio::test(start_paused = true)]
async fn all_parts_as_layers_of_their_own_are_a_stack() {
    let peer = Peer::new().then(Reply::hang()).then(Reply::status(502)).forever(Reply::ok("x"));
    let parts = ServiceBuilder::new()
        .layer(DeadlineLayer::new(30 * SECOND).unwrap())
        .layer(RetryLayer::new(retry::Settings::default().backoff(retry::Backoff::constant(SECOND))).unwrap())
        .layer(CircuitBreakerLayer::new(breaker::Settings::default()).unwrap())
        .layer(AttemptLayer::new(10 * SECOND).unwrap())
        .layer(StallLayer::new(Limits::default()).unwrap())
        .layer(ConcurrencyLimitLayer::new(1))
        .service(plain(&peer));
    let start = Instant::now();
    assert_eq!(whole(call(&parts, get("/")).await).await.unwrap(), (200, "x".into()));
    assert_eq!((start.elapsed(), peer.request_count()), (12 * SECOND, 3));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_begins_when_its_request_goes_out_and_not_while_it_queues() {
    let peer = Peer::new().then(Reply::ok("first").after(8 * SECOND)).forever(Reply::hang());
    let service = once(Limits::default()).layer(ConcurrencyLimitLayer::new(1).layer(plain(&peer)));
    let start = Instant::now();
    let (first, second) = tokio::join!(call(&service, get("/")), call(&service, get("/")));
    assert_eq!(first.unwrap().status(), 200);
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Attempt);
    assert_eq!(start.elapsed(), 18 * SECOND, "8 s in the queue, and its full 10 s");
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_given_back_when_its_call_is_cut_off() {
    let peer = Peer::new().then(Reply::hang()).then(Reply::hang()).forever(Reply::ok("x"));
    let layer = built(exact().limits(Limits::default().attempt(2 * SECOND)));
    let service = layer.layer(ConcurrencyLimitLayer::new(1).layer(plain(&peer)));
    let start = Instant::now();
    assert_eq!(call(&service, get("/")).await.unwrap().status(), 200, "each attempt needs the only permit");
    assert_eq!(start.elapsed(), 4 * SECOND);
    let dropped = call(&service, get("/"));
    drop(dropped);
    assert_eq!(timeout(MS, call(&service, get("/"))).await.unwrap().unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_holds_no_permit_of_the_service_beneath() {
    let peer = Peer::new().forever(Reply::ok("x"));
    let layer = StackLayer::default();
    let limited = ConcurrencyLimitLayer::new(1).layer(plain(&peer));
    let (one, two) = (layer.layer(limited.clone()), layer.layer(limited.clone()));
    let breaker = layer.breakers().of(get("/").uri()).unwrap();
    breaker.force_open();
    for _ in 0..3 {
        assert!(call(&one, get("/")).await.unwrap_err().is_open());
        assert!(call(&two, get("/")).await.unwrap_err().is_open());
    }
    breaker.reset();
    assert_eq!(timeout(MS, call(&two, get("/"))).await.unwrap().unwrap().status(), 200);
    let free = tower::ServiceExt::<Request<Full<Bytes>>>::ready_oneshot(limited);
    assert!(timeout(MS, free).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_failed_for_good_is_an_error_and_asked_once() {
    #[derive(Clone)]
    struct Broken(Arc<AtomicU32>);
    impl Service<Request<Full<Bytes>>> for Broken {
        type Response = Response<Full<Bytes>>;
        type Error = &'static str;
        type Future = Ready<Result<Self::Response, &'static str>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Poll::Ready(Err("the worker is gone"))
        }
        fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
            unreachable!("it was never ready")
        }
    }
    let asked = Arc::new(AtomicU32::new(0));
    let layer = StackLayer::default();
    let error = call(&layer.layer(Broken(Arc::clone(&asked))), get("/")).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Transport, Some(Phase::Ready)));
    assert!(error.to_string().contains("the worker is gone"), "{error}");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert_eq!(layer.breakers().snapshot()[0].consecutive_failures, 0);
}

#[tokio::test(start_paused = true)]
async fn under_a_buffer_the_scope_of_the_caller_binds() {
    let peer = Peer::new().forever(Reply::hang());
    let service = BufferLayer::new(8).layer(stack(&peer, &StackLayer::default()));
    let start = Instant::now();
    let sent = within(SECOND, tower::ServiceExt::oneshot(service, get("/"))).await.unwrap();
    let error = Error::from(sent.unwrap_err());
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Deadline, Some(Phase::Headers)));
    assert_eq!(start.elapsed(), SECOND);
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

#[test]
fn a_client_that_outlives_its_runtime_keeps_its_bounds_on_the_next() {
    let peer = Peer::new().times(3, Reply::ok("x")).forever(Reply::hang());
    let layer = built(exact());
    let first = runtime();
    let service = first.block_on(async {
        let service = stack(&peer, &layer);
        assert_eq!(whole(call(&service, get("/")).await).await.unwrap(), (200, "x".into()));
        service
    });
    drop(first);
    runtime().block_on(async {
        assert_eq!(call(&service, get("/")).await.unwrap().status(), 200, "its pooled connection is dead");
        assert_eq!(call(&service, post("/")).await.unwrap().status(), 200);
        let start = Instant::now();
        let error = call(&service, get("/")).await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Deadline, 30 * SECOND));
        let start = Instant::now();
        assert!(within(SECOND, call(&service, get("/"))).await.unwrap().is_err());
        assert_eq!(start.elapsed(), SECOND);
    });
    assert!(layer.in_flight().is_empty());
}

#[test]
fn a_post_is_the_first_on_the_next_runtime_and_gets_through() {
    let peer = Peer::new().forever(Reply::ok("x"));
    let first = runtime();
    let service = first.block_on(async {
        let service = stack(&peer, &built(exact()));
        call(&service, get("/")).await.unwrap().into_body().bytes(9).await.unwrap();
        service
    });
    drop(first);
    let answer = runtime().block_on(call(&service, post("/"))).unwrap();
    assert_eq!((answer.status().as_u16(), peer.request_count()), (200, 2));
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    let inner = tower::service_fn(|_: Request<Full<Bytes>>| {
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
    });
    let mut service = StackLayer::default().layer(inner);
    let mut call = pin!(service.call(get("/")));
    match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(error)) => {
            assert!(error.is_config());
            assert!(error.to_string().contains("no tokio runtime"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn several_threads_share_one_stack() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let peer = Peer::new().forever(Reply::ok("x"));
        let layer = StackLayer::default();
        let service = stack(&peer, &layer);
        let calls = (0..100).map(|_| {
            let service = service.clone();
            tokio::spawn(async move { whole(call(&service, get("/")).await).await.unwrap().0 })
        });
        for answer in calls.collect::<Vec<_>>() {
            assert_eq!(answer.await.unwrap(), 200);
        }
        assert_eq!(peer.request_count(), 100);
        assert!(layer.in_flight().is_empty());
        assert!(layer.bounds().total == Some(Duration::from_secs(30)));
    });
}

#[test]
fn a_runtime_without_its_drivers_is_an_error_and_no_panic() {
    let url = "http://127.0.0.1:9/";
    for (word, build) in [
        ("enable_io", tokio::runtime::Builder::enable_time as fn(&mut _) -> &mut _),
        ("enable_time", tokio::runtime::Builder::enable_io),
    ] {
        let runtime = build(&mut tokio::runtime::Builder::new_current_thread()).build().unwrap();
        let ours =
            runtime.block_on(async { unwedge::Client::new().unwrap().get(url).send().await.unwrap_err() });
        assert!(ours.is_config() && ours.to_string().contains(word), "{ours}");
        let theirs =
            runtime.block_on(async { unwedge::reqwest::client().get(url).send().await.unwrap_err() });
        let cause = unwedge::reqwest::cause(&theirs).expect("an error of ours");
        assert!(cause.is_config() && cause.to_string().contains(word), "{cause}");
        let mut crew = unwedge::supervise::Supervisor::new();
        crew.spawn("relay", SECOND, |heart| async move { heart.cancelled().await });
        let admin = unwedge::admin::Admin::new(&crew);
        let (crew, admin) = runtime.block_on(async {
            (
                crew.run_until(std::future::ready(()), SECOND).await,
                admin.serve(std::net::SocketAddr::from(([127, 0, 0, 1], 0))).await,
            )
        });
        assert_eq!(crew.is_err_and(|error| error.is_config()), word == "enable_time");
        assert_eq!(admin.is_err_and(|error| error.is_config()), word == "enable_io");
    }
}
