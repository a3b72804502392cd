//! What a call waits for when nothing else is to be done: the nearest bound, and a response that is thrown away.

use crate::collect::Buffer;
use crate::stack::call::CallState;
use crate::stall::Stall;
use bytes::Buf;
use http_body::Body;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// Why the timer is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::stack) enum Bound {
    Deadline,
    Attempt(Duration),
    Stall(Stall),
    Overdue,
    Probe,
    /// A probe of the circuit that waits for a pool of the caller's own.
    Place,
    /// Not a limit: a wait that is over.
    Wake,
}

/// Picks the bound that is nearest.
#[derive(Debug, Default)]
pub(in crate::stack) struct Nearest(Option<(Instant, Bound)>);

impl Nearest {
    /// At the same moment the bound that was named first wins.
    pub(in crate::stack) fn at(mut self, at: Option<Instant>, bound: Bound) -> Nearest {
        if let Some(at) = at {
            if self.0.is_none_or(|(nearest, _)| at < nearest) {
                self.0 = Some((at, bound));
            }
        }
        self
    }

    /// The bounds of an attempt that is under way.
    pub(in crate::stack) fn attempt(self, life: &CallState) -> Nearest {
        let nearest = self.at(life.overdue_at(), Bound::Overdue);
        match life.attempt_ends() {
            Some((at, limit)) => nearest.at(Some(at), Bound::Attempt(limit)),
            None => nearest,
        }
    }

    /// The bounds of a body that is awaited.
    pub(in crate::stack) fn stall(self, life: &CallState) -> Nearest {
        match life.flow.bound() {
            Some((at, stall)) => self.at(Some(at), Bound::Stall(stall)),
            None => self,
        }
    }

    pub(in crate::stack) fn get(self) -> Option<(Instant, Bound)> {
        self.0
    }
}

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
pub(in crate::stack) const DRAIN: Duration = Duration::from_millis(100);

impl<R: Body + Unpin> Drain<R> {
    pub(crate) fn new(body: R, now: Instant) -> Drain<R> {
        Drain { body, left: BYTES, until: now + DRAIN, kept: None, complete: false }
    }

    /// One that keeps what it reads.
    pub(in crate::stack) fn keeping(body: R, now: Instant) -> Drain<R> {
        Drain { kept: Some(Buffer::default()), ..Drain::new(body, now) }
    }

    /// What was read, and whether that is all there was.
    pub(in crate::stack) fn read(self) -> Option<(Buffer, bool)> {
        Some((self.kept?, self.complete))
    }

    /// Ready when there is no more to read, or none that is worth it.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let Some(Ok(frame)) = frame else {
                self.complete = frame.is_none();
                return Poll::Ready(());
            };
            let Ok(mut data) = frame.into_data() else { continue };
            let bytes = data.remaining();
            if let Some(kept) = &mut self.kept {
                kept.push(data.copy_to_bytes(bytes.min(self.left)));
            }
            match self.left.checked_sub(bytes) {
                Some(left) => self.left = left,
                None => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }
}

/// The clock of one poll: read when first asked, and again after code that may have taken time.
#[derive(Debug, Default)]
pub(in crate::stack) struct Clock(Option<Instant>);

impl Clock {
    pub(in crate::stack) fn at(now: Instant) -> Clock {
        Clock(Some(now))
    }

    pub(in crate::stack) fn now(&mut self) -> Instant {
        *self.0.get_or_insert_with(Instant::now)
    }

    /// A timer says that it is so late: a clock that was read before it may be behind.
    pub(in crate::stack) fn reached(&mut self, at: Instant) {
        *self = Clock::at(Instant::now().max(at));
    }

    pub(in crate::stack) fn stale(&mut self) {
        self.0 = None;
    }
}
