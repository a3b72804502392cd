//! A response that is thrown away, read a little further so that its connection can be used again.

use crate::collect::Buffer;
use bytes::Buf;
use http_body::Body;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::task::coop::poll_proceed;
use tokio::time::Instant;

/// A response that is thrown away is read this far and for this long, so that its connection can be used again;
/// beyond that a new connection is cheaper.
#[derive(Debug)]
pub(crate) struct Drain<R> {
    body: R,
    left: usize,
    pub(crate) until: Instant,
    /// What was read, where that may be wanted.
    kept: Option<Buffer>,
    complete: bool,
}

const BYTES: usize = 4096;
pub(super) const DRAIN: Duration = Duration::from_millis(100);

impl<R: Body + Unpin> Drain<R> {
    pub(crate) fn new(body: R, now: Instant) -> Drain<R> {
        Drain { body, left: BYTES, until: now + DRAIN, kept: None, complete: false }
    }

    /// One that keeps what it reads.
    pub(super) fn keeping(body: R, now: Instant) -> Drain<R> {
        Drain { kept: Some(Buffer::default()), ..Drain::new(body, now) }
    }

    /// What was read, and whether that is all there was.
    pub(super) fn read(self) -> Option<(Buffer, bool)> {
        Some((self.kept?, self.complete))
    }

    /// Ready when there is no more to read, or none that is worth it.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let Some(Ok(frame)) = frame else {
                self.complete = frame.is_none();
                return Poll::Ready(());
            };
            if let Ok(mut data) = frame.into_data() {
                let bytes = data.remaining();
                if let Some(kept) = &mut self.kept {
                    kept.push(data.copy_to_bytes(bytes.min(self.left)));
                }
                match self.left.checked_sub(bytes) {
                    Some(left) => self.left = left,
                    None => return Poll::Ready(()),
                }
            }
            // One that always has a frame lets others have their turn, and whoever bounds this.
            ready!(poll_proceed(cx)).made_progress();
        }
        Poll::Pending
    }
}
