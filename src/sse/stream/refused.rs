//! A response that ends the stream for good, unless the caller knows better: the beginning of its body is read, then the
//! caller's hook is asked.

use crate::body::Body;
use crate::deadline::{Deadline, Timer, Within, outside};
use crate::duration::human;
use crate::error::Error;
use crate::sse::refusal::{Asking, Hook, Reconnection, Refusal};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// How much of the body is read, in how many frames, and for how long.
const PIECE: usize = 4 << 10;
const FRAMES: u32 = 64;
const READ: Duration = Duration::from_secs(1);
/// How long the hook may take: the default limit of an attempt.
const ANSWER: Duration = Duration::from_secs(10);

pub(super) struct Refused {
    pub(super) error: Error,
    head: (StatusCode, HeaderMap),
    asked: Option<Duration>,
    in_a_row: u32,
    /// Of the stream.
    ends: Option<Instant>,
    piece: BytesMut,
    step: Step,
}

enum Step {
    Reading { body: Body, frames: u32, until: Instant },
    Asking(Pin<Box<Within<Asking>>>),
}

/// What the hook came to: its answer, or why there is none.
type Answer = Result<Option<Reconnection>, String>;

impl Refused {
    pub(super) fn new(
        error: Error,
        head: (StatusCode, HeaderMap),
        asked: Option<Duration>,
        in_a_row: u32,
        ends: Option<Instant>,
        body: Body,
    ) -> Refused {
        let step = Step::Reading { body, frames: 0, until: Instant::now() + READ };
        Refused { error, head, asked, in_a_row, ends, piece: BytesMut::new(), step }
    }

    pub(super) fn poll(
        &mut self,
        hook: Option<&Hook>,
        mut timer: Pin<&mut Timer>,
        cx: &mut Context<'_>,
    ) -> Poll<Answer> {
        loop {
            match &mut self.step {
                Step::Reading { body, frames, until } => {
                    match outside(|| http_body::Body::poll_frame(Pin::new(body), cx)) {
                        Poll::Ready(Some(Ok(frame))) => {
                            *frames += 1;
                            if let Ok(data) = frame.into_data() {
                                let room = PIECE - self.piece.len();
                                self.piece.extend_from_slice(&data[..data.len().min(room)]);
                            }
                            if self.piece.len() < PIECE && *frames < FRAMES {
                                continue;
                            }
                        }
                        // A body that breaks is as good as one that ends.
                        Poll::Ready(_) => {}
                        Poll::Pending if Instant::now() >= *until => {}
                        Poll::Pending => drop(ready!(timer.as_mut().poll(*until, cx))),
                    }
                    self.error.inner_mut().body = std::mem::take(&mut self.piece).freeze();
                    let Some(hook) = hook else { return Poll::Ready(Ok(None)) };
                    let refusal = self.shown();
                    let asking = catch_unwind(AssertUnwindSafe(|| outside(|| hook.ask(refusal))));
                    let asking = match asking {
                        Ok(asking) => asking,
                        Err(panic) => return Poll::Ready(Err(panicked(&*panic))),
                    };
                    let ends = Instant::now() + ANSWER;
                    let ends = Deadline::at(self.ends.map_or(ends, |stream| stream.min(ends)));
                    self.step = Step::Asking(Box::pin(outside(|| ends.scope(asking))));
                }
                Step::Asking(asking) => {
                    let polled = catch_unwind(AssertUnwindSafe(|| outside(|| asking.as_mut().poll(cx))));
                    return match polled {
                        Ok(Poll::Pending) => Poll::Pending,
                        Ok(Poll::Ready(Ok(answer))) => Poll::Ready(Ok(answer)),
                        Ok(Poll::Ready(Err(error))) if error.is_deadline() => {
                            Poll::Ready(Err(format!("no answer within {:#}", human(ANSWER))))
                        }
                        Ok(Poll::Ready(Err(error))) => Poll::Ready(Err(error.to_string())),
                        Err(panic) => Poll::Ready(Err(panicked(&*panic))),
                    };
                }
            }
        }
    }

    fn shown(&self) -> Refusal {
        let (status, headers) = self.head.clone();
        let body = self.error.inner().body.clone();
        Refusal { status, headers, body, retry_after: self.asked, in_a_row: self.in_a_row }
    }
}

fn panicked(payload: &(dyn Any + Send)) -> String {
    let words = payload.downcast_ref::<&str>().copied();
    let words = words.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", words.unwrap_or("no message"))
}

/// Where no response head was the trouble.
pub(super) fn of(error: &Error) -> Option<(StatusCode, HeaderMap)> {
    Some((error.status()?, HeaderMap::new()))
}

/// A body that has nothing to say.
pub(super) fn nothing() -> Body {
    Body::full(Bytes::new())
}
