//! Where no stage can go on: the end of the program, the nearest timer, and what it means that one has fired.

use crate::breaker;
use crate::error::{BoxError, Error, ErrorKind, Phase};
use crate::stack::call::clock::Clock;
use crate::stack::call::running::{RunningProj, alive};
use crate::stack::call::stage::{Stage, Step};
use crate::stack::call::state::CallState;
use crate::stack::call::timers::Timer;
use crate::stack::drain::Drain;
use crate::stack::pacing::polls::Polled;
use http::{Request, Response};
use std::task::{Context, Poll, ready};
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
    /// Everything that could make progress was polled; only now what ends the wait.
    pub(in crate::stack::call) fn pending(
        &mut self,
        nearest: Option<(Instant, Timer)>,
        clock: &mut Clock,
        cx: &mut Context<'_>,
    ) -> Poll<Step> {
        let call = alive(self.call);
        if let Some(error) = call.cancelled(cx) {
            return Poll::Ready(Step::Done(Err(error)));
        }
        let Some((at, timer)) = nearest else { return Poll::Pending };
        if let Err(error) = ready!(self.timer.as_mut().poll(at, cx)) {
            return Poll::Ready(Step::Done(Err(call.finally(error, clock.now()))));
        }
        clock.reached(at);
        if let (Timer::Attempt, Stage::Collect { .. }) = (timer, &*self.stage) {
            let limit = call.limits.attempt(call.context()).unwrap_or_default();
            return Poll::Ready(self.outlived(limit, clock));
        }
        Poll::Ready(match call.expired(timer, self.request.is_some(), clock.now()) {
            Some(next) => self.end_attempt(next, None, clock),
            None => Step::Next,
        })
    }

    /// The attempt is over: the next begins at a moment, or the call is closed with an error. `drain`: what is left of a
    /// response.
    pub(in crate::stack::call) fn end_attempt(
        &mut self,
        next: Result<Instant, Error>,
        drain: Option<Drain<R>>,
        clock: &mut Clock,
    ) -> Step {
        match next {
            Ok(until) => {
                self.stage.set(Stage::wait(until, drain));
                Step::Next
            }
            Err(error) => Step::Done(alive(self.call).close(error, clock.now())),
        }
    }
}

impl CallState {
    /// A timer has fired: `Some` where that ends the attempt.
    fn expired(&mut self, timer: Timer, copy: bool, now: Instant) -> Option<Result<Instant, Error>> {
        let connects = matches!(self.record.phase, Phase::Resolve | Phase::Connect | Phase::Tls);
        if connects && self.attempts.passage.is_queued() {
            // What was opened beside a full pool came to nothing: it waited for that pool all the while.
            self.enter(Phase::Ready, now);
        }
        let error = match timer {
            Timer::Wake => return None,
            Timer::Turn => {
                self.give_place_back(now);
                return None;
            }
            Timer::Overdue => {
                self.held.overdue(&self.origin_state.breaker, now);
                return None;
            }
            Timer::Deadline | Timer::Total => return Some(Err(self.out_of_time(now))),
            Timer::Attempt => self.too_slow(self.limits.attempt(self.context()).unwrap_or_default(), now),
            Timer::Stall => self.stalled(),
            Timer::Probe => match self.probe_timed_out(now) {
                Ok(()) => return None,
                Err(error) => return Some(self.failed(error, true, now)),
            },
        };
        Some(self.failed(error, copy, now))
    }

    /// A program that ends waits for no answer that may take long by design, and for no next attempt: the error that
    /// says so. All other calls have the grace of the shutdown.
    pub(in crate::stack::call) fn cancelled(&mut self, cx: &mut Context<'_>) -> Option<Error> {
        let waits = self.record.phase == Phase::BackOff || self.limits.long_poll().is_some();
        if !waits || self.cancelled.poll(cx).is_pending() {
            return None;
        }
        let mut error = Error::new(ErrorKind::Cancelled, "").at(self.record.phase);
        self.settle(breaker::Outcome::Nothing, Instant::now());
        // Nobody comes after it whom it has to keep its distance for.
        self.record.polled = Polled::Idle;
        self.record.end.error = Some(error.kind().as_str());
        self.tell(&mut error);
        self.end_span(Some(&error));
        Some(error)
    }
}
