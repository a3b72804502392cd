//! The one body type, for requests and responses: in memory, or streamed under guard.

mod adapt;
mod convert;
mod replay;

pub(crate) use replay::{Replay, empty, learn};

use crate::error::BoxError;
use crate::{Error, ErrorKind};
use adapt::{Adapt, Streamed};
use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use sync_wrapper::SyncWrapper;

/// A request or response body.
///
/// A response body up to the `collect` limit is in memory when the call returns, so reading it neither waits nor fails. A
/// larger one streams, under the idle limit and the `stream` limit, and its failure counts for the circuit breaker; only
/// this kind is boxed.
#[derive(Default)]
pub struct Body {
    kind: Kind,
    told: Told,
}

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    Trailed(Box<Trailed>),
    Streamed {
        body: SyncWrapper<Pin<Box<dyn http_body::Body<Data = Bytes, Error = Error> + Send>>>,
        /// How many bytes are still to come, where that is known: the box is only looked into through `&mut`.
        left: Option<u64>,
    },
}

/// Data, and trailers behind it.
#[derive(Clone)]
struct Trailed {
    data: Bytes,
    trailers: HeaderMap,
}

/// [`Attempts`] in less room: a body is moved from hand to hand, and nearly all have no more to tell than this.
struct Told {
    count: u32,
    cut: bool,
    /// In nanoseconds, of which there are 584 years.
    elapsed: u64,
    waits: Option<Box<Waits>>,
}

#[derive(Clone, Copy)]
struct Waits {
    retry_after: Option<Duration>,
    retry_in: Option<Duration>,
}

impl Default for Told {
    fn default() -> Told {
        Told { count: 1, cut: false, elapsed: 0, waits: None }
    }
}

/// The attempts that led to a response: carried by its [`Body`], and a response extension if there was more than one attempt
/// or the time to come back is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempts {
    /// The number of attempts that were started.
    pub count: u32,
    /// The time from the start of the call to its result.
    pub elapsed: Duration,
    /// The full wait that the server asked for, if the call did not wait for it: because it was too long, or because the
    /// request must not be sent again.
    pub retry_after: Option<Duration>,
    /// The time after which a new call has a chance, if that is known: until then the circuit of the origin is open, or its
    /// health check has failed. At least `retry_after`.
    pub retry_in: Option<Duration>,
    /// Whether the body is only the beginning of the response: the call was refused after this response, of which only the
    /// first 4 KiB, or the bytes of the first 100 ms, had been kept.
    pub cut: bool,
}

impl Default for Attempts {
    fn default() -> Attempts {
        Attempts { count: 1, elapsed: Duration::ZERO, retry_after: None, retry_in: None, cut: false }
    }
}

impl Body {
    /// A body without a byte.
    pub fn empty() -> Body {
        Body::default()
    }

    /// A body in memory. It can be sent again.
    pub fn full(data: impl Into<Bytes>) -> Body {
        let data = data.into();
        let kind = if data.is_empty() { Kind::Empty } else { Kind::Full(data) };
        Body { kind, told: Told::default() }
    }

    /// A body that streams. As a request body it cannot be sent again, so the request gets one attempt.
    pub fn streaming<B>(body: B) -> Body
    where
        B: http_body::Body + Send + 'static,
        B::Data: Buf,
        B::Error: Into<BoxError>,
    {
        Body::boxed(Box::pin(Adapt { body }))
    }

    /// A body that streams the pieces of a [`Stream`](futures_core::Stream). As a request body it cannot be sent again.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use futures_util::stream;
    /// use unwedge::Body;
    ///
    /// let lines = stream::iter(["a\n", "b\n"].map(|line| Ok::<_, std::io::Error>(Bytes::from(line))));
    /// let body = Body::from_stream(lines);
    /// # assert!(!body.is_collected());
    /// ```
    #[doc(alias("upload", "wrap_stream"))]
    pub fn from_stream<S, D, E>(stream: S) -> Body
    where
        S: futures_core::Stream<Item = Result<D, E>> + Send + 'static,
        D: Into<Bytes>,
        E: Into<BoxError>,
    {
        Body::boxed(Box::pin(Streamed { stream }))
    }

    pub(crate) fn boxed(body: Pin<Box<dyn http_body::Body<Data = Bytes, Error = Error> + Send>>) -> Body {
        let left = body.size_hint().exact();
        Body { kind: Kind::Streamed { body: SyncWrapper::new(body), left }, told: Told::default() }
    }

    #[inline]
    pub(crate) fn collected(data: Bytes, trailers: Option<Box<HeaderMap>>) -> Body {
        match trailers {
            None => Body::full(data),
            Some(trailers) => {
                let trailed = Box::new(Trailed { data, trailers: *trailers });
                Body { kind: Kind::Trailed(trailed), told: Told::default() }
            }
        }
    }

    /// The attempts that led to the response.
    pub fn attempts(&self) -> Attempts {
        let Told { count, cut, elapsed, waits } = &self.told;
        let (retry_after, retry_in) =
            waits.as_deref().map_or((None, None), |waits| (waits.retry_after, waits.retry_in));
        let elapsed = Duration::from_nanos(*elapsed);
        Attempts { count: *count, elapsed, retry_after, retry_in, cut: *cut }
    }

    #[inline]
    pub(crate) fn with_attempts(mut self, attempts: Attempts) -> Body {
        let Attempts { count, elapsed, retry_after, retry_in, cut } = attempts;
        let waits = Waits { retry_after, retry_in };
        let known = retry_after.is_some() || retry_in.is_some();
        self.told =
            Told { count, cut, elapsed: elapsed.as_nanos() as u64, waits: known.then(|| Box::new(waits)) };
        self
    }

    /// Whether the whole body is in memory.
    pub fn is_collected(&self) -> bool {
        !matches!(self.kind, Kind::Streamed { .. })
    }

    /// Reads the body to its end, at most `cap` bytes.
    ///
    /// # Errors
    /// Kind `TooLarge` if there is more; the connection is then closed. Otherwise the failure of the body itself.
    ///
    /// # Cancellation safety
    /// What was read is lost when the future is dropped.
    pub async fn bytes(self, cap: u64) -> Result<Bytes, Error> {
        let declared = http_body::Body::size_hint(&self).lower();
        if declared > cap {
            return Err(above(cap));
        }
        let mut streamed = match self.kind {
            Kind::Empty => return Ok(Bytes::new()),
            Kind::Full(data) => return Ok(data),
            Kind::Trailed(trailed) => return Ok(trailed.data),
            Kind::Streamed { body, .. } => body.into_inner(),
        };
        let mut buffer = BytesMut::new();
        while let Some(frame) = poll_fn(|cx| streamed.as_mut().poll_frame(cx)).await {
            if let Ok(data) = frame?.into_data() {
                if (buffer.len() + data.len()) as u64 > cap {
                    return Err(above(cap));
                }
                buffer.extend_from_slice(&data);
            }
        }
        Ok(buffer.freeze())
    }

    /// The bytes, if the whole body is in memory.
    #[cfg(feature = "reqwest")]
    pub(crate) fn into_memory(self) -> Result<Bytes, Body> {
        match self.kind {
            Kind::Empty => Ok(Bytes::new()),
            Kind::Full(data) => Ok(data),
            kind => Err(Body { kind, told: self.told }),
        }
    }

    /// A second body with the same bytes, where they are in memory.
    pub(crate) fn try_clone(&self) -> Option<Body> {
        let kind = match &self.kind {
            Kind::Empty => Kind::Empty,
            Kind::Full(data) => Kind::Full(data.clone()),
            Kind::Trailed(trailed) => Kind::Trailed(trailed.clone()),
            Kind::Streamed { .. } => return None,
        };
        Some(Body { kind, told: Told::default() }.with_attempts(self.attempts()))
    }
}

fn above(cap: u64) -> Error {
    Error::new(ErrorKind::TooLarge, format!("the body is above its cap of {cap} bytes"))
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Kind::Streamed { body, left } = &mut self.kind {
            let polled = body.get_mut().as_mut().poll_frame(cx);
            if let (Some(left), Poll::Ready(Some(Ok(frame)))) = (left, &polled) {
                *left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
            }
            return polled;
        }
        Poll::Ready(match std::mem::take(&mut self.kind) {
            Kind::Full(data) => Some(Ok(Frame::data(data))),
            Kind::Trailed(trailed) if trailed.data.is_empty() => Some(Ok(Frame::trailers(trailed.trailers))),
            Kind::Trailed(mut trailed) => {
                let data = std::mem::take(&mut trailed.data);
                self.kind = Kind::Trailed(trailed);
                Some(Ok(Frame::data(data)))
            }
            Kind::Empty | Kind::Streamed { .. } => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.kind, Kind::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(data) => SizeHint::with_exact(data.len() as u64),
            Kind::Trailed(trailed) => SizeHint::with_exact(trailed.data.len() as u64),
            Kind::Streamed { left, .. } => left.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Empty => f.write_str("Body(empty)"),
            Kind::Full(data) => write!(f, "Body({} bytes)", data.len()),
            Kind::Trailed(trailed) => write!(f, "Body({} bytes)", trailed.data.len()),
            Kind::Streamed { .. } => f.write_str("Body(streamed)"),
        }
    }
}

#[cfg(test)]
mod tests;
