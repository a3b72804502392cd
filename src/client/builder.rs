//! The settings of a client.

mod getters;

use crate::body::Body;
use crate::client::attempt::{Attempt, AttemptLayers};
use crate::client::background::Background;
use crate::client::stack_of::StackOf;
use crate::client::{Client, Parts, Redirects};
use crate::deadline::Limits;
use crate::error::{BoxError, Error};
use crate::stack::StackBuilder;
use crate::suspend::WallClock;
use crate::transport::TransportBuilder;
use crate::transport::connect::tls::Tls;
use crate::transport::network::Network;
use crate::{breaker, health, retry};
use http::{HeaderMap, Request, Response, Uri};
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::Connection;
use hyper_util::client::legacy::connect::dns::Name;
use std::net::SocketAddr;
use std::sync::Arc;
use tower_layer::Layer;
use tower_service::Service;

impl Client {
    /// A client with all defaults.
    ///
    /// # Errors
    /// None with the present defaults; [`ClientBuilder::build`] lists the errors of other settings.
    pub fn new() -> Result<Client, Error> {
        Client::builder().build()
    }

    /// A client with settings of your own.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }
}

/// A client with all defaults, so with all limits: the fallback for an `Option<Client>` that is not set.
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

/// The settings of a [`Client`]; relations between them are checked by [`build`](ClientBuilder::build).
///
/// ```
/// use std::time::Duration;
/// use unwedge::{Client, Limits, retry};
///
/// let client = Client::builder()
///     .limits(Limits::default().total(Duration::from_secs(60)))
///     .retry(retry::Settings::default().max_retries(5))
///     .health("/health")
///     .build()?;
/// # Ok::<(), unwedge::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ClientBuilder {
    stack: StackOf,
    transport: TransportBuilder,
    attempt_layers: AttemptLayers,
    headers: HeaderMap,
    redirects: Redirects,
}

impl ClientBuilder {
    /// The time limits of a call and its parts. Default 30 s in all, 10 s for an attempt; see [`Limits`].
    pub fn limits(mut self, limits: Limits) -> ClientBuilder {
        self.stack.says("limits", |stack| stack.limits(limits));
        self
    }

    /// The settings of retry. Default up to three retries; see [`retry::Settings`].
    pub fn retry(mut self, retry: retry::Settings) -> ClientBuilder {
        self.stack.says("retry", |stack| stack.retry(retry));
        self
    }

    /// The settings of the circuit breaker. Default open after five failures in a row; see [`breaker::Settings`].
    pub fn breaker(mut self, breaker: breaker::Settings) -> ClientBuilder {
        self.stack.says("breaker", |stack| stack.breaker(breaker));
        self
    }

    /// Switches the health check on: a path like `"/health"`, or [`health::Settings`]. Default off, because a
    /// server without a health endpoint must not lose its clients.
    pub fn health(mut self, health: impl Into<health::Settings>) -> ClientBuilder {
        self.stack.says("health", |stack| stack.health(health));
        self
    }

    /// The name of this client on the status page, in the log and in metrics: see [`StackBuilder::name`]. Default a number.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> ClientBuilder {
        self.stack.says("name", |stack| stack.name(name));
        self
    }

    /// All settings of the stack at once, also those without a setter here, such as [`StackBuilder::for_requests`]. It
    /// includes limits, retries, circuit breaker, health check and name: setting one of these here as well is an error.
    ///
    /// ```
    /// use unwedge::{CallOptions, Client, StackLayer, stack::RequestOptions};
    ///
    /// let stack = StackLayer::builder()
    ///     .name("scheduler")
    ///     .for_requests(|_| RequestOptions::new().options(CallOptions::new().retries(1)));
    /// let client = Client::builder().stack(stack.clone()).build()?;
    ///
    /// let twice = Client::builder().stack(stack).name("relay").build();
    /// assert!(twice.is_err_and(|error| error.is_config()));
    /// # Ok::<(), unwedge::Error>(())
    /// ```
    pub fn stack(mut self, stack: StackBuilder) -> ClientBuilder {
        self.stack.whole = Some(stack);
        self
    }

    /// Root certificates and client certificate. Default the roots of the platform, and no client certificate.
    pub fn tls(mut self, tls: Tls) -> ClientBuilder {
        self.transport.tls = tls;
        self
    }

    /// The version of HTTP, and proxies. Default: the server chooses, and the environment names them; see [`Network`].
    pub fn network(mut self, network: Network) -> ClientBuilder {
        self.transport.network = network;
        self
    }

    /// The `User-Agent` of requests without one, health checks included. Default `unwedge/` and the version of this crate.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> ClientBuilder {
        self.transport.user_agent = Some(user_agent.into());
        self
    }

    /// Headers for every request that has none of that name: an API version, a tenant. Default none.
    ///
    /// They are added before everything else. So a redirect to another origin drops credentials and values marked as
    /// [sensitive](http::HeaderValue::set_sensitive), and credentials in the URL replace an `Authorization` set here.
    /// Health checks do not carry them; if they must, use an [`attempt_layer`](ClientBuilder::attempt_layer).
    ///
    /// ```
    /// use http::{HeaderMap, HeaderValue};
    /// use unwedge::Client;
    ///
    /// let mut headers = HeaderMap::new();
    /// headers.insert("x-api-version", HeaderValue::from_static("2026-11-28"));
    /// let client = Client::builder().default_headers(headers).build()?;
    /// # Ok::<(), unwedge::Error>(())
    /// ```
    pub fn default_headers(mut self, headers: HeaderMap) -> ClientBuilder {
        self.headers = headers;
        self
    }

    /// Adds a layer inside every attempt, below all limits and above the transport: for signatures that expire, trace
    /// headers, fresh tokens. Default none; of several the first is the outermost.
    ///
    /// It runs once for each attempt, hops of a redirect and health checks included. It sees the final request, except for
    /// the headers of the transport (`User-Agent`, `Accept-Encoding`). Its readiness, its waits and its work on the response
    /// body are part of the attempt, so limits, retry, circuit breaker and collect apply to them. Its error is the failure
    /// of the attempt. An [`Error`] of this crate keeps its kind; return one to end the call without a retry.
    ///
    /// ```
    /// use http::{HeaderValue, Request};
    /// use tower::util::MapRequestLayer;
    /// use unwedge::{Body, Client};
    ///
    /// let sign = MapRequestLayer::new(|mut request: Request<Body>| {
    ///     let signature = format!("{}?", request.uri().path());
    ///     if let Ok(signature) = HeaderValue::try_from(signature) {
    ///         request.headers_mut().insert("x-signature", signature);
    ///     }
    ///     request
    /// });
    /// let client = Client::builder().attempt_layer(sign).build()?;
    /// # Ok::<(), unwedge::Error>(())
    /// ```
    ///
    /// # Cancellation safety
    /// It is dropped with its attempt: at a limit, or with the call.
    #[doc(alias("middleware", "interceptor", "hook"))]
    pub fn attempt_layer<L, B>(mut self, layer: L) -> ClientBuilder
    where
        L: Layer<Attempt> + Send + Sync + 'static,
        L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request<Body>>>::Error: Into<BoxError>,
        <L::Service as Service<Request<Body>>>::Future: Send + 'static,
        B: http_body::Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.attempt_layers.push(layer);
        self
    }

    /// The rules for redirects. Default up to 10 for a call: see [`Redirects`].
    pub fn redirects(mut self, redirects: Redirects) -> ClientBuilder {
        self.redirects = redirects;
        self
    }

    /// Whether gzip is requested and decoded. Default on, because responses of APIs shrink to a fraction.
    ///
    /// `Accept-Encoding: gzip` is sent with requests that have neither that header nor a `Range`. A response with the
    /// `Content-Encoding` gzip is decoded and loses that header and its `Content-Length`; not decoded are responses to
    /// HEAD, 204, 206 and 304. All limits and caps count decoded bytes; a truncated or corrupt stream is a failed attempt.
    pub fn gzip(mut self, on: bool) -> ClientBuilder {
        self.transport.no_gzip = !on;
        self
    }

    /// Makes connections by this service: Unix sockets, vsock, fixed addresses, a tunnel, an in-memory pipe. Default TCP,
    /// with proxies and TLS.
    ///
    /// The service gets scheme and authority of a URL and makes the whole connection for any scheme: proxies are not used,
    /// and TLS is up to the connector, as with every connector of hyper-util. HTTP/2 is used if the connection reports that
    /// it was [negotiated](super::TokioStream::http2), or with [`Network::http2_only`]. The connect limit covers the
    /// readiness of the service and each connect. A failed connect is an error of kind `Connect`, with the usual retries
    /// and circuit breaker. Connections are pooled as usual.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use tokio::net::UnixStream;
    /// use unwedge::client::{Client, TokioStream};
    ///
    /// let docker = tower::service_fn(|_: http::Uri| async {
    ///     UnixStream::connect("/run/docker.sock").await.map(TokioStream::new)
    /// });
    /// let client = Client::builder().connector(docker).build()?;
    /// let call = client.get("http://docker/containers/json").send();
    /// # }
    /// # Ok::<(), unwedge::Error>(())
    /// ```
    ///
    /// # Cancellation safety
    /// A connect is dropped at the connect limit, and when the runtime ends. If its call is dropped, it may go on for the
    /// next call.
    #[doc(alias = "unix_socket")]
    pub fn connector<C>(mut self, connector: C) -> ClientBuilder
    where
        C: Service<Uri> + Clone + Send + Sync + 'static,
        C::Response: Read + Write + Connection + Send + Unpin + 'static,
        C::Error: Into<BoxError>,
        C::Future: Send + 'static,
    {
        self.transport.connector(connector);
        self
    }

    /// Resolves host names by this service. Default the resolver of the system, on threads of its own.
    ///
    /// Its addresses are tried 250 ms apart, IPv6 and IPv4 in turn, known dead ones last, and up to 20 for a connection;
    /// their port is used if the URL has none. It is covered by the connect limit, and its failure is an error of kind
    /// `Connect` in phase `Resolve`. Addresses in URLs are not looked up.
    ///
    /// ```
    /// use hyper_util::client::legacy::connect::dns::Name;
    /// use std::net::SocketAddr;
    /// use unwedge::Client;
    ///
    /// let fixed = tower::service_fn(|name: Name| async move {
    ///     match name.as_str() {
    ///         "broker.example" => Ok([SocketAddr::from(([10, 0, 0, 7], 443))]),
    ///         other => Err(format!("{other} is none of ours")),
    ///     }
    /// });
    /// let client = Client::builder().resolver(fixed).build()?;
    /// # Ok::<(), unwedge::Error>(())
    /// ```
    #[doc(alias("dns", "resolve"))]
    pub fn resolver<R>(mut self, resolver: R) -> ClientBuilder
    where
        R: Service<Name> + Clone + Send + Sync + 'static,
        R::Response: IntoIterator<Item = SocketAddr>,
        R::Error: Into<BoxError>,
        R::Future: Send + 'static,
    {
        self.transport.resolver(resolver);
        self
    }

    /// Checks all settings and their relations.
    ///
    /// # Errors
    /// Kind `Config`: every error of [`StackBuilder::build`]; certificates or keys that cannot be read or do not belong
    /// together; an invalid URL of a proxy; a user agent that is no header value; a resolver, TLS or a proxy together with a
    /// connector; [`stack`](ClientBuilder::stack) together with a setting that it includes. The message names the values and
    /// the rule.
    pub fn build(self) -> Result<Client, Error> {
        self.build_by(WallClock::default())
    }

    /// By this clock it is seen that the machine has slept.
    pub(super) fn build_by(self, wall: WallClock) -> Result<Client, Error> {
        let stack = self.stack.settled()?;
        let transport = self.transport.build(stack.bounds()?.connect, wall)?;
        let background = stack.checks_in_background().then(Background::default);
        let teller = transport.teller();
        let stack = stack.build()?.layer(self.attempt_layers.over(transport));
        stack.in_flight().0.over(teller);
        let parts = Parts { stack, headers: self.headers, redirects: self.redirects, background };
        Ok(Client(Arc::new(parts)))
    }
}
