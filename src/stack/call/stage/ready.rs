//! The turn of a call: the inner service is ready, and what goes out is its health check or its request.

use crate::deadline::outside;
use crate::error::{BoxError, Error, Phase};
use crate::stack::call::clock::Clock;
use crate::stack::call::running::{RunningProj, alive};
use crate::stack::call::stage::{Stage, StageProj, Step};
use crate::stack::call::timers::Timer;
use crate::telemetry::spans::{self, Traced};
use http::{Request, Response};
use std::task::{Context, Poll};
use tokio::time::Instant;
use tower_service::Service;

impl<S, B, R> RunningProj<'_, S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: 'static,
    R: http_body::Body + Send + Unpin + 'static,
    R::Error: Into<BoxError>,
{
    #[inline]
    pub(in crate::stack::call) fn ready(&mut self, clock: &mut Clock, cx: &mut Context<'_>) -> Step {
        let StageProj::Ready { check, since } = self.stage.as_mut().project() else {
            unreachable!("this is the stage it is in")
        };
        let (check, since) = (*check, *since);
        self.turn(check, since, clock, cx)
    }

    /// `since` when it waits for its turn.
    #[inline]
    pub(in crate::stack::call) fn turn(
        &mut self,
        check: bool,
        since: Instant,
        clock: &mut Clock,
        cx: &mut Context<'_>,
    ) -> Step {
        let call = alive(self.call);
        match call.inside(|| self.inner.poll_ready(cx)) {
            Poll::Pending => {
                call.idle(Phase::Ready, clock);
                // A full pool of the caller's own says nothing about the health of the server.
                let timers = call.timers([Timer::Deadline, Timer::Total]);
                let nearest = timers.set(Timer::Turn, call.turn_ends(since)).next();
                self.park();
                self.stage.set(Stage::ready(check, since));
                return Step::Pending(nearest);
            }
            Poll::Ready(Err(error)) => {
                // A service that failed to become ready is not asked again.
                let error = Error::from(error.into()).at(Phase::Ready);
                return Step::Done(Err(call.finally(error, clock.now())));
            }
            Poll::Ready(Ok(())) => {}
        }
        if !call.may_send(check, clock.now()) {
            // It is ready for others, who need not wait until this call is admitted again.
            *self.inner = self.inner.clone();
            self.park();
            self.stage.set(Stage::start());
            return Step::Next;
        }
        if check { self.send_check(clock) } else { self.send(clock) }
    }

    fn send_check(&mut self, clock: &mut Clock) -> Step {
        let call = alive(self.call);
        let mut request = match self.request.health_check(call) {
            Ok(request) => request,
            Err(error) => {
                *self.inner = self.inner.clone();
                return Step::Done(Err(call.finally(error, clock.now())));
            }
        };
        call.sent(clock.now());
        call.attempts.span = spans::check(&call.origin_state.origin, request.uri());
        if call.attempts.span.is_some() {
            request.extensions_mut().insert(Traced);
        }
        let future = call.inside_attempt(|| outside(|| self.inner.call(request)));
        clock.stale();
        self.stage.set(Stage::Probe { future });
        Step::Next
    }

    #[inline]
    fn send(&mut self, clock: &mut Clock) -> Step {
        let (call, now) = (alive(self.call), clock.now());
        call.sent(now);
        if !call.attempts.untraced {
            let target = call.target();
            call.attempts.span = spans::attempt(&call.origin_state.origin, &target, call.attempts.number);
        }
        if self.stage.first().is_none() {
            self.stage.set(Stage::Start { request: self.request.again(call) });
        }
        let StageProj::Start { request } = self.stage.as_mut().project() else {
            unreachable!("this is the stage it is in")
        };
        if let Some(request) = request {
            self.request.prepare(request, call, now);
        }
        let mut sent =
            || request.take().unwrap_or_else(|| unreachable!("no attempt begins without a request"));
        let future = call.inside_attempt(|| self.inner.call(sent()));
        clock.stale();
        self.stage.set(Stage::Sent { future });
        Step::Next
    }
}
