//! All parts in their order as one tower service.

mod background;
mod builder;
mod call;
mod claims;
mod gates;
mod layers;
pub(crate) mod origin_state;
mod pacing;
mod part;
mod shared;
mod stream;
mod wishes;
pub(crate) mod worst_case;

pub(crate) use call::hop::Hop;
#[cfg(feature = "client")]
pub(crate) use call::hop::is_redirect;
#[cfg(feature = "client")]
pub(crate) use call::timers::Drain;

pub use builder::StackBuilder;
pub use call::Call;
pub use layers::{
    AttemptLayer, CircuitBreakerLayer, DeadlineLayer, HealthCheckLayer, RetryLayer, StallLayer,
};
pub use origin_state::Breakers;
pub use part::Part;
pub use wishes::{RequestHead, Wishes};
pub use worst_case::WorstCase;

use crate::body::Body;
use crate::bounded::{Bounded, Sealed};
use crate::error::{BoxError, Error};
use crate::inflight::InFlight;
use crate::options::Group;
use crate::origin::table::Entry;
use http::{Request, Response};
use origin_state::OriginState;
use shared::Shared;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// Deadline, retry, circuit breaker, health check, attempt limit, collect and stall guard as one layer.
///
/// State belongs to the layer value: clones of one layer, and all services it is applied to, share breakers, budgets,
/// health verdicts and the in-flight table. Two layer values share nothing.
///
/// ```
/// use tower_layer::Layer;
/// use unwedge::StackLayer;
/// # #[derive(Clone)] struct Inner;
///
/// let layer = StackLayer::default();
/// let service = layer.layer(Inner);
/// ```
#[derive(Clone)]
pub struct StackLayer(Arc<Shared>);

impl StackLayer {
    /// A layer with settings of your own.
    pub fn builder() -> StackBuilder {
        StackBuilder::default()
    }

    /// The circuit breakers of all origins.
    pub fn breakers(&self) -> Breakers {
        Breakers::new(&self.0)
    }

    /// The calls in flight.
    pub fn in_flight(&self) -> InFlight {
        InFlight(Arc::clone(&self.0.shared.table))
    }

    /// The longest that a call can take.
    pub fn bounds(&self) -> WorstCase {
        self.0.shared.worst_case()
    }

    #[cfg(feature = "reqwest")]
    pub(crate) fn connect_limit(&self) -> std::time::Duration {
        self.0.shared.bounds.connect
    }
}

impl Default for StackLayer {
    /// All parts on with their defaults; no health check, since that needs a path.
    fn default() -> StackLayer {
        StackLayer(Arc::default())
    }
}

impl fmt::Debug for StackLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StackLayer").field(&self.0.shared).finish()
    }
}

impl<S> Layer<S> for StackLayer {
    type Service = Stack<S>;

    fn layer(&self, inner: S) -> Stack<S> {
        Stack::new(inner, &self.0)
    }
}

/// A service whose every call ends: what [`StackLayer`] and [`DeadlineLayer`] make, and so [`Bounded`].
///
/// It is always ready: the readiness of the inner service is awaited inside the call, under its deadline and after
/// admission, so that a refusal never holds a permit of the inner service.
///
/// The inner service must be [`Clone`]; each call polls a clone of its own.
///
/// It needs a tokio runtime with its timer on, of either flavour, as soon as a call has to wait.
///
/// # Errors
/// A response of any status is no error. [`ErrorKind`](crate::ErrorKind) lists what is; the kinds `Config`, `Open` and
/// a remembered `Unhealthy` say that nothing was sent for this call. Without a runtime a call that has to wait returns
/// kind `Config`.
///
/// # Cancellation safety
/// A call may be dropped at any moment: see [`Call`].
#[derive(Clone)]
pub struct Stack<S> {
    inner: S,
    hub: Arc<Shared>,
    /// The origin of the last call: most clients talk to one.
    last: Option<Arc<Entry<OriginState>>>,
}

impl<S> Stack<S> {
    fn new(inner: S, hub: &Arc<Shared>) -> Stack<S> {
        Stack { inner, hub: Arc::clone(hub), last: None }
    }

    /// The circuit breakers of all origins.
    pub fn breakers(&self) -> Breakers {
        Breakers::new(&self.hub)
    }

    /// The calls in flight.
    pub fn in_flight(&self) -> InFlight {
        InFlight(Arc::clone(&self.hub.shared.table))
    }

    /// The longest that a call can take.
    pub fn bounds(&self) -> WorstCase {
        self.hub.shared.worst_case()
    }
}

impl<S> Stack<S> {
    /// Keeps the health verdict on the origin of this URL fresh for as long as the future is polled, so that no caller
    /// waits for a check: health checks in the background. Spawn it, or poll it beside your work; it ends only with an
    /// error. `Client` does this by itself in mode [`Background`](crate::health::Mode::Background).
    ///
    /// While the circuit of the origin is open nothing is sent; while it is half-open a check is a probe and its success
    /// is recorded, so that the circuit closes although nobody calls. A failed check counts once for the circuit
    /// breaker. A [`HealthCheckLayer`] alone has no breaker to ask.
    ///
    /// # Errors
    /// Kind `Config` for a stack without a health path, and for a URL without host.
    ///
    /// # Cancellation safety
    /// Dropped in mid-check it leaves the verdict unknown, and the next caller checks.
    pub fn keep_health_fresh<B, R>(
        &self,
        origin: http::Uri,
    ) -> impl Future<Output = Result<(), Error>> + use<S, B, R>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone,
        S::Error: Into<BoxError>,
        B: 'static,
        R: http_body::Body + Unpin,
    {
        let (service, lane) = (self.inner.clone(), self.hub.lane(&origin, None));
        async move { background::keep_fresh(service, lane?, origin).await }
    }
}

impl<S> Sealed for Stack<S> {}
#[diagnostic::do_not_recommend]
impl<S> Bounded for Stack<S> {}

impl<S: Clone> Stack<S> {
    #[inline]
    fn lane<B>(&mut self, request: &mut Request<B>) -> Result<Arc<Entry<OriginState>>, Error> {
        if !self.hub.shared.asked.is_empty() {
            self.hub.shared.asked.ask(request);
        }
        let (uri, extensions) = (request.uri(), request.extensions());
        let group = if extensions.is_empty() { None } else { extensions.get::<Group>() };
        match &self.last {
            Some(last) if last.serves(uri, group) => Ok(Arc::clone(last)),
            _ => self.hub.lane(uri, group).inspect(|lane| self.last = Some(Arc::clone(lane))),
        }
    }

    /// A call that is one hop of a call which may be redirected.
    #[cfg(feature = "client")]
    #[inline]
    pub(crate) fn hop<B, R>(&mut self, mut request: Request<B>, hop: Hop) -> Call<S, B, R>
    where
        S: Service<Request<B>, Response = Response<R>>,
    {
        let lane = self.lane(&mut request);
        Call::new(self.inner.clone(), lane, request, hop)
    }
}

impl<S: fmt::Debug> fmt::Debug for Stack<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack").field("inner", &self.inner).field("shared", &self.hub.shared).finish()
    }
}

impl<S, B, R> Service<Request<B>> for Stack<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: 'static,
    R: http_body::Body + Send + Unpin + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = Call<S, B, R>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let lane = self.lane(&mut request);
        Call::new(self.inner.clone(), lane, request, Hop::default())
    }
}
