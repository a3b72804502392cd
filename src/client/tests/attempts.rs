//! Layers in each attempt, and headers of every request.

use super::*;
use crate::{ErrorKind, Limits, breaker, retry};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body_util::Full;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::time::Instant;
use tower::util::{MapRequestLayer, MapResponseLayer};

/// Numbers the attempts in a header.
fn numbering() -> impl tower_layer::Layer<Attempt, Service = impl Sent> + Send + Sync + Clone + 'static {
    let seen = Arc::new(AtomicU32::new(0));
    MapRequestLayer::new(move |mut request: Request<Body>| {
        let number = seen.fetch_add(1, Ordering::Relaxed) + 1;
        request.headers_mut().insert("x-attempt", HeaderValue::from(number));
        request
    })
}

/// What a layer makes of an attempt.
trait Sent:
    Service<Request<Body>, Response = http::Response<AttemptBody>, Error = Error, Future = AttemptFuture>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Sent for S where
    S: Service<Request<Body>, Response = http::Response<AttemptBody>, Error = Error, Future = AttemptFuture>
        + Clone
        + Send
        + Sync
        + 'static
{
}

fn headers(peer: &Peer, name: &str) -> Vec<Option<String>> {
    peer.requests().iter().map(|request| request.header(name).map(str::to_owned)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_layer_runs_once_in_each_attempt_and_in_health_checks() {
    let peer = Peer::new().on("/health", Reply::ok("")).then(Reply::status(503)).forever(Reply::ok("ok"));
    let client = piped(&peer).attempt_layer(numbering()).health("/health").build().unwrap();
    let response = client.get(URL).await.unwrap();
    assert_eq!((response.attempts().count, response.text().await.unwrap().as_str()), (2, "ok"));
    let numbers: Vec<_> = (1..=3).map(|number| Some(number.to_string())).collect();
    assert_eq!(headers(&peer, "x-attempt"), numbers);
}

#[tokio::test(start_paused = true)]
async fn the_first_of_two_layers_is_the_outermost() {
    let append = |text: &'static str| {
        MapRequestLayer::new(move |mut request: Request<Body>| {
            request.headers_mut().append("x-passed", HeaderValue::from_static(text));
            request
        })
    };
    let last = MapRequestLayer::new(|mut request: Request<Body>| {
        let passed: Vec<_> = request.headers().get_all("x-passed").iter().cloned().collect();
        let joined = passed.iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join(",");
        request.headers_mut().insert("x-order", HeaderValue::try_from(joined).unwrap());
        request
    });
    let peer = Peer::new().forever(Reply::ok("ok"));
    let client = piped(&peer).attempt_layer(append("outer")).attempt_layer(append("inner"));
    client.attempt_layer(last).build().unwrap().get(URL).await.unwrap();
    assert_eq!(headers(&peer, "x-order"), [Some("outer,inner".to_owned())]);
}

/// Hangs in the first call, and fails or goes on in those after it.
#[derive(Clone)]
struct Hangs<S>(S, Arc<AtomicU32>);

impl<S> Service<Request<Body>> for Hangs<S>
where
    S: Service<Request<Body>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let first = self.1.fetch_add(1, Ordering::Relaxed) == 0;
        let sending = self.0.call(request);
        Box::pin(async move {
            if first {
                std::future::pending::<()>().await;
            }
            sending.await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_hangs_ends_with_its_attempt_and_the_next_one_is_sent() {
    let peer = Peer::new().forever(Reply::ok("ok"));
    let calls = Arc::new(AtomicU32::new(0));
    let counting = Arc::clone(&calls);
    let layer = tower_layer::layer_fn(move |inner| Hangs(inner, Arc::clone(&counting)));
    let limits = Limits::default().attempt(2 * SEC);
    let client = piped(&peer).attempt_layer(layer).limits(limits).build().unwrap();
    let start = Instant::now();
    let response = client.get(URL).await.unwrap();
    assert_eq!((response.attempts().count, calls.load(Ordering::Relaxed)), (2, 2));
    assert!(start.elapsed() >= 2 * SEC && start.elapsed() < 4 * SEC, "{:?}", start.elapsed());
    assert_eq!(peer.request_count(), 1, "what hung was not sent");
}

#[tokio::test(start_paused = true)]
async fn what_a_layer_makes_of_a_body_is_collected_and_capped_as_any_other() {
    let peer = Peer::new().forever(Reply::ok("short"));
    let longer = |size: usize| {
        MapResponseLayer::new(move |response: http::Response<AttemptBody>| {
            let (mut head, _) = response.into_parts();
            head.headers.remove("content-length");
            http::Response::from_parts(head, Full::new(Bytes::from(vec![b'x'; size])))
        })
    };
    let client = piped(&peer).attempt_layer(longer(100)).build().unwrap();
    let body = client.get(URL).await.unwrap().into_http().into_body();
    assert!(body.is_collected());
    assert_eq!(body.bytes(1000).await.unwrap().len(), 100);
    let client = piped(&peer).attempt_layer(longer(9 << 20)).build().unwrap();
    let error = client.get(URL).await.unwrap().bytes().await.unwrap_err();
    assert!(error.is_too_large(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_a_layer_fails_with_is_the_failure_of_its_attempt_and_an_error_of_ours_keeps_its_kind() {
    let failing = |fail: fn() -> crate::BoxError| {
        tower_layer::layer_fn(move |_: Attempt| {
            tower::service_fn(
                move |_: Request<Body>| async move { Err::<http::Response<AttemptBody>, _>(fail()) },
            )
        })
    };
    let peer = Peer::new().forever(Reply::ok("ok"));
    let settings = || retry::Settings::default().max_retries(2);
    for (fail, kind, attempts) in [
        ((|| "no token".into()) as fn() -> crate::BoxError, ErrorKind::Transport, 3),
        (|| Error::config("no key").into(), ErrorKind::Config, 1),
    ] {
        let client = piped(&peer).attempt_layer(failing(fail)).retry(settings());
        let client = client.breaker(breaker::Settings::default().failures(100)).build().unwrap();
        let error = client.get(URL).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (kind, attempts), "{error}");
        assert!(error.to_string().contains("no "), "{error}");
    }
    assert_eq!(peer.request_count(), 0);
}

fn defaults() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-version", HeaderValue::from_static("7"));
    headers.append("x-tenant", HeaderValue::from_static("a"));
    headers.append("x-tenant", HeaderValue::from_static("b"));
    headers.insert("authorization", HeaderValue::from_static("Bearer t"));
    let mut key = HeaderValue::from_static("secret");
    key.set_sensitive(true);
    headers.insert("x-key", key);
    headers
}

#[tokio::test(start_paused = true)]
async fn default_headers_are_those_of_a_request_that_brings_none_by_that_name() {
    let peer = Peer::new().forever(Reply::ok("ok"));
    let client = piped(&peer).default_headers(defaults()).build().unwrap();
    client.get(URL).await.unwrap();
    client.get("http://me:pw@api.example/").header("x-version", "8").await.unwrap();
    client.get(URL).header("x-tenant", "c").await.unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(headers(&peer, "x-version"), [text("7"), text("8"), text("7")]);
    assert_eq!(headers(&peer, "authorization")[1], text("Basic bWU6cHc="), "those of the URL go before");
    let tenants = |n: usize| peer.requests()[n].headers.get_all("x-tenant").iter().count();
    assert_eq!((tenants(0), tenants(2)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_redirect_to_another_origin_leaves_secrets_among_the_default_headers_behind() {
    let other = Peer::new().forever(Reply::ok("there"));
    let peer = Peer::new().forever(Reply::status(302).header("location", "http://other.example/"));
    let pipe = peer.pipe().host("other.example", &other);
    let client = Client::builder().pipe(pipe).default_headers(defaults()).build().unwrap();
    assert_eq!(client.get(URL).await.unwrap().text().await.unwrap(), "there");
    for (name, value) in [("x-version", Some("7")), ("authorization", None), ("x-key", None)] {
        assert_eq!(headers(&other, name), [value.map(str::to_owned)], "{name}");
        assert!(headers(&peer, name)[0].is_some(), "{name}");
    }
}
