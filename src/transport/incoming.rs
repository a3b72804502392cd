//! A response body on its connection, which goes back to the pool with the end of it.

use crate::transport::pool::Lease;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A body of HTTP/1.1 that is dropped before its end closes its connection, unless the rest of it is there already. One
/// of HTTP/2 leaves the connection behind for the next call, which must not be sent into one that died.
pub(crate) struct Arriving {
    body: Incoming,
    /// Until the end of the body.
    lease: Option<Lease>,
    /// Somebody asked and there was nothing: what nobody asks for is nobody's silence.
    waiting: bool,
}

impl Arriving {
    pub(super) fn new(body: Incoming, mut lease: Option<Lease>) -> Arriving {
        if let Some(lease) = &mut lease {
            lease.body_begins();
        }
        Arriving { body, lease, waiting: false }
    }
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        let Some(lease) = &mut this.lease else { return polled };
        match &polled {
            Poll::Pending if this.waiting => {}
            Poll::Pending => {
                this.waiting = true;
                lease.wait_begins();
            }
            Poll::Ready(Some(Ok(frame))) => {
                this.waiting = false;
                lease.took(frame.data_ref().map_or(0, Bytes::len));
                if this.body.is_end_stream() {
                    this.end();
                }
            }
            Poll::Ready(_) => this.end(),
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

impl Arriving {
    fn end(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.ended();
        }
    }
}
