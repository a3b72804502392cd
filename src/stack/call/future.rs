//! The future of a call: begins it when it is first polled, and runs it in its span.

use crate::body::Body;
use crate::coop::Yield;
use crate::deadline::{Deadline, Scope};
use crate::error::{BoxError, Error};
use crate::origin::table::Entry;
use crate::stack::call::clock::Clock;
use crate::stack::call::hop::Hop;
use crate::stack::call::response::HttpResponse;
use crate::stack::call::running::Running;
use crate::stack::call::stage::Stage;
use crate::stack::call::state::CallState;
use crate::stack::origin_state::OriginState;
use crate::telemetry::spans::{self, MaybeSpan};
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
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<S, B>
where
    S: Service<Request<B>>,
    S::Response: HttpResponse,
{
    // Taken by the first poll, which begins the call.
    origin_state: Option<Result<Arc<Entry<OriginState>>, Error>>,
    pub(super) hop: Hop,
    span: MaybeSpan,
    // A loop of calls that are all ready at once lets its task's scope, and its neighbours, have their turn.
    yields: Yield,
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
        ResponseFuture {
            origin_state: Some(origin_state),
            // Of the scope that the call was made in.
            hop: Hop { ambient: Deadline::earlier(Scope::current().deadline, hop.ambient), ..hop },
            span: None,
            yields: Yield::default(),
            running: Running::new(inner, request),
        }
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
        let this = self.project();
        if this.origin_state.is_some() {
            ready!(this.yields.poll(cx));
        }
        let mut running = this.running.project();
        let mut clock = Clock::default();
        if let Some(origin_state) = this.origin_state.take() {
            let Some(request) = running.request.first() else { unreachable!("it is taken when it is sent") };
            let begun = match origin_state {
                Ok(state) => CallState::begin(running.call, state, request, this.hop),
                Err(error) => Err(error),
            };
            match begun {
                Ok(call) => {
                    clock = Clock::at(call.attempts.began);
                    *this.span =
                        spans::call(&call.origin_state.origin, &call.facts.target, request.extensions());
                    call.attempts.untraced = this.span.is_none() || !call.context().parts.make_attempts();
                }
                Err(error) => {
                    running.stage.set(Stage::Done);
                    return Poll::Ready(Err(error));
                }
            }
        }
        let span = this.span.as_deref().map(Span::enter);
        let polled = running.poll(&mut clock, cx);
        drop(span);
        if let Poll::Ready(result) = &polled {
            if let Some(span) = this.span.take() {
                spans::ended(&span, result);
            }
            running.stage.set(Stage::Done);
            *running.call = None;
        }
        polled
    }
}
