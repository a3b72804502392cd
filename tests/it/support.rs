//! What the tests of the stack share: hyper-util's own client over the in-memory pipe, and a stack around it.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;
use tower_layer::Layer;
use tower_service::Service;
use unwedge::stack::StackBuilder;
use unwedge::testing::{Peer, Pipe};
use unwedge::{Body, Error, Limits, Stack, StackLayer, breaker, retry};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MS: Duration = Duration::from_millis(1);

pub(crate) type Plain = Client<Pipe, Full<Bytes>>;

/// A bare hyper-util client whose connections end at the peer.
pub(crate) fn plain(peer: &Peer) -> Plain {
    Client::builder(TokioExecutor::new()).build(peer.pipe())
}

/// That client under a stack.
pub(crate) fn stack(peer: &Peer, layer: &StackLayer) -> Stack<Plain> {
    layer.layer(plain(peer))
}

/// Settings without back-off and jitter, so that times are exact.
pub(crate) fn exact() -> StackBuilder {
    StackLayer::builder().retry(retry::Settings::default().backoff(Duration::ZERO))
}

/// Attempts of one second, so that a test has few numbers in it.
pub(crate) fn one_attempt(limit: Duration) -> StackBuilder {
    StackLayer::builder()
        .limits(Limits::default().total(limit).attempt(limit))
        .retry(retry::Settings::default().max_retries(0))
}

pub(crate) fn no_breaker() -> breaker::Settings {
    breaker::Settings::default().disabled(true)
}

pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://peer.test{path}")).body(Full::default()).expect("a valid request")
}

pub(crate) fn post(path: &str) -> Request<Full<Bytes>> {
    Request::post(format!("http://peer.test{path}")).body(Full::from("payload")).expect("a valid request")
}

/// One call through a clone, as a user would make it.
pub(crate) async fn call<S>(service: &S, request: Request<Full<Bytes>>) -> Result<Response<Body>, Error>
where
    S: Service<Request<Full<Bytes>>, Response = Response<Body>, Error = Error> + Clone,
{
    service.clone().call(request).await
}

/// Status and whole body.
pub(crate) async fn whole(answer: Result<Response<Body>, Error>) -> Result<(u16, Bytes), Error> {
    let (head, body) = answer?.into_parts();
    Ok((head.status.as_u16(), body.bytes(u64::MAX).await?))
}
