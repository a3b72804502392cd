//! What is sent again: the same request, if it can be made twice.

use crate::support::*;
use crate::watch::Log;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::{BoxBody, UnsyncBoxBody};
use http_body_util::{BodyExt, Empty, Full};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use tower::{Service, service_fn};
use tower_layer::Layer;
use unwedge::testing::{Peer, Reply};
use unwedge::{Body, retry::Idempotent};
use unwedge::{BoxError, Limits, StackLayer, retry};

#[derive(Clone, Debug, PartialEq)]
struct Mark(u32);

/// A service that answers 503 for ever and keeps the requests.
fn down<B: Send + 'static>(
    seen: &Arc<Mutex<Vec<Request<B>>>>,
) -> impl Service<
    Request<B>,
    Response = Response<Empty<Bytes>>,
    Error = Infallible,
    Future = Ready<Result<Response<Empty<Bytes>>, Infallible>>,
> + Clone {
    let seen = Arc::clone(seen);
    service_fn(move |request: Request<B>| {
        seen.lock().unwrap().push(request);
        let mut answer = Response::new(Empty::new());
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        ready(Ok(answer))
    })
}

/// How many attempts a request with this body gets.
async fn attempts<B: Send + 'static>(body: B, layer: &StackLayer) -> usize {
    let seen = Arc::default();
    let service = layer.layer(down::<B>(&seen));
    call(&service, Request::put("http://peer.test/").body(body).unwrap()).await.unwrap();
    seen.lock().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn the_whole_request_arrives_on_every_attempt() {
    let peer = Peer::new().times(3, Reply::status(503)).forever(Reply::ok("x"));
    let body = "payload ".repeat(20_000);
    let request = Request::put("http://peer.test/a/b?c=d&e")
        .header("x-one", "1")
        .header("x-two", "2a")
        .header("x-two", "2b")
        .header("authorization", "Bearer t")
        .body(Full::new(Bytes::from(body.clone())))
        .unwrap();
    let answer = call(&stack(&peer, &built(exact())), request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let seen = peer.requests();
    assert_eq!(seen.len(), 4);
    for request in &seen {
        assert_eq!((request.method.as_str(), &request.target[..]), ("PUT", "/a/b?c=d&e"));
        assert_eq!(request.headers, seen[0].headers);
        assert!(request.complete && request.body == body);
    }
    assert_eq!(seen[0].headers.get_all("x-two").iter().count(), 2);
}

#[tokio::test(start_paused = true)]
async fn headers_version_and_extensions_are_the_same_on_every_attempt() {
    let seen = Arc::default();
    let service = built(exact()).layer(down::<Full<Bytes>>(&seen));
    let mut request = with(with(post("/"), Idempotent), Mark(7));
    *request.version_mut() = http::Version::HTTP_2;
    call(&service, request).await.unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 4);
    for request in seen.iter() {
        assert_eq!(request.extensions().get::<Mark>(), Some(&Mark(7)));
        assert!(request.extensions().get::<Idempotent>().is_some());
        assert_eq!((request.method(), request.version()), (&http::Method::POST, http::Version::HTTP_2));
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_in_memory_are_sent_again_whatever_their_type() {
    let layer = built(exact());
    assert_eq!(attempts(Full::new(Bytes::from("x")), &layer).await, 4);
    assert_eq!(attempts(Empty::<Bytes>::new(), &layer).await, 4);
    assert_eq!(attempts((), &layer).await, 4);
    assert_eq!(attempts(String::from("x"), &layer).await, 4);
    assert_eq!(attempts(Bytes::from("x"), &layer).await, 4);
    assert_eq!(attempts(Body::full("x"), &layer).await, 4);
    assert_eq!(attempts(Body::empty(), &layer).await, 4);
}

#[tokio::test(start_paused = true)]
async fn a_boxed_body_is_sent_again_when_it_is_empty() {
    let layer = built(exact());
    let boxed: BoxBody<Bytes, BoxError> = BoxBody::new(Empty::new().map_err(|never| match never {}));
    assert_eq!(attempts(boxed, &layer).await, 4);
    let unsync: UnsyncBoxBody<Bytes, std::io::Error> =
        UnsyncBoxBody::new(Empty::new().map_err(|never| match never {}));
    assert_eq!(attempts(unsync, &layer).await, 4);
    let full: BoxBody<Bytes, Infallible> = BoxBody::new(Full::new(Bytes::from("x")));
    assert_eq!(attempts(full, &layer).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_sent_again_gets_one_attempt_and_that_is_said_once() {
    struct Upload;
    let (log, _guard) = Log::listen();
    let layer = built(exact());
    assert_eq!(attempts(Upload, &layer).await, 1, "and the 503 comes back, no error of ours");
    assert_eq!(attempts(Upload, &layer).await, 1);
    assert_eq!(attempts(Body::streaming(Full::new(Bytes::from("x"))), &layer).await, 1);
    let said = log.with("one attempt");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("WARN"), "{}", said[0]);
    assert!(said[0].contains("Upload") && said[0].contains("replay_with"), "{}", said[0]);
}

#[tokio::test(start_paused = true)]
async fn a_body_of_the_users_own_is_sent_again_the_way_he_says() {
    #[derive(Debug, PartialEq)]
    struct Upload(u32);
    let seen: Arc<Mutex<Vec<Request<Upload>>>> = Arc::default();
    let retry = every(MS).replay_with::<Upload>(|upload| (upload.0 < 12).then(|| Upload(upload.0 + 1)));
    let layer = built(StackLayer::builder().retry(retry));
    let service = layer.layer(down(&seen));
    call(&service, Request::put("http://peer.test/").body(Upload(10)).unwrap()).await.unwrap();
    let sent: Vec<u32> = seen.lock().unwrap().iter().map(|request| request.body().0).collect();
    assert_eq!(sent, [10, 11, 12], "made from the one before, until there was none to be made");
    assert_eq!(attempts("other types are known still".to_owned(), &layer).await, 4);
}

/// Counts how often it is cloned.
#[derive(Debug, Default)]
struct Counted(Arc<AtomicU32>);

impl Clone for Counted {
    fn clone(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(&self.0))
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_cloned_for_a_request_that_will_not_be_repeated() {
    let clones = |layer: StackLayer| async move {
        let (counter, seen) = (Counted::default(), Arc::default());
        let request = with(get("/"), Counted(Arc::clone(&counter.0)));
        call(&layer.layer(down::<Full<Bytes>>(&seen)), request).await.unwrap();
        counter.0.load(Ordering::Relaxed)
    };
    assert_eq!(clones(once(Limits::default())).await, 0);
    let two = built(StackLayer::builder().retry(retry::Settings::default().max_retries(1)));
    assert_eq!(clones(two).await, 1, "the last attempt takes the request itself");
}
