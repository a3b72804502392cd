//! A body that streams: handed over at the head, still under its bounds and the breaker's eye.

use super::life::Life;
use super::wait::{Bound, Nearest};
use crate::body::Body;
use crate::deadline::{Deadline, Timer};
use crate::error::{BoxError, Error, ErrorKind, Phase};
use bytes::{Buf, Bytes};
use http::{Response, response};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

pin_project! {
    /// The body in the box.
    pub(super) struct Guarded<R> {
        body: R,
        // What was read before it turned out to be too much to collect.
        prefix: Bytes,
        life: Option<Life>,
        ends: Option<Instant>,
        bound: Bound,
        limit: Duration,
        #[pin]
        timer: Timer,
    }
}

impl<R> Guarded<R>
where
    R: http_body::Body + Send + Unpin + 'static,
    R::Error: Into<BoxError>,
{
    /// The response whose body streams. The life of the call moves into it.
    pub(super) fn hand_over(
        life: &mut Option<Life>,
        mut head: response::Parts,
        prefix: Bytes,
        body: R,
        now: Instant,
    ) -> Response<Body> {
        let Some(mut life) = life.take() else { unreachable!("a call has a life until it ends") };
        let attempts = life.attempts(&mut head, now);
        if body.is_end_stream() && prefix.is_empty() {
            life.complete(now);
            return Response::from_parts(head, Body::empty().with_attempts(attempts));
        }
        life.streams(now);
        let limit = life.stream_limit().unwrap_or_default();
        let stream = life.stream_limit().map(|limit| now + limit);
        // An idle bound and nothing else for a layer that has no deadline of its own.
        let (ends, bound) = match Deadline::nearest(stream, life.hard_deadline) {
            at if at == stream => (stream, Bound::Attempt(limit)),
            at => (at, Bound::Deadline),
        };
        life.ends(ends);
        let guarded = Guarded { body, prefix, life: Some(life), ends, bound, limit, timer: Timer::default() };
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
        let Some(life) = this.life.as_mut() else { return Poll::Ready(None) };
        if !this.prefix.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(this.prefix)))));
        }
        let polled = life.inside(|| Pin::new(&mut *this.body).poll_frame(cx));
        let now = Instant::now();
        let mut hit = match polled {
            // A body that always has something ends at its limit all the same.
            Poll::Ready(Some(Ok(_))) if this.ends.is_some_and(|ends| now >= ends) => Some(*this.bound),
            Poll::Ready(Some(Ok(frame))) => {
                let frame = frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
                life.flow.got(frame.data_ref().map_or(0, Bytes::len), now);
                life.consumer_has_it();
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(error))) => {
                let error = Error::from(error.into()).at(Phase::Body).received(life.flow.received());
                let error = life.broke(error, now);
                *this.life = None;
                return Poll::Ready(Some(Err(error)));
            }
            Poll::Ready(None) => {
                life.complete(now);
                *this.life = None;
                return Poll::Ready(None);
            }
            Poll::Pending => None,
        };
        while hit.is_none() {
            life.consumer_waits(now);
            let nearest = Nearest::default().at(*this.ends, *this.bound);
            let Some((at, bound)) = nearest.stall(life).at(life.overdue_at(), Bound::Overdue).get() else {
                return Poll::Pending;
            };
            match std::task::ready!(this.timer.as_mut().poll(at, cx)) {
                Ok(()) if bound == Bound::Overdue => life.overdue(now),
                Ok(()) => hit = Some(bound),
                Err(error) => {
                    let error = life.broke(error, now);
                    *this.life = None;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        let now = Instant::now();
        let error = match hit {
            Some(Bound::Stall(stall)) => stall.error(life.flow.received()),
            Some(Bound::Deadline) => Error::new(ErrorKind::Deadline, "").limit(now - life.started),
            _ => Error::new(
                ErrorKind::Deadline,
                format!(
                    "the response body was still streaming after {:#} (stream limit), {} bytes received",
                    crate::duration::human(*this.limit),
                    life.flow.received(),
                ),
            ),
        };
        let error = error.at(Phase::Body).received(life.flow.received());
        let error = match hit {
            Some(Bound::Stall(_)) => life.broke(error, now),
            _ => life.cut(error, now),
        };
        *this.life = None;
        Poll::Ready(Some(Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.life.is_none() || (self.prefix.is_empty() && self.body.is_end_stream())
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
