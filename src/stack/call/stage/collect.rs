//! The body that belongs to the attempt, once it had to be waited for.

use crate::error::BoxError;
use crate::stack::call::clock::Clock;
use crate::stack::call::collect::{Read, read};
use crate::stack::call::running::{RunningProj, alive};
use crate::stack::call::stage::{StageProj, Step};
use crate::stack::call::stream::Guarded;
use http::{Request, Response};
use std::task::Context;
use std::time::Duration;
use tower_service::Service;

impl<S, B, R> RunningProj<'_, S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: 'static,
    R: http_body::Body + Send + Unpin + 'static,
    R::Error: Into<BoxError>,
{
    pub(in crate::stack::call) fn collect(&mut self, clock: &mut Clock, cx: &mut Context<'_>) -> Step {
        let StageProj::Collect { reading, buffer } = self.stage.as_mut().project() else {
            unreachable!("this is the stage it is in")
        };
        let call = alive(self.call);
        let Some((_, body)) = reading else { unreachable!("it is taken when the call ends") };
        let limit = call.limits.collect;
        match read(call, body, buffer, limit, clock, cx) {
            Read::Pending => Step::Pending(call.body_timers().next()),
            Read::Broken(error) => {
                let next = call.failed(error, self.request.is_some(), clock.now());
                self.end_attempt(next, None, clock)
            }
            done => {
                let Some((head, body)) = reading.take() else { unreachable!("seen above") };
                let (mut buffer, now) = (std::mem::take(buffer), clock.now());
                Step::Done(Ok(match done {
                    Read::Complete => call.respond(head, buffer, now),
                    _ => Guarded::hand_over(self.call, head, buffer.take(), body, now),
                }))
            }
        }
    }

    /// The attempt has run into its limit in the middle of its body. One that flows is worth more than what could follow,
    /// where the request cannot be repeated.
    pub(in crate::stack::call) fn outlived(&mut self, limit: Duration, clock: &mut Clock) -> Step {
        let StageProj::Collect { reading, buffer } = self.stage.as_mut().project() else {
            unreachable!("this is the stage it is in")
        };
        let call = alive(self.call);
        let now = clock.now();
        let outlived = call.outlived(limit, self.request.is_some(), now);
        match (outlived, reading.take()) {
            (Some(next), _) => self.end_attempt(next, None, clock),
            (None, Some((head, body))) => {
                Step::Done(Ok(Guarded::hand_on(self.call, head, buffer.take(), body, now)))
            }
            (None, None) => Step::Next,
        }
    }
}
