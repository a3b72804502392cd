//! A call under way: its stages one after the other, and what it does when none of them can go on.

use crate::body::Body;
use crate::deadline;
use crate::error::{BoxError, Error};
use crate::stack::call::clock::Clock;
use crate::stack::call::request::Outgoing;
use crate::stack::call::response::HttpResponse;
use crate::stack::call::stage::{Stage, Step};
use crate::stack::call::state::CallState;
use http::{Method, Request, Response, Uri};
use pin_project::pin_project;
use std::task::{Context, Poll};
use tower_service::Service;

/// The service, the request, and how far the call has come with them.
#[pin_project(project = RunningProj)]
pub(super) struct Running<S, B>
where
    S: Service<Request<B>>,
    S::Response: HttpResponse,
{
    pub(super) inner: S,
    pub(super) request: Outgoing<B>,
    // Method and URL of a request that a redirect answered, where it is followed.
    pub(super) redirected: Option<Box<(Method, Uri)>>,
    // None before the first poll, and once the call has ended or its body was handed over.
    pub(super) call: Option<CallState>,
    #[pin]
    pub(super) timer: deadline::Timer,
    #[pin]
    pub(super) stage: Stage<S::Future, <S::Response as HttpResponse>::Body>,
}

impl<S, B> Running<S, B>
where
    S: Service<Request<B>>,
    S::Response: HttpResponse,
{
    #[inline]
    pub(super) fn new(inner: S, request: Request<B>) -> Running<S, B> {
        Running {
            inner,
            request: Outgoing::new(request),
            redirected: None,
            call: None,
            timer: deadline::Timer::default(),
            stage: Stage::Start,
        }
    }
}

impl<S, B, R> RunningProj<'_, S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: 'static,
    R: http_body::Body + Send + Unpin + 'static,
    R::Error: Into<BoxError>,
{
    /// Runs the stages until the call is over or has to wait.
    #[inline]
    pub(super) fn poll(
        &mut self,
        clock: &mut Clock,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<Body>, Error>> {
        loop {
            let step = match &*self.stage {
                Stage::Start => self.start(clock, cx),
                Stage::Wait { .. } => self.wait(clock, cx),
                Stage::Health => self.health(clock, cx),
                Stage::Ready { .. } => self.ready(clock, cx),
                Stage::Probe { .. } => self.probe(clock, cx),
                Stage::Sent { .. } => self.sent(clock, cx),
                Stage::Collect { .. } => self.collect(clock, cx),
                Stage::Done => panic!("a call was polled after it had ended"),
            };
            match step {
                Step::Next => {}
                Step::Done(done) => return Poll::Ready(done),
                Step::Pending(nearest) => match self.pending(nearest, clock, cx) {
                    Poll::Ready(Step::Done(done)) => return Poll::Ready(done),
                    Poll::Ready(_) => {}
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }
}

/// The state of a call that is not over.
#[inline(always)]
pub(super) fn alive(call: &mut Option<CallState>) -> &mut CallState {
    call.as_mut().unwrap_or_else(|| unreachable!("a call has a state until it ends"))
}
