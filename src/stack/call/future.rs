//! The future of a call: begins it when it is first polled, and runs it in its span.

use crate::body::Body;
use crate::coop::Yield;
use crate::deadline::{Deadline, Scope};
use crate::error::{BoxError, Error};
use crate::origin::table::Entry;
use crate::stack::call::clock::Clock;
use crate::stack::call::events;
use crate::stack::call::hop::Hop;
use crate::stack::call::response::HttpResponse;
use crate::stack::call::running::{Progress, Running};
use crate::stack::call::stage::Stage;
use crate::stack::call::state::CallState;
use crate::stack::origin_state::OriginState;
use crate::telemetry::spans::{self, CallSpan};
use http::{Request, Response};
use pin_project::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower_service::Service;
use tracing::Span;

/// The future of a call.
///
/// It may be dropped at any moment: table entry, permit, connection and the place in a health check are given
/// back, and a call that was silent for long is counted as a hang. No further attempt leaves.
///
/// Whoever wraps a [`Stack`](crate::stack::Stack) in a service of their own names it:
///
/// ```
/// use http::{Request, Response};
/// use std::task::{Context, Poll};
/// use tower_service::Service;
/// use unwedge::stack::{ResponseFuture, Stack};
/// use unwedge::{Body, BoxError, Error};
///
/// struct Counted<S>(Stack<S>, u64);
///
/// impl<S, B, R> Service<Request<B>> for Counted<S>
/// where
///     S: Service<Request<B>, Response = Response<R>> + Clone,
///     S::Error: Into<BoxError>,
///     B: 'static,
///     R: http_body::Body + Send + Unpin + 'static,
///     R::Error: Into<BoxError>,
/// {
///     type Response = Response<Body>;
///     type Error = Error;
///     type Future = ResponseFuture<S, B>;
///
///     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
///         Poll::Ready(Ok(())) // a stack always is
///     }
///
///     fn call(&mut self, request: Request<B>) -> Self::Future {
///         self.1 += 1;
///         self.0.call(request)
///     }
/// }
/// ```
///
/// # Panics
/// When it is polled after it was ready, and where the inner service, a classifier or a copy of the user's panics.
#[pin_project(project = Projection)]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<S, B>
where
    S: Service<Request<B>>,
    S::Response: HttpResponse,
{
    span: CallSpan,
    #[pin]
    pub(super) running: Running<S, B>,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
    S::Response: HttpResponse,
{
    #[inline]
    pub(in crate::stack) fn new(
        inner: S,
        origin_state: Result<Arc<Entry<OriginState>>, Error>,
        request: Request<B>,
        hop: Hop,
    ) -> ResponseFuture<S, B> {
        // Of the scope that the call was made in.
        let hop = Hop { ambient: Deadline::earlier(Scope::current().deadline, hop.ambient), ..hop };
        let made = Progress::Made { origin_state: Some(origin_state), hop, yields: Yield::default() };
        ResponseFuture { span: CallSpan::default(), running: Running::new(inner, request, made) }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: 'static,
    R: http_body::Body + Send + Unpin + 'static,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<Body>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut clock = Clock::default();
        if let Progress::Made { .. } = this.running.as_mut().project().call {
            if let Err(error) = ready!(begin(&mut this, &mut clock, cx)) {
                return Poll::Ready(Err(error));
            }
        }
        run(this, clock, cx)
    }
}

/// The first poll: the call begins, and its span.
#[inline]
fn begin<S, B>(
    this: &mut Projection<'_, S, B>,
    clock: &mut Clock,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Error>>
where
    S: Service<Request<B>>,
    S::Response: HttpResponse,
{
    let mut running = this.running.as_mut().project();
    if let Progress::Made { yields, .. } = running.call {
        // A loop of calls that are all ready at once lets its task's scope, and its neighbours, have their turn.
        ready!(yields.poll(cx));
    }
    let Some(request) = running.stage.first() else { unreachable!("it is taken when it is sent") };
    Poll::Ready(match CallState::begin(running.call, request) {
        Ok(call) => {
            *clock = Clock::at(call.attempts.began);
            let origin = &call.origin_state.origin;
            this.span.0 = spans::call(origin, || call.target(), request.extensions(), call.facts.grpc);
            call.attempts.untraced = this.span.0.is_none() || !call.context().parts.make_attempts();
            Ok(())
        }
        Err(error) => {
            running.stage.set(Stage::Done);
            *running.call = Progress::Over;
            Err(error)
        }
    })
}

/// Runs the call in its span. It has one way out, so that a response is written where the caller wants it.
#[inline]
fn run<S, B, R>(
    this: Projection<'_, S, B>,
    mut clock: Clock,
    cx: &mut Context<'_>,
) -> Poll<Result<Response<Body>, Error>>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: 'static,
    R: http_body::Body + Send + Unpin + 'static,
    R::Error: Into<BoxError>,
{
    let mut running = this.running.project();
    let span = this.span.0.as_deref().map(Span::enter);
    let mut polled = running.poll(&mut clock, cx);
    drop(span);
    if let Poll::Ready(result) = &mut polled {
        if let Some(span) = this.span.0.take() {
            events::end_call_span(span, result);
        }
        running.stage.set(Stage::Done);
        *running.call = Progress::Over;
    }
    polled
}
