//! Bodies in gzip, decoded beneath the stack: its limits count decoded bytes, and a broken stream is a failed attempt.
//!
//! Not by `tower-http`, which reads the first member of a gzip stream only and drops what follows it in silence, takes
//! the headers away from the answer to a HEAD, and weighs twice as many crates.

use crate::body::Body;
use crate::error::{Error, ErrorKind, Phase};
use crate::inflight::AskPool;
use crate::transport::incoming::Arriving;
use crate::transport::{Exchange, Transport};
use bytes::{Buf, Bytes};
use flate2::write::MultiGzDecoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, Entry, RANGE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use std::future::Future;
use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower_service::Service;

const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// The transport, and what undoes the encoding of its responses.
#[derive(Clone, Debug)]
pub(crate) struct Decoding {
    inner: Transport,
    on: bool,
}

impl Decoding {
    pub(crate) fn new(inner: Transport, on: bool) -> Decoding {
        Decoding { inner, on }
    }

    /// Tells what connections there are.
    pub(crate) fn teller(&self) -> AskPool {
        self.inner.teller()
    }
}

impl Service<Request<Body>> for Decoding {
    type Response = Response<Decoded>;
    type Error = Error;
    type Future = Decode;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Decode {
        // A range is one of the encoded bytes: what comes back could not be decoded by itself.
        if self.on && !request.headers().contains_key(RANGE) {
            if let Entry::Vacant(vacant) = request.headers_mut().entry(ACCEPT_ENCODING) {
                vacant.insert(GZIP);
            }
        }
        let decodes = self.on && !matches!(*request.method(), Method::HEAD | Method::CONNECT);
        Decode { exchange: self.inner.call(request), decodes }
    }
}

/// The future of [`Decoding`].
pub(crate) struct Decode {
    exchange: Exchange,
    decodes: bool,
}

impl Future for Decode {
    type Output = Result<Response<Decoded>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(Pin::new(&mut self.exchange).poll(cx))?;
        if !self.decodes || !is_encoded(response.status(), response.headers()) {
            return Poll::Ready(Ok(response.map(Decoded::Plain)));
        }
        let (mut head, body) = response.into_parts();
        head.headers.remove(CONTENT_ENCODING);
        head.headers.remove(CONTENT_LENGTH);
        Poll::Ready(Ok(Response::from_parts(head, Decoded::Gzip(Box::new(Gunzip::new(body))))))
    }
}

/// Whether there is a body, it is whole, and gzip is all that was done to it.
fn is_encoded(status: StatusCode, headers: &HeaderMap) -> bool {
    let bodiless = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT);
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    let is_gzip = |value: &HeaderValue| {
        let name = value.as_bytes().trim_ascii();
        name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip")
    };
    !bodiless && codings.next().is_some_and(is_gzip) && codings.next().is_none()
}

/// A response body as it came, or decoded.
pub(crate) enum Decoded {
    Plain(Arriving),
    Gzip(Box<Gunzip<Arriving>>),
}

impl http_body::Body for Decoded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.get_mut() {
            Decoded::Plain(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(foreign)))
            }
            Decoded::Gzip(body) => body.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Decoded::Plain(body) => body.is_end_stream(),
            Decoded::Gzip(body) => body.ended && body.trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Decoded::Plain(body) => body.size_hint(),
            // What it decodes to is known at its end.
            Decoded::Gzip(_) => SizeHint::default(),
        }
    }
}

fn foreign(error: hyper::Error) -> Error {
    let error: crate::error::BoxError = error.into();
    Error::from(error)
}

/// Decodes piece by piece. One write to the decoder gives at most some 64 KiB, whatever the input would expand to.
pub(crate) struct Gunzip<B> {
    body: B,
    decoder: MultiGzDecoder<Vec<u8>>,
    /// What has arrived and is not decoded.
    input: Bytes,
    /// Anything has arrived: an empty body is no broken stream.
    begun: bool,
    ended: bool,
    trailers: Option<HeaderMap>,
}

/// Pieces of input that may come to nothing before the timers of the call are looked at again: a stream can be full of
/// empty blocks.
const IN_A_ROW: u32 = 32;

impl<B> Gunzip<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<crate::error::BoxError>,
{
    fn new(body: B) -> Gunzip<B> {
        Gunzip {
            body,
            decoder: MultiGzDecoder::new(Vec::new()),
            input: Bytes::new(),
            begun: false,
            ended: false,
            trailers: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        for _ in 0..IN_A_ROW {
            if let Some(data) = self.decode() {
                return Poll::Ready(Some(data.map(Frame::data)));
            }
            if self.ended {
                return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.begun |= !data.is_empty();
                        self.input = data;
                    }
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                Some(Err(error)) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(Error::from(error.into()))));
                }
                None => {
                    self.ended = true;
                    if self.begun {
                        if let Err(error) = self.decoder.try_finish() {
                            self.trailers = None;
                            return Poll::Ready(Some(Err(broken("cut short or corrupt", error))));
                        }
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The next decoded bytes of what has arrived; none when there are none.
    fn decode(&mut self) -> Option<Result<Bytes, Error>> {
        while !self.input.is_empty() {
            let mut step = self.decoder.write(&self.input);
            match &mut step {
                Ok(0) => step = Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.input.advance(*n),
                Err(_) => {}
            }
            if self.input.is_empty() && step.is_ok() {
                // What the decoder holds back may be all that comes for a while.
                step = self.decoder.flush().map(|()| 0);
            }
            if let Err(error) = step {
                (self.input, self.ended, self.trailers) = (Bytes::new(), true, None);
                return Some(Err(broken("corrupt", error)));
            }
            if !self.decoder.get_ref().is_empty() {
                break;
            }
        }
        let decoded = std::mem::take(self.decoder.get_mut());
        (!decoded.is_empty()).then(|| Ok(decoded.into()))
    }
}

fn broken(how: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::Transport, format!("the gzip stream of the response body is {how}"))
        .at(Phase::Body)
        .with_source(error)
}

#[cfg(test)]
mod tests;
