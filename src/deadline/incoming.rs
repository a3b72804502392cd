//! The server side: a scope from the time that the caller says is left.

mod settings;

pub use settings::{AttemptNumber, Incoming};

use super::header::{LATE, Late};
use super::oneshot::{Ended, Oneshot};
use super::turn::{Fastest, Turn};
use super::{Deadline, Within};
use crate::Error;
use crate::sync::{Mutex, lock};
use http::{Request, Response, StatusCode};
use pin_project::pin_project;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

/// Gives every request the [`Deadline`] that its caller sent along, and refuses what comes too late.
///
/// A `tower` layer for servers (axum's `Router::layer`, a hyper service), the other end of
/// `StackBuilder::propagate_deadline`. The inner service runs in a scope: [`Deadline::current`] is the caller's
/// deadline, every call of this crate made in there can only shorten it, and hands what is left on. It is also a
/// request extension, for handlers that spawn: `deadline.scope(work)`.
///
/// A caller can only shorten. No header, garbage, a negative or an endless number leave the request as it is, under
/// [`at_most`](Incoming::at_most) if there is one; ten years are the most that anybody gets.
///
/// | answer | when | `x-request-late` |
/// | --- | --- | --- |
/// | 504, the inner service is not called | no time was left, or less than [`refuse_below`](Incoming::refuse_below), on arrival or when its turn came | `refused; left-ms=3; least-ms=20` |
/// | 504 of a handler that asked for its [`turn`](super::turn()) | the same, behind the handler's own wait | `refused; left-ms=3; least-ms=20` |
/// | 504, the inner future is dropped where it stands | the time ran out before there was a response head | `cut-off; limit-ms=500` |
/// | 500 | the time had to be kept outside of a tokio runtime | |
///
/// The body of these answers is the default of its type, an empty one; the error type stays that of the inner service,
/// so that the layer fits where only [`Infallible`](std::convert::Infallible) does. A body that streams after its head
/// was given is not cut off.
///
/// # Queues
/// The time counts from the moment this layer sees the request: put it outside of what queues, or the wait is not
/// counted. In an overload it must be asked again when the turn of the request comes, or most work is done for callers
/// that have gone: the layer asks when an inner service that was busy becomes ready, a second layer placed behind a
/// queue asks when it is called, and a handler that waits by itself asks with [`turn`](super::turn()).
///
/// A client of this crate takes `refused` for what it is: nothing is held against the server, and nothing is repeated,
/// since the next attempt has no more time.
///
/// ```
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use std::convert::Infallible;
/// use std::time::Duration;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
/// use unwedge::Deadline;
/// use unwedge::deadline::{Incoming, IncomingLayer};
///
/// async fn handler(_: Request<()>) -> Result<Response<Full<&'static [u8]>>, Infallible> {
///     assert!(Deadline::current().is_some());
///     Ok(Response::new(Full::from(&b"done"[..])))
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let late = Incoming::default().refuse_below(Duration::from_millis(20));
/// let service = ServiceBuilder::new().layer(IncomingLayer::new(late)?).service(service_fn(handler));
///
/// let request = |ms| Request::builder().header("x-request-timeout-ms", ms).body(());
/// assert_eq!(service.clone().oneshot(request("1500")?).await?.status(), 200);
/// let refused = service.oneshot(request("3")?).await?;
/// assert_eq!(refused.status(), 504);
/// assert_eq!(refused.headers()["x-request-late"], "refused; left-ms=3; least-ms=20");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
#[doc(alias("deadline_propagation", "grpc_timeout"))]
pub struct IncomingLayer(Arc<Shared>);

/// The settings, and what all services of one layer have learned.
#[derive(Debug)]
struct Shared {
    settings: Incoming,
    began: Instant,
    fastest: Mutex<Fastest>,
}

impl Default for Shared {
    fn default() -> Shared {
        Shared { settings: Incoming::default(), began: Instant::now(), fastest: Mutex::default() }
    }
}

impl Shared {
    fn turn(&self, arrived: Instant, now: Instant) -> Turn {
        let fastest = lock(&self.fastest).get(now.saturating_duration_since(self.began));
        Turn::new(arrived, now, self.settings.least, fastest)
    }

    fn answered(&self, took: Duration, now: Instant) {
        lock(&self.fastest).note(now.saturating_duration_since(self.began), took);
    }
}

/// When the first of these layers saw the request.
#[derive(Clone, Copy)]
struct Arrived(Instant);

impl IncomingLayer {
    /// A layer by these settings.
    ///
    /// # Errors
    /// Kind `Config`: impossible durations, a request refused below more than it may take at most, two headers of one
    /// name. The message names the values and the rule.
    pub fn new(settings: Incoming) -> Result<IncomingLayer, Error> {
        settings.check()?;
        Ok(IncomingLayer(Arc::new(Shared { settings, ..Shared::default() })))
    }
}

impl<S> Layer<S> for IncomingLayer {
    type Service = IncomingService<S>;

    fn layer(&self, inner: S) -> IncomingService<S> {
        IncomingService { inner, shared: Arc::clone(&self.0) }
    }
}

/// The service of [`IncomingLayer`]: always ready, so that a refusal holds no place in the inner service. That one is
/// waited for inside the call, under the deadline.
#[derive(Clone, Debug)]
pub struct IncomingService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, B, R> Service<Request<B>> for IncomingService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = IncomingFuture<S, B, R>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Incoming { headers, most, .. } = &self.shared.settings;
        let now = Instant::now();
        if let Some(number) = headers.number(request.headers()) {
            request.extensions_mut().insert(AttemptNumber::new(number));
        }
        let Arrived(arrived) = *request.extensions_mut().get_or_insert_with(|| Arrived(now));
        let said = headers.left(request.headers());
        let own = match (said, *most) {
            (Some(said), Some(most)) => Some(said.min(most)),
            (said, most) => said.or(most),
        };
        // What a layer in front of a queue found counts on, as does a scope: time spent waiting is not given back.
        let earlier = Deadline::earlier(request.extensions().get().copied(), Deadline::current());
        let deadline = Deadline::earlier(own.map(|own| Deadline::at(now + own)), earlier);
        let turn = self.shared.turn(arrived, now);
        let doing = match deadline {
            None => Doing::Free { call: Oneshot::new(self.inner.clone(), request) },
            Some(deadline) => {
                let limit = deadline.instant().saturating_duration_since(now);
                match turn.late(limit, now) {
                    Some(late) => Doing::Refused { late },
                    None => {
                        request.extensions_mut().insert(deadline);
                        let call = Oneshot::new(self.inner.clone(), request);
                        Doing::Scoped { within: deadline.scope(call), limit }
                    }
                }
            }
        };
        IncomingFuture { doing, turn, shared: Arc::clone(&self.shared), body: PhantomData }
    }
}

/// The future of [`IncomingService`]. Dropping it drops the work inside where it stands.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct IncomingFuture<S, B, R>
where
    S: Service<Request<B>>,
{
    #[pin]
    doing: Doing<S, B>,
    turn: Turn,
    shared: Arc<Shared>,
    body: PhantomData<fn() -> R>,
}

#[pin_project(project = DoingProj)]
enum Doing<S, B>
where
    S: Service<Request<B>>,
{
    Refused {
        late: Late,
    },
    Scoped {
        #[pin]
        within: Within<Oneshot<S, B>>,
        limit: Duration,
    },
    Free {
        #[pin]
        call: Oneshot<S, B>,
    },
}

impl<S, B, R> Future for IncomingFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let turn = this.turn;
        let late = match this.doing.project() {
            DoingProj::Refused { late } => *late,
            DoingProj::Scoped { within, limit } => match ready!(turn.during(|| within.poll(cx))) {
                Ok(Ended::Done(done)) => {
                    let now = Instant::now();
                    let mut done = done?;
                    match turn.refused {
                        Some(late) if done.status() == StatusCode::GATEWAY_TIMEOUT => {
                            done.headers_mut().insert(LATE, late.value());
                        }
                        Some(_) => {}
                        None => this.shared.answered(turn.took(now), now),
                    }
                    return Poll::Ready(Ok(done));
                }
                Ok(Ended::Late(late)) => late,
                Err(error) if error.is_deadline() => Late::CutOff { limit: *limit },
                Err(_) => return Poll::Ready(Ok(answer(StatusCode::INTERNAL_SERVER_ERROR))),
            },
            DoingProj::Free { call } => match ready!(turn.during(|| call.poll(cx))) {
                Ended::Done(done) => return Poll::Ready(done),
                Ended::Late(late) => late,
            },
        };
        let mut response = answer(StatusCode::GATEWAY_TIMEOUT);
        response.headers_mut().insert(LATE, late.value());
        Poll::Ready(Ok(response))
    }
}

fn answer<R: Default>(status: StatusCode) -> Response<R> {
    let mut response = Response::new(R::default());
    *response.status_mut() = status;
    response
}
