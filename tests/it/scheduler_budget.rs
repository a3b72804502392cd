//! Work that always has something ready: tokio answers "pending" to it once its cooperative budget is spent, and to every
//! timer of the same task too.

use crate::support::*;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tower::ServiceExt;
use tower_layer::Layer;
use tower_service::Service;
use unwedge::deadline::IncomingLayer;
use unwedge::supervise::{Event, Supervisor};
use unwedge::{Body, Collect, ErrorKind, Limits, StackLayer, within};

/// Room for a loaded machine; without the guard these waits never end.
const SOON: Duration = Duration::from_secs(20);

/// Spends the whole budget of every poll.
async fn busy() {
    loop {
        tokio::task::consume_budget().await;
    }
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, work).await.expect("only the timeout around the test fired")
}

#[tokio::test]
async fn a_scope_ends_work_that_spends_the_whole_budget_of_its_task() {
    let start = Instant::now();
    let ended = soon(within(100 * MS, busy())).await;
    assert!(ended.unwrap_err().is_deadline());
    assert!(start.elapsed() >= 100 * MS);
}

#[tokio::test]
async fn a_scope_ends_work_that_drains_a_channel_which_is_never_empty() {
    let (fill, mut drain) = mpsc::unbounded_channel();
    let ended = soon(within(100 * MS, async {
        loop {
            let _ = fill.send(());
            drain.recv().await;
        }
    }));
    assert!(ended.await.is_err_and(|error: unwedge::Error| error.is_deadline()));
}

#[tokio::test]
async fn a_scope_ends_work_that_drains_a_queue_which_is_never_empty() {
    let queue = unwedge::queue::Queue::new(unwedge::queue::Settings::default()).unwrap();
    let start = Instant::now();
    let ended = within(100 * MS, async {
        // Without a yield in `pop` nothing else would end this.
        while start.elapsed() < SOON {
            queue.push("tenant", ()).unwrap();
            queue.pop().await;
        }
    });
    assert!(ended.await.unwrap_err().is_deadline());
}

#[tokio::test]
async fn a_scope_around_idle_work_beside_a_busy_neighbour_of_the_same_task_ends_in_time() {
    let ended = soon(async {
        let (mut busy, mut idle) = (pin!(busy()), pin!(within(100 * MS, std::future::pending::<()>())));
        poll_fn(|cx| {
            let _ = busy.as_mut().poll(cx);
            idle.as_mut().poll(cx)
        })
        .await
    });
    assert!(ended.await.unwrap_err().is_deadline());
}

/// Answers at once, with a body that always has one more byte.
#[derive(Clone)]
struct Ready;

struct EndlessBody;

impl http_body::Body for EndlessBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(b".")))))
    }
}

impl<B> Service<Request<B>> for Ready {
    type Response = Response<EndlessBody>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        std::future::ready(Ok(Response::new(EndlessBody)))
    }
}

#[tokio::test]
async fn a_scope_ends_a_loop_of_calls_that_are_all_answered_at_once() {
    let stack = StackLayer::default().layer(Ready);
    let request = || Request::get("http://origin/").extension(Collect::never()).body(Body::empty()).unwrap();
    let start = Instant::now();
    let ended = within(100 * MS, async {
        // Without a yield in the call nothing else would end this: past the deadline each is an error, at once too.
        while start.elapsed() < SOON {
            let _ = call(&stack, request()).await;
        }
    });
    assert!(ended.await.unwrap_err().is_deadline());
}

#[tokio::test]
async fn a_scope_ends_the_reading_of_a_body_that_always_has_a_frame() {
    let stack = StackLayer::default().layer(Ready);
    let request = Request::get("http://origin/").extension(Collect::never()).body(Body::empty()).unwrap();
    let mut body = call(&stack, request).await.unwrap().into_body();
    let start = Instant::now();
    let ended = within(100 * MS, async {
        while start.elapsed() < SOON {
            let _ = http_body_util::BodyExt::frame(&mut body).await;
        }
    });
    assert!(ended.await.unwrap_err().is_deadline());
}

/// A service, and a body, that are always about to have something.
#[derive(Clone)]
struct Busy {
    head: bool,
}

struct BusyBody(Pin<Box<dyn Future<Output = ()> + Send>>);

impl http_body::Body for BusyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        self.0.as_mut().poll(cx).map(|()| None)
    }
}

impl<B> Service<Request<B>> for Busy {
    type Response = Response<BusyBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        let head = self.head;
        Box::pin(async move {
            if !head {
                busy().await;
            }
            Ok(Response::new(BusyBody(Box::pin(busy()))))
        })
    }
}

#[tokio::test]
async fn the_total_of_a_stack_ends_a_service_and_a_body_that_are_always_busy() {
    let limits = Limits::default().total(200 * MS).attempt(100 * MS);
    let layer = built(StackLayer::builder().limits(limits));
    for head in [false, true] {
        let answer = soon(call(&layer.layer(Busy { head }), get("/"))).await;
        let error = answer.map(drop).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Deadline | ErrorKind::Attempt | ErrorKind::Stall),
            "{error}"
        );
    }
}

#[tokio::test]
async fn the_idle_bound_ends_a_streamed_body_that_is_always_busy() {
    let layer = built(StackLayer::builder().limits(Limits::default().total(SECOND).idle(100 * MS)));
    let request = with(get("/"), Collect::never());
    let mut body = call(&layer.layer(Busy { head: true }), request).await.unwrap().into_body();
    let error = soon(piece(&mut body)).await.expect("an error").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stall, "{error}");
}

#[tokio::test]
async fn a_handler_under_the_incoming_deadline_ends_although_it_is_always_busy() {
    let handler = tower::service_fn(|_: Request<()>| async {
        busy().await;
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let request = Request::builder().header("x-request-timeout-ms", "100").body(()).unwrap();
    let answer = soon(IncomingLayer::default().layer(handler).oneshot(request)).await.unwrap();
    assert_eq!(answer.status(), 504);
}

#[tokio::test]
async fn a_sweep_that_is_always_busy_ends_at_its_limit_and_the_next_one_runs() {
    let mut crew = Supervisor::new();
    crew.patrol("busy", 150 * MS, 100 * MS, |_| busy());
    let mut events = crew.events();
    let two_sweeps = async move {
        let mut sweeps = 0;
        while sweeps < 2 {
            if let Ok(Event::Sweep { outcome, .. }) = events.recv().await {
                assert_eq!(outcome.as_str(), "timeout");
                sweeps += 1;
            }
        }
    };
    soon(crew.run_until(two_sweeps, SECOND)).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn the_limit_of_a_child_process_holds_although_the_stop_beside_it_is_always_busy() {
    let child = unwedge::child::Command::new("sleep", 100 * MS).args(["60"]).grace(SECOND);
    let ended = soon(child.run_until(busy())).await.unwrap();
    assert_eq!(ended.outcome, unwedge::child::Outcome::TimedOut);
}

#[tokio::test]
async fn the_body_of_a_client_is_read_under_its_deadline_although_the_server_never_stops() {
    let body = Body::streaming(BusyBody(Box::pin(busy())));
    let ended = soon(within(100 * MS, body.bytes(u64::MAX))).await;
    assert!(ended.unwrap_err().is_deadline());
}
