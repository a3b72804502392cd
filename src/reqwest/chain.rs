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
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Mutex;
use tower_service::Service;

/// What the caller gave with the request and every attempt gets.
pub(super) struct CallerRequest<'e> {
    /// As the caller wrote it, with what an `http::Uri` has no place for.
    url: Url,
    /// A request's own timeout replaces that of the client beneath. Ours is the one that ends the call.
    timeout: Option<Duration>,
    /// Attempts follow each other, so that nobody ever waits for it.
    extensions: Mutex<&'e mut Extensions>,
    timed_out: AtomicBool,
}

impl<'e> CallerRequest<'e> {
    pub(super) fn new(
        url: Url,
        timeout: Option<Duration>,
        extensions: &'e mut Extensions,
    ) -> CallerRequest<'e> {
        let timeout = timeout.map(|timeout| timeout.saturating_add(GRACE));
        CallerRequest { url, timeout, extensions: Mutex::new(extensions), timed_out: AtomicBool::new(false) }
    }

    /// Whether reqwest's own total timeout ended an attempt.
    pub(super) fn timed_out(&self) -> bool {
        self.timed_out.load(Ordering::Relaxed)
    }
}

/// The rest of the chain. Clones are the same chain.
#[derive(Clone)]
pub(super) struct RestOfChain<'c, 'e> {
    next: Next<'c>,
    given: &'c CallerRequest<'e>,
}

impl<'c, 'e> RestOfChain<'c, 'e> {
    pub(super) fn new(next: Next<'c>, given: &'c CallerRequest<'e>) -> RestOfChain<'c, 'e> {
        RestOfChain { next, given }
    }
}

impl<'c> Service<Request<Body>> for RestOfChain<'c, '_> {
    type Response = Response<::reqwest::Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send + 'c>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let RestOfChain { next, given } = self.clone();
        Box::pin(async move {
            convert::needs_runtime()?;
            let is_check = request.extensions_mut().remove::<HealthCheck>().is_some();
            let answer = if !is_check {
                let mut request = convert::attempt_at(&given.url, request)?;
                if let Some(timeout) = given.timeout {
                    *request.timeout_mut() = Some(timeout);
                }
                let mut extensions = given.extensions.lock().await;
                has(sending(request, |request| next.run(request, &mut extensions))).await?
            } else {
                let request = convert::attempt(request)?;
                let mut extensions = Extensions::new();
                has(sending(request, |request| next.run(request, &mut extensions))).await?
            };
            answer.map(convert::response).map_err(|error| {
                given.timed_out.fetch_or(is_own_timer(&error), Ordering::Relaxed);
                flatten(error)
            })
        })
    }
}
