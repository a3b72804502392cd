//! What stands beneath the middleware, as the service that the stack calls: borrowed for one call.

use super::cause::{flatten, is_own_timer};
use super::convert;
use super::redirects::sending;
use crate::body::Body;
use crate::error::Error;
use crate::health::HealthCheck;
use crate::longpoll::GRACE;
use crate::runtime::has;
use ::reqwest::Url;
use http::{Extensions, Request, Response};
use reqwest_middleware::Next;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};
use tower_service::Service;

/// What the caller gave with the request and every attempt gets.
pub(super) struct CallerRequest<'e> {
    /// As the caller wrote it, with what an `http::Uri` has no place for.
    url: Url,
    /// A request's own timeout replaces that of the client beneath. Ours is the one that ends the call.
    timeout: Option<Duration>,
    is_long_poll: bool,
    timed_out: AtomicBool,
    /// Attempts follow each other, so that nobody ever finds it locked.
    chain: Mutex<ChainInput<'e>>,
}

/// What goes into the rest of the chain.
struct ChainInput<'e> {
    extensions: &'e mut Extensions,
    /// Of the attempt that begins. In its future there would be room for it until the attempt is over.
    request: Option<::reqwest::Request>,
}

impl<'e> CallerRequest<'e> {
    pub(super) fn new(
        url: Url,
        timeout: Option<Duration>,
        is_long_poll: bool,
        extensions: &'e mut Extensions,
    ) -> CallerRequest<'e> {
        let timeout = timeout.map(|timeout| timeout.saturating_add(GRACE));
        let chain = Mutex::new(ChainInput { extensions, request: None });
        CallerRequest { url, timeout, is_long_poll, timed_out: AtomicBool::new(false), chain }
    }

    /// Whether it is a long poll that reqwest's own total timeout ended.
    pub(super) fn is_poll_that_timed_out(&self) -> bool {
        self.is_long_poll && self.timed_out.load(Ordering::Relaxed)
    }

    /// Where it was sent to.
    pub(super) fn into_url(self) -> Url {
        self.url
    }

    /// Sends one attempt, or a health check, through the rest of the chain.
    pub(super) fn send<'c>(
        &'c self,
        next: Next<'c>,
        mut request: Request<Body>,
    ) -> impl Future<Output = Result<Response<::reqwest::Body>, Error>> + Send + use<'c, 'e> {
        let is_check = request.extensions_mut().remove::<HealthCheck>().is_some();
        let begun = self.begin(request, is_check);
        async move {
            begun?;
            let mut input = self.locked();
            let ChainInput { extensions, request } = &mut *input;
            let Some(request) = request.take() else { unreachable!("each attempt begins with a request") };
            let mut none = Extensions::new();
            let extensions = if is_check { &mut none } else { &mut **extensions };
            let answer = has(sending(request, |request| next.run(request, extensions))).await?;
            answer.map(|response| convert::response_to(&self.url, response)).map_err(|error| {
                self.timed_out.fetch_or(is_own_timer(&error), Ordering::Relaxed);
                flatten(error)
            })
        }
    }

    /// Makes the request of an attempt, or of a health check.
    fn begin(&self, request: Request<Body>, is_check: bool) -> Result<(), Error> {
        convert::needs_runtime()?;
        let request = if is_check {
            convert::attempt(request)?
        } else {
            let mut request = convert::attempt_at(&self.url, request)?;
            if let Some(timeout) = self.timeout {
                *request.timeout_mut() = Some(timeout);
            }
            request
        };
        self.locked().request = Some(request);
        Ok(())
    }

    fn locked(&self) -> MutexGuard<'_, ChainInput<'e>> {
        self.chain.try_lock().unwrap_or_else(|_| unreachable!("the attempt before it is over"))
    }
}

/// The rest of the chain, as a function that sends a request through it. Clones are the same chain.
#[derive(Clone)]
pub(super) struct RestOfChain<F>(pub(super) F);

impl<F, T> Service<Request<Body>> for RestOfChain<F>
where
    F: Fn(Request<Body>) -> T,
    T: Future<Output = Result<Response<::reqwest::Body>, Error>>,
{
    type Response = Response<::reqwest::Body>;
    type Error = Error;
    type Future = T;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> T {
        (self.0)(request)
    }
}
