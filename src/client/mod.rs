//! A client that is bounded without a word about it.

mod attempt;
mod background;
mod builder;
mod redirect;
mod request;
mod response;
mod sending;
mod status;
pub(crate) mod url;

pub use crate::transport::connect::stream::TokioStream;
pub use crate::transport::connect::tls::Tls;
pub use crate::transport::network::Network;
pub use crate::transport::versions::{Http1, Http2};
pub use attempt::{Attempt, AttemptBody, AttemptFuture};
pub use builder::ClientBuilder;
pub use redirect::Redirects;
pub use request::RequestBuilder;
pub use response::Response;
pub use sending::{ResponseFuture, Sending};
pub use url::IntoUrl;

use crate::body::Body;
use crate::bounded::{Bounded, Sealed};
use crate::error::Error;
use crate::inflight::InFlight;
use crate::stack::{Breakers, Stack, WorstCase};
use crate::sync::made;
use background::Background;
use http::{HeaderMap, Method, Request};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tower_service::Service;

/// An HTTP client whose every call ends: deadline, retry, circuit breaker and stall guard over a pool of connections.
///
/// Clones are cheap and share everything: connections, breakers, budgets and the table of calls in flight. Make one
/// and keep it.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), unwedge::Error> {
/// let client = unwedge::Client::new()?;
/// let jobs: Vec<String> = client.get("https://api.example.com/jobs").send().await?.json().await?;
/// # Ok(()) }
/// ```
///
/// It needs a tokio runtime with its clock and I/O drivers enabled, of either flavour; without one a call returns an
/// error of kind `Config`. It has no task of its own but health checks, where those are asked for in the background:
/// hyper-util runs one for each connection, and one that closes idle connections, on the runtime that the call was made
/// on. A client may outlive a runtime: connections that went with it are replaced.
#[derive(Clone)]
pub struct Client {
    stack: Stack<Attempt>,
    redirects: Redirects,
    /// What every request brings, where it brings nothing of its own by that name.
    headers: Option<Arc<HeaderMap>>,
    /// With health checks in the background.
    background: Option<Background>,
}

impl Client {
    /// A client with all defaults.
    ///
    /// # Errors
    /// None with today's defaults; see [`ClientBuilder::build`] for what can be wrong with others.
    pub fn new() -> Result<Client, Error> {
        Client::builder().build()
    }

    /// A client with settings of your own.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// A GET request.
    pub fn get(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    /// A HEAD request.
    pub fn head(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::HEAD, url)
    }

    /// A POST request. It is repeated only where it was provably not processed, or is marked as idempotent.
    pub fn post(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    /// A PUT request.
    pub fn put(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::PUT, url)
    }

    /// A PATCH request. It is repeated only where it was provably not processed, or is marked as idempotent.
    pub fn patch(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::PATCH, url)
    }

    /// A DELETE request.
    pub fn delete(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::DELETE, url)
    }

    /// A request with this method. What is wrong with the URL comes out of [`RequestBuilder::send`].
    ///
    /// Credentials in the URL (`user:password@host`) are taken out of it and sent as Basic authentication, unless the
    /// request brings an `Authorization` of its own; they are never shown.
    pub fn request(&self, method: Method, url: impl IntoUrl) -> RequestBuilder {
        RequestBuilder::new(self.clone(), method, url)
    }

    /// Sends a request that was built with [`http::Request`]. Wishes are request extensions: [`Deadline`](crate::Deadline),
    /// [`LongPoll`](crate::LongPoll), [`Collect`](crate::Collect), [`Label`](crate::Label),
    /// [`Idempotent`](crate::retry::Idempotent).
    pub fn send<B: Into<Body>>(&self, request: Request<B>) -> Sending {
        Sending::new(self, request.map(Into::into))
    }

    /// The circuit breakers of all origins.
    pub fn breakers(&self) -> Breakers {
        self.stack.breakers()
    }

    /// The calls in flight.
    pub fn in_flight(&self) -> InFlight {
        self.stack.in_flight()
    }

    /// Sees to it that the origin of this URL is checked, where health checks run in the background.
    fn watch(&self, uri: &http::Uri) {
        if let Some(background) = &self.background {
            background.watch(&self.stack, uri);
        }
    }

    /// The longest that a call can take.
    pub fn bounds(&self) -> WorstCase {
        self.stack.bounds()
    }
}

/// All defaults, and thereby all bounds: what an `Option<Client>` that nobody has set should fall back to.
///
/// ```
/// fn with(client: Option<unwedge::Client>) -> unwedge::Client {
///     client.unwrap_or_default()
/// }
/// assert!(with(None).bounds().unbounded().is_empty());
/// ```
impl Default for Client {
    fn default() -> Client {
        match Client::new() {
            Ok(client) => client,
            Err(error) => unreachable!("the defaults fit together: {error}"),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("bounds", &self.bounds()).finish_non_exhaustive()
    }
}

impl Sealed for Client {}
#[diagnostic::do_not_recommend]
impl Bounded for Client {}
impl Sealed for &Client {}
#[diagnostic::do_not_recommend]
impl Bounded for &Client {}

/// As a tower service it is always ready, so that it can stand under any layer.
impl Service<Request<Body>> for Client {
    type Response = http::Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        ResponseFuture::new(self, request)
    }
}

/// See the implementation for [`Client`].
impl Service<Request<Body>> for &Client {
    type Response = http::Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        ResponseFuture::new(self, request)
    }
}

/// A GET request by a client that all callers of this function share, with all defaults.
///
/// The client is made at the first call and lives as long as the program; its connections live as long as the runtime
/// that the call opening them was made on.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), unwedge::Error> {
/// let text = unwedge::get("https://api.example.com/").send().await?.text().await?;
/// # Ok(()) }
/// ```
pub fn get(url: impl IntoUrl) -> RequestBuilder {
    static SHARED: OnceLock<Client> = OnceLock::new();
    made(&SHARED, Client::default).get(url)
}

#[cfg(test)]
mod tests;
