//! The futures of a request: on its way by the client, and by the client as a tower service.

use crate::body::Body;
use crate::client::Client;
use crate::client::redirect::Following;
use crate::client::response::Response;
use crate::client::url::lift_credentials;
use crate::error::Error;
use crate::options::Label;
use crate::target::Target;
use http::{Method, Request, Uri};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower_service::Service;

pub(super) fn target(request: &Request<Body>) -> Target {
    Target {
        method: request.method().clone(),
        uri: request.uri().clone(),
        label: request.extensions().get::<Label>().cloned(),
    }
}

impl Client {
    /// Sends a request that was built with [`http::Request`]. Options of the call are request extensions:
    /// [`Deadline`](crate::Deadline), [`LongPoll`](crate::LongPoll), [`Collect`](crate::Collect), [`Label`],
    /// [`Idempotent`](crate::retry::Idempotent).
    pub fn send<B: Into<Body>>(&self, request: Request<B>) -> Sending {
        Sending::new(self, request.map(Into::into))
    }
}

/// As a tower service it is always ready, so that it can stand under any layer.
impl Service<Request<Body>> for Client {
    type Response = http::Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        ResponseFuture::new(self, request)
    }
}

/// See the implementation for [`Client`].
impl Service<Request<Body>> for &Client {
    type Response = http::Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        ResponseFuture::new(self, request)
    }
}

/// The future of a request: see [`RequestBuilder::send`](crate::client::RequestBuilder::send).
#[must_use = "futures do nothing unless polled"]
pub struct Sending {
    call: ResponseFuture,
    target: Option<Target>,
}

impl Sending {
    pub(super) fn new(client: &Client, mut request: Request<Body>) -> Sending {
        match lift_credentials(&mut request) {
            Ok(()) => Sending { target: Some(target(&request)), call: ResponseFuture::run(client, request) },
            Err(error) => Sending::failed(error.about(target(&request))),
        }
    }

    pub(super) fn failed(error: Error) -> Sending {
        Sending { target: None, call: ResponseFuture::failed(error) }
    }
}

impl Future for Sending {
    type Output = Result<Response, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = ready!(Pin::new(&mut self.call).poll(cx));
        let mut target = self.target.take();
        if let (Some(target), Some((method, uri))) = (&mut target, self.call.landed()) {
            (target.method, target.uri) = (method.clone(), uri.clone());
        }
        Poll::Ready(match (ended, target) {
            (Ok(response), Some(target)) => Ok(Response::new(response, target)),
            (Ok(_), None) => unreachable!("only what failed to be sent has no target"),
            (Err(mut error), target) => {
                let told = &mut error.inner_mut().target;
                *told = told.take().or(target);
                Err(error)
            }
        })
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sending")
    }
}

/// The future of a [`Client`] as a tower service.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture(State);

enum State {
    Failed(Option<Error>),
    // A call is over a kilobyte: one allocation costs less than moving it from hand to hand, and keeps the futures of
    // callers small.
    Running(Pin<Box<Following>>),
}

impl ResponseFuture {
    pub(super) fn new(client: &Client, mut request: Request<Body>) -> ResponseFuture {
        match lift_credentials(&mut request) {
            Ok(()) => ResponseFuture::run(client, request),
            Err(error) => ResponseFuture::failed(error),
        }
    }

    fn run(client: &Client, request: Request<Body>) -> ResponseFuture {
        ResponseFuture(State::Running(Box::pin(Following::new(client, request))))
    }

    /// Method and URL that the answer is from, where that is another than was asked.
    fn landed(&self) -> Option<(&Method, &Uri)> {
        match &self.0 {
            State::Running(call) => call.landed(),
            State::Failed(_) => None,
        }
    }

    fn failed(error: Error) -> ResponseFuture {
        ResponseFuture(State::Failed(Some(error)))
    }
}

impl Future for ResponseFuture {
    type Output = Result<http::Response<Body>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Running(call) => call.as_mut().poll(cx),
            State::Failed(error) => match error.take() {
                Some(error) => Poll::Ready(Err(error)),
                None => panic!("a request was polled after it had ended"),
            },
        }
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}
