//! A million calls on two threads, counted exactly.

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tower_layer::Layer;
use tower_service::Service;
use unwedge::breaker::Phase;
use unwedge::retry::Budget;
use unwedge::{StackLayer, breaker, retry};

const CALLS: u64 = 1_000_000;
const COST: u32 = 1_000;
const TOKENS: u32 = 40_000_000;

static ATTEMPTS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Of the call that this thread is making.
    static ATTEMPT: Cell<u32> = const { Cell::new(0) };
}

#[derive(Clone)]
struct Inner;

/// The status it answers at once, or none ever.
struct Answer(Option<u16>);

impl Future for Answer {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(status) = self.0 else { return Poll::Pending };
        let mut response = Response::new(Full::from("ok"));
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
        Poll::Ready(Ok(response))
    }
}

impl Service<Request<Full<Bytes>>> for Inner {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Answer {
        ATTEMPTS.fetch_add(1, Ordering::Relaxed);
        let attempt = ATTEMPT.replace(ATTEMPT.get() + 1);
        Answer(match (request.uri().path(), attempt) {
            ("/hangs", _) => None,
            ("/down", _) | ("/flaky", 0) => Some(500),
            _ => Some(200),
        })
    }
}

/// How a call of this number goes.
fn path(n: u64) -> &'static str {
    match n % 64 {
        0 => "http://peer.test/down",
        1..=4 => "http://peer.test/flaky",
        5 => "http://peer.test/hangs",
        _ => "http://peer.test/well",
    }
}

/// Polls it once: all but `/hangs` are over then, and that one is given up.
fn make(service: &mut unwedge::Stack<Inner>, url: &'static str) {
    ATTEMPT.set(0);
    let mut request = Request::new(Full::default());
    *request.uri_mut() = Uri::from_static(url);
    let mut call = pin!(service.call(request));
    let done = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(done.is_pending(), url.ends_with("/hangs"));
}

fn count(kind: &str) -> u64 {
    (0..CALLS).filter(|n| path(*n).ends_with(kind)).count() as u64
}

#[test]
fn a_million_calls_on_two_threads_are_counted_exactly() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.unwrap();
    let budget = Budget::default().tokens(TOKENS).retry_cost(COST);
    let layer = StackLayer::builder()
        .retry(retry::Settings::default().max_retries(1).backoff(Duration::ZERO).budget(budget))
        .breaker(breaker::Settings::default().failures(u32::MAX))
        .build()
        .unwrap();
    let mut service = layer.layer(Inner);
    let _clock = runtime.enter();
    // A bucket that is full loses what is put in: from here on neither its top nor its bottom is reached.
    (0..1_000).for_each(|_| make(&mut service, "http://peer.test/down"));
    let mut left = u64::from(TOKENS) - 1_000 * u64::from(COST);

    std::thread::scope(|scope| {
        for half in 0..2 {
            let (mut service, handle) = (service.clone(), runtime.handle());
            scope.spawn(move || {
                let _clock = handle.enter();
                (0..CALLS / 2).for_each(|n| make(&mut service, path(2 * n + half)));
            });
        }
    });

    let (down, flaky, well, hung) = (count("/down"), count("/flaky"), count("/well"), count("/hangs"));
    assert_eq!(down + flaky + well + hung, CALLS);
    assert!(layer.in_flight().is_empty(), "{:?}", layer.in_flight());
    assert_eq!(ATTEMPTS.load(Ordering::Relaxed), 2_000 + 2 * down + 2 * flaky + well + hung);
    let seen = layer.breakers().snapshot().remove(0);
    assert_eq!((seen.phase, seen.generation), (Phase::Closed, 0));
    // A call that was given up before the server was silent for a second says nothing.
    assert_eq!((seen.calls, seen.failures), (2_000 + 2 * down + 2 * flaky + well, 2_000 + 2 * down + flaky));

    // The tokens that are left, to the last one: how many retries they are worth, and how many successes the next.
    left = left + well - down * u64::from(COST);
    let retried = |service: &mut unwedge::Stack<Inner>| {
        make(service, "http://peer.test/down");
        ATTEMPT.get() == 2
    };
    let mut retries = 0;
    while retried(&mut service) {
        retries += 1;
    }
    assert_eq!(retries, left / u64::from(COST));
    let missing = u64::from(COST) - left % u64::from(COST);
    (1..missing).for_each(|_| make(&mut service, "http://peer.test/well"));
    assert!(!retried(&mut service), "one token is missing");
    make(&mut service, "http://peer.test/well");
    assert!(retried(&mut service));
}
