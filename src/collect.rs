//! What of a body is read inside the attempt, and the hand-over of what was read when there turns out to be more.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method, StatusCode, response};

/// A request extension: how much of this response belongs to the attempt, in place of `Limits::collect`.
///
/// ```
/// // A download: handed over at the head, under the idle and stream limits.
/// let request = http::Request::get("https://api.example/artifact")
///     .extension(unwedge::Collect::never())
///     .body(())?;
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collect(pub(crate) u64);

impl Collect {
    /// The response is handed over at its head.
    pub const fn never() -> Collect {
        Collect(0)
    }

    /// Bodies up to this many bytes are read inside the attempt.
    pub const fn up_to(bytes: u64) -> Collect {
        Collect(bytes)
    }
}

/// A request extension: the answer is a stream without an end, whose reader has bounds and attempts of its own. One
/// attempt, no waiting out of a refusal, handed over at its head, without idle and stream limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endless;

/// What happens to the body of a response that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Read it inside the attempt, up to this many bytes.
    Collect(u64),
    /// Hand it over at the head. An event stream has no end to wait for: the head is its success.
    Stream { endless: bool },
}

pub(crate) fn plan(method: &Method, head: &response::Parts, limit: u64) -> Plan {
    let status = head.status;
    let no_body = method == Method::HEAD
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    if is_endless(&head.headers) || method == Method::CONNECT || status == StatusCode::SWITCHING_PROTOCOLS {
        return Plan::Stream { endless: true };
    }
    if no_body || limit == 0 || declared(&head.headers).is_some_and(|length| length > limit) {
        return Plan::Stream { endless: false };
    }
    Plan::Collect(limit)
}

/// Types whose body is a sequence of messages over time.
fn is_endless(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return false };
    let essence = value.as_bytes().split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    let is = |name: &str| essence.eq_ignore_ascii_case(name.as_bytes());
    is("text/event-stream")
        || is("application/x-ndjson")
        || is("application/json-seq")
        || is("multipart/x-mixed-replace")
        || essence.get(..16).is_some_and(|p| p.eq_ignore_ascii_case(b"application/grpc"))
}

/// The declared length; a value that is no number is left to the transport to refuse.
pub(crate) fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// What has arrived of a body. It grows with what arrives, never from a declared length, and one frame stays as it is.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    first: Bytes,
    more: BytesMut,
    pub(crate) trailers: Option<Box<HeaderMap>>,
}

impl Buffer {
    pub(crate) fn len(&self) -> u64 {
        (self.first.len() + self.more.len()) as u64
    }

    pub(crate) fn push(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if self.more.is_empty() {
            self.more.extend_from_slice(&self.first);
            self.first = Bytes::new();
        }
        self.more.extend_from_slice(&data);
    }

    pub(crate) fn take(&mut self) -> Bytes {
        if self.more.is_empty() { std::mem::take(&mut self.first) } else { self.more.split().freeze() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, headers: &[(http::HeaderName, &'static str)]) -> response::Parts {
        let mut response = http::Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(name, *value);
        }
        response.body(()).unwrap().into_parts().0
    }

    #[test]
    fn streaming_types_are_handed_over_at_the_head() {
        for kind in [
            "text/event-stream",
            "Text/Event-Stream; charset=utf-8",
            "application/x-ndjson",
            "application/json-seq",
            "application/grpc",
            "application/grpc+proto",
            "multipart/x-mixed-replace; boundary=x",
        ] {
            let plan = plan(&Method::GET, &head(200, &[(CONTENT_TYPE, kind)]), 100);
            assert_eq!(plan, Plan::Stream { endless: true }, "{kind}");
        }
        let json = plan(&Method::GET, &head(200, &[(CONTENT_TYPE, "application/json")]), 100);
        assert_eq!(json, Plan::Collect(100));
    }

    #[test]
    fn what_has_no_body_or_too_long_a_one_is_not_collected() {
        let stream = Plan::Stream { endless: false };
        assert_eq!(plan(&Method::HEAD, &head(200, &[]), 100), stream);
        assert_eq!(plan(&Method::GET, &head(204, &[]), 100), stream);
        assert_eq!(plan(&Method::GET, &head(304, &[]), 100), stream);
        assert_eq!(plan(&Method::GET, &head(200, &[(CONTENT_LENGTH, "101")]), 100), stream);
        assert_eq!(plan(&Method::GET, &head(200, &[(CONTENT_LENGTH, "100")]), 100), Plan::Collect(100));
        assert_eq!(plan(&Method::GET, &head(200, &[]), 0), stream);
        assert_eq!(plan(&Method::CONNECT, &head(200, &[]), 9), Plan::Stream { endless: true });
    }

    #[test]
    fn frames_come_out_in_order_and_once() {
        let mut buffer = Buffer::default();
        for part in ["", "ab", "", "c", "def"] {
            buffer.push(Bytes::from_static(part.as_bytes()));
        }
        assert_eq!(buffer.len(), 6);
        assert_eq!(buffer.take(), "abcdef");
        assert_eq!(buffer.len(), 0);
    }

    #[test]
    fn one_frame_is_not_copied() {
        let data = Bytes::from(vec![7; 1000]);
        let at = data.as_ptr();
        let mut buffer = Buffer::default();
        buffer.push(data);
        assert_eq!(buffer.take().as_ptr(), at);
    }
}
