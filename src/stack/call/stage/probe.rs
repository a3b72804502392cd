//! The wait for the answer to the health check of this call.

use crate::deadline::outside;
use crate::error::BoxError;
use crate::inflight;
use crate::stack::call::clock::Clock;
use crate::stack::call::running::{RunningProj, alive};
use crate::stack::call::stage::{Stage, StageProj, Step, Then};
use crate::stack::call::timers::Timer;
use crate::stack::drain::Drain;
use http::{Request, Response};
use std::future::Future;
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
    pub(in crate::stack::call) fn probe(&mut self, clock: &mut Clock, cx: &mut Context<'_>) -> Step {
        let StageProj::Probe { future } = self.stage.as_mut().project() else {
            unreachable!("this is the stage it is in")
        };
        let call = alive(self.call);
        let _listening = inflight::listen();
        let Poll::Ready(answer) = call.inside_attempt(|| outside(|| future.poll(cx))) else {
            clock.stale();
            call.check_heard_beneath(clock);
            return Step::Pending(call.timers([Timer::Deadline, Timer::Probe]).next());
        };
        clock.stale();
        let now = clock.now();
        let (checked, drain) = match answer {
            Ok(answer) => {
                let (head, body) = answer.into_parts();
                let checked = call.probed(call.healthy(head.status), now);
                call.end_check_span(Some(&head), &checked);
                (checked, Some(Drain::new(body, now)))
            }
            Err(error) => (call.probe_broke(error.into(), now), None),
        };
        match checked {
            Ok(()) => {
                self.stage.set(Stage::Wait { until: now, drain, then: Then::Send });
                Step::Next
            }
            Err(error) => {
                let next = call.failed(error, true, now);
                self.end_attempt(next, drain, clock)
            }
        }
    }
}
