//! Foreign bodies and streams as the one type that is boxed.

use crate::error::{BoxError, Error};
use bytes::{Buf, Bytes};
use futures_core::Stream;
use http_body::{Frame, SizeHint};
use pin_project::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A foreign body as the type that is boxed.
#[pin_project]
pub(super) struct Adapt<B> {
    #[pin]
    pub(super) body: B,
}

impl<B> http_body::Body for Adapt<B>
where
    B: http_body::Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Ready(ready!(self.project().body.poll_frame(cx)).map(|frame| match frame {
            Ok(frame) => Ok(frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))),
            Err(error) => Err(Error::from(error.into())),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream of pieces as the type that is boxed.
#[pin_project]
pub(super) struct Streamed<S> {
    #[pin]
    pub(super) stream: S,
}

impl<S, D, E> http_body::Body for Streamed<S>
where
    S: Stream<Item = Result<D, E>>,
    D: Into<Bytes>,
    E: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Ready(ready!(self.project().stream.poll_next(cx)).map(|piece| match piece {
            Ok(data) => Ok(Frame::data(data.into())),
            Err(error) => Err(Error::from(error.into())),
        }))
    }
}
