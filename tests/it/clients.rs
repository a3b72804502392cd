//! Clients whose requests do not say whom they are for, and whose bodies are their own: kube, tonic, octocrab.

use crate::support::*;
use crate::watch::Log;
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body::Frame;
use http_body_util::Full;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tower::{Service, ServiceBuilder, service_fn};
use tower_layer::Layer;
use unwedge::stack::{CircuitBreakerLayer, DeadlineLayer, RetryLayer};
use unwedge::{Body, ErrorKind, StackLayer, breaker, retry};

/// The body of a client that this crate does not know, and that is not `Clone`.
#[derive(Debug)]
struct Foreign(Option<Bytes>);

impl Foreign {
    fn empty() -> Foreign {
        Foreign(None)
    }
}

impl http_body::Body for Foreign {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

type Seen = Arc<Mutex<Vec<(Uri, String)>>>;

/// What lies beneath a layer that adds host and scheme: it keeps what it was sent, and answers by turns with these.
fn beneath<B: std::fmt::Debug>(
    seen: &Seen,
    statuses: &[u16],
) -> impl Service<
    Request<B>,
    Response = Response<Full<Bytes>>,
    Error = Infallible,
    Future = Ready<Result<Response<Full<Bytes>>, Infallible>>,
> + Clone
+ use<B> {
    let (seen, statuses) = (Arc::clone(seen), statuses.to_vec());
    service_fn(move |request: Request<B>| {
        let mut seen = seen.lock().unwrap();
        seen.push((request.uri().clone(), format!("{:?}", request.body())));
        let status = statuses.get(seen.len() - 1).or(statuses.last()).copied().unwrap_or(200);
        ready(Ok(Response::builder().status(status).body(Full::default()).unwrap()))
    })
}

fn uris(seen: &Seen) -> Vec<String> {
    seen.lock().unwrap().iter().map(|(uri, _)| uri.to_string()).collect()
}

fn of(url: &str) -> Request<Body> {
    Request::get(url).body(Body::empty()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_origin_is_judged_by_that_of_the_layer_and_passed_on_as_it_is() {
    let seen = Seen::default();
    let layer = exact().build().unwrap().origin("https://API.example.com:443/ignored?x=1").unwrap();
    let service = layer.layer(beneath(&seen, &[503, 503, 200]));
    let answer = call(&service, of("/api/v1/pods?limit=5")).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(uris(&seen), ["/api/v1/pods?limit=5"; 3], "also when it is sent again");
    let judged = layer.breakers().snapshot();
    assert_eq!(judged.len(), 1);
    assert_eq!(judged[0].origin.to_string(), "https://api.example.com");
}

#[tokio::test(start_paused = true)]
async fn a_request_with_an_origin_of_its_own_is_judged_by_that() {
    let seen = Seen::default();
    let layer = StackLayer::default().origin("https://api.example.com").unwrap();
    let service = layer.layer(beneath(&seen, &[200]));
    for url in ["http://other.test/a", "/b", "http://other.test/c", "/d"] {
        call(&service, of(url)).await.unwrap();
    }
    assert_eq!(uris(&seen), ["http://other.test/a", "/b", "http://other.test/c", "/d"]);
    let mut judged: Vec<_> = layer.breakers().snapshot().iter().map(|one| one.origin.to_string()).collect();
    judged.sort();
    assert_eq!(judged, ["http://other.test", "https://api.example.com"]);
}

#[tokio::test(start_paused = true)]
async fn layers_with_different_origins_share_the_state_of_the_layer_they_were_made_of() {
    let layer = StackLayer::default();
    for origin in ["http://a.test", "http://b.test:8080"] {
        let service = layer.clone().origin(origin).unwrap().layer(beneath(&Seen::default(), &[200]));
        call(&service, of("/")).await.unwrap();
    }
    assert_eq!(layer.breakers().snapshot().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_error_names_the_origin_that_the_request_did_not() {
    let layer = StackLayer::default().origin("https://api.example.com").unwrap();
    let service = layer.layer(beneath(&Seen::default(), &[200]));
    layer.breakers().of(&Uri::from_static("https://api.example.com")).unwrap().force_open();
    // The second is one of a crowd in front of an open circuit.
    for _ in 0..2 {
        let error = call(&service, of("/api/v1/pods?token=s3cret")).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Open { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("https://api.example.com/api/v1/pods"), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_origin_the_error_names_the_line_to_write() {
    let seen = Seen::default();
    let error = call(&StackLayer::default().layer(beneath(&seen, &[200])), of("/pods?token=s3cret"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    assert!(text.contains(r#".origin("https://api.example.com")?"#), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
    assert!(uris(&seen).is_empty());
}

#[test]
fn an_origin_is_a_url_with_a_host_and_a_scheme() {
    for bad in ["", "/path", "api.example.com", "ftp://api.example.com", "https://", "http://a b"] {
        let error = StackLayer::default().origin(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{bad:?}: {error}");
    }
    let secret = StackLayer::default().origin("https://user:s3cret@[::1/").unwrap_err();
    assert!(!secret.to_string().contains("s3cret"), "{secret}");
    let given: Uri = "http://[::1]:8080/x".parse().unwrap();
    StackLayer::default().origin(given).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_single_part_takes_an_origin_too() {
    let seen = Seen::default();
    let origin = "https://api.example.com";
    let breaker = CircuitBreakerLayer::new(breaker::Settings::default()).unwrap().origin(origin).unwrap();
    let service = ServiceBuilder::new()
        .layer(DeadlineLayer::new(MINUTE).unwrap().origin(origin).unwrap())
        .layer(RetryLayer::new(at_once()).unwrap().origin(origin).unwrap())
        .layer(&breaker)
        .service(beneath(&seen, &[503, 200]));
    assert_eq!(call(&service, of("/a")).await.unwrap().status(), 200);
    assert_eq!(uris(&seen), ["/a", "/a"]);
    assert_eq!(breaker.breakers().snapshot()[0].origin.to_string(), origin);
}

#[tokio::test(start_paused = true)]
async fn the_health_of_the_origin_of_the_layer_is_checked() {
    let seen = Seen::default();
    let layer =
        StackLayer::builder().health("/livez").build().unwrap().origin("http://api.test:8080").unwrap();
    call(&layer.layer(beneath(&seen, &[200])), of("/api/v1/pods")).await.unwrap();
    assert_eq!(uris(&seen), ["http://api.test:8080/livez", "/api/v1/pods"]);
}

#[tokio::test(start_paused = true)]
async fn a_health_check_of_a_foreign_body_is_made_by_the_line_that_repeats_it_and_without_it_the_error_names_that_line()
 {
    /// A type that no other test teaches anybody to make.
    #[derive(Debug)]
    struct Own(Foreign);
    impl http_body::Body for Own {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Pin::new(&mut self.0).poll_frame(cx)
        }
    }
    let full = || Request::post("http://peer.test/pods").body(Own(Foreign(Some("x".into())))).unwrap();
    let seen = Seen::default();
    let layer = StackLayer::builder().health("/livez").build().unwrap();
    let error = call(&layer.layer(beneath::<Own>(&seen, &[200])), full()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("replay_with(retry::replay_empty(Body::empty))"), "{error}");
    assert!(seen.lock().unwrap().is_empty());

    let settings = retry::Settings::default().replay_with(retry::replay_empty(|| Own(Foreign::empty())));
    let layer = StackLayer::builder().retry(settings).health("/livez").build().unwrap();
    call(&layer.layer(beneath::<Own>(&seen, &[200])), full()).await.unwrap();
    assert_eq!(uris(&seen), ["http://peer.test/livez", "http://peer.test/pods"]);
    assert!(!seen.lock().unwrap()[0].1.contains('x'), "the check has a body of its own");
}

fn repeated(settings: retry::Settings) -> StackLayer {
    built(StackLayer::builder().retry(settings.backoff(Duration::ZERO)))
}

#[tokio::test(start_paused = true)]
async fn a_foreign_body_that_is_empty_is_sent_again_by_one_line_and_another_is_not() {
    let layer = repeated(retry::Settings::default().replay_with(retry::replay_empty(Foreign::empty)));
    let seen = Seen::default();
    let empty = Request::get("http://peer.test/").body(Foreign::empty()).unwrap();
    let service = layer.layer(beneath::<Foreign>(&seen, &[503, 503, 200]));
    assert_eq!(call(&service, empty).await.unwrap().status(), 200);
    assert_eq!(uris(&seen).len(), 3);

    let seen = Seen::default();
    let full = Request::put("http://peer.test/").body(Foreign(Some("x".into()))).unwrap();
    let service = layer.layer(beneath::<Foreign>(&seen, &[503]));
    assert_eq!(call(&service, full).await.unwrap().status(), 503);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 1, "it cannot be made again");
    assert!(seen[0].1.contains('x'));
}

#[tokio::test(start_paused = true)]
async fn the_warning_about_a_body_that_is_sent_once_names_the_line_that_mends_it() {
    let (log, _guard) = Log::listen();
    let empty = Request::get("http://peer.test/").body(Foreign::empty()).unwrap();
    let seen = Seen::default();
    let service = repeated(retry::Settings::default()).layer(beneath::<Foreign>(&seen, &[503]));
    assert_eq!(call(&service, empty).await.unwrap().status(), 503);
    assert_eq!(uris(&seen).len(), 1);
    assert_eq!(log.with(".replay_with(retry::replay_empty(Body::empty))").len(), 1, "{:?}", log.lines());
}
