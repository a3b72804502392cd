//! The wait for the health check of another call.

use crate::error::{BoxError, Phase};
use crate::stack::call::clock::Clock;
use crate::stack::call::running::{RunningProj, alive};
use crate::stack::call::stage::{Stage, Step};
use crate::stack::call::timers::Timer;
use http::{Request, Response};
use std::task::{Context, Poll};
use tower_service::Service;

impl<S, B, R> RunningProj<'_, S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: 'static,
    R: http_body::Body + Send + Unpin + 'static,
    R::Error: Into<BoxError>,
{
    pub(in crate::stack::call) fn health(&mut self, clock: &mut Clock, cx: &mut Context<'_>) -> Step {
        let call = alive(self.call);
        match call.poll_health(cx) {
            Poll::Pending => {
                call.idle(Phase::HealthCheck, clock);
                let timers = call.timers([Timer::Deadline, Timer::Total]);
                // When to look whether the one who makes the check has had its time.
                let leader_ends = call.origin_state.health.as_ref().and_then(|flight| flight.leader_ends());
                Step::Pending(timers.set(Timer::Wake, leader_ends).next())
            }
            Poll::Ready(Ok(lead)) => {
                self.stage.set(Stage::ready(lead, clock.now()));
                Step::Next
            }
            Poll::Ready(Err(error)) => {
                let next = call.failed(error, true, clock.now());
                self.end_attempt(next, None, clock)
            }
        }
    }
}
