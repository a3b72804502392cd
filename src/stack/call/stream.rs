//! A body that streams: handed over at the head, still under its bounds and the breaker's eye.

use crate::body::Body;
use crate::coop::Yield;
use crate::deadline;
use crate::duration::human;
use crate::error::{BoxError, Bytes as ByteCount, Error, ErrorKind, Phase};
use crate::stack::call::report::beyond_the_total;
use crate::stack::call::running::{Progress, alive};
use crate::stack::call::state::CallState;
use crate::stack::call::timers::Timer;
use bytes::{Buf, Bytes};
use http::{Response, response};
use http_body::{Frame, SizeHint};
use pin_project::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// The body in the box.
#[pin_project]
pub(super) struct Guarded<R> {
    body: R,
    // What was read before it was handed over.
    prefix: Bytes,
    call: Option<CallState>,
    ends: Option<Instant>,
    // What it is that ends it then.
    limit: Limit,
    // A reader of a body that always has a frame lets others have their turn.
    yields: Yield,
    #[pin]
    timer: deadline::Timer,
}

/// What ends a body however steadily it flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    /// The request's own deadline, or that of an enclosing scope.
    Deadline,
    /// The total of the call, which binds a body that was to be collected.
    Total(Duration),
    /// What streams has a limit of its own.
    Stream(Duration),
}

impl Limit {
    fn error(self, call: &CallState, now: Instant) -> Error {
        let received = call.record.flow.received();
        let error = match self {
            Limit::Deadline => Error::new(ErrorKind::Deadline, "").limit(now - call.limits.started),
            Limit::Total(limit) => {
                Error::new(ErrorKind::Deadline, beyond_the_total(limit, received)).limit(limit)
            }
            Limit::Stream(limit) => {
                let detail = format!(
                    "the response body was still streaming after {:#} (stream limit), {} received",
                    human(limit),
                    ByteCount(received)
                );
                Error::new(ErrorKind::Deadline, detail).limit(limit)
            }
        };
        error.at(Phase::Body).received(received)
    }
}

impl<R> Guarded<R>
where
    R: http_body::Body + Send + Unpin + 'static,
    R::Error: Into<BoxError>,
{
    /// The response whose body streams. The state of the call moves into it.
    pub(super) fn hand_over(
        call: &mut Progress,
        head: response::Parts,
        prefix: Bytes,
        body: R,
        now: Instant,
    ) -> Response<Body> {
        Guarded::begin(call, head, prefix, body, None, now)
    }

    /// The response whose body was to be collected, and flows on after its attempt: the total of its call binds it, unless
    /// the call said itself how long it may stream.
    pub(super) fn hand_on(
        call: &mut Progress,
        head: response::Parts,
        prefix: Bytes,
        body: R,
        now: Instant,
    ) -> Response<Body> {
        let begun = alive(call);
        let total = begun.limits.deadline.filter(|_| !begun.bounds().own_stream);
        Guarded::begin(call, head, prefix, body, total, now)
    }

    fn begin(
        call: &mut Progress,
        mut head: response::Parts,
        prefix: Bytes,
        body: R,
        total: Option<Instant>,
        now: Instant,
    ) -> Response<Body> {
        let mut call = call.hand_over();
        let attempts = call.hand_over(&mut head, now);
        if body.is_end_stream() && prefix.is_empty() {
            call.complete(now);
            return Response::from_parts(head, Body::empty().with_attempts(attempts));
        }
        call.streams(now);
        let (mut ends, mut limit) = (call.limits.hard_deadline, Limit::Deadline);
        let mut or = |at: Instant, by: Limit| {
            if ends.is_none_or(|ends| at < ends) {
                (ends, limit) = (Some(at), by);
            }
        };
        if let Some(stream) = call.limits.stream(call.context()) {
            or(now + stream, Limit::Stream(stream));
        }
        if let Some(total) = total {
            or(total, Limit::Total(total - call.limits.started));
        }
        call.record.ends(&call.context().table, ends);
        let guarded = Guarded {
            body,
            prefix,
            call: Some(call),
            ends,
            limit,
            yields: Yield::default(),
            timer: deadline::Timer::default(),
        };
        Response::from_parts(head, Body::boxed(Box::pin(guarded)).with_attempts(attempts))
    }
}

impl<R> http_body::Body for Guarded<R>
where
    R: http_body::Body + Unpin,
    R::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut this = self.project();
        let Some(call) = this.call.as_mut() else { return Poll::Ready(None) };
        if !this.prefix.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(this.prefix)))));
        }
        std::task::ready!(this.yields.poll(cx));
        let polled = call.inside(|| Pin::new(&mut *this.body).poll_frame(cx));
        let mut now = Instant::now();
        let fired = match polled {
            // A body that always has something ends at its limit all the same.
            Poll::Ready(Some(Ok(_))) if this.ends.is_some_and(|ends| now >= ends) => Timer::Deadline,
            Poll::Ready(Some(Ok(frame))) => {
                let frame = frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
                call.streamed(&frame, now);
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(error))) => {
                let error = Error::from(error.into()).at(Phase::Body).received(call.record.flow.received());
                let error = call.broke(error, now);
                *this.call = None;
                return Poll::Ready(Some(Err(error)));
            }
            Poll::Ready(None) => {
                call.complete(now);
                *this.call = None;
                return Poll::Ready(None);
            }
            Poll::Pending => loop {
                if let Some(error) = call.cancelled(cx) {
                    *this.call = None;
                    return Poll::Ready(Some(Err(error)));
                }
                call.consumer_waits(now);
                let timers = call.timers([Timer::Overdue, Timer::Stall]).set(Timer::Deadline, *this.ends);
                let Some((at, timer)) = timers.next() else { return Poll::Pending };
                if let Err(error) = std::task::ready!(this.timer.as_mut().poll(at, cx)) {
                    let error = call.broke(error, now);
                    *this.call = None;
                    return Poll::Ready(Some(Err(error)));
                }
                // The timer knows that it is time; a clock that was read before it need not. Whoever asked that one
                // again would wait for the same moment for ever, and never let go of the thread.
                now = Instant::now().max(at);
                if timer != Timer::Overdue {
                    break timer;
                }
                call.held.overdue(&call.origin_state.breaker, now);
            },
        };
        let error = match fired {
            Timer::Stall => {
                let error = call.stalled();
                call.broke(error, now)
            }
            _ => {
                let error = this.limit.error(call, now);
                call.cut(error, now)
            }
        };
        *this.call = None;
        Poll::Ready(Some(Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.call.is_none() || (self.prefix.is_empty() && self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let prefix = self.prefix.len() as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + prefix);
        }
        hint.set_lower(hint.lower() + prefix);
        hint
    }
}
