//! A request body on a connection of HTTP/2.
//!
//! A server may answer before it has read what is uploaded, and leave the rest where it is. The stream is taken until that
//! has been sent too, and a request that is handed over as if it were free waits in h2, unseen. hyper tells nobody that a
//! stream has ended, but when it has done with a body.

use crate::body::Body;
use crate::error::Error;
use crate::sync::atomic::{AtomicBool, Ordering};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Of a call and its upload, which share one slot: who has done with it last gives it back.
#[derive(Debug, Default)]
pub(super) struct Both {
    one_has_done: AtomicBool,
}

impl Both {
    /// One of them has done with the slot. Whether it is the last.
    pub(super) fn done(&self) -> bool {
        self.one_has_done.swap(true, Ordering::AcqRel)
    }
}

/// Whoever has to know that an upload has come to its end.
pub(super) trait Uploading: Send + Sync {
    fn ended(&self);
}

/// A body that is being sent, and the slot that its stream takes.
pub(super) struct Upload {
    body: Body,
    /// The last byte of a piece that may be the last, which goes by itself: hyper takes it once the peer has room for all
    /// before it, so that nothing is left to be sent of a body that hyper has done with.
    last: Option<Bytes>,
    _sent: Option<Sent>,
}

/// Tells that the body is there no more: it was sent, or will not be.
struct Sent(Arc<dyn Uploading>);

impl Upload {
    /// `told` where there is something to send.
    pub(super) fn new(body: Body, told: Option<Arc<dyn Uploading>>) -> Upload {
        Upload { body, last: None, _sent: told.map(Sent) }
    }

    /// As it came, where nothing of it was sent.
    pub(super) fn into_body(self) -> Body {
        self.body
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.0.ended();
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if let Some(last) = this.last.take() {
            return Poll::Ready(Some(Ok(Frame::data(last))));
        }
        let mut polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &mut polled {
            if let Some(data) = frame.data_mut().filter(|data| data.len() > 1) {
                if this.body.size_hint().lower() == 0 {
                    this.last = Some(data.split_off(data.len() - 1));
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.last.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, last) = (self.body.size_hint(), self.last.as_ref().map_or(0, Bytes::len) as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + last);
        }
        hint.set_lower(hint.lower() + last);
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body as _;
    use std::collections::VecDeque;
    use std::task::Waker;

    /// Of a declared length, or of none.
    struct Pieces(VecDeque<&'static str>, bool);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(Bytes::from(piece)))))
        }

        fn size_hint(&self) -> SizeHint {
            let left = self.0.iter().map(|piece| piece.len() as u64).sum();
            if self.1 { SizeHint::with_exact(left) } else { SizeHint::default() }
        }
    }

    #[test]
    fn the_last_byte_of_a_body_goes_by_itself_and_nothing_is_added() {
        let streamed = |declared| Body::streaming(Pieces(["ab", "c", "def"].into(), declared));
        for (body, expected) in [
            (Body::empty(), vec![]),
            (Body::from("a"), vec!["a"]),
            (Body::from("ab"), vec!["a", "b"]),
            (Body::from("abcdef"), vec!["abcde", "f"]),
            // Each may be the last.
            (streamed(false), vec!["a", "b", "c", "de", "f"]),
            (streamed(true), vec!["ab", "c", "de", "f"]),
        ] {
            let (mut upload, mut cx) = (Upload::new(body, None), Context::from_waker(Waker::noop()));
            let mut left = upload.size_hint().exact();
            let mut pieces: Vec<Bytes> = Vec::new();
            while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut upload).poll_frame(&mut cx) {
                pieces.push(frame.into_data().unwrap());
                left = left.map(|left| left - pieces.last().map_or(0, |piece| piece.len() as u64));
                let (hint, last) = (upload.size_hint(), pieces.len() == expected.len());
                assert!(left.is_none_or(|left| hint.exact() == Some(left)), "{expected:?}: {hint:?}");
                assert!(last || !upload.is_end_stream(), "{expected:?}");
            }
            assert_eq!(pieces, expected);
        }
    }

    #[test]
    fn of_a_call_and_its_upload_the_last_gives_the_slot_back() {
        let both = Both::default();
        assert_eq!([both.done(), both.done()], [false, true]);
    }
}
