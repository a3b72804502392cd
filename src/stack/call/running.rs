//! A call under way: its stages one after the other, and what it does when none of them can go on.

use crate::body::Body;
use crate::coop::Yield;
use crate::deadline;
use crate::error::{BoxError, Error};
use crate::origin::table::Entry;
use crate::stack::call::clock::Clock;
use crate::stack::call::hop::Hop;
use crate::stack::call::request::{Outgoing, Redirected};
use crate::stack::call::response::HttpResponse;
use crate::stack::call::stage::{Stage, StageProj, Step};
use crate::stack::call::state::CallState;
use crate::stack::origin_state::OriginState;
use http::{Request, Response};
use pin_project::pin_project;
use std::sync::Arc;
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
    // Of a request that a redirect answered, where it is followed.
    pub(super) redirected: Option<Box<Redirected>>,
    pub(super) call: Progress,
    #[pin]
    pub(super) timer: deadline::Timer,
    #[pin]
    pub(super) stage: Stage<S::Future, <S::Response as HttpResponse>::Body, B>,
}

/// How far a call has come. What it is begun with has its place where the state is afterwards: tens of thousands of calls
/// may wait at a time, each of them as large as its largest moment.
#[expect(clippy::large_enum_variant, reason = "the large one is nearly all of its life")]
pub(super) enum Progress {
    /// It was never polled. The first poll begins it.
    Made { origin_state: Option<Result<Arc<Entry<OriginState>>, Error>>, hop: Hop, yields: Yield },
    /// It is under way.
    Begun(CallState),
    /// It has ended, or its body was handed over.
    Over,
}

impl<S, B> Running<S, B>
where
    S: Service<Request<B>>,
    S::Response: HttpResponse,
{
    #[inline]
    pub(super) fn new(inner: S, request: Request<B>, made: Progress) -> Running<S, B> {
        Running {
            inner,
            request: Outgoing::default(),
            redirected: None,
            call: made,
            timer: deadline::Timer::default(),
            stage: Stage::Start { request: Some(request) },
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
    /// Keeps a request that cannot be sent at once where those are kept that have to be sent again: the stage that waits
    /// has no room for it.
    pub(super) fn park(&mut self) {
        if let StageProj::Start { request } = self.stage.as_mut().project() {
            if let Some(request) = request.take() {
                self.request.park(request);
            }
        }
    }

    /// Runs the stages until the call is over or has to wait.
    #[inline]
    pub(super) fn poll(
        &mut self,
        clock: &mut Clock,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<Body>, Error>> {
        loop {
            let step = match &*self.stage {
                Stage::Start { .. } => self.start(clock, cx),
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
pub(super) fn alive(call: &mut Progress) -> &mut CallState {
    match call {
        Progress::Begun(call) => call,
        _ => unreachable!("a call has a state until it ends"),
    }
}

impl Progress {
    /// The state of a call moves to whom its body is handed over to.
    pub(super) fn hand_over(&mut self) -> CallState {
        match std::mem::replace(self, Progress::Over) {
            Progress::Begun(call) => call,
            _ => unreachable!("a call has a state until it ends"),
        }
    }
}
