//! What a server makes of the deadline of its caller, and the way of one from end to end.

use crate::downstream::{telling, told};
use crate::support::*;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::convert::Infallible;
use std::future::{Future, Pending, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_layer::Layer;
use tower_service::Service;
use unwedge::deadline::{AttemptNumber, Headers, Incoming, IncomingLayer};
use unwedge::testing::{Peer, Reply};
use unwedge::{Deadline, ErrorKind, Limits, StackLayer, retry, within};

/// A handler that takes `takes` and tells what it saw: time left in its scope and as an extension, and the attempt.
#[derive(Clone, Default)]
struct Handler {
    takes: Duration,
    called: Arc<AtomicU32>,
    saw: Arc<Mutex<Vec<(Option<Duration>, Option<Duration>, Option<u32>)>>>,
}

impl<B> Service<Request<B>> for Handler {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.called.fetch_add(1, Ordering::Relaxed);
        assert!(Deadline::current().is_none_or(|d| Some(&d) == request.extensions().get()));
        let extension = request.extensions().get::<Deadline>().map(|deadline| deadline.remaining());
        let attempt = request.extensions().get::<AttemptNumber>().map(|attempt| attempt.get());
        let (takes, saw) = (self.takes, Arc::clone(&self.saw));
        Box::pin(async move {
            let scope = Deadline::current().map(Deadline::remaining);
            saw.lock().unwrap().push((scope, extension, attempt));
            sleep(takes).await;
            Ok(Response::new(Full::from("done")))
        })
    }
}

fn arriving(time: &str) -> Request<()> {
    let request = Request::builder().header("x-request-timeout-ms", time);
    request.header("x-request-attempt", "2").body(()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_scope_of_the_caller_is_the_scope_of_the_handler() {
    let handler = Handler::default();
    let service = IncomingLayer::default().layer(handler.clone());
    assert_eq!(service.oneshot(arriving("1500")).await.unwrap().status(), 200);
    let left = Some(1500 * MS);
    assert_eq!(*handler.saw.lock().unwrap(), [(left, left, Some(2))]);
}

#[tokio::test(start_paused = true)]
async fn garbage_negative_and_overflowing_times_are_as_if_absent() {
    let handler = Handler::default();
    let service = IncomingLayer::default().layer(handler.clone());
    for garbage in ["", "-1", "1.5", "soon", "99999999999999999999999"] {
        assert_eq!(service.clone().oneshot(arriving(garbage)).await.unwrap().status(), 200);
    }
    assert_eq!(service.oneshot(Request::new(())).await.unwrap().status(), 200);
    let saw = handler.saw.lock().unwrap();
    assert_eq!(saw.len(), 6);
    assert!(saw.iter().all(|(scope, extension, _)| scope.is_none() && extension.is_none()));
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_more_than_ten_years_or_than_the_server_gives() {
    let years = Duration::from_secs(10 * 365 * 24 * 60 * 60);
    let handler = Handler::default();
    let service = IncomingLayer::default().layer(handler.clone());
    service.oneshot(arriving("18446744073709551615")).await.unwrap();
    let capped = IncomingLayer::new(Incoming::default().at_most(2 * SECOND)).unwrap().layer(handler.clone());
    for time in ["18446744073709551615", "2001", "1000", "soon"] {
        capped.clone().oneshot(arriving(time)).await.unwrap();
    }
    capped.oneshot(Request::new(())).await.unwrap();
    let saw: Vec<_> = handler.saw.lock().unwrap().iter().map(|(scope, ..)| scope.unwrap()).collect();
    assert_eq!(saw, [years, 2 * SECOND, 2 * SECOND, SECOND, 2 * SECOND, 2 * SECOND]);
}

#[tokio::test(start_paused = true)]
async fn work_that_is_late_already_is_refused_before_the_handler_runs() {
    let handler = Handler::default();
    let late = IncomingLayer::new(Incoming::default().refuse_below(20 * MS)).unwrap();
    for (layer, time, said) in [
        (IncomingLayer::default(), "0", "refused; left-ms=0; least-ms=0"),
        (late.clone(), "0", "refused; left-ms=0; least-ms=20"),
        (late.clone(), "19", "refused; left-ms=19; least-ms=20"),
    ] {
        let answer = layer.layer(handler.clone()).oneshot(arriving(time)).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["x-request-late"]),
            (504, &said.parse().unwrap())
        );
    }
    assert_eq!(handler.called.load(Ordering::Relaxed), 0);
    for (layer, time) in [(late, "20"), (IncomingLayer::default(), "1")] {
        assert_eq!(layer.layer(handler.clone()).oneshot(arriving(time)).await.unwrap().status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn work_whose_time_runs_out_is_dropped_and_said_to_be_cut_off() {
    let service = IncomingLayer::default().layer(Handler { takes: 2 * SECOND, ..Handler::default() });
    let start = Instant::now();
    let answer = service.clone().oneshot(arriving("1500")).await.unwrap();
    assert_eq!((answer.status().as_u16(), start.elapsed()), (504, 1500 * MS));
    assert_eq!(answer.headers()["x-request-late"], "cut-off; limit-ms=1500");
    let start = Instant::now();
    assert_eq!(
        service.oneshot(arriving("2000")).await.unwrap().status(),
        200,
        "done in the last moment is done"
    );
    assert_eq!(start.elapsed(), 2 * SECOND);
}

/// A service that is never ready.
#[derive(Clone)]
struct NeverReady;

impl Service<Request<()>> for NeverReady {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pending<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        panic!("it was never ready")
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_busy_service_is_under_the_deadline_and_a_refusal_takes_no_place_in_it() {
    let start = Instant::now();
    let answer = IncomingLayer::default().layer(NeverReady).oneshot(arriving("300")).await.unwrap();
    assert_eq!((answer.status().as_u16(), start.elapsed()), (504, 300 * MS));
    let limited = ServiceBuilder::new().concurrency_limit(1).service(Handler::default());
    let mut service = IncomingLayer::default().layer(limited.clone());
    poll_fn(|cx| Service::<Request<()>>::poll_ready(&mut service, cx)).await.unwrap();
    let refused = service.call(arriving("0")).await.unwrap();
    assert_eq!(refused.status(), 504);
    assert_eq!(limited.oneshot(arriving("100")).await.unwrap().status(), 200, "the one place is free");
}

#[tokio::test(start_paused = true)]
async fn an_incoming_layer_that_would_serve_nothing_is_an_error_that_names_both_times() {
    let never = Incoming::default().refuse_below(2 * SECOND).at_most(SECOND);
    let error = IncomingLayer::new(never).unwrap_err();
    assert!(
        error.is_config() && error.to_string().contains("2 s") && error.to_string().contains("1 s"),
        "{error}"
    );
    for impossible in [
        Incoming::default().at_most(Duration::ZERO),
        Incoming::default().at_most(Duration::MAX),
        Incoming::default().refuse_below(Duration::MAX),
    ] {
        assert!(IncomingLayer::new(impossible).unwrap_err().is_config());
    }
}

/// A server somewhere else: a task of its own, and of a request only what travels.
fn far<S>(
    service: S,
) -> impl Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send> + Clone
where
    S: Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    service_fn(move |mut request: Request<Full<Bytes>>| {
        request.extensions_mut().clear();
        let work = tokio::spawn(service.clone().oneshot(request));
        async move { work.await.expect("the server does not panic") }
    })
}

#[tokio::test(start_paused = true)]
async fn a_deadline_travels_from_client_to_server_to_the_server_behind_it() {
    let behind = Peer::new().then(Reply::ok("x").after(SECOND)).forever(Reply::hang());
    let nested = stack(&behind, &telling(Limits::default()));
    let errors = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&errors);
    let handler = service_fn(move |_: Request<Full<Bytes>>| {
        let (nested, seen) = (nested.clone(), Arc::clone(&seen));
        async move {
            loop {
                sleep(SECOND).await;
                if let Err(error) = call(&nested, get("/")).await {
                    seen.lock().unwrap().push((error.kind(), Instant::now()));
                    return Ok::<_, Infallible>(Response::new(Full::default()));
                }
            }
        }
    });
    let server = far(IncomingLayer::default().layer(handler));
    let client = built(
        exact()
            .retry(retry::Settings::default().max_retries(0))
            .limits(Limits::default().attempt(30 * SECOND))
            .propagate_deadline(Headers::default()),
    )
    .layer(server);
    let start = Instant::now();
    let ended = within(5 * SECOND, call(&client, get("/"))).await;
    assert!(ended.and_then(|answer| answer).is_err_and(|error| error.is_deadline()));
    assert_eq!(start.elapsed(), 5 * SECOND);
    tokio::task::yield_now().await;
    assert_eq!(*errors.lock().unwrap(), [(ErrorKind::Deadline, start + 5 * SECOND)]);
    assert_eq!(told(&behind), [(Some(4_000), Some(1)), (Some(2_000), Some(1))]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_being_late_is_not_repeated_and_not_held_against_the_server() {
    let handler = Handler::default();
    let late = IncomingLayer::new(Incoming::default().refuse_below(SECOND)).unwrap();
    let layer = StackLayer::builder().propagate_deadline(Headers::default()).build().unwrap();
    let client = layer.layer(far(late.layer(handler.clone())));
    for _ in 0..6 {
        let answer = within(500 * MS, call(&client, get("/"))).await.unwrap().unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().attempts().count), (504, 1));
    }
    assert_eq!(layer.breakers().snapshot()[0].consecutive_failures, 0);
    assert_eq!(handler.called.load(Ordering::Relaxed), 0);
    // A server that was cut off was slow: that counts, and is repeated.
    let slow = Peer::new().forever(Reply::status(504).header("x-request-late", "cut-off; limit-ms=10"));
    let layer = exact().build().unwrap();
    let answer = call(&stack(&slow, &layer), get("/")).await.unwrap();
    assert_eq!((answer.status().as_u16(), slow.request_count()), (504, 4));
    assert_eq!(layer.breakers().snapshot()[0].consecutive_failures, 4);
}
