//! Services of one's own behind a pipe, on a paused clock.

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use std::cell::Cell;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use unwedge::client::Network;
use unwedge::testing::{Peer, Pipe, Reply};
use unwedge::{CallOptions, Client};

const SEC: Duration = Duration::from_secs(1);
const URL: &str = "http://broker.test/jobs";

fn client(pipe: Pipe) -> Client {
    Client::builder().pipe(pipe).build().unwrap()
}

fn once() -> CallOptions {
    CallOptions::new().retries(0)
}

/// Counts down when it is dropped.
struct Running(Arc<AtomicU32>);

impl Running {
    fn new(count: &Arc<AtomicU32>) -> Running {
        count.fetch_add(1, Ordering::SeqCst);
        Running(count.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A handler that takes a minute, and how many of it run.
fn slow() -> (Router, Arc<AtomicU32>) {
    let running = Arc::<AtomicU32>::default();
    let counted = running.clone();
    let handler = move || async move {
        let _running = Running::new(&counted);
        tokio::time::sleep(60 * SEC).await;
        "done"
    };
    (Router::new().route("/jobs", get(handler)), running)
}

#[tokio::test(start_paused = true)]
async fn an_attempt_at_a_handler_that_sleeps_ends_at_its_limit_by_the_paused_clock() {
    let (router, running) = slow();
    let client = client(Pipe::serve(router));
    let start = Instant::now();
    let error = client.get(URL).options(once()).send().await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert_eq!(start.elapsed(), 10 * SEC);
    assert_eq!(running.load(Ordering::SeqCst), 1, "the server has not heard of it yet");
    tokio::time::sleep(SEC).await;
    assert_eq!(running.load(Ordering::SeqCst), 0, "its handler ends with the client that left");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_sleeps_for_less_is_waited_for() {
    let (router, _) = slow();
    let client = client(Pipe::serve(router));
    let start = Instant::now();
    let options = once().attempt(90 * SEC).total(100 * SEC).idle(90 * SEC);
    let answer = client.get(URL).options(options).send().await.unwrap();
    assert_eq!((answer.text().await.unwrap().as_str(), start.elapsed()), ("done", 60 * SEC));
}

fn echo() -> Router {
    Router::new().route(
        "/jobs",
        post(|request: axum::extract::Request| async {
            let version = request.version();
            let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
            format!("{version:?} {}", body.len())
        }),
    )
}

#[tokio::test(start_paused = true)]
async fn bodies_go_both_ways_in_either_version_as_the_client_begins() {
    for (network, version) in
        [(Network::default(), Version::HTTP_11), (Network::default().http2_only(), Version::HTTP_2)]
    {
        let client = Client::builder().pipe(Pipe::serve(echo())).network(network).build().unwrap();
        for length in [0, 1, 300_000] {
            let answer = client.post(URL).body(vec![b'x'; length]).send().await.unwrap();
            assert_eq!(answer.version(), version);
            assert_eq!(answer.text().await.unwrap(), format!("{version:?} {length}"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_need_not_be_sync_and_each_connection_has_a_clone() {
    let calls = Cell::new(0);
    let service = tower::service_fn(move |_: Request<Incoming>| {
        calls.set(calls.get() + 1);
        let call = calls.get();
        async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(call.to_string())))) }
    });
    let pipe = Pipe::serve(service);
    let (one, other) = (client(pipe.clone()), client(pipe));
    for (client, call) in [(&one, "1"), (&one, "1"), (&other, "1")] {
        assert_eq!(client.get(URL).send().await.unwrap().text().await.unwrap(), call);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_costs_its_connection_and_the_next_call_is_served() {
    let calls = Arc::<AtomicU32>::default();
    let counted = calls.clone();
    let router = Router::new().route(
        "/jobs",
        get(move || async move {
            assert!(counted.fetch_add(1, Ordering::SeqCst) > 0, "the first call");
            "fine"
        }),
    );
    let client = client(Pipe::serve(router));
    let answer = client.get(URL).send().await.unwrap();
    assert_eq!((answer.attempts().count, answer.text().await.unwrap().as_str()), (2, "fine"));
}

#[tokio::test(start_paused = true)]
async fn handlers_end_with_the_last_pipe() {
    let (router, running) = slow();
    let pipe = Pipe::serve(router);
    let mut connect = pipe.clone();
    let stream = tower::Service::call(&mut connect, URL.parse().unwrap()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async { drop(connection.await) });
    let request = Request::get("/jobs").header("host", "broker.test").body(Full::<Bytes>::default()).unwrap();
    tasks.spawn(async move { drop(sender.send_request(request).await) });
    tokio::time::sleep(SEC).await;
    assert_eq!(running.load(Ordering::SeqCst), 1);
    drop((pipe, connect));
    tokio::time::sleep(SEC).await;
    assert_eq!(running.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn connects_take_their_time_and_other_hosts_lead_to_peers() {
    let peer = Peer::new().forever(Reply::ok("a peer"));
    let pipe = Pipe::serve(echo()).connect_takes(2 * SEC).host("id.test", &peer);
    let client = client(pipe);
    let start = Instant::now();
    let answer = client.post(URL).body("x").send().await.unwrap();
    assert_eq!((answer.text().await.unwrap().as_str(), start.elapsed()), ("HTTP/1.1 1", 2 * SEC));
    let answer = client.get("http://id.test/").send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "a peer");
}
