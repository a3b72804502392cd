//! The settings of a client.

mod getters;

use crate::body::Body;
use crate::client::attempt::{Attempt, AttemptLayers};
use crate::client::background::Background;
use crate::client::stack_of::StackOf;
use crate::client::{Client, Redirects};
use crate::deadline::Limits;
use crate::error::{BoxError, Error};
use crate::stack::StackBuilder;
use crate::suspend::Wall;
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
    /// None with today's defaults; see [`ClientBuilder::build`] for what can be wrong with others.
    pub fn new() -> Result<Client, Error> {
        Client::builder().build()
    }

    /// A client with settings of your own.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
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
    /// How long a call and its parts may take.
    pub fn limits(mut self, limits: Limits) -> ClientBuilder {
        self.stack.says("limits", |stack| stack.limits(limits));
        self
    }

    /// How calls are repeated.
    pub fn retry(mut self, retry: retry::Settings) -> ClientBuilder {
        self.stack.says("retry", |stack| stack.retry(retry));
        self
    }

    /// When an origin is left alone.
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

    /// What this client is called where there are several, on the status page, in the log and in metrics: see
    /// [`StackBuilder::name`]. Default a number.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> ClientBuilder {
        self.stack.says("name", |stack| stack.name(name));
        self
    }

    /// All settings of the stack at once, for what has no short form here, such as [`StackBuilder::for_requests`]. It has
    /// limits, retries, circuit breaker, health check and name of its own: to say one of them here as well is an error.
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

    /// Root certificates and identity. Default the roots of the platform, and no identity.
    pub fn tls(mut self, tls: Tls) -> ClientBuilder {
        self.transport.tls = tls;
        self
    }

    /// The version of HTTP, and proxies. Default: the server chooses, and the environment names them; see [`Network`].
    pub fn network(mut self, network: Network) -> ClientBuilder {
        self.transport.network = network;
        self
    }

    /// The `User-Agent` of requests, health checks among them, that bring none. Default `unwedge/` and the version of
    /// this crate.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> ClientBuilder {
        self.transport.user_agent = Some(user_agent.into());
        self
    }

    /// Headers of every request, where it brings none by that name: an API version, a tenant. Default none.
    ///
    /// They are part of the request from its start: a redirect to another origin leaves credentials, and what is marked as
    /// [sensitive](http::HeaderValue::set_sensitive), behind, and credentials in the URL go before an `Authorization` here.
    /// Health checks bring none of them; where they must, use an [`attempt_layer`](ClientBuilder::attempt_layer).
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

    /// Puts a layer into every attempt, beneath all limits and above the transport: signatures that expire, trace headers,
    /// a token that is fetched anew. Default none; more than one stand in the order they were given, the first outermost.
    ///
    /// It runs once for each attempt, hops of a redirect and health checks among them, with the request as it goes out but
    /// for what the transport adds (`User-Agent`, `Accept-Encoding`). Its readiness, its waits and what it does with the
    /// body of the response count as the attempt's: limit, retry, circuit breaker and collect stand around it. What it fails
    /// with is the failure of the attempt. An [`Error`] of this crate keeps its kind; to refuse for good, return one.
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

    /// Which redirects are followed. Default all, up to 10 for a call: see [`Redirects`].
    pub fn redirects(mut self, redirects: Redirects) -> ClientBuilder {
        self.redirects = redirects;
        self
    }

    /// Whether bodies in gzip are asked for and decoded. Default on: answers of APIs shrink to a fraction.
    ///
    /// `Accept-Encoding: gzip` is sent with requests that bring neither that header nor a `Range`. A response whose
    /// `Content-Encoding` is gzip is decoded and loses that header and its `Content-Length`, but not the answer to a
    /// HEAD, and no 204, 206 or 304. All limits and caps count decoded bytes; a stream that is cut or corrupt is a
    /// failed attempt.
    pub fn gzip(mut self, on: bool) -> ClientBuilder {
        self.transport.no_gzip = !on;
        self
    }

    /// Connects by this service in place of the network: Unix sockets, vsock, fixed addresses, a tunnel of your own, an
    /// in-memory pipe. Default TCP, with proxies and TLS.
    ///
    /// It gets scheme and authority of a URL and makes the whole connection, whatever the scheme: proxies are not asked,
    /// and TLS is the connector's own, as with every connector of hyper-util. HTTP/2 is spoken where the connection says
    /// that it was [agreed on](super::TokioStream::http2), or with [`Network::http2_only`]. The connect limit bounds each
    /// connect from its readiness on, and a connect that fails is an error of kind `Connect`, judged and repeated as any
    /// other. Connections are pooled as those of the network are.
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
    /// A connect is dropped at the connect limit, and where the runtime ends. One whose call was given up may go on, for
    /// the next call.
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

    /// Resolves host names by this service. Default the resolver of the system, on threads that a dead name server cannot
    /// exhaust.
    ///
    /// Its addresses are tried 250 ms apart, the families in turn, those that are known to be dead last, and up to 20 for a
    /// connection; their port is used where the URL has none. The connect limit bounds it, and
    /// what it fails with is an error of kind `Connect` in phase `Resolve`. Addresses in URLs are not looked up.
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
    /// Kind `Config`: what [`StackBuilder::build`] refuses, certificates or keys that cannot be read or do not belong
    /// together, a proxy that is no URL, a user agent that is no header value, a resolver, TLS or a proxy beside a connector,
    /// [`stack`](ClientBuilder::stack) beside a setting of it. The message names the values and the rule.
    pub fn build(self) -> Result<Client, Error> {
        self.build_by(Wall::default())
    }

    /// By this clock it is seen that the machine has slept.
    pub(super) fn build_by(self, wall: Wall) -> Result<Client, Error> {
        let stack = self.stack.settled()?;
        let transport = self.transport.build(stack.bounds()?.connect, wall)?;
        let background = stack.checks_in_background().then(Background::default);
        let teller = transport.teller();
        let stack = stack.build()?.layer(self.attempt_layers.over(transport));
        stack.in_flight().0.over(teller);
        let headers = (!self.headers.is_empty()).then(|| Arc::new(self.headers));
        Ok(Client { stack, headers, redirects: self.redirects, background })
    }
}
