//! What the manual claims: the words of errors, and the tests that prove what it says.

use crate::program;
use crate::support::{MS, SECOND, call, exact, get, moved, stack, whole};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::convert::Infallible;
use std::fs;
use std::future::{Pending, pending};
use std::path::Path;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::sleep;
use tower_layer::Layer;
use tower_service::Service;
use unwedge::stack::StackBuilder;
use unwedge::testing::{Peer, Reply};
use unwedge::{Client, Deadline, Error, Limits, LongPoll, StackLayer, long_poll, retry, within};

const FAILURE_MODES: &str = include_str!("../../src/manual/failure-modes.md");
const README: &str = include_str!("../../README.md");
/// The pages that the README points to for measurements.
const COMPARISON: &str = include_str!("../../docs/comparison.md");
const PERFORMANCE: &str = include_str!("../../docs/performance.md");
const TESTING: &str = include_str!("../../docs/testing.md");
const PARKED: LongPoll = long_poll!("the broker parks GetMessage until a job arrives");

/// The defaults without retries.
fn once() -> StackBuilder {
    StackLayer::builder().retry(retry::Settings::default().max_retries(0))
}

/// Attempts that outlast the idle bound.
fn patient() -> StackBuilder {
    once().limits(Limits::default().total(60 * SECOND).attempt(25 * SECOND).idle(5 * SECOND))
}

fn request<T: Clone + Send + Sync + 'static>(path: &str, wish: T) -> Request<Full<Bytes>> {
    let mut request = get(path);
    request.extensions_mut().insert(wish);
    request
}

/// What one call through these settings dies of.
async fn error(reply: Reply, layer: StackBuilder, request: Request<Full<Bytes>>) -> Error {
    let (peer, layer) = (Peer::new().forever(reply), layer.build().expect("settings that fit together"));
    whole(call(&stack(&peer, &layer), request).await).await.expect_err("this peer never answers well")
}

#[track_caller]
fn is_on_the_page(error: &Error) {
    let message = error.to_string().replace("http://peer.test", "https://broker");
    assert!(FAILURE_MODES.contains(&message), "failure-modes.md does not have: {message}");
}

#[tokio::test(start_paused = true)]
async fn the_words_of_calls_that_never_got_out_are_on_the_page() {
    let mut never = StackLayer::default().layer(NeverReady);
    is_on_the_page(&never.call(get("/session")).await.expect_err("it never takes a request"));

    let peer = Peer::new().on("/health", Reply::hang()).forever(Reply::ok(""));
    let service = stack(&peer, &once().health("/health").build().expect("settings that fit together"));
    is_on_the_page(&call(&service, get("/session")).await.expect_err("the health check hangs"));
    sleep(200 * MS).await;
    is_on_the_page(&call(&service, get("/session")).await.expect_err("known to be down"));

    let peer = Peer::new().on("/health", Reply::status(503)).forever(Reply::ok(""));
    let service = stack(&peer, &once().health("/health").build().expect("settings that fit together"));
    is_on_the_page(&call(&service, get("/session")).await.expect_err("the health check fails"));

    let peer = Peer::new().on("/health", Reply::hang()).forever(Reply::ok(""));
    let service = stack(&peer, &once().health("/health").build().expect("settings that fit together"));
    let hurried = request("/session", Deadline::after(2 * SECOND));
    is_on_the_page(&call(&service, hurried).await.expect_err("the health check outlasts the deadline"));

    let late = request("/session", Deadline::after(Duration::ZERO));
    is_on_the_page(&error(Reply::hang(), once(), late).await);

    let constant = once()
        .breaker(unwedge::breaker::Settings::default().open(unwedge::retry::Backoff::constant(5 * SECOND)));
    let peer = Peer::new().forever(Reply::status(500));
    let service = stack(&peer, &constant.build().expect("settings that fit together"));
    for _ in 0..5 {
        call(&service, get("/session")).await.expect("a response is no error");
    }
    sleep(SECOND).await;
    is_on_the_page(&call(&service, get("/session")).await.expect_err("open"));

    is_on_the_page(&within(300 * SECOND, pending::<()>()).await.expect_err("it never ends"));
}

#[tokio::test(start_paused = true)]
async fn the_words_of_attempts_that_failed_are_on_the_page() {
    is_on_the_page(&error(Reply::refuse(), once(), get("/session")).await);
    is_on_the_page(&error(Reply::hang(), once(), get("/session")).await);
    is_on_the_page(&error(Reply::hang(), exact(), get("/session")).await);
    is_on_the_page(&error(Reply::close(), once(), get("/session")).await);
    is_on_the_page(&error(Reply::reset(), once(), get("/session")).await);
    is_on_the_page(&error(Reply::garbage(), once(), get("/session")).await);
    is_on_the_page(&error(Reply::sized(100).hang_after(50), patient(), get("/session")).await);
    is_on_the_page(&error(Reply::sized(100).truncate_after(50), once(), get("/session")).await);
    is_on_the_page(&error(Reply::sized(100).reset_after(50), once(), get("/session")).await);
    is_on_the_page(&error(Reply::sized(1000).drip(1, SECOND), once(), get("/session")).await);
    let falls_silent = Reply::sized(1000).drip(25, SECOND + SECOND / 2).hang_after(50);
    is_on_the_page(&error(falls_silent, once(), get("/session")).await);
    let watch = request("/message", PARKED.up_to(50 * SECOND));
    is_on_the_page(&error(Reply::sized(1000).hang_after(120), once(), watch).await);
    is_on_the_page(&error(Reply::hang(), once(), request("/message", PARKED.up_to(50 * SECOND))).await);

    let (restarts, comes_up) = (Reply::refuse(), Reply::status(502).after(12 * MS));
    let peer = Peer::new().then(restarts).then(comes_up).forever(Reply::hang());
    let patient = exact().limits(Limits::default().total(60 * SECOND));
    let service = stack(&peer, &patient.build().expect("settings that fit together"));
    is_on_the_page(&call(&service, get("/session")).await.expect_err("it falls silent"));
}

#[tokio::test(start_paused = true)]
async fn the_words_of_the_client_are_on_the_page() {
    for reply in [
        Reply::connect_hang(),
        Reply::endless_headers(Duration::ZERO),
        Reply::endless_informational(Duration::ZERO),
    ] {
        is_on_the_page(&client_error(reply, "/session").await);
    }
    is_on_the_page(&client_error(Reply::sized(9 << 20), "/artifact").await);

    let peer = Peer::new()
        .then(Reply::status(502).after(12 * MS).closing())
        .then(Reply::refuse())
        .forever(Reply::status(503).body("down"));
    let at_once = retry::Settings::default().backoff(Duration::ZERO);
    let client =
        Client::builder().pipe(peer.pipe()).retry(at_once).build().expect("settings that fit together");
    let answer = client.get("http://peer.test/session").await.expect("a response is no error");
    is_on_the_page(&answer.error_for_status().await.expect_err("503"));
}

/// What one call of the client dies of.
async fn client_error(reply: Reply, path: &str) -> Error {
    let peer = Peer::new().forever(reply);
    let once = retry::Settings::default().max_retries(0);
    let client = Client::builder().pipe(peer.pipe()).retry(once).build().expect("settings that fit together");
    match client.get(format!("http://peer.test{path}")).await {
        Ok(answer) => answer.bytes().await.expect_err("this peer never answers well"),
        Err(error) => error,
    }
}

#[tokio::test(start_paused = true)]
async fn the_words_of_streams_that_ended_too_soon_are_on_the_page() {
    let stalls = Reply::sized(3 << 20).hang_after(2 << 20);
    is_on_the_page(&error(stalls, once(), get("/artifact")).await);
    let drips = || Reply::sized(3 << 20).drip(1, SECOND);
    is_on_the_page(&error(drips(), once(), get("/artifact")).await);
    let hurried = request("/artifact", Deadline::after(60 * SECOND));
    is_on_the_page(&error(drips(), once(), hurried).await);
    is_on_the_page(&error(Reply::sized(3 << 20).reset_after(2 << 20), once(), get("/artifact")).await);
}

#[tokio::test]
async fn the_promises_of_the_drill_are_in_the_comparison() {
    let drill = program::run("drill", &["--list"]).await;
    assert_eq!(drill.code, Some(0), "{}", drill.stderr);
    let mut shown = 0;
    for (name, promise) in drill.stdout.lines().filter_map(|line| line.split_once('\t')) {
        let shows =
            |row: &str| row.starts_with(&format!("| {name} |")) && row.ends_with(&format!("| {promise} |"));
        assert!(COMPARISON.lines().any(shows), "docs/comparison.md does not have: {name}: {promise}");
        shown += 1;
    }
    assert!(shown > 0, "nothing was listed");
}

/// Test names are code with at least three words in snake case; whatever else looks like one is a function too, or the
/// name of a metric.
#[test]
fn every_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut source = String::new();
    for dir in ["src", "tests"] {
        read(&root.join(dir), &mut source);
    }
    let mut missing = Vec::new();
    for (page, text) in pages() {
        for name in text.split('`').skip(1).step_by(2) {
            let words = name.bytes().filter(|byte| *byte == b'_').count();
            let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            // As a scrape shows the name that the facade has with points.
            let metric = name.trim_end_matches("_seconds").replace('_', ".");
            let exists = || {
                let quoted = |name: &str| source.contains(&format!("\"{name}\""));
                source.contains(&format!("fn {name}(")) || quoted(name) || quoted(&metric)
            };
            if is_name && words >= 3 && !exists() {
                missing.push(format!("{page}: {name}"));
            }
        }
    }
    assert!(missing.is_empty(), "no such test:\n{}", missing.join("\n"));
}

/// The README, the pages under docs/ and every page of the manual.
fn pages() -> Vec<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manual");
    let files =
        fs::read_dir(dir).expect("the manual").map(|entry| entry.expect("a readable directory").path());
    let manual =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "md")).map(|path| {
            let text = fs::read_to_string(&path).expect("a page is UTF-8");
            (path.display().to_string(), text)
        });
    let others = [
        ("README.md", README),
        ("docs/comparison.md", COMPARISON),
        ("docs/performance.md", PERFORMANCE),
        ("docs/testing.md", TESTING),
    ];
    let pages: Vec<_> = manual.chain(others.map(|(name, text)| (name.to_owned(), text.to_owned()))).collect();
    assert!(pages.len() > 3, "the pages were not found");
    pages
}

fn read(dir: &Path, source: &mut String) {
    for entry in fs::read_dir(dir).expect("a directory of the package") {
        let path = entry.expect("a readable directory").path();
        if path.is_dir() {
            read(&path, source);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            source.push_str(&fs::read_to_string(path).expect("a source file is UTF-8"));
        }
    }
}

/// A service that never takes a request.
#[derive(Clone)]
struct NeverReady;

impl Service<Request<Full<Bytes>>> for NeverReady {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pending<Result<Response<Full<Bytes>>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        pending()
    }
}

#[tokio::test(start_paused = true)]
async fn the_words_of_redirects_and_gzip_are_on_the_page() {
    let said = async |reply: Reply, post: Option<unwedge::Body>| {
        let peer = Peer::new().forever(reply);
        let once = retry::Settings::default().max_retries(0);
        let client =
            Client::builder().pipe(peer.pipe()).retry(once).build().expect("settings that fit together");
        let request = match post {
            Some(body) => client.post("https://broker/session").body(body),
            None => client.get("https://broker/session"),
        };
        let answer = async { request.send().await?.bytes().await };
        is_on_the_page(&answer.await.expect_err("this peer never answers well"));
    };
    said(moved(302, "/session"), None).await;
    said(moved(302, "http://broker/session"), None).await;
    said(moved(302, "ftp://broker/session"), None).await;
    said(moved(307, "https://other/session"), Some("job".into())).await;
    said(moved(307, "/session"), Some(unwedge::Body::streaming(Full::new(Bytes::from("job"))))).await;
    let zipped = |body: &'static [u8]| Reply::ok(body).header("content-encoding", "gzip");
    said(zipped(b"\x1f\x8b\x08"), None).await;
    said(zipped(b"plain"), None).await;
}
