//! What becomes a body, and how foreign ones are read.

use super::Body;
use crate::Error;
use crate::error::BoxError;
use bytes::{Buf, Bytes};
use futures_core::Stream;
use http_body::{Frame, SizeHint};
use http_body_util::{Empty, Full};
use pin_project::pin_project;
use std::borrow::Cow;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

impl From<()> for Body {
    fn from((): ()) -> Body {
        Body::empty()
    }
}

impl From<Bytes> for Body {
    fn from(data: Bytes) -> Body {
        Body::full(data)
    }
}

impl From<String> for Body {
    fn from(data: String) -> Body {
        Body::full(data)
    }
}

impl From<&'static str> for Body {
    fn from(data: &'static str) -> Body {
        Body::full(data)
    }
}

impl From<Vec<u8>> for Body {
    fn from(data: Vec<u8>) -> Body {
        Body::full(data)
    }
}

impl From<&'static [u8]> for Body {
    fn from(data: &'static [u8]) -> Body {
        Body::full(data)
    }
}

impl From<Box<[u8]>> for Body {
    fn from(data: Box<[u8]>) -> Body {
        Body::full(data)
    }
}

impl From<Cow<'static, str>> for Body {
    fn from(data: Cow<'static, str>) -> Body {
        match data {
            Cow::Borrowed(data) => Body::full(data),
            Cow::Owned(data) => Body::full(data),
        }
    }
}

impl From<Cow<'static, [u8]>> for Body {
    fn from(data: Cow<'static, [u8]>) -> Body {
        match data {
            Cow::Borrowed(data) => Body::full(data),
            Cow::Owned(data) => Body::full(data),
        }
    }
}

impl From<Empty<Bytes>> for Body {
    fn from(_: Empty<Bytes>) -> Body {
        Body::empty()
    }
}

impl From<Full<Bytes>> for Body {
    /// In memory: it can be sent again.
    fn from(mut body: Full<Bytes>) -> Body {
        // Such a body is ready always, and hands out all it has at once.
        let polled =
            http_body::Body::poll_frame(Pin::new(&mut body), &mut Context::from_waker(Waker::noop()));
        match polled {
            Poll::Ready(Some(Ok(frame))) => Body::full(frame.into_data().unwrap_or_default()),
            _ => Body::empty(),
        }
    }
}

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
