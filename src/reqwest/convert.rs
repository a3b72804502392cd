//! Between the types of reqwest and those of `http`, with nothing lost on the way.

use crate::body::Body;
use crate::error::{BoxError, Error};
use ::reqwest::{ResponseBuilderExt, Url};
use http::{Request, Response};
use http_body::Body as _;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

/// The request of the caller, as the stack takes it.
pub(super) fn request(request: ::reqwest::Request) -> ::reqwest::Result<Request<Body>> {
    Ok(Request::<::reqwest::Body>::try_from(request)?.map(own))
}

/// A body in memory gives its bytes away without a copy: the only frame that it has.
fn own(mut body: ::reqwest::Body) -> Body {
    if body.as_bytes().is_none() {
        return Body::streaming(body);
    }
    let mut frame = pin!(std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)));
    match frame.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().map_or_else(|_| Body::empty(), Body::full),
        _ => Body::empty(),
    }
}

impl From<Body> for ::reqwest::Body {
    /// Bytes in memory stay in memory; a stream keeps its length, where that is known.
    fn from(body: Body) -> ::reqwest::Body {
        match body.into_memory() {
            Ok(bytes) => bytes.into(),
            Err(body) => ::reqwest::Body::wrap(body),
        }
    }
}

/// An attempt at what the caller wrote. Its URL is taken as it is: as text it would be read once more.
pub(super) fn attempt_at(url: &Url, request: Request<Body>) -> Result<::reqwest::Request, Error> {
    if !request.extensions().is_empty() {
        // They may be for somebody beneath, and reqwest takes them only so.
        let mut attempt = attempt(request)?;
        attempt.url_mut().clone_from(url);
        return Ok(attempt);
    }
    let (head, body) = request.into_parts();
    let mut attempt = ::reqwest::Request::new(head.method, url.clone());
    *attempt.version_mut() = head.version;
    *attempt.headers_mut() = head.headers;
    let body = ::reqwest::Body::from(body);
    if body.as_bytes() != Some(b"") {
        *attempt.body_mut() = Some(body);
    }
    Ok(attempt)
}

/// The request of one attempt.
pub(super) fn attempt<B: Into<::reqwest::Body>>(request: Request<B>) -> Result<::reqwest::Request, Error> {
    let mut request = ::reqwest::Request::try_from(request).map_err(|error| foreign(error.without_url()))?;
    if request.body().is_some_and(|body| body.as_bytes() == Some(b"")) {
        *request.body_mut() = None;
    }
    Ok(request)
}

/// The response of one attempt. Its URL, which is a field of reqwest's type, goes along as an extension.
pub(super) fn response(response: ::reqwest::Response) -> Response<::reqwest::Body> {
    let url = response.url().clone();
    let mut response = Response::<::reqwest::Body>::from(response);
    note_url(&mut response, url);
    response
}

/// Where a response came from that was asked for elsewhere: reqwest has followed a redirect.
#[derive(Clone)]
struct RedirectedTo(Url);

/// The response of an attempt at what the caller wrote. Its URL goes along only where it is another one.
pub(super) fn response_to(asked: &Url, response: ::reqwest::Response) -> Response<::reqwest::Body> {
    let url = (response.url() != asked).then(|| response.url().clone());
    let mut response = Response::<::reqwest::Body>::from(response);
    if let Some(url) = url {
        response.extensions_mut().insert(RedirectedTo(url));
    }
    response
}

/// The response of the call, as reqwest has it.
pub(super) fn hand_back(mut response: Response<Body>, asked: Url) -> ::reqwest::Response {
    let attempts = response.body().attempts();
    let url = response.extensions_mut().remove().map_or(asked, |RedirectedTo(url)| url);
    note_url(&mut response, url);
    let mut response = ::reqwest::Response::from(response.map(::reqwest::Body::from));
    // The URL is a field again: before that the table of extensions would grow for both.
    response.extensions_mut().insert(attempts);
    response
}

/// Notes where a response came from among the extensions that are there, which a builder alone knows how to do.
fn note_url<B>(response: &mut Response<B>, url: Url) {
    let mut builder = http::response::Builder::new();
    if let Some(extensions) = builder.extensions_mut() {
        *extensions = std::mem::take(response.extensions_mut());
    }
    if let Some(extensions) = builder.url(url).extensions_mut() {
        *response.extensions_mut() = std::mem::take(extensions);
    }
}

/// reqwest spawns and resolves, and a spawn without a runtime is a panic.
pub(super) fn needs_runtime() -> Result<(), Error> {
    match tokio::runtime::Handle::try_current() {
        Ok(_) => Ok(()),
        Err(_) => {
            Err(Error::config("no tokio runtime: the client's connections need one, run it inside one"))
        }
    }
}

pub(super) fn foreign(error: impl Into<BoxError>) -> Error {
    Error::from(error.into())
}
