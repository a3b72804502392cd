//! One attempt of a call: the transport, and the layers of the user's around it.

use crate::body::Body;
use crate::error::{BoxError, Error};
use crate::transport::decode::{Decode, Decoded, Decoding};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;
use tower_layer::Layer;
use tower_service::Service;

type Layered = BoxCloneSyncService<Request<Body>, Response<AttemptBody>, Error>;

/// The service that sends one attempt of a call: what a layer given to
/// [`ClientBuilder::attempt_layer`](super::ClientBuilder::attempt_layer) stands over.
#[derive(Clone)]
pub struct Attempt(Inner);

#[derive(Clone)]
enum Inner {
    Wire(Decoding),
    Layered(Layered),
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attempt")
    }
}

impl Service<Request<Body>> for Attempt {
    type Response = Response<AttemptBody>;
    type Error = Error;
    type Future = AttemptFuture;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match &mut self.0 {
            Inner::Wire(wire) => wire.poll_ready(cx),
            Inner::Layered(layered) => layered.poll_ready(cx),
        }
    }

    #[inline]
    fn call(&mut self, request: Request<Body>) -> AttemptFuture {
        AttemptFuture(match &mut self.0 {
            Inner::Wire(wire) => Sent::Wire(wire.call(request)),
            Inner::Layered(layered) => Sent::Layered(layered.call(request)),
        })
    }
}

/// The future of an [`Attempt`].
pub struct AttemptFuture(Sent);

enum Sent {
    Wire(Decode),
    Layered(<Layered as Service<Request<Body>>>::Future),
}

impl Future for AttemptFuture {
    type Output = Result<Response<AttemptBody>, Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Sent::Wire(wire) => {
                let response = ready!(Pin::new(wire).poll(cx))?;
                Poll::Ready(Ok(response.map(|body| AttemptBody(Read::Wire(body)))))
            }
            Sent::Layered(layered) => layered.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for AttemptFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AttemptFuture")
    }
}

/// The body of a response to an [`Attempt`], as it comes: no limit has been at it.
pub struct AttemptBody(Read);

enum Read {
    Wire(Decoded),
    /// What a layer made of it.
    Layered(Body),
}

impl http_body::Body for AttemptBody {
    type Data = Bytes;
    type Error = Error;

    #[inline]
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut self.0 {
            Read::Wire(body) => Pin::new(body).poll_frame(cx),
            Read::Layered(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Read::Wire(body) => body.is_end_stream(),
            Read::Layered(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Read::Wire(body) => body.size_hint(),
            Read::Layered(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for AttemptBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AttemptBody")
    }
}

/// The layers of the user's, the outermost first.
#[derive(Clone, Default)]
pub(super) struct AttemptLayers(Vec<Apply>);

type Apply = Arc<dyn Fn(Attempt) -> Attempt + Send + Sync>;

impl AttemptLayers {
    pub(super) fn push<L, B>(&mut self, layer: L)
    where
        L: Layer<Attempt> + Send + Sync + 'static,
        L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request<Body>>>::Error: Into<BoxError>,
        <L::Service as Service<Request<Body>>>::Future: Send + 'static,
        B: http_body::Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.0.push(Arc::new(move |attempt| {
            let read = |response: Response<B>| {
                response.map(|body| AttemptBody(Read::Layered(Body::streaming(body))))
            };
            let layered = layer.layer(attempt).map_response(read);
            let layered = layered.map_err(|error| Error::from(Into::<BoxError>::into(error)));
            Attempt(Inner::Layered(Layered::new(layered)))
        }));
    }

    pub(super) fn over(&self, wire: Decoding) -> Attempt {
        self.0.iter().rev().fold(Attempt(Inner::Wire(wire)), |attempt, apply| apply(attempt))
    }
}

impl fmt::Debug for AttemptLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AttemptLayers({})", self.0.len())
    }
}
