//! A response that ends the stream for good, unless the caller knows better: the beginning of its body is read, then the
//! caller's hook is asked.

use super::{EventStream, Link};
use crate::body::Body;
use crate::deadline::{Deadline, Timer, Within, outside};
use crate::duration::human;
use crate::error::Error;
use crate::sse::refusal::{Asking, ComeBack, Hook, Refusal};
use crate::sse::status::Cause;
use crate::telemetry;
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
    error: Error,
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
type Answer = Result<Option<ComeBack>, String>;

impl Refused {
    fn poll(
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

impl EventStream {
    /// The response, or what stood in its place, is to be the end of the stream.
    pub(super) fn refused(
        &mut self,
        error: Error,
        head: (StatusCode, HeaderMap),
        asked: Option<Duration>,
        body: Body,
    ) -> Option<Error> {
        self.refusals = self.refusals.saturating_add(1);
        self.link = Link::Refused(Box::new(Refused {
            error,
            head,
            asked,
            in_a_row: self.refusals,
            ends: self.connect.ends,
            piece: BytesMut::new(),
            step: Step::Reading { body, frames: 0, until: Instant::now() + READ },
        }));
        None
    }

    pub(super) fn poll_refused(&mut self, cx: &mut Context<'_>) -> Poll<Option<Error>> {
        let Link::Refused(refused) = &mut self.link else { return Poll::Ready(None) };
        // Whoever cannot come back is not asked.
        let hook = self.settings.reconnect.hook.as_ref().filter(|_| self.connect.repeats);
        let answer = ready!(refused.poll(hook, self.timer.as_mut(), cx));
        let Link::Refused(refused) = std::mem::replace(&mut self.link, Link::Ended) else {
            return Poll::Ready(None);
        };
        let error = refused.error;
        Poll::Ready(match answer {
            Ok(Some(back)) => {
                self.comes_back(error, back);
                None
            }
            Ok(None) => Some(self.fail(error)),
            Err(why) => {
                telemetry::stream_hook_failed(&self.name, &why);
                Some(self.fail(error))
            }
        })
    }

    /// As the hook says; from the second refusal in a row on no sooner than the back-off.
    fn comes_back(&mut self, error: Error, back: ComeBack) {
        for (name, value) in &back.headers {
            self.renewed.insert(name, value.clone());
        }
        let drawn = self.draw();
        let wait = if self.refusals > 1 { back.after.max(drawn) } else { back.after };
        let error = self.connect.named(error);
        self.waits(&error, Cause::Server, wait);
    }
}

/// Where no response head was the trouble.
pub(super) fn of(error: &Error) -> Option<(StatusCode, HeaderMap)> {
    Some((error.status()?, HeaderMap::new()))
}

/// A body that has nothing to say.
pub(super) fn nothing() -> Body {
    Body::full(Bytes::new())
}
