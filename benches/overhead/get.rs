//! One request, to the last byte of its answer, by each of the clients that are compared.

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest_middleware::ClientWithMiddleware;
use reqwest_retry::RetryTransientMiddleware;
use reqwest_retry::policies::ExponentialBackoff;
use std::fmt::Debug;
use std::future::{Future, poll_fn};
use tower_service::Service;

pub(crate) type Bare = hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>;

/// Where to, as each client wants it.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) uri: Uri,
    pub(crate) url: reqwest::Url,
}

impl Place {
    pub(crate) fn of(url: &str) -> Place {
        Place { uri: url.parse().expect("a URL"), url: url.parse().expect("a URL") }
    }
}

pub(crate) trait Get: Clone + Send + 'static {
    fn get(&mut self, place: &Place) -> impl Future<Output = ()> + Send;
}

/// A tower service over requests with a body in memory.
#[derive(Clone)]
pub(crate) struct Served<S>(pub(crate) S);

impl<S, B> Get for Served<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Debug + Send,
    S::Future: Send,
    B: http_body::Body + Send,
    B::Data: Send,
    B::Error: Debug + Send,
{
    async fn get(&mut self, place: &Place) {
        poll_fn(|cx| self.0.poll_ready(cx)).await.expect("a service that works");
        let mut request = Request::new(Full::default());
        *request.uri_mut() = place.uri.clone();
        let answer = self.0.call(request).await.expect("the server answers");
        answer.into_body().collect().await.expect("a whole body");
    }
}

/// What a careful caller writes around each call: the least that a bounded one can cost.
#[derive(Clone)]
pub(crate) struct Timed(pub(crate) Served<Bare>);

impl Get for Timed {
    async fn get(&mut self, place: &Place) {
        tokio::time::timeout(crate::peers::ATTEMPT, self.0.get(place)).await.expect("in time");
    }
}

impl Get for unwedge::Client {
    async fn get(&mut self, place: &Place) {
        let mut request = Request::new(unwedge::Body::empty());
        *request.uri_mut() = place.uri.clone();
        let answer = self.send(request).await.expect("the server answers");
        answer.bytes().await.expect("a whole body");
    }
}

impl Get for reqwest::Client {
    async fn get(&mut self, place: &Place) {
        let answer = reqwest::Client::get(self, place.url.clone()).send().await.expect("the server answers");
        answer.bytes().await.expect("a whole body");
    }
}

impl Get for ClientWithMiddleware {
    async fn get(&mut self, place: &Place) {
        let request = ClientWithMiddleware::get(self, place.url.clone());
        let answer = request.send().await.expect("the server answers");
        answer.bytes().await.expect("a whole body");
    }
}

pub(crate) fn bare() -> Bare {
    hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http()
}

pub(crate) fn client() -> unwedge::Client {
    unwedge::Client::new().expect("the defaults fit together")
}

/// Of reqwest with what is recommended beside it: retries around it, and its own timeout.
pub(crate) fn retrying() -> ClientWithMiddleware {
    let inner = reqwest::Client::builder().timeout(crate::peers::ATTEMPT).build().expect("a client");
    let policy = ExponentialBackoff::builder().build_with_max_retries(3);
    reqwest_middleware::ClientBuilder::new(inner)
        .with(RetryTransientMiddleware::new_with_policy(policy))
        .build()
}

pub(crate) fn over_reqwest() -> ClientWithMiddleware {
    unwedge::reqwest::builder().build().expect("the defaults fit together")
}
