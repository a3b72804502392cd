//! An inner service that does nothing, and one call through whatever stands around it.

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use std::convert::Infallible;
use std::future::Future;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use tower_service::Service;

/// Answers at once, or after it was pending so many times.
#[derive(Clone)]
pub(crate) struct Inner {
    pub(crate) pending: u32,
}

pub(crate) struct Answer {
    pending: u32,
}

impl Future for Answer {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if self.pending > 0 {
            self.pending -= 1;
            return Poll::Pending;
        }
        Poll::Ready(Ok(Response::new(Full::new(Bytes::from_static(b"ok")))))
    }
}

impl Service<Request<Full<Bytes>>> for Inner {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Answer {
        Answer { pending: self.pending }
    }
}

pub(crate) fn request(uri: Uri) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::from_static(b"")));
    *request.uri_mut() = uri;
    request
}

/// One call to its end, polled by hand so that no executor is measured.
pub(crate) fn drive<S: Service<Request<Full<Bytes>>>>(service: &mut S) {
    drive_to(service, Uri::from_static("http://api.example.com/jobs"));
}

/// The same to a URL.
pub(crate) fn drive_to<S: Service<Request<Full<Bytes>>>>(service: &mut S, uri: Uri) {
    let mut call = pin!(service.call(request(uri)));
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(done) = call.as_mut().poll(&mut cx) {
            black_box(done.is_ok());
            return;
        }
    }
}
