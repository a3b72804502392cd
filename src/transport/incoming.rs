//! A response body on its connection, which it takes out of use when it was waited for in vain.

use crate::transport::pool::Retire;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A body of HTTP/1.1 that is dropped before its end closes its connection anyway. One of HTTP/2 leaves the connection
/// behind for the next call, which must not be sent into one that died.
pub(crate) struct Arriving {
    body: Incoming,
    /// On HTTP/2, until the end of the body.
    retire: Option<Retire>,
    /// Somebody asked and there was nothing: what nobody asks for is nobody's silence.
    waiting: bool,
}

impl Arriving {
    pub(super) fn new(body: Incoming, retire: Option<Retire>) -> Arriving {
        Arriving { body, retire, waiting: false }
    }
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match (&polled, self.waiting) {
            (Poll::Pending, false) => {
                self.waiting = true;
                if let Some(retire) = &mut self.retire {
                    retire.wait_begins();
                }
            }
            (Poll::Pending, true) => {}
            (Poll::Ready(Some(Ok(_))), _) => self.waiting = false,
            (Poll::Ready(_), _) => self.retire = None,
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if let (Some(retire), true) = (&self.retire, self.waiting && !self.body.is_end_stream()) {
            retire.given_up();
        }
    }
}
