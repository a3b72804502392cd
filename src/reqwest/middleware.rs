//! The stack as a middleware.

use super::chain::{CallerRequest, RestOfChain};
use super::convert;
use crate::body::Body;
use crate::collect::Collect;
use crate::deadline::Deadline;
use crate::inflight::InFlight;
use crate::longpoll::LongPoll;
use crate::options::{CallOptions, Group, Idempotent, Label};
use crate::stack::{Bounds, Breakers, Event, StackLayer};
use ::reqwest::{Request, Response};
use async_trait::async_trait;
use http::Extensions;
use reqwest_middleware::{Error, Middleware, Next, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::broadcast;
use tower_layer::Layer;
use tower_service::Service;

/// A middleware that runs a [`StackLayer`] over whatever stands beneath it: put it first, so that middlewares after it
/// run once for each attempt, under its limits.
///
/// Clones, and all middlewares made from clones of one layer, share breakers, budgets and the table of calls.
///
/// ```
/// use unwedge::reqwest::ResilienceMiddleware;
///
/// # fn build(inner: reqwest::Client) {
/// let resilience = ResilienceMiddleware::default();
/// let breakers = resilience.breakers();
/// let client = reqwest_middleware::ClientBuilder::new(inner).with(resilience).build();
/// # }
/// ```
///
/// What goes in and out:
///
/// - [`Deadline`], [`CallOptions`], [`LongPoll`], [`Collect`], [`Group`], [`Label`] and [`Idempotent`] are taken from
///   `with_extension`.
/// - `timeout(d)` of a request is a deadline for the whole call, attempts and waits and body.
/// - A body in memory can be sent again without a copy of it; one that streams gets one attempt.
/// - The response has its URL, version, headers and extensions, and [`Attempts`](crate::Attempts) among them. Bodies up
///   to the `collect` limit are in memory; larger ones stream under guard.
/// - Middlewares beneath see and change the extensions of the caller in each attempt. A health check has none.
/// - Health checks are made by the calls that need one. For those in the background see
///   [`Stack::keep_health_fresh`](crate::Stack::keep_health_fresh) over [`Service`](super::Service).
///
/// # The client beneath
///
/// [`builder()`](super::builder) sets one up. One of your own should have a connect timeout, no total timeout (it ends
/// long polls; where that is noticed it is said once at warn), and no retries of its own
/// (`.retry(reqwest::retry::never())`): reqwest shows neither to a middleware, so nothing can be said beforehand.
///
/// # Errors
/// The error of a call is a middleware error that holds an [`Error`](crate::Error): [`cause`](super::cause) gets it
/// out. One of a body that streams comes out of the response as an error of reqwest's, and [`cause`](super::cause)
/// gets that out as well.
///
/// # Cancellation safety
/// A request may be dropped at any moment: see [`ResponseFuture`](crate::stack::ResponseFuture).
#[derive(Clone, Debug, Default)]
#[doc(alias = "Unwedge")]
pub struct ResilienceMiddleware {
    layer: StackLayer,
    said: Arc<AtomicBool>,
}

/// The middleware by the name of this crate, for chains in which the crate is what one looks for.
///
/// ```
/// # fn build(inner: reqwest::Client) {
/// let client = reqwest_middleware::ClientBuilder::new(inner).with(unwedge::reqwest::Unwedge::default()).build();
/// # }
/// ```
pub type Unwedge = ResilienceMiddleware;

impl ResilienceMiddleware {
    /// The circuit breakers of all origins.
    pub fn breakers(&self) -> Breakers {
        self.layer.breakers()
    }

    /// The calls in flight.
    pub fn in_flight(&self) -> InFlight {
        self.layer.in_flight()
    }

    /// Everything that happens to the calls from now on: see [`StackLayer::subscribe`].
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.layer.subscribe()
    }

    /// The longest that a call can take.
    pub fn bounds(&self) -> Bounds {
        self.layer.bounds()
    }

    /// Says once that a long poll has a total timeout of reqwest's against it.
    fn warn(&self, whose: &str) {
        if !self.said.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "{whose} ends long polls: leave it out, and bound the wait by LongPoll::up_to() (said once)"
            );
        }
    }

    /// The request as the stack takes it, and what else came with it. Not in the future of the call, which would have room
    /// for each form of the request until it is over.
    pub(super) fn prepare<'e>(
        &self,
        request: Request,
        extensions: &'e mut Extensions,
    ) -> Result<(http::Request<Body>, CallerRequest<'e>)> {
        let url = request.url().clone();
        let timeout = request.timeout().copied();
        let mut request = convert::request(request).map_err(Error::Reqwest)?;
        let options = request.extensions_mut();
        carry::<LongPoll>(extensions, options);
        carry::<Collect>(extensions, options);
        carry::<Label>(extensions, options);
        carry::<CallOptions>(extensions, options);
        carry::<Group>(extensions, options);
        carry::<Idempotent>(extensions, options);
        carry::<Deadline>(extensions, options);
        if let Some(timeout) = timeout {
            let own = Deadline::after(timeout);
            options.insert(options.get::<Deadline>().map_or(own, |said| own.min(*said)));
        }
        let is_long_poll = options.get::<LongPoll>().is_some();
        if is_long_poll && timeout.is_some() {
            self.warn("the timeout() of a request");
        }
        Ok((request, CallerRequest::new(url, timeout, is_long_poll, extensions)))
    }
}

impl From<StackLayer> for ResilienceMiddleware {
    fn from(layer: StackLayer) -> ResilienceMiddleware {
        ResilienceMiddleware { layer, said: Arc::default() }
    }
}

#[async_trait]
impl Middleware for ResilienceMiddleware {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let (request, given) = self.prepare(request, extensions)?;
        let send = |request| given.send(next.clone(), request);
        // In a box of its own: both fit into what an allocator has at hand for each thread (glibc: 1 032 bytes), and
        // together they do not.
        let answer = Box::pin(self.layer.layer(RestOfChain(send)).call(request)).await;
        if given.is_poll_that_timed_out() {
            self.warn("the timeout() of the reqwest client beneath");
        }
        match answer {
            Ok(response) => Ok(convert::hand_back(response, given.into_url())),
            Err(error) => Err(Error::middleware(error)),
        }
    }
}

/// What `with_extension` says goes before what the request itself brings.
fn carry<T: Clone + Send + Sync + 'static>(said: &Extensions, options: &mut Extensions) {
    if let Some(option) = said.get::<T>() {
        options.insert(option.clone());
    }
}
