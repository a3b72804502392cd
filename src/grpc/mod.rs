//! Calls of gRPC under a stack: their status is evidence, their deadline goes along, and what fails here is a status there.
//!
//! gRPC says what became of a call in a header, `grpc-status`, in the head of a response without a message, else in the
//! trailers. HTTP says 200 in either case, so that a stack alone takes each answer for a success, and its own errors are
//! `Unknown` to callers. A [`GrpcLayer`] is a stack that knows better. It needs no gRPC library; this is with tonic:
//!
//! ```no_run
//! use std::time::Duration;
//! use tower_layer::Layer;
//! use unwedge::{StackLayer, grpc::GrpcLayer, retry::Idempotent};
//!
//! # async fn call() -> Result<(), Box<dyn std::error::Error>> {
//! let channel = tonic::transport::Endpoint::from_static("http://jobs.example:50051").connect_lazy();
//! // A request of tonic has no host: the stack is told whom it is for.
//! let stack = StackLayer::default().origin("http://jobs.example:50051")?;
//! let mut jobs = tonic::client::Grpc::new(GrpcLayer::new(stack, tonic::body::Body::new).layer(channel)); // JobsClient::new(..)
//!
//! let mut request = tonic::Request::new(());
//! request.set_timeout(Duration::from_secs(5)); // a deadline, of attempts and waits together
//! request.extensions_mut().insert(Idempotent); // this method only reads
//! jobs.ready().await?;
//! # let _ = request;
//! # Ok(()) }
//! ```
//!
//! | `grpc-status` | circuit breaker | repeated |
//! | --- | --- | --- |
//! | `UNAVAILABLE` | a failure | where the request is marked [`Idempotent`](crate::retry::Idempotent), or the server named a wait |
//! | `DEADLINE_EXCEEDED` | a failure | where the request is marked |
//! | `UNKNOWN`, `INTERNAL`, `DATA_LOSS` | a failure | no |
//! | `RESOURCE_EXHAUSTED` | as a 429: counted in the ratio alone | where the server named a wait |
//! | `CANCELLED` | nothing | no |
//! | all others | a success | no |
//!
//! Only an answer that is nothing but its head is repeated, as servers answer that have no message: once there was a message,
//! or could be one, the caller has it. The wait is `grpc-retry-pushback-ms`; a negative one means never. Methods are all POST,
//! so that nothing else says that a call may be processed twice. A response without a status in its head is judged by its
//! trailers, or by the error that it ends with; one that its reader drops before is a success, unless it waited in vain. While
//! half-open it has passed with its first message, or where its reader finds that nothing came right behind the head. A
//! classifier of [`retry::Settings`](crate::retry::Settings::classify) goes before all of this.
//!
//! | what failed | is to the caller |
//! | --- | --- |
//! | deadline, attempt limit, a body that stalls | `DEADLINE_EXCEEDED` |
//! | no connection, a broken one, an open circuit, a failed health check | `UNAVAILABLE`, with `grpc-retry-pushback-ms` where it is known when to come back |
//! | a head or body above its cap | `RESOURCE_EXHAUSTED` |
//! | the end of the program | `CANCELLED` |
//! | settings that cannot work | `INTERNAL` |
//!
//! `grpc-timeout` of a request is its deadline, and each attempt is sent what is left up to the last byte: of that deadline and
//! of an enclosing [`within`](crate::within), else of the limits `total` and `stream` together. Servers read it with
//! [`Headers::grpc`](crate::deadline::Headers::grpc).
//!
//! A health check over HTTP asks most gRPC servers in vain: leave it off, or call their health service in a loop of your own.

mod body;
mod span;
mod status;

pub use body::GrpcBody;

use crate::body::Body;
use crate::deadline::{Deadline, Headers};
use crate::error::{BoxError, Error};
use crate::retry::grpc::Call;
use crate::stack::{ResponseFuture, Stack, StackLayer};
use bytes::Buf;
use http::{Request, Response};
use pin_project::pin_project;
use span::OpenSpan;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower_layer::Layer;
use tower_service::Service;

/// A stack for calls of gRPC, over a channel.
///
/// Clones, and all services it is applied to, share breakers, budgets and the table of calls, which the
/// [`StackLayer`] it was made of shows.
#[derive(Clone)]
pub struct GrpcLayer<F> {
    stack: StackLayer,
    body: F,
}

impl<F> GrpcLayer<F> {
    /// This stack, over services that take what `body` makes of a request's [`Body`]: for tonic `tonic::body::Body::new`, for
    /// services that take any body [`std::convert::identity`].
    pub fn new(stack: StackLayer, body: F) -> GrpcLayer<F> {
        GrpcLayer { stack, body }
    }
}

impl<F> fmt::Debug for GrpcLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GrpcLayer").field(&self.stack).finish()
    }
}

impl<S, F: Clone> Layer<S> for GrpcLayer<F> {
    type Service = GrpcService<WithBody<S, F>>;

    fn layer(&self, inner: S) -> Self::Service {
        GrpcService { stack: self.stack.layer(WithBody { inner, body: self.body.clone() }) }
    }
}

/// The service that a [`GrpcLayer`] makes. Always ready, and without an error: what fails is a response with a status.
///
/// # Cancellation safety
/// A call may be dropped at any moment: see [`ResponseFuture`].
#[derive(Clone, Debug)]
pub struct GrpcService<S> {
    stack: Stack<S>,
}

impl<S, B, R> Service<Request<B>> for GrpcService<S>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    R: http_body::Body + Send + Unpin + 'static,
    R::Error: Into<BoxError>,
    B: http_body::Body + Send + 'static,
    B::Data: Buf,
    B::Error: Into<BoxError>,
{
    type Response = Response<GrpcBody>;
    type Error = Infallible;
    type Future = GrpcFuture<ResponseFuture<S, Body>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut request = request.map(body::request);
        request.extensions_mut().insert(Call);
        let headers = Headers::grpc();
        if let Some(left) = headers.left(request.headers()) {
            // Each attempt writes its own.
            request.headers_mut().remove(headers.get_remaining());
            let wished = Deadline::earlier(request.extensions().get().copied(), Some(Deadline::after(left)));
            if let Some(wished) = wished {
                request.extensions_mut().insert(wished);
            }
        }
        GrpcFuture { call: self.stack.call(request) }
    }
}

/// The future of a [`GrpcService`].
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct GrpcFuture<F> {
    #[pin]
    call: F,
}

impl<F> Future for GrpcFuture<F>
where
    F: Future<Output = Result<Response<Body>, Error>>,
{
    type Output = Result<Response<GrpcBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(match ready!(self.project().call.poll(cx)) {
            Ok(mut response) => {
                let span = OpenSpan::of(&mut response);
                response.map(|body| GrpcBody::new(body, span))
            }
            Err(error) => status::response(&error),
        }))
    }
}

impl<F> fmt::Debug for GrpcFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GrpcFuture")
    }
}

/// What stands beneath the stack: the channel, which has a type of body of its own.
#[derive(Clone)]
pub struct WithBody<S, F> {
    inner: S,
    body: F,
}

impl<S: fmt::Debug, F> fmt::Debug for WithBody<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithBody").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, F, B> Service<Request<Body>> for WithBody<S, F>
where
    S: Service<Request<B>>,
    F: FnMut(Body) -> B,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        let request = request.map(&mut self.body);
        self.inner.call(request)
    }
}
