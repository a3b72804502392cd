//! What one would build in place of the stack: by hand of tower's own parts and a circuit breaker, and of the layers of
//! tower-resilience. Each has a timeout of the call, retries, a breaker and a timeout of the attempt: no collected body, no
//! budget, no state by origin, nothing to look at.

use bytes::Bytes;
use futures_util::TryFutureExt;
use futures_util::future::MapErr;
use http::{Request, Response};
use http_body_util::Full;
use recloser::{AnyError, AsyncRecloser, Recloser, RecloserFuture};
use std::error::Error;
use std::fmt::Debug;
use std::future::Ready;
use std::task::{Context, Poll};
use std::time::Duration;
use tower::ServiceBuilder;
use tower::retry::{Policy, Retry};
use tower::timeout::Timeout;
use tower_resilience::circuitbreaker::{CircuitBreakerError, CircuitBreakerLayer};
use tower_resilience::retry::RetryLayer;
use tower_resilience::timelimiter::{TimeLimiterError, TimeLimiterLayer};
use tower_service::Service;

type Ask = Request<Full<Bytes>>;
type BoxError = Box<dyn Error + Send + Sync>;

pub(crate) const CALL: Duration = Duration::from_secs(30);
pub(crate) const ATTEMPT: Duration = Duration::from_secs(10);

/// tower's timeout and retry around a breaker of recloser's.
pub(crate) type ByHand<S> = Timeout<Retry<ThreeTimes, Broken<Timeout<S>>>>;

pub(crate) fn by_hand<S>(inner: S) -> ByHand<S> {
    let breaker = AsyncRecloser::from(Recloser::default());
    let attempt = Broken { breaker, inner: Timeout::new(inner, ATTEMPT) };
    Timeout::new(Retry::new(ThreeTimes(3), attempt), CALL)
}

/// Repeats what failed or was answered with 5xx, with a copy of the request.
#[derive(Clone)]
pub(crate) struct ThreeTimes(u32);

impl<B, E> Policy<Ask, Response<B>, E> for ThreeTimes {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Ask, result: &mut Result<Response<B>, E>) -> Option<Ready<()>> {
        let failed = result.as_ref().map_or(true, |response| response.status().is_server_error());
        if !failed || self.0 == 0 {
            return None;
        }
        self.0 -= 1;
        Some(std::future::ready(()))
    }

    fn clone_request(&mut self, request: &Ask) -> Option<Ask> {
        Some(request.clone())
    }
}

/// A service behind a circuit breaker.
#[derive(Clone)]
pub(crate) struct Broken<S> {
    breaker: AsyncRecloser,
    inner: S,
}

impl<S, R> Service<R> for Broken<S>
where
    S: Service<R, Error = BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = MapErr<RecloserFuture<S::Future, AnyError>, fn(recloser::Error<BoxError>) -> BoxError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let said: fn(recloser::Error<BoxError>) -> BoxError = |error| match error {
            recloser::Error::Inner(error) => error,
            recloser::Error::Rejected => "the circuit is open".into(),
        };
        self.breaker.call(self.inner.call(request)).map_err(said)
    }
}

/// The layers of tower-resilience, with their defaults where they have them.
pub(crate) fn of_resilience<S, B>(
    inner: S,
) -> impl Service<Ask, Response = Response<B>, Error: Debug + Send, Future: Send> + Clone + Send + 'static
where
    S: Service<Ask, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Debug + Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    let limited = TimeLimiterLayer::builder().timeout_duration(ATTEMPT).build();
    let breaker = CircuitBreakerLayer::builder().build().expect("the defaults fit together");
    let retry = RetryLayer::<Ask, Response<B>, CircuitBreakerError<TimeLimiterError<S::Error>>>::builder();
    let retry = retry.max_attempts(4).exponential_backoff(Duration::from_millis(100)).build();
    let whole = TimeLimiterLayer::builder().timeout_duration(CALL).build();
    ServiceBuilder::new().layer(whole).layer(retry).layer(breaker).layer(limited).service(inner)
}
