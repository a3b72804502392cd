//! Reads a body inside the attempt.

use crate::collect::Buffer;
use crate::error::{BoxError, Error, Phase};
use crate::stack::call::clock::Clock;
use crate::stack::call::state::CallState;
use bytes::Buf;
use http_body::Body;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::task::coop::poll_proceed;

/// How far it came.
pub(super) enum Read {
    Pending,
    Complete,
    /// There is more than belongs to the attempt.
    TooMuch,
    Broken(Error),
}

pub(super) fn read<R>(
    call: &mut CallState,
    body: &mut R,
    buffer: &mut Buffer,
    limit: u64,
    clock: &mut Clock,
    cx: &mut Context<'_>,
) -> Read
where
    R: Body + Unpin,
    R::Error: Into<BoxError>,
{
    let mut first = true;
    loop {
        // A body that always has a frame lets others have their turn, its own limits among them.
        if !std::mem::take(&mut first) && poll_proceed(cx).map(|budget| budget.made_progress()).is_pending() {
            call.enter_body(clock);
            return Read::Pending;
        }
        match call.inside(|| Pin::new(&mut *body).poll_frame(cx)) {
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(mut data) => {
                    call.got(data.remaining(), clock);
                    buffer.push(data.copy_to_bytes(data.remaining()));
                    if buffer.len() > limit {
                        return Read::TooMuch;
                    }
                    if body.is_end_stream() {
                        // The declared length is there: not asked once more.
                        call.complete(clock.now());
                        return Read::Complete;
                    }
                }
                Err(frame) => buffer.trailers = frame.into_trailers().ok().map(Box::new),
            },
            Poll::Ready(None) => {
                call.complete(clock.now());
                return Read::Complete;
            }
            Poll::Ready(Some(Err(error))) => {
                let error = Error::from(error.into()).at(Phase::Body);
                return Read::Broken(error.received(call.record.flow.received()));
            }
            Poll::Pending => {
                call.enter_body(clock);
                return Read::Pending;
            }
        }
    }
}
