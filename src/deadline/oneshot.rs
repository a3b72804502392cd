//! One call of a service that has to become ready first, and of a request whose time may be over by then.

use super::header::Late;
use super::turn::begins;
use http::Request;
use pin_project::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower_service::Service;

/// What a call of the inner service came to.
pub(super) enum Ended<T> {
    Done(T),
    /// When its turn came there was no time left for it.
    Late(Late),
}

/// One call of a service that has yet to become ready.
#[pin_project(project = OneshotProj)]
#[expect(clippy::large_enum_variant, reason = "a box for each request would cost more than the room")]
pub(super) enum Oneshot<S, B>
where
    S: Service<Request<B>>,
{
    Ready {
        inner: S,
        request: Option<Request<B>>,
    },
    Called {
        #[pin]
        future: S::Future,
    },
}

impl<S, B> Oneshot<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn new(inner: S, request: Request<B>) -> Oneshot<S, B> {
        Oneshot::Ready { inner, request: Some(request) }
    }
}

impl<S, B> Future for Oneshot<S, B>
where
    S: Service<Request<B>>,
{
    type Output = Ended<Result<S::Response, S::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let future = match self.as_mut().project() {
                OneshotProj::Called { future } => return future.poll(cx).map(Ended::Done),
                OneshotProj::Ready { inner, request } => {
                    if let Err(error) = ready!(inner.poll_ready(cx)) {
                        return Poll::Ready(Ended::Done(Err(error)));
                    }
                    // It may have been a long wait: the permit goes to somebody who has the time.
                    if let Some(late) = begins() {
                        return Poll::Ready(Ended::Late(late));
                    }
                    match request.take() {
                        Some(request) => inner.call(request),
                        None => panic!("a call was polled after it had ended"),
                    }
                }
            };
            self.set(Oneshot::Called { future });
        }
    }
}
