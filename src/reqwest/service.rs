//! reqwest as a tower service.

use super::convert;
use super::redirects::{Sending, sending};
use super::renewed::Renewed;
use crate::error::Error;
use http::{Request, Response};
use pin_project::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

type Inner = ::reqwest::Client;

/// A [`reqwest::Client`](::reqwest::Client) as a tower service over the types of `http`, for
/// [`StackLayer`](crate::StackLayer) and all other layers.
///
/// A request body is whatever reqwest takes: [`Body`](crate::Body), `Bytes`, `String`,
/// [`reqwest::Body`](::reqwest::Body). Options of a call are extensions of the request. Of reqwest's response the
/// URL is left in an extension of reqwest's own, so that `reqwest::Response::from` finds it again.
///
/// ```no_run
/// use tower_layer::Layer;
/// use tower_service::Service as _;
/// use unwedge::{Body, StackLayer};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut service = StackLayer::default().layer(unwedge::reqwest::builder().service()?);
/// let request = http::Request::get("https://api.example.com/jobs").body(Body::empty())?;
/// let response = service.call(request).await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// Those of reqwest, classified by their whole chain of causes. Kind `Config` for a URL that reqwest does not take, and
/// without a tokio runtime.
#[derive(Clone, Debug)]
pub struct Service {
    pub(super) inner: Inner,
    /// None for a client of the user's.
    pub(super) renewed: Option<Renewed>,
}

impl Service {
    /// This client as a service. It should have a connect timeout, no total timeout and no retries of its own, as
    /// those of [`ClientBuilder::service`](super::ClientBuilder::service), which also leaves its idle connections behind
    /// when the machine has slept.
    pub fn new(client: ::reqwest::Client) -> Service {
        Service { inner: client, renewed: None }
    }
}

impl From<::reqwest::Client> for Service {
    fn from(client: ::reqwest::Client) -> Service {
        Service::new(client)
    }
}

impl<B: Into<::reqwest::Body>> tower_service::Service<Request<B>> for Service {
    type Response = Response<::reqwest::Body>;
    type Error = Error;
    type Future = Sent;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Sent {
        let doing = match convert::needs_runtime().and_then(|()| convert::attempt(request)) {
            Ok(request) => {
                let mut renewed = self.renewed.as_ref().and_then(Renewed::last);
                let inner = renewed.as_mut().unwrap_or(&mut self.inner);
                Doing::Pending {
                    pending: sending(request, |request| tower_service::Service::call(inner, request)),
                }
            }
            Err(error) => Doing::Refused { error: Some(error) },
        };
        Sent { doing }
    }
}

/// The future of [`Service`].
///
/// # Panics
/// When it is polled after it was ready.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct Sent {
    #[pin]
    doing: Doing,
}

#[pin_project(project = DoingProj)]
enum Doing {
    Pending {
        #[pin]
        pending: Sending<<Inner as tower_service::Service<::reqwest::Request>>::Future>,
    },
    Refused {
        error: Option<Error>,
    },
}

impl Future for Sent {
    type Output = Result<Response<::reqwest::Body>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project().doing.project() {
            DoingProj::Pending { pending } => ready!(pending.poll(cx))
                .map(convert::response)
                .map_err(|error| convert::foreign(error.without_url())),
            DoingProj::Refused { error } => match error.take() {
                Some(error) => Err(error),
                None => panic!("a request was polled after it had ended"),
            },
        })
    }
}
