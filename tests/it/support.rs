//! What the tests of the stack share: hyper-util's own client over the in-memory pipe, and a stack around it.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;
use tower_layer::Layer;
use tower_service::Service;
use unwedge::retry::Backoff;
use unwedge::stack::StackBuilder;
use unwedge::testing::{Peer, Pipe, Reply};
use unwedge::{Body, Error, Limits, Stack, StackLayer, breaker, retry};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const MS: Duration = Duration::from_millis(1);

pub(crate) type Plain = Client<Pipe, Full<Bytes>>;

/// A bare hyper-util client whose connections end at the peer.
pub(crate) fn plain(peer: &Peer) -> Plain {
    over(peer.pipe())
}

/// A bare hyper-util client over this pipe, for any body.
pub(crate) fn over<B>(pipe: Pipe) -> Client<Pipe, B>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    Client::builder(TokioExecutor::new()).build(pipe)
}

/// That client under a stack.
pub(crate) fn stack(peer: &Peer, layer: &StackLayer) -> Stack<Plain> {
    layer.layer(plain(peer))
}

/// Settings without back-off and jitter, so that times are exact.
pub(crate) fn exact() -> StackBuilder {
    StackLayer::builder().retry(at_once())
}

/// Retries without a wait.
pub(crate) fn at_once() -> retry::Settings {
    retry::Settings::default().backoff(Duration::ZERO)
}

/// One attempt and no breaker: what a single attempt comes to.
pub(crate) fn once(limits: Limits) -> StackLayer {
    built(StackLayer::builder().limits(limits).retry(retry::Settings::default().max_retries(0)))
}

/// This stack, without a breaker that would end a long series of failures.
pub(crate) fn built(stack: StackBuilder) -> StackLayer {
    stack.breaker(no_breaker()).build().expect("settings that fit together")
}

pub(crate) fn no_breaker() -> breaker::Settings {
    breaker::Settings::default().disabled(true)
}

/// Retries with the same wait before each.
pub(crate) fn every(wait: Duration) -> retry::Settings {
    retry::Settings::default().backoff(Backoff::constant(wait))
}

pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    request("GET", path)
}

pub(crate) fn post(path: &str) -> Request<Full<Bytes>> {
    request("POST", path).map(|_| Full::from("payload"))
}

pub(crate) fn request(method: &str, path: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(format!("http://peer.test{path}"))
        .body(Full::default())
        .expect("a valid request")
}

/// The request with an extension.
pub(crate) fn with<B>(mut request: Request<B>, wish: impl Clone + Send + Sync + 'static) -> Request<B> {
    request.extensions_mut().insert(wish);
    request
}

/// One call through a clone, as a user would make it.
pub(crate) async fn call<S, B>(service: &S, request: Request<B>) -> Result<Response<Body>, Error>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Error> + Clone,
{
    service.clone().call(request).await
}

/// Status and whole body.
pub(crate) async fn whole(answer: Result<Response<Body>, Error>) -> Result<(u16, Bytes), Error> {
    let (head, body) = answer?.into_parts();
    Ok((head.status.as_u16(), body.bytes(u64::MAX).await?))
}

/// The next piece of a body.
pub(crate) async fn piece(body: &mut Body) -> Option<Result<Bytes, Error>> {
    let frame = poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut *body), cx)).await?;
    Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
}

/// A client for `http://a` and `http://b`, and for `https` of both.
pub(crate) fn between(a: &Peer, b: &Peer) -> unwedge::Client {
    unwedge::Client::builder().pipe(a.pipe().host("b", b)).build().expect("settings that fit together")
}

/// A client whose connections all lead to this peer.
pub(crate) fn client(peer: &Peer) -> unwedge::client::ClientBuilder {
    unwedge::Client::builder().pipe(peer.pipe())
}

/// An answer that names another place.
pub(crate) fn moved(status: u16, location: &str) -> Reply {
    Reply::status(status).header("location", location)
}

/// What a peer was asked for, by which method.
pub(crate) fn asked(peer: &Peer) -> Vec<String> {
    peer.requests().iter().map(|r| format!("{} {}", r.method, r.target)).collect()
}

/// When the requests arrived.
pub(crate) fn times(peer: &Peer) -> Vec<Duration> {
    peer.requests().iter().map(|request| request.at).collect()
}

/// An event stream that ends with its text.
pub(crate) fn events(text: impl Into<Bytes>) -> Reply {
    Reply::ok(text).header("content-type", "text/event-stream").until_close()
}

/// An event stream that stays open behind its text and says nothing more.
pub(crate) fn events_then_silence(text: &str) -> Reply {
    events(text.to_owned()).hang_after(text.len() as u64)
}
