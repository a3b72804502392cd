//! The service that all parts are fused into, and the layer of them all.

use crate::body::Body;
use crate::bounded::{Bounded, Sealed};
use crate::error::{BoxError, Error};
use crate::inflight::InFlight;
use crate::options::Group;
use crate::origin::table::Entry;
use crate::stack::background;
use crate::stack::bounds::Bounds;
use crate::stack::breakers::Breakers;
use crate::stack::call::ResponseFuture;
use crate::stack::call::hop::Hop;
use crate::stack::events::Event;
use crate::stack::handle::Handle;
use crate::stack::origin_state::OriginState;
use http::{Request, Response, Uri};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::broadcast;
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
#[doc(alias = "middleware")]
pub struct StackLayer(Handle);

impl StackLayer {
    pub(super) fn new(handle: Handle) -> StackLayer {
        StackLayer(handle)
    }

    /// The circuit breakers of all origins.
    pub fn breakers(&self) -> Breakers {
        Breakers::new(&self.0.shared)
    }

    /// The calls in flight.
    pub fn in_flight(&self) -> InFlight {
        InFlight(Arc::clone(&self.0.shared.context.table))
    }

    /// Everything that happens to the calls of this stack from now on: attempts, retries, refusals and ends. See [`Event`].
    ///
    /// A receiver that falls 1 024 events behind loses the oldest and is told how many
    /// ([`Lagged`](tokio::sync::broadcast::error::RecvError::Lagged)); no call waits for it. It ends with the last handle to
    /// the stack. While nobody listens a call only looks at a flag.
    ///
    /// Changes of circuits are told by [`Breakers::subscribe`]; health checks are no calls and told by neither.
    ///
    /// ```
    /// use unwedge::stack::EventKind;
    ///
    /// # async fn count(stack: unwedge::StackLayer) {
    /// let mut events = stack.subscribe();
    /// while let Ok(event) = events.recv().await {
    ///     if let EventKind::Retry { cause, delay, .. } = &event.kind {
    ///         println!("{}: {} {} again in {delay:?} after {cause}", event.client, event.method, event.origin);
    ///     }
    /// }
    /// # }
    /// ```
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.shared.context.listeners.subscribe()
    }

    /// The longest that a call can take.
    pub fn bounds(&self) -> Bounds {
        Bounds::of(&self.0.shared.context)
    }

    /// The same layer for requests that do not say whom they are for: those of a client whose inner service adds host and
    /// scheme, as the `base_uri_layer` of kube, octocrab or a tonic channel do. A request whose URL has no host is judged
    /// by the origin of this one, and passed on as it is. Default none: such a request is an error of kind `Config`.
    ///
    /// What follows host and port of the URL is left out. State is shared with the layer that this one was made of, so
    /// that each of several clients can have an origin of its own above the same breakers.
    ///
    /// ```
    /// use unwedge::StackLayer;
    ///
    /// let layer = StackLayer::default().origin("https://api.example.com")?;
    /// # Ok::<(), unwedge::Error>(())
    /// ```
    ///
    /// # Errors
    /// Kind `Config` where the URL has no host or a scheme other than http and https.
    #[doc(alias("base_url", "base_uri"))]
    pub fn origin<U>(self, url: U) -> Result<StackLayer, Error>
    where
        U: TryInto<Uri>,
        U::Error: fmt::Display,
    {
        self.0.with_origin(url).map(StackLayer)
    }

    #[cfg(feature = "reqwest")]
    pub(crate) fn limits_in_force(&self) -> crate::deadline::Resolved {
        self.0.shared.context.bounds.clone()
    }
}

impl fmt::Debug for StackLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StackLayer").field(&self.0.shared.context).finish()
    }
}

impl<S> Layer<S> for StackLayer {
    type Service = Stack<S>;

    fn layer(&self, inner: S) -> Stack<S> {
        Stack::new(inner, &self.0)
    }
}

/// A service whose every call ends: what [`StackLayer`] and [`DeadlineLayer`](crate::stack::DeadlineLayer) make, and so [`Bounded`].
///
/// It is always ready: the readiness of the inner service is awaited inside the call, under its deadline and after
/// admission, so that a refusal never holds a permit of the inner service.
///
/// The inner service must be [`Clone`]; each call polls a clone of its own. One that is not is shared by
/// [`StackLayer::buffered`].
///
/// It needs a tokio runtime with its timer on, of either flavour, as soon as a call has to wait.
///
/// # Errors
/// A response of any status is no error. [`ErrorKind`](crate::ErrorKind) lists what is; the kinds `Config`, `Open` and
/// a remembered `Unhealthy` say that nothing was sent for this call. Without a runtime a call that has to wait returns
/// kind `Config`.
///
/// # Cancellation safety
/// A call may be dropped at any moment: see [`ResponseFuture`].
#[derive(Clone)]
pub struct Stack<S> {
    inner: S,
    handle: Handle,
    /// The origin of the last call: most clients talk to one.
    last: Option<Arc<Entry<OriginState>>>,
}

impl<S> Stack<S> {
    pub(super) fn new(inner: S, handle: &Handle) -> Stack<S> {
        Stack { inner, handle: handle.clone(), last: None }
    }

    /// The circuit breakers of all origins.
    pub fn breakers(&self) -> Breakers {
        Breakers::new(&self.handle.shared)
    }

    /// The calls in flight.
    pub fn in_flight(&self) -> InFlight {
        InFlight(Arc::clone(&self.handle.shared.context.table))
    }

    /// Everything that happens to the calls from now on: see [`StackLayer::subscribe`].
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.handle.shared.context.listeners.subscribe()
    }

    /// The longest that a call can take.
    pub fn bounds(&self) -> Bounds {
        Bounds::of(&self.handle.shared.context)
    }
}

impl<S> Stack<S> {
    /// Keeps the health verdict on the origin of this URL fresh for as long as the future is polled, so that no caller
    /// waits for a check: health checks in the background. Spawn it, or poll it beside your work; it ends only with an
    /// error. `Client` does this by itself in mode [`Background`](crate::health::Mode::Background).
    ///
    /// While the circuit of the origin is open nothing is sent; while it is half-open a check is a probe and its success
    /// is recorded, so that the circuit closes although nobody calls. A failed check counts once for the circuit
    /// breaker. A [`HealthCheckLayer`](crate::stack::HealthCheckLayer) alone has no breaker to ask.
    ///
    /// # Errors
    /// Kind `Config` for a stack without a health path, and for a URL without host.
    ///
    /// # Cancellation safety
    /// Dropped in mid-check it leaves the verdict unknown, and the next caller checks.
    pub fn keep_health_fresh<B, R>(
        &self,
        origin: Uri,
    ) -> impl Future<Output = Result<(), Error>> + use<S, B, R>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone,
        S::Error: Into<BoxError>,
        B: 'static,
        R: http_body::Body + Unpin,
    {
        let (service, origin_state) = (self.inner.clone(), self.handle.shared.origin_state(&origin, None));
        async move { background::keep_fresh(service, origin_state?, origin).await }
    }
}

impl<S> Sealed for Stack<S> {}
#[diagnostic::do_not_recommend]
impl<S> Bounded for Stack<S> {}

impl<S: Clone> Stack<S> {
    #[inline]
    fn origin_state<B>(&self, request: &mut Request<B>) -> Result<Arc<Entry<OriginState>>, Error> {
        if !self.handle.shared.context.asked.is_empty() {
            self.handle.shared.context.asked.ask(request);
        }
        let (uri, extensions) = (self.handle.of(request.uri()), request.extensions());
        let group = if extensions.is_empty() { None } else { extensions.get::<Group>() };
        match &self.last {
            Some(last) if last.serves(uri, group) => Ok(Arc::clone(last)),
            _ => self.handle.shared.origin_state(uri, group),
        }
    }

    /// One hop of a call that may be redirected.
    #[cfg(feature = "client")]
    #[inline]
    pub(crate) fn hop<B, R>(&self, mut request: Request<B>, hop: Hop) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>, Response = Response<R>>,
    {
        let origin_state = self.origin_state(&mut request);
        ResponseFuture::new(self.inner.clone(), origin_state, request, hop)
    }
}

impl<S: fmt::Debug> fmt::Debug for Stack<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack")
            .field("inner", &self.inner)
            .field("shared", &self.handle.shared.context)
            .finish()
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
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let origin_state = self.origin_state(&mut request);
        if let Ok(found) = &origin_state {
            if !self.last.as_ref().is_some_and(|last| Arc::ptr_eq(last, found)) {
                self.last = Some(Arc::clone(found));
            }
        }
        ResponseFuture::new(self.inner.clone(), origin_state, request, Hop::default())
    }
}
