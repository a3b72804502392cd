//! One part each: the same service with only that part on, to compose in any `ServiceBuilder`.

use crate::deadline::Limits;
use crate::error::Error;
use crate::stack::breakers::Breakers;
use crate::stack::buffered::Buffered;
use crate::stack::builder::StackBuilder;
use crate::stack::context::Parts;
use crate::stack::handle::Handle;
use crate::stack::part::Part;
use crate::stack::service::{Stack, StackLayer};
use crate::{breaker, health, retry};
use http::Uri;
use std::fmt::Display;
use std::time::Duration;
use tower_layer::Layer;

macro_rules! layer {
    ($(#[$docs:meta])* $name:ident -> $service:ident) => {
        $(#[$docs])*
        ///
        /// Clones, and all services one value is applied to, share their state.
        #[derive(Clone, Debug)]
        pub struct $name(Handle);

        impl $name {
            /// Judges requests without an origin of their own by that of this URL: see
            /// [`StackLayer::origin`](crate::StackLayer::origin).
            ///
            /// # Errors
            /// Kind `Config` where the URL has no host or a scheme other than http and https.
            pub fn origin<U>(self, url: U) -> Result<$name, Error>
            where
                U: TryInto<Uri>,
                U::Error: Display,
            {
                self.0.with_origin(url).map($name)
            }
        }

        impl<S> Layer<S> for $name {
            type Service = $service<S>;

            fn layer(&self, inner: S) -> $service<S> {
                $service::new(inner, &self.0)
            }
        }
    };
}

layer! {
    /// A layer with a deadline for the whole call, up to the end of the collected body; a body that streams has 10 min.
    DeadlineLayer -> Stack
}

impl DeadlineLayer {
    /// A call takes at most `total`.
    ///
    /// # Errors
    /// Kind `Config` for zero and for more than 10 years.
    pub fn new(total: Duration) -> Result<DeadlineLayer, Error> {
        let stack = StackBuilder::default().limits(Limits::default().total(total));
        stack.build_parts(Parts { total: true, ..Parts::default() }).map(DeadlineLayer)
    }

    /// A call takes at most the `total` of these limits, and its body, where it streams, at most their `stream`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use unwedge::{Limits, stack::DeadlineLayer};
    ///
    /// let downloads = Limits::default().stream(Duration::from_secs(3600));
    /// let layer = DeadlineLayer::with_limits(downloads)?;
    /// # Ok::<(), unwedge::Error>(())
    /// ```
    ///
    /// # Errors
    /// Kind `Config` for zero and for more than 10 years.
    pub fn with_limits(limits: Limits) -> Result<DeadlineLayer, Error> {
        let stack = StackBuilder::default().limits(limits);
        stack.build_parts(Parts { total: true, ..Parts::default() }).map(DeadlineLayer)
    }
}

layer! {
    /// A layer with a limit for one attempt, including the collected body.
    AttemptLayer -> Part
}

impl AttemptLayer {
    /// An attempt takes at most `limit`.
    ///
    /// # Errors
    /// Kind `Config` for zero and for more than 10 years.
    pub fn new(limit: Duration) -> Result<AttemptLayer, Error> {
        let stack = StackBuilder::default().limits(Limits::default().total(limit).attempt(limit));
        stack.build_parts(Parts { attempt: true, ..Parts::default() }).map(AttemptLayer)
    }
}

layer! {
    /// A layer for retries with back-off, budget and `Retry-After`. Bodies up to 1 MiB are read inside the attempt, so that a
    /// broken body is retried. It sets no limit on an attempt that hangs: see [`AttemptLayer`].
    RetryLayer -> Part
}

impl RetryLayer {
    /// Retries by these settings.
    ///
    /// # Errors
    /// Kind `Config` where the settings do not fit together.
    pub fn new(settings: retry::Settings) -> Result<RetryLayer, Error> {
        let stack = StackBuilder::default().retry(settings);
        stack.build_parts(Parts { retry: true, ..Parts::default() }).map(RetryLayer)
    }
}

layer! {
    /// A layer with a circuit breaker per origin.
    CircuitBreakerLayer -> Part
}

impl CircuitBreakerLayer {
    /// Breakers with these settings. Defaults that depend on the attempt limit assume 10 s.
    ///
    /// # Errors
    /// Kind `Config` where the settings do not fit together.
    pub fn new(settings: breaker::Settings) -> Result<CircuitBreakerLayer, Error> {
        let stack = StackBuilder::default().breaker(settings);
        stack.build_parts(Parts { breaker: true, ..Parts::default() }).map(CircuitBreakerLayer)
    }

    /// The circuit breakers of all origins.
    pub fn breakers(&self) -> Breakers {
        Breakers::new(&self.0.shared)
    }
}

layer! {
    /// A layer with a health check before the call, one for all callers of an origin. It is sent through the inner service.
    HealthCheckLayer -> Part
}

impl HealthCheckLayer {
    /// Health checks by these settings, or at this path.
    ///
    /// # Errors
    /// Kind `Config` for a path without a slash and for impossible durations.
    pub fn new(settings: impl Into<health::Settings>) -> Result<HealthCheckLayer, Error> {
        let stack = StackBuilder::default().health(settings);
        stack.build_parts(Parts { health: true, ..Parts::default() }).map(HealthCheckLayer)
    }
}

layer! {
    /// A layer with limits for response bodies: `idle`, `stream`, and `min_progress` if it is set.
    StallLayer -> Part
}

impl StallLayer {
    /// Bodies by the `idle`, `stream`, `collect` and `min_progress` of these limits.
    ///
    /// # Errors
    /// Kind `Config` for zero and for more than 10 years.
    pub fn new(limits: Limits) -> Result<StallLayer, Error> {
        let stack = StackBuilder::default().limits(limits);
        stack.build_parts(Parts { stall: true, ..Parts::default() }).map(StallLayer)
    }
}

impl StackLayer {
    /// The same layer for a service that is not [`Clone`], a boxed one for example: all calls share it. See
    /// [`Buffered`](crate::stack::Buffered).
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use tower::util::BoxService;
    /// use tower_layer::Layer;
    /// use unwedge::{Body, StackLayer};
    ///
    /// # type Request = http::Request<Body>;
    /// # type Response = http::Response<Body>;
    /// # let service = tower::service_fn(|_: Request| async { Ok::<_, Infallible>(Response::default()) });
    /// let boxed: BoxService<Request, Response, Infallible> = BoxService::new(service);
    /// let bounded = StackLayer::default().buffered().layer(boxed);
    /// let another = bounded.clone();
    /// ```
    #[doc(alias("boxed", "BoxService"))]
    pub fn buffered(self) -> BufferedLayer {
        BufferedLayer(self)
    }
}

/// A [`StackLayer`] for services that are not [`Clone`], such as the boxed service of kube: what
/// [`StackLayer::buffered`] gives.
#[derive(Clone, Debug)]
pub struct BufferedLayer(StackLayer);

impl<S> Layer<S> for BufferedLayer {
    type Service = Stack<Buffered<S>>;

    fn layer(&self, inner: S) -> Stack<Buffered<S>> {
        self.0.layer(Buffered::new(inner))
    }
}
