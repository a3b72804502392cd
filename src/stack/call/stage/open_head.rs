//! A response head that is no verdict yet: in gRPC the status comes behind the last message. One without a message may come
//! with the head, and is judged as one in it.

use crate::collect::{Buffer, Plan};
use crate::error::{BoxError, Error, Phase};
use crate::stack::call::attempts::Last;
use crate::stack::call::clock::Clock;
use crate::stack::call::running::{RunningProj, alive};
use crate::stack::call::stage::Step;
use crate::stack::call::stream::Guarded;
use bytes::{Buf, Bytes};
use http::{Request, Response, response};
use std::pin::Pin;
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
    /// Looks at what is there already: to wait for more could take as long as the first message of a stream.
    #[cold]
    pub(in crate::stack::call) fn answered_in_grpc(
        &mut self,
        mut head: response::Parts,
        mut body: R,
        clock: &mut Clock,
        cx: &mut Context<'_>,
    ) -> Step {
        let (call, copy, now) = (alive(self.call), self.request.is_some(), clock.now());
        let mut message = Bytes::new();
        match call.inside(|| Pin::new(&mut body).poll_frame(cx)) {
            Poll::Pending => {}
            Poll::Ready(None) => return self.answered_without_a_message(head, clock),
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(mut data) => message = data.copy_to_bytes(data.remaining()),
                Err(frame) => {
                    head.headers.extend(frame.into_trailers().unwrap_or_default());
                    return self.answered_without_a_message(head, clock);
                }
            },
            Poll::Ready(Some(Err(error))) => {
                let error = Error::from(error.into()).at(Phase::Body).received(0);
                let next = call.head(&head, copy, now).map_or_else(Ok, |_| call.failed(error, copy, now));
                return self.end_attempt(next, None, clock);
            }
        }
        match call.head(&head, copy, now) {
            Ok(Plan::Stream { .. }) => {
                Step::Done(Ok(Guarded::hand_over(self.call, head, message, body, now)))
            }
            Ok(Plan::Collect(limit)) => {
                let mut buffer = Buffer::default();
                call.got(message.len(), clock);
                buffer.push(message);
                self.begin_to_collect(head, body, buffer, limit, clock, cx)
            }
            // Not all of it is there for a call that gets no further attempt.
            Err(until) if !message.is_empty() => self.end_attempt(Ok(until), None, clock),
            Err(until) => {
                let drain = call.set_aside(head, body, now);
                self.end_attempt(Ok(until), Some(drain), clock)
            }
        }
    }

    /// All of it is there, and stands in the head.
    fn answered_without_a_message(&mut self, head: response::Parts, clock: &mut Clock) -> Step {
        let (call, now) = (alive(self.call), clock.now());
        match call.head(&head, self.request.is_some(), now) {
            Ok(_) => {
                call.complete(now);
                Step::Done(Ok(call.respond(head, Buffer::default(), now)))
            }
            Err(until) => {
                let last = Last::Response { head: Box::new(head), read: Buffer::default(), cut: false };
                call.attempts.past_mut().last = Some(last);
                self.end_attempt(Ok(until), None, clock)
            }
        }
    }
}
