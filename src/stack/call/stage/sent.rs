//! The wait for a response head, and what is done with it.

use crate::collect::{Buffer, Plan};
use crate::error::{BoxError, Error};
use crate::inflight;
use crate::stack::call::clock::Clock;
use crate::stack::call::collect::{Read, read};
use crate::stack::call::hop::is_redirect;
use crate::stack::call::request::Redirected;
use crate::stack::call::running::{RunningProj, alive};
use crate::stack::call::stage::{Stage, StageProj, Step};
use crate::stack::call::stream::Guarded;
use crate::stack::call::timers::Timer;
use bytes::Bytes;
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
    #[inline]
    pub(in crate::stack::call) fn sent(&mut self, clock: &mut Clock, cx: &mut Context<'_>) -> Step {
        let StageProj::Sent { future } = self.stage.as_mut().project() else {
            unreachable!("this is the stage it is in")
        };
        let call = alive(self.call);
        let _listening = inflight::listen();
        let polled = call.inside_attempt(|| future.poll(cx));
        clock.stale();
        match polled {
            Poll::Pending => {
                call.heard_beneath(clock);
                Step::Pending(call.timers([Timer::Deadline, Timer::Overdue, Timer::Attempt]).next())
            }
            Poll::Ready(Err(error)) => {
                let next = call.failed(Error::from(error.into()), self.request.is_some(), clock.now());
                self.end_attempt(next, None, clock)
            }
            Poll::Ready(Ok(answer)) => self.answered(answer, clock, cx),
        }
    }

    #[inline]
    fn answered(&mut self, answer: Response<R>, clock: &mut Clock, cx: &mut Context<'_>) -> Step {
        let call = alive(self.call);
        let (head, mut body) = answer.into_parts();
        let now = clock.now();
        call.was_taken(now);
        let verdict = call.head(&head, self.request.is_some(), now);
        if verdict.is_ok() && call.facts.follows && is_redirect(&head) {
            *self.redirected = Some(Box::new(Redirected::of(call)));
        }
        let limit = match verdict {
            Err(until) => {
                let drain = call.set_aside(head, body, now);
                return self.end_attempt(Ok(until), Some(drain), clock);
            }
            Ok(Plan::Stream { .. }) => {
                return Step::Done(Ok(Guarded::hand_over(self.call, head, Bytes::new(), body, now)));
            }
            Ok(Plan::Collect(limit)) => limit,
        };
        // Most bodies are there already: those never go through the stage.
        let mut buffer = Buffer::default();
        match read(call, &mut body, &mut buffer, limit, clock, cx) {
            Read::Complete => Step::Done(Ok(call.respond(head, buffer, clock.now()))),
            Read::TooMuch => {
                let (read, now) = (buffer.take(), clock.now());
                Step::Done(Ok(Guarded::hand_over(self.call, head, read, body, now)))
            }
            Read::Broken(error) => {
                let next = call.failed(error, self.request.is_some(), clock.now());
                self.end_attempt(next, None, clock)
            }
            Read::Pending => {
                let nearest = call.body_timers().next();
                self.stage.set(Stage::Collect { reading: Some((head, body)), buffer });
                Step::Pending(nearest)
            }
        }
    }
}
