//! The server side of deadline propagation: a scope from the remaining time that the caller sent.

mod settings;

pub use settings::{AttemptNumber, Incoming};

use super::header::{Headers, LATE, Late};
use super::oneshot::{Ended, Oneshot};
use super::turn::{Fastest, Turn};
use super::{Deadline, Within};
use crate::Error;
use crate::sync::{Mutex, lock};
use http::header::{CONTENT_TYPE, HeaderValue};
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

/// A layer for servers: gives every request the [`Deadline`] that its caller sent, and refuses late requests.
///
/// It works with axum's `Router::layer` or a hyper service, and is the counterpart of `StackBuilder::propagate_deadline`.
/// The inner service runs in a scope: [`Deadline::current`] is the caller's deadline, and calls of this crate inside can
/// only shorten it and pass the remaining time on. It is also a request extension, for handlers that spawn:
/// `deadline.scope(work)`.
///
/// A caller can only shorten the limit. Without a header, or with an invalid number, the request keeps its limit, which is
/// [`at_most`](Incoming::at_most) if set; the maximum is ten years.
///
/// | answer | when | `x-request-late` |
/// | --- | --- | --- |
/// | 504, the inner service is not called | no time was left, or less than [`refuse_below`](Incoming::refuse_below), on arrival or when its turn came | `refused; left-ms=3; least-ms=20` |
/// | 504 of a handler that asked for its [`turn`](super::turn()) | the same, after the handler's own wait | `refused; left-ms=3; least-ms=20` |
/// | 504, the inner future is dropped | the time was over before there was a response head | `cut-off; limit-ms=500` |
/// | 500 | no tokio runtime | |
///
/// With [`Headers::grpc`] the answers are those of gRPC: 200, with `grpc-status` 4 in place of 504 and 13 in place of 500.
///
/// The body of these answers is the default of its type, an empty one; the error type stays that of the inner service,
/// so that the layer fits where only [`Infallible`](std::convert::Infallible) does. A body that streams after its head
/// was given is not cut off.
///
/// # Queues
/// The time starts when this layer sees the request: put it outside of any queue, or the wait in the queue does not count.
/// In an overload check again when it is the request's turn, or most work is done for callers that have given up: the layer
/// checks when a busy inner service becomes ready, a second layer behind a queue checks when it is called, and a handler
/// that waits by itself checks with [`turn`](super::turn()).
///
/// A client of this crate does not count `refused` as a failure of the server, and does not retry, because the next attempt
/// would have no more time.
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
    /// A layer with these settings.
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

/// The service of [`IncomingLayer`]. It is always ready, so that a refusal takes no place in the inner service; the call waits
/// for the inner service under the deadline.
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

/// The future of [`IncomingService`]. Dropping it drops the work inside.
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
                Err(_) => {
                    let headers = &this.shared.settings.headers;
                    return Poll::Ready(Ok(answer(StatusCode::INTERNAL_SERVER_ERROR, headers)));
                }
            },
            DoingProj::Free { call } => match ready!(turn.during(|| call.poll(cx))) {
                Ended::Done(done) => return Poll::Ready(done),
                Ended::Late(late) => late,
            },
        };
        let mut response = answer(StatusCode::GATEWAY_TIMEOUT, &this.shared.settings.headers);
        response.headers_mut().insert(LATE, late.value());
        Poll::Ready(Ok(response))
    }
}

fn answer<R: Default>(status: StatusCode, headers: &Headers) -> Response<R> {
    let mut response = Response::new(R::default());
    if headers.are_of_grpc() {
        let deadline_exceeded = status == StatusCode::GATEWAY_TIMEOUT;
        let internal = HeaderValue::from_static("13");
        let status = if deadline_exceeded { HeaderValue::from_static("4") } else { internal };
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        response.headers_mut().insert("grpc-status", status);
        return response;
    }
    *response.status_mut() = status;
    response
}
