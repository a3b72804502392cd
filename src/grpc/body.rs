//! Bodies of gRPC: a request that can be sent again, and a response whose failure is a status.

use super::span::OpenSpan;
use super::status;
use crate::body::Body;
use crate::collect::Buffer;
use crate::error::BoxError;
use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

/// How much of a request is kept to be sent again: the largest message that servers take where nobody says otherwise.
const KEPT: u64 = 4 << 20;
/// In so many pieces: a body may always have another one, and nothing in it.
const PIECES: usize = 1024;

/// The body of a response to a call of gRPC.
///
/// What ends it too early (a limit, a connection that breaks) comes as trailers with a status, since that is what callers of
/// gRPC read.
#[derive(Debug)]
pub struct GrpcBody {
    body: Body,
    failed: bool,
    span: Option<Box<OpenSpan>>,
}

impl GrpcBody {
    pub(super) fn new(body: Body, span: Option<Box<OpenSpan>>) -> GrpcBody {
        GrpcBody { body, failed: false, span }
    }

    /// The body without that: its failures are errors.
    pub fn into_inner(mut self) -> Body {
        if let Some(span) = &mut self.span {
            span.forget();
        }
        self.body
    }
}

impl Default for GrpcBody {
    fn default() -> GrpcBody {
        GrpcBody::new(Body::empty(), None)
    }
}

impl http_body::Body for GrpcBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.failed {
            return Poll::Ready(None);
        }
        let GrpcBody { body, span, .. } = &mut *self;
        let polled = ready!(Pin::new(&mut *body).poll_frame(cx));
        if let Some(span) = span {
            match &polled {
                Some(Ok(frame)) if frame.is_trailers() => span.ends(frame.trailers_ref()),
                // Its reader need not ask once more.
                Some(Ok(_)) if body.is_end_stream() => span.ends(None),
                Some(Ok(_)) => {}
                Some(Err(error)) => span.fails(error),
                None => span.ends(None),
            }
        }
        Poll::Ready(match polled {
            Some(Ok(frame)) => Some(Ok(frame)),
            Some(Err(error)) => {
                self.failed = true;
                Some(Ok(Frame::trailers(status::trailers(&error))))
            }
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a request. What is there already, and complete, is held in memory: that is the one message of a unary call,
/// which can then be sent again. Whatever is still to be made streams.
pub(super) fn request<B>(body: B) -> Body
where
    B: http_body::Body + Send + 'static,
    B::Data: Buf,
    B::Error: Into<BoxError>,
{
    let mut rest = Box::pin(body);
    let mut read = Buffer::default();
    // Whoever polls it again leaves a waker of their own.
    let mut cx = Context::from_waker(Waker::noop());
    let mut failed = None;
    for _ in 0..PIECES {
        if rest.is_end_stream() || read.len() > KEPT {
            break;
        }
        match rest.as_mut().poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => {
                // A request of gRPC has no trailers.
                if let Ok(mut data) = frame.into_data() {
                    read.push(data.copy_to_bytes(data.remaining()));
                }
            }
            Poll::Ready(Some(Err(error))) => {
                failed = Some(error.into());
                return Body::streaming(Begun { read: read.take(), failed, rest });
            }
            Poll::Ready(None) => return Body::full(read.take()),
            Poll::Pending => return Body::streaming(Begun { read: read.take(), failed, rest }),
        }
    }
    match rest.is_end_stream() {
        true => Body::full(read.take()),
        false => Body::streaming(Begun { read: read.take(), failed, rest }),
    }
}

/// A body of which the beginning was read.
struct Begun<B> {
    read: Bytes,
    failed: Option<BoxError>,
    rest: Pin<Box<B>>,
}

impl<B> http_body::Body for Begun<B>
where
    B: http_body::Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !self.read.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.read)))));
        }
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let frame = ready!(self.rest.as_mut().poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            let frame = frame.map_err(Into::into)?;
            Ok(frame.map_data(|mut data| data.copy_to_bytes(data.remaining())))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.failed.is_none() && self.rest.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http_body_util::{BodyExt, StreamBody};
    use std::io;

    type Pieces = Vec<Result<&'static [u8], io::Error>>;

    /// Pieces that are there, and then nothing for as long as anybody looks where it `waits`.
    fn pieces(
        pieces: Pieces,
        waits: bool,
    ) -> impl http_body::Body<Data = &'static [u8], Error = io::Error> + Send {
        use futures_util::StreamExt;
        let there = stream::iter(pieces.into_iter().map(|piece| piece.map(Frame::data)));
        let mut asked = !waits;
        let late = stream::poll_fn(move |cx| {
            if std::mem::replace(&mut asked, true) {
                return Poll::Ready(None);
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        StreamBody::new(there.chain(late))
    }

    #[tokio::test]
    async fn a_message_that_is_there_is_held_and_one_that_is_still_made_streams() {
        let whole = request(pieces(vec![Ok(b"one"), Ok(b"two")], false));
        assert!(whole.is_collected());
        assert_eq!(whole.collect().await.expect("complete").to_bytes(), "onetwo");
        let begun = request(pieces(vec![Ok(b"one")], true));
        assert!(!begun.is_collected());
        assert_eq!(begun.collect().await.expect("complete").to_bytes(), "one");
    }

    #[tokio::test]
    async fn a_message_that_fails_fails_behind_what_came_before() {
        let mut failed = request(pieces(vec![Ok(b"one"), Err(io::Error::other("encoder"))], false));
        let first = failed.frame().await.expect("a piece").expect("the beginning");
        assert_eq!(first.into_data().expect("data"), "one");
        assert!(failed.frame().await.expect("an end").is_err());
    }

    #[tokio::test]
    async fn a_body_that_always_has_an_empty_piece_is_not_waited_for() {
        let endless = stream::repeat_with(|| Ok::<_, io::Error>(Frame::data(&b""[..])));
        assert!(!request(StreamBody::new(endless)).is_collected());
    }

    #[tokio::test]
    async fn more_than_a_message_of_the_usual_size_is_not_held() {
        const PIECE: &[u8] = &[0; 1 << 20];
        let large = request(pieces((0..6).map(|_| Ok(PIECE)).collect(), false));
        assert!(!large.is_collected());
        assert_eq!(large.collect().await.expect("complete").to_bytes().len(), 6 << 20);
    }
}
