//! One service for all calls, where it is not `Clone`.

use crate::support::*;
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tower::limit::ConcurrencyLimit;
use tower::util::BoxService;
use tower::{Service, ServiceExt, service_fn};
use tower_layer::Layer;
use unwedge::stack::{Buffered, Stack};
use unwedge::{Body, BoxError, Error, ErrorKind, Limits, Phase, StackLayer, retry};

type Answer = Response<Box<dyn http_body::Body<Data = Bytes, Error = BoxError> + Send + Unpin>>;
/// As kube has it.
type Boxed = BoxService<Request<Body>, Answer, BoxError>;

fn answer() -> Answer {
    use http_body_util::BodyExt;
    Response::new(Box::new(Full::new(Bytes::from("x")).map_err(|never| match never {})))
}

fn of(url: &str) -> Request<Body> {
    Request::get(url).body(Body::empty()).unwrap()
}

/// Whether the service is ready, and what it saw; not `Clone` as a service.
#[derive(Default)]
struct Door {
    open: bool,
    /// As most services do it keeps one waker only.
    waker: Option<Waker>,
    fails: bool,
    calls: u32,
}

/// Ready for one call each time that it is opened, and strict about being asked first.
struct Doored {
    door: Arc<Mutex<Door>>,
    ready: bool,
}

fn doored() -> (Doored, Arc<Mutex<Door>>) {
    let door = Arc::<Mutex<Door>>::default();
    (Doored { door: Arc::clone(&door), ready: false }, door)
}

fn open(door: &Mutex<Door>) {
    let mut door = door.lock().unwrap();
    door.open = true;
    let waker = door.waker.take();
    drop(door);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Service<Request<Body>> for Doored {
    type Response = Answer;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let mut door = self.door.lock().unwrap();
        if std::mem::take(&mut door.fails) {
            return Poll::Ready(Err("the door is jammed".into()));
        }
        if door.open {
            self.ready = true;
            return Poll::Ready(Ok(()));
        }
        door.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without having been ready");
        let mut door = self.door.lock().unwrap();
        door.open = false;
        door.calls += 1;
        drop(door);
        assert_ne!(request.uri().path(), "/panic", "as it was asked to");
        Box::pin(async { Ok(answer()) })
    }
}

fn boxed(
    service: &Stack<Buffered<Boxed>>,
) -> Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>> {
    Box::pin(service.clone().call(of("http://peer.test/")))
}

fn patient() -> StackLayer {
    built(StackLayer::builder().limits(Limits::default().total(MINUTE)))
}

#[tokio::test(start_paused = true)]
async fn a_boxed_service_is_shared_and_its_responses_are_awaited_side_by_side() {
    let inner = service_fn(|_: Request<Body>| async {
        sleep(SECOND).await;
        Ok::<_, BoxError>(answer())
    });
    let service = StackLayer::default().buffered().layer(Boxed::new(inner));
    let began = Instant::now();
    let calls = (0..20).map(|_| call(&service, of("http://peer.test/")));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(whole(answer).await.unwrap(), (200, "x".into()));
    }
    assert_eq!(began.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_one_service_is_under_the_deadline_in_phase_ready() {
    let (inner, _door) = doored();
    let service = patient().buffered().layer(inner);
    let began = Instant::now();
    let calls = (0..3).map(|_| call(&service, of("http://peer.test/")));
    for ended in futures_util::future::join_all(calls).await {
        let error = ended.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Deadline, Some(Phase::Ready)), "{error}");
    }
    assert_eq!(began.elapsed(), MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_polls_any_more_does_not_keep_the_service_from_others() {
    let (inner, door) = doored();
    let service = patient().buffered().layer(inner);
    let mut forgotten = pin!(call(&service, of("http://peer.test/")));
    assert!(futures_util::poll!(&mut forgotten).is_pending());
    let other = tokio::spawn({
        let service = service.clone();
        async move { call(&service, of("http://peer.test/")).await }
    });
    tokio::task::yield_now().await;
    open(&door);
    let answer = timeout(SECOND, other).await.expect("the door is open").unwrap();
    assert_eq!(answer.unwrap().status(), 200);
    open(&door);
    assert_eq!(forgotten.await.unwrap().status(), 200);
    assert_eq!(door.lock().unwrap().calls, 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_while_it_waits_leaves_the_service_to_others() {
    let (inner, door) = doored();
    let service = patient().buffered().layer(inner);
    let first = tokio::spawn({
        let service = service.clone();
        async move { call(&service, of("http://peer.test/")).await }
    });
    tokio::task::yield_now().await;
    let second = tokio::spawn({
        let service = service.clone();
        async move { call(&service, of("http://peer.test/")).await }
    });
    tokio::task::yield_now().await;
    second.abort();
    tokio::task::yield_now().await;
    open(&door);
    assert_eq!(timeout(SECOND, first).await.expect("the door is open").unwrap().unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_to_become_ready_fails_one_call_and_is_asked_again_by_the_next() {
    let (inner, door) = doored();
    let service = patient().buffered().layer(inner);
    door.lock().unwrap().fails = true;
    let error = call(&service, of("http://peer.test/")).await.unwrap_err();
    assert_eq!(error.phase(), Some(Phase::Ready), "{error}");
    open(&door);
    assert_eq!(call(&service, of("http://peer.test/")).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_service_reaches_its_caller_and_leaves_it_to_others() {
    let (inner, door) = doored();
    let service = patient().buffered().layer(inner);
    open(&door);
    let panicked = tokio::spawn({
        let service = service.clone();
        async move { call(&service, of("http://peer.test/panic")).await }
    });
    assert!(panicked.await.unwrap_err().is_panic());
    open(&door);
    let answer = timeout(SECOND, call(&service, of("http://peer.test/"))).await;
    assert_eq!(answer.expect("it was given back").unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_refused_at_the_last_moment_leaves_the_ready_service_to_others() {
    let (inner, door) = doored();
    let layer = StackLayer::builder()
        .limits(Limits::default().total(MINUTE))
        .retry(retry::Settings::default().wait_when_refused(MINUTE))
        .build()
        .unwrap();
    let service = layer.clone().buffered().layer(inner);
    let down = layer.breakers().of(&Uri::from_static("http://down.test/")).unwrap();
    let fall = || (0..5).for_each(|_| down.acquire().unwrap().failure());
    fall();
    sleep(2 * SECOND).await;
    // It is the probe of a half-open circuit, and loses its place while it waits for the service.
    let refused = tokio::spawn({
        let service = service.clone();
        async move { call(&service, of("http://down.test/")).await }
    });
    tokio::task::yield_now().await;
    down.reset();
    fall();
    open(&door);
    tokio::task::yield_now().await;
    let answer = timeout(10 * MS, call(&service, of("http://up.test/"))).await;
    assert_eq!(answer.expect("the service is free").unwrap().status(), 200);
    open(&door);
    assert_eq!(refused.await.unwrap().unwrap().status(), 200);
}

/// Counts down also where a call is given up.
struct Ended(Arc<AtomicU32>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_threads_share_one_service_and_none_is_forgotten() {
    let under_way = Arc::new(AtomicU32::new(0));
    let inner = ConcurrencyLimit::new(
        service_fn(move |_: Request<Body>| {
            let under_way = Arc::clone(&under_way);
            async move {
                assert!(under_way.fetch_add(1, Ordering::SeqCst) < 3);
                let _ended = Ended(under_way);
                tokio::task::yield_now().await;
                Ok::<_, BoxError>(answer())
            }
        }),
        3,
    );
    let service = StackLayer::default().buffered().layer(Boxed::new(inner));
    let tasks: Vec<_> = (0..64)
        .map(|task: u32| {
            let service = service.clone();
            tokio::spawn(async move {
                for turn in 0..50 {
                    let one = boxed(&service);
                    if (task + turn).is_multiple_of(7) {
                        // Given up at once, wherever it is.
                        let _ = timeout(Duration::ZERO, one).await;
                    } else {
                        assert_eq!(one.await.unwrap().status(), 200);
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        timeout(MINUTE, task).await.expect("nobody is forgotten").unwrap();
    }
    let _ = service.clone().ready().await.unwrap();
}
