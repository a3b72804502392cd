//! A reqwest client that is fit to stand beneath the stack, and the stack over it.

use super::renewed::Renewed;
use super::transport::Transport;
use super::{ResilienceMiddleware, Service, redirects};
use crate::deadline::{Limits, Resolved};
use crate::error::Error;
use crate::longpoll::GRACE;
use crate::stack::StackLayer;
use crate::suspend::WallClock;
#[cfg(feature = "reqwest-rustls")]
use crate::tls::Tls;
use ::reqwest::retry;
use reqwest_middleware::ClientWithMiddleware;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// As the `Client` of this crate has it: what an idle connection waits before it is probed, and between probes.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const PROBES: u32 = 3;
/// How long sent bytes may stay unacknowledged before the kernel gives the connection up (Linux).
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// Shorter than the idle time-outs of most servers and middleboxes, of which 60 s is the shortest common one.
const IDLE: Duration = Duration::from_secs(50);
/// A quarter of the descriptors that a process has by default. reqwest closes what is idle beyond it, and the next of so many
/// calls at a time have to connect again, which costs several times what a call does.
const IDLE_PER_ORIGIN: usize = 256;

const USER_AGENT: &str = concat!("unwedge/", env!("CARGO_PKG_VERSION"));

type Change = Box<dyn FnOnce(::reqwest::ClientBuilder) -> ::reqwest::ClientBuilder + Send>;
type EachChange = Arc<dyn Fn(::reqwest::ClientBuilder) -> ::reqwest::ClientBuilder + Send + Sync>;

/// The settings of a `ClientWithMiddleware` under a stack.
///
/// ```
/// use std::time::Duration;
/// use unwedge::{Limits, StackLayer};
///
/// let stack = StackLayer::builder().limits(Limits::default().total(Duration::from_secs(60))).build()?;
/// let client = unwedge::reqwest::builder()
///     .stack(stack.clone())
///     .each_inner(|inner| inner.user_agent("agent/1.0"))
///     .build()?;
/// let breakers = stack.breakers();
/// # Ok::<(), unwedge::Error>(())
/// ```
///
/// The inner client has a connect timeout (`connect` of [`Limits`](crate::Limits): name, TCP, proxy and TLS), TCP
/// keep-alive (15 s, 15 s, 3), a TCP user timeout on Linux (30 s), HTTP/2 pings (30 s, 15 s), at most 256 idle
/// connections per origin for 50 s, no total timeout and no retries of its own; redirects as the
/// [module](crate::reqwest) says. TLS, roots, identity and proxies are reqwest's own, with whatever `inner` sets of them:
/// feature `reqwest-rustls` turns on rustls and HTTP/2 of reqwest, feature `reqwest` no feature at all, and then the
/// program's own entry for reqwest says what there is. (The pings of HTTP/2 need `reqwest-rustls`.)
#[derive(Default)]
#[must_use]
pub struct ClientBuilder {
    stack: Option<StackLayer>,
    name: Option<Arc<str>>,
    transport: Transport,
    inner: Option<Change>,
    each: Option<EachChange>,
    pub(super) wall: WallClock,
}

impl ClientBuilder {
    /// The stack. Keep a clone for its [`breakers`](StackLayer::breakers) and calls [`in_flight`](StackLayer::in_flight).
    pub fn stack(mut self, stack: StackLayer) -> ClientBuilder {
        self.stack = Some(stack);
        self
    }

    /// What this client is called where there are several, on the status page, in the log and in metrics: see
    /// [`StackBuilder::name`](crate::stack::StackBuilder::name). Default a number. A [`stack`](ClientBuilder::stack) of
    /// your own has its name already, and to give both is an error.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> ClientBuilder {
        self.name = Some(name.into());
        self
    }

    /// The stack, where one was given.
    ///
    /// ```
    /// let builder = unwedge::reqwest::builder().name("scheduler");
    /// assert!(builder.get_stack().is_none() && builder.get_name() == Some("scheduler"));
    /// ```
    pub fn get_stack(&self) -> Option<&StackLayer> {
        self.stack.as_ref()
    }

    /// What this client is called, where it was said here.
    pub fn get_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Root certificates and identity, in place of whatever `inner` sets of TLS. Default what `inner` sets: the roots of the
    /// platform, and no identity.
    ///
    /// What stands in files is read when the inner client is made: by `build`, and again after the machine has slept. What
    /// has to be renewed meanwhile takes a [`Tls::config`] with a verifier or a `ResolvesClientCert` of its own.
    ///
    /// ```
    /// # fn build(root: &str, certificate: &str, key: &str) -> Result<(), unwedge::Error> {
    /// use unwedge::reqwest::Tls;
    ///
    /// let tls = Tls::default().add_root_certificate(root).identity(certificate, key);
    /// let client = unwedge::reqwest::builder().tls(tls).build()?;
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "reqwest-rustls")]
    pub fn tls(mut self, tls: Tls) -> ClientBuilder {
        self.transport.tls = Some(tls);
        self
    }

    /// Root certificates and identity, where they were said here.
    ///
    /// ```
    /// use unwedge::reqwest::Tls;
    ///
    /// let builder = unwedge::reqwest::builder().tls(Tls::default().roots_file("roots.pem"));
    /// assert_eq!(builder.get_tls().map(|tls| tls.get_roots_file().len()), Some(1));
    /// ```
    #[cfg(feature = "reqwest-rustls")]
    pub fn get_tls(&self) -> Option<&Tls> {
        self.transport.tls.as_ref()
    }

    /// Changes the settings of the inner client, after those of this crate; more than one change is made in turn.
    ///
    /// Set no `timeout` (it ends long polls and downloads) and no `retry` here: the stack has both.
    ///
    /// This is called again for each new inner client, which is made when the machine has slept: see the
    /// [module](crate::reqwest). Clone what the settings take: certificates, an identity, a resolver.
    ///
    /// ```
    /// # fn build(corporate: reqwest::Proxy) -> Result<(), unwedge::Error> {
    /// let client = unwedge::reqwest::builder().each_inner(move |inner| inner.proxy(corporate.clone())).build()?;
    /// # Ok(()) }
    /// ```
    pub fn each_inner(
        mut self,
        change: impl Fn(::reqwest::ClientBuilder) -> ::reqwest::ClientBuilder + Send + Sync + 'static,
    ) -> ClientBuilder {
        self.each = Some(match self.each.take() {
            None => Arc::new(change),
            Some(first) => Arc::new(move |inner| change(first(inner))),
        });
        self
    }

    /// The same for settings that can be given once, such as a redirect policy: the change is made after those of
    /// [`each_inner`](ClientBuilder::each_inner), and the client keeps its inner one for good, with what idle connections
    /// it has when the machine has slept.
    pub fn inner(
        mut self,
        change: impl FnOnce(::reqwest::ClientBuilder) -> ::reqwest::ClientBuilder + Send + 'static,
    ) -> ClientBuilder {
        self.inner = Some(match self.inner.take() {
            None => Box::new(change),
            Some(first) => Box::new(move |inner| change(first(inner))),
        });
        self
    }

    /// The client. For further middlewares, which then run in each attempt beneath the limits (signatures, trace headers),
    /// go on from [`reqwest_middleware::ClientBuilder::from_client`]: the chain of reqwest-middleware is what
    /// `ClientBuilder::attempt_layer` is to the `Client` of this crate.
    ///
    /// ```
    /// use reqwest_middleware::{ClientBuilder, Middleware, Next, Result};
    ///
    /// struct Sign;
    ///
    /// #[async_trait::async_trait]
    /// impl Middleware for Sign {
    ///     async fn handle(
    ///         &self,
    ///         mut request: reqwest::Request,
    ///         extensions: &mut http::Extensions,
    ///         next: Next<'_>,
    ///     ) -> Result<reqwest::Response> {
    ///         request.headers_mut().insert("x-signature", http::HeaderValue::from_static("of this attempt"));
    ///         next.run(request, extensions).await
    ///     }
    /// }
    ///
    /// let client = ClientBuilder::from_client(unwedge::reqwest::builder().build()?).with(Sign).build();
    /// # Ok::<(), unwedge::Error>(())
    /// ```
    ///
    /// # Errors
    /// Kind `Config` where reqwest refuses the settings of the inner client, and for a name that cannot be one.
    pub fn build(mut self) -> Result<ClientWithMiddleware, Error> {
        let stack = match (self.stack.take(), self.name.take()) {
            (None, None) => StackLayer::default(),
            (None, Some(name)) => StackLayer::builder().name(name).build()?,
            (Some(stack), None) => stack,
            (Some(_), Some(name)) => {
                return Err(Error::config(format!(
                    "stack(..) and name({name:?}) were given: a stack has a name of its own, say it there (StackBuilder::name)"
                )));
            }
        };
        let (inner, renewed) = ClientBuilder { stack: Some(stack.clone()), ..self }.made()?;
        let mut client =
            reqwest_middleware::ClientBuilder::new(inner).with(ResilienceMiddleware::from(stack));
        if let Some(renewed) = renewed {
            client = client.with_init(renewed);
        }
        Ok(client.build())
    }

    /// The inner client as a tower service, to stand under a [`StackLayer`]. It is a new one when the machine has slept,
    /// which a [`Service`](super::Service) over [`inner_client`](ClientBuilder::inner_client) cannot be.
    ///
    /// ```
    /// use tower_layer::Layer;
    /// use unwedge::StackLayer;
    ///
    /// let stack = StackLayer::default();
    /// let service = stack.layer(unwedge::reqwest::builder().stack(stack.clone()).service()?);
    /// # Ok::<(), unwedge::Error>(())
    /// ```
    ///
    /// # Errors
    /// Kind `Config` where reqwest refuses its settings, and for a [`name`](ClientBuilder::name), which is the stack's.
    pub fn service(self) -> Result<Service, Error> {
        self.refuse_name("service()")?;
        let (inner, renewed) = self.made()?;
        Ok(Service { inner, renewed })
    }

    /// The inner client alone, for a chain of middlewares of your own or for [`Service`](super::Service).
    ///
    /// No stack bounds its calls, so reqwest's own timeouts do: any silence ends at the ceiling of long polls
    /// ([`Limits::long_poll`] and 5 s; 10 min 5 s), a whole call with its body at that and
    /// [`Limits::stream`] (20 min 5 s). Both leave room for whatever a stack above it lets pass, but for
    /// [`LongPoll::unbounded`](crate::LongPoll::unbounded); `inner` changes them. What it lacks is everything else: attempts,
    /// a deadline over them, circuit breaker, health check, collected bodies.
    ///
    /// # Errors
    /// Kind `Config` where reqwest refuses its settings, and for a [`name`](ClientBuilder::name), which is the stack's.
    pub fn inner_client(self) -> Result<::reqwest::Client, Error> {
        self.refuse_name("inner_client()")?;
        let limits = self.limits_in_force()?;
        let (silence, whole) = (limits.long_poll + GRACE, limits.long_poll + GRACE + limits.stream);
        let each = self.each.clone();
        let bounded = ClientBuilder { each: None, ..self };
        let bounded = bounded.each_inner(move |inner| {
            let inner = inner.read_timeout(silence).timeout(whole);
            match &each {
                Some(change) => change(inner),
                None => inner,
            }
        });
        Ok(bounded.made()?.0)
    }

    fn limits_in_force(&self) -> Result<Resolved, Error> {
        match &self.stack {
            Some(stack) => Ok(stack.limits_in_force()),
            None => Limits::default().resolve(),
        }
    }

    /// A name that nothing would be called by.
    fn refuse_name(&self, made: &str) -> Result<(), Error> {
        match &self.name {
            None => Ok(()),
            Some(name) => Err(Error::config(format!(
                "name({name:?}) and {made} were given: a name is the stack's, say it there (StackBuilder::name)"
            ))),
        }
    }

    /// The inner client, and how it is made anew where it can be.
    fn made(self) -> Result<(::reqwest::Client, Option<Renewed>), Error> {
        let connect = self.limits_in_force()?.connect;
        let ClientBuilder { inner: once, each, wall, transport, .. } = self;
        let is_once = once.is_some();
        let inner = made(connect, &transport, each.as_ref(), once)?;
        let renewed =
            (!is_once).then(|| Renewed::new(wall, move || made(connect, &transport, each.as_ref(), None)));
        Ok((inner, renewed))
    }
}

#[allow(clippy::disallowed_methods, reason = "the stack around it bounds every call")]
fn made(
    connect: Duration,
    transport: &Transport,
    each: Option<&EachChange>,
    once: Option<Change>,
) -> Result<::reqwest::Client, Error> {
    let inner = ::reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(connect)
        .tcp_nodelay(true)
        .tcp_keepalive(KEEP_ALIVE)
        .tcp_keepalive_interval(KEEP_ALIVE)
        .tcp_keepalive_retries(PROBES)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_PER_ORIGIN)
        .referer(false)
        .redirect(redirects::policy())
        .retry(retry::never());
    let inner = transport.apply(inner)?;
    #[cfg(target_os = "linux")]
    let inner = inner.tcp_user_timeout(UNACKNOWLEDGED);
    let inner = match each {
        Some(change) => change(inner),
        None => inner,
    };
    let inner = match once {
        Some(change) => change(inner),
        None => inner,
    };
    inner.build().map_err(|error| {
        let mut cause: &dyn std::error::Error = &error;
        while let Some(below) = cause.source() {
            cause = below;
        }
        let detail = format!("the inner reqwest client cannot be built: {cause}");
        Error::config(detail).with_source(error)
    })
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("stack", &self.stack)
            .field("name", &self.name)
            .field("transport", &self.transport)
            .field("each_inner", &self.each.is_some())
            .field("inner", &self.inner.is_some())
            .finish()
    }
}
