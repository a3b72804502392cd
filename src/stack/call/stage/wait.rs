//! A wait in which nothing is under way: the back-off, the open wait of a circuit, the row at a gate.

use crate::error::BoxError;
use crate::stack::call::clock::Clock;
use crate::stack::call::running::{RunningProj, alive};
use crate::stack::call::stage::{Stage, StageProj, Step, Then};
use crate::stack::call::timers::Timer;
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
    pub(in crate::stack::call) fn wait(&mut self, clock: &mut Clock, cx: &mut Context<'_>) -> Step {
        let StageProj::Wait { until, drain, then } = self.stage.as_mut().project() else {
            unreachable!("this is the stage it is in")
        };
        let call = alive(self.call);
        if drain.as_mut().is_some_and(|drain| drain.poll(cx).is_ready() || clock.now() >= drain.until) {
            call.drained(drain.take());
        }
        let timers = call.timers([Timer::Deadline]);
        match drain {
            None if clock.now() >= *until => {}
            None => {
                *until = call.woken(*until, cx);
                return Step::Pending(timers.set(Timer::Wake, Some(*until)).next());
            }
            Some(drain) => return Step::Pending(timers.set(Timer::Wake, Some(drain.until)).next()),
        }
        let next = match std::mem::replace(then, Then::Start) {
            Then::Start => Stage::start(),
            Then::Send => Stage::ready(false, clock.now()),
            Then::Refuse(error) => return Step::Done(call.close(error, clock.now())),
        };
        self.stage.set(next);
        Step::Next
    }
}
