//! One poll of an event stream: what is ready, the clock of the wait, and the end of the program.

use super::{Bound, EventStream, Link};
use crate::deadline::outside;
use crate::error::{Error, ErrorKind, Phase};
use crate::sse::parser::Event;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Frames without an event before others get their turn.
const FRAMES: u32 = 64;

impl EventStream {
    /// Events that lie ready cost budget too: a task that only reads them leaves room for others.
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        ready!(self.yields.poll(cx));
        let begins = matches!(self.link, Link::Start) && self.is_told_to_end(cx);
        if !begins {
            let said = self.poll_said(cx);
            if said.is_ready() || !self.is_told_to_end(cx) {
                self.last_turn = false;
                return said;
            }
            // A spent budget, many frames, or a connection that others drive: what lies ready still comes first.
            if !std::mem::replace(&mut self.last_turn, true) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        let phase = match self.link {
            Link::Open(..) => Phase::Body,
            Link::Opening(..) => Phase::Headers,
            _ => Phase::BackOff,
        };
        Poll::Ready(Some(Err(self.fail(Error::new(ErrorKind::Cancelled, "").at(phase)))))
    }

    /// Whether the program ends, and this waits for what may never come.
    fn is_told_to_end(&mut self, cx: &mut Context<'_>) -> bool {
        let endless = match self.link {
            Link::Waiting(_) => true,
            // What is sent once is work under way: it has the grace of the shutdown, like any other call.
            Link::Start | Link::Opening(..) | Link::Open(..) => self.connect.again,
            // Bounded, and its end says why.
            Link::Refused(_) | Link::Ended => false,
        };
        endless && self.cancelled.poll(cx).is_ready()
    }

    fn poll_said(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        let mut frames = 0;
        loop {
            let said = match &mut self.link {
                Link::Ended => return Poll::Ready(None),
                Link::Start => self.start(),
                Link::Waiting(until) => {
                    let until = *until;
                    match ready!(self.poll_timer(until, cx)) {
                        Ok(()) => self.link = Link::Start,
                        Err(error) => return Poll::Ready(Some(Err(self.fail(error)))),
                    }
                    None
                }
                Link::Opening(opening, since) => match outside(|| opening.as_mut().poll(cx)) {
                    Poll::Ready(answer) => self.answered(answer),
                    Poll::Pending => {
                        let ends = *since + self.idle;
                        ready!(self.poll_bound(ends, Bound::Headers, cx))
                    }
                },
                Link::Refused(_) => ready!(self.poll_refused(cx)),
                Link::Open(body, chunk) => match self.parser.next(chunk) {
                    Some(item) => match self.said(item) {
                        Some(said) => return Poll::Ready(Some(said)),
                        None => None,
                    },
                    None => match outside(|| http_body::Body::poll_frame(Pin::new(body), cx)) {
                        Poll::Ready(frame) => {
                            frames += 1;
                            self.read(frame)
                        }
                        Poll::Pending => {
                            let (at, bound) = self.silence();
                            ready!(self.poll_bound(at, bound, cx))
                        }
                    },
                },
            };
            if let Some(error) = said {
                return Poll::Ready(Some(Err(error)));
            }
            if frames == FRAMES {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}
