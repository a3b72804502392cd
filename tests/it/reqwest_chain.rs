//! The middleware among others: attempts, extensions, shared state, long polls, drops and errors through wrappers.

use crate::reqwest_support::*;
use crate::support::*;
use crate::watch::{Log, steady};
use async_trait::async_trait;
use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{ClientBuilder, Middleware, Next, Result};
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use unwedge::breaker::Phase;
use unwedge::reqwest::{Unwedge, cause};
use unwedge::stack::StackBuilder;
use unwedge::testing::{Peer, Reply};
use unwedge::{Collect, ErrorKind, Limits, StackLayer, long_poll};

/// Counts what passes, and leaves the count for those above.
#[derive(Clone, Default)]
struct Counts(Arc<AtomicUsize>);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen(usize);

#[async_trait]
impl Middleware for Counts {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let seen = extensions.get::<Seen>().map_or(0, |seen| seen.0);
        extensions.insert(Seen(seen + 1));
        next.run(request, extensions).await
    }
}

fn inner() -> reqwest::Client {
    settings(exact()).inner_client().unwrap()
}

#[tokio::test]
async fn a_middleware_beneath_runs_in_each_attempt_with_the_extensions_of_the_caller() {
    let peer = Peer::new().on("/health", Reply::ok("")).times(2, Reply::status(502)).forever(Reply::ok(""));
    let beneath = Counts::default();
    let layer = exact().health("/health").build().unwrap();
    let client = ClientBuilder::new(inner()).with(Unwedge::from(layer)).with(beneath.clone()).build();
    let request = client.get(url(&peer, "/")).build().unwrap();
    let mut extensions = Extensions::new();
    extensions.insert(Seen(100));
    client.execute_with_extensions(request, &mut extensions).await.unwrap();
    assert_eq!(beneath.0.load(Ordering::Relaxed), 1 + 3, "the health check passes as well");
    assert_eq!(extensions.get(), Some(&Seen(103)), "but without the extensions of one caller");
}

#[tokio::test]
async fn layers_of_one_value_share_a_breaker_that_says_so_through_the_middleware() {
    let peer = Peer::new().forever(Reply::status(500));
    let unwedge = Unwedge::from(
        exact().retry(no_retry().wait_when_refused(std::time::Duration::ZERO)).build().unwrap(),
    );
    let first = ClientBuilder::new(inner()).with(unwedge.clone()).build();
    let second = ClientBuilder::new(inner()).with(unwedge.clone()).build();
    let url = url(&peer, "/");
    for _ in 0..5 {
        assert_eq!(first.get(&url).send().await.unwrap().status(), 500);
    }
    let refused = second.get(&url).send().await.unwrap_err();
    let why = cause(&refused).unwrap();
    assert!(why.is_open() && why.retry_in().is_some());
    assert_eq!(peer.request_count(), 5);
    assert_eq!(unwedge.breakers().snapshot()[0].phase, Phase::Open);
    assert!(unwedge.in_flight().is_empty());
}

fn no_retry() -> unwedge::retry::Settings {
    unwedge::retry::Settings::default().max_retries(0)
}

/// An attempt that is shorter than what the long polls of these tests take.
fn hasty() -> StackBuilder {
    exact().limits(Limits::default().total(2 * SECOND).attempt(300 * MS).connect(300 * MS).idle(300 * MS))
}

#[tokio::test]
async fn a_long_poll_outlasts_the_attempt_and_is_seen_while_it_waits() {
    let peer = Peer::new().forever(Reply::long_poll(900 * MS));
    let layer = hasty().build().unwrap();
    let client =
        unwedge::reqwest::builder().stack(layer.clone()).inner(|inner| inner.no_proxy()).build().unwrap();
    let call = client.get(url(&peer, "/")).with_extension(long_poll!("jobs are parked here")).send();
    let look = async {
        while peer.request_count() == 0 {
            tokio::time::sleep(5 * MS).await;
        }
        layer.in_flight().snapshot()
    };
    let (answer, seen) = tokio::join!(call, look);
    assert!(answer.unwrap().status().is_success());
    assert_eq!(seen[0].long_poll.as_deref(), Some("jobs are parked here"));
    assert!(layer.in_flight().is_empty());
}

#[tokio::test]
async fn a_total_timeout_against_a_long_poll_is_said_once() {
    let peer = Peer::new().forever(Reply::hang());
    let url = url(&peer, "/");
    let once = || hasty().retry(no_retry());
    let timed = |stack: StackBuilder| settings(stack).inner(|inner| inner.timeout(150 * MS)).build().unwrap();
    let (log, _guard) = Log::listen();
    let client = timed(once());
    for _ in 0..2 {
        let error = client.get(&url).with_extension(long_poll!("waits")).send().await.unwrap_err();
        assert!(cause(&error).unwrap().is_timeout(), "{error}");
    }
    let said = log.with("ends long polls");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("WARN the timeout() of the reqwest client beneath"), "{said:?}");

    let (log, _guard) = Log::listen();
    let client = ready(once());
    for _ in 0..2 {
        let poll = client.get(&url).timeout(150 * MS).with_extension(long_poll!("waits"));
        let error = poll.send().await.unwrap_err();
        assert!(cause(&error).unwrap().is_deadline(), "{error:?}");
    }
    let said = log.with("ends long polls");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("WARN the timeout() of a request"), "{said:?}");

    let (log, _guard) = Log::listen();
    let error = timed(once()).get(&url).send().await.unwrap_err();
    assert!(cause(&error).unwrap().is_timeout());
    assert_eq!(log.with("ends long polls").len(), 0, "it is no long poll");
}

#[tokio::test]
async fn a_call_may_be_dropped_at_any_await_and_leaves_nothing() {
    let peer = Peer::new()
        .then(Reply::status(502))
        .then(Reply::sized(100).reset_after(10))
        .forever(Reply::sized(5000).chunked());
    let layer = exact().breaker(steady().failures(100_000)).build().unwrap();
    let client =
        unwedge::reqwest::builder().stack(layer.clone()).inner(|inner| inner.no_proxy()).build().unwrap();
    let url = url(&peer, "/");
    let mut ended = false;
    for polls in 0.. {
        peer.reset();
        let mut call = Box::pin(async {
            let answer = client.get(&url).with_extension(Collect::up_to(1000)).send().await;
            answer.unwrap().bytes().await.unwrap()
        });
        for _ in 0..polls {
            if std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx).is_ready())).await {
                ended = true;
                break;
            }
            tokio::time::sleep(MS).await;
        }
        drop(call);
        assert!(layer.in_flight().is_empty(), "after {polls} polls");
        if ended {
            break;
        }
        assert!(polls < 10_000, "it never ends");
    }
    let snapshot = layer.breakers().snapshot();
    assert_eq!(snapshot[0].phase, Phase::Closed);
    assert_eq!(client.get(&url).send().await.unwrap().bytes().await.unwrap().len(), 5000);
}

#[test]
fn dropped_before_it_is_polled_it_sends_nothing() {
    let client = ready(exact());
    let mut call = pin!(client.get("http://127.0.0.1:9/").send());
    let _ = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
}

/// An error that wraps another one, as outer middlewares do.
#[derive(Debug)]
struct Wrapped(Box<dyn StdError + Send + Sync>);

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wrapped")
    }
}

impl StdError for Wrapped {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

struct Wraps;

#[async_trait]
impl Middleware for Wraps {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let answer = next.run(request, extensions).await;
        answer.map_err(|error| reqwest_middleware::Error::middleware(Wrapped(error.into())))
    }
}

/// Answers every request with an error of its own.
struct Fails(io::ErrorKind);

#[async_trait]
impl Middleware for Fails {
    async fn handle(&self, _: Request, _: &mut Extensions, _: Next<'_>) -> Result<Response> {
        Err(reqwest_middleware::Error::middleware(io::Error::from(self.0)))
    }
}

#[tokio::test]
async fn the_cause_is_found_through_middlewares_boxes_and_io_errors() {
    let peer = Peer::new().forever(Reply::reset());
    let unwedge = Unwedge::from(exact().build().unwrap());
    let client = ClientBuilder::new(inner()).with(Wraps).with(Wraps).with(unwedge).build();
    let error = client.get(url(&peer, "/")).send().await.unwrap_err();
    assert_eq!(cause(&error).unwrap().attempts(), 4);
    let boxed: Box<dyn StdError + Send + Sync> = error.into();
    assert!(cause(&*boxed).is_some());
    let deep = io::Error::other(Wrapped(Box::new(io::Error::other(boxed))));
    assert_eq!(cause(&deep).unwrap().kind(), ErrorKind::Transport);
    assert!(cause(&io::Error::other("nothing of ours")).is_none());
}

#[tokio::test]
async fn an_error_of_a_middleware_beneath_is_read_whole() {
    for (kind, expected, attempts) in [
        (io::ErrorKind::ConnectionRefused, ErrorKind::Connect, 4),
        (io::ErrorKind::ConnectionReset, ErrorKind::Transport, 4),
    ] {
        let unwedge = Unwedge::from(exact().build().unwrap());
        let client = ClientBuilder::new(inner()).with(unwedge).with(Fails(kind)).build();
        let error = client.get("http://127.0.0.1:9/").send().await.unwrap_err();
        let why = cause(&error).unwrap();
        assert_eq!((why.kind(), why.attempts()), (expected, attempts), "{why:?}");
    }
}

#[tokio::test]
async fn one_stack_under_another_keeps_what_the_inner_one_said() {
    let peer = Peer::new().forever(Reply::reset());
    let outer = Unwedge::from(StackLayer::builder().retry(no_retry()).build().unwrap());
    let inner_stack = Unwedge::from(exact().build().unwrap());
    let client = ClientBuilder::new(inner()).with(outer).with(inner_stack).build();
    let error = client.get(url(&peer, "/")).send().await.unwrap_err();
    assert_eq!(cause(&error).unwrap().kind(), ErrorKind::Transport);
    assert_eq!(peer.request_count(), 4);
}
