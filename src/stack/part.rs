//! The service of a layer that bounds no call by itself.

use crate::body::Body;
use crate::error::{BoxError, Error};
use crate::inflight::InFlight;
use crate::stack::bounds::Bounds;
use crate::stack::breakers::Breakers;
use crate::stack::call::ResponseFuture;
use crate::stack::events::Event;
use crate::stack::handle::Handle;
use crate::stack::service::Stack;
use http::{Request, Response};
use std::task::{Context, Poll};
use tokio::sync::broadcast;
use tower_service::Service;

/// A [`Stack`] with one part on, and without a deadline: what [`RetryLayer`](crate::stack::RetryLayer) and the other single
/// layers make.
///
/// A type of its own, so that the compiler can tell it from one whose every call ends: it is not
/// [`Bounded`](crate::Bounded), with a [`DeadlineLayer`](crate::stack::DeadlineLayer) around it the whole is.
#[derive(Clone, Debug)]
pub struct Part<S>(Stack<S>);

impl<S> Part<S> {
    pub(super) fn new(inner: S, handle: &Handle) -> Part<S> {
        Part(Stack::new(inner, handle))
    }

    /// The circuit breakers of all origins.
    pub fn breakers(&self) -> Breakers {
        self.0.breakers()
    }

    /// The calls in flight.
    pub fn in_flight(&self) -> InFlight {
        self.0.in_flight()
    }

    /// Everything that happens to the calls from now on: see [`StackLayer::subscribe`](crate::StackLayer::subscribe).
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }

    /// The longest that a call can take, and what nothing here bounds.
    pub fn bounds(&self) -> Bounds {
        self.0.bounds()
    }

    /// See [`Stack::keep_health_fresh`].
    ///
    /// # Errors
    /// Kind `Config` for a layer without a health path, and for a URL without host.
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
        self.0.keep_health_fresh(origin)
    }
}

impl<S, B, R> Service<Request<B>> for Part<S>
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

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.0.call(request)
    }
}
