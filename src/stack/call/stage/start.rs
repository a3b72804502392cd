//! The start of an attempt: is it admitted?

use crate::error::BoxError;
use crate::stack::call::admission::Admission;
use crate::stack::call::clock::Clock;
use crate::stack::call::running::{RunningProj, alive};
use crate::stack::call::stage::{Stage, Step};
use http::{Request, Response};
use std::task::Context;
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
    pub(in crate::stack::call) fn start(&mut self, clock: &mut Clock, cx: &mut Context<'_>) -> Step {
        let call = alive(self.call);
        let next = match call.admit(clock.now()) {
            // Most services are ready: those calls never go through that stage.
            Admission::Go => return self.turn(false, clock.now(), clock, cx),
            Admission::Lead => Stage::ready(true, clock.now()),
            Admission::Wait => Stage::Health,
            Admission::Later(until) => Stage::wait(until, None),
            Admission::RefusedAt(until, error) => Stage::refuse(until, error),
            Admission::Refused(error) => return Step::Done(call.close(error, clock.now())),
        };
        self.park();
        self.stage.set(next);
        Step::Next
    }
}
