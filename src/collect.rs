//! What of a body is read inside the attempt, and the hand-over of what was read when there turns out to be more.

use crate::error::{Error, ErrorKind, Phase};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method, StatusCode, response};

/// A request extension: the size up to which this response is read inside the attempt, in place of `Limits::collect`.
///
/// Never collected are responses to `HEAD` and `CONNECT`, responses with status 101, 204 and 304, those to a
/// [`LongPoll`](crate::LongPoll), and bodies of a streaming type: `text/event-stream`, lines of JSON (`*ndjson`,
/// `*jsonl`, `*jsonlines`, `*json-seq`, `*stream+json`), `application/grpc*`, `application/connect+*`,
/// `application/vnd.amazon.eventstream`, `application/vnd.docker.*-stream`, `multipart/*`, and every type with a
/// parameter `stream` or `boundary`.
///
/// If a body still arrives at the attempt limit, and its request cannot be repeated (a `POST`, a last attempt), it is
/// handed over as a stream, which ends with the total of its call. [`Collect::never`] avoids that limit.
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

#[inline]
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
#[inline]
fn is_endless(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return false };
    let value = value.as_bytes();
    let end = value.iter().position(|b| *b == b';').unwrap_or(value.len());
    let essence = value[..end].trim_ascii();
    let is = |name: &str| essence.eq_ignore_ascii_case(name.as_bytes());
    let begins = |with: &str| {
        essence.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with.as_bytes()))
    };
    let ends = |with: &str| {
        let rest = essence.len().checked_sub(with.len());
        rest.is_some_and(|at| essence[at..].eq_ignore_ascii_case(with.as_bytes()))
    };
    // The most common answer of all is through after its length.
    if is("application/json") {
        return has_streaming_parameter(&value[end..]);
    }
    is("text/event-stream")
        || ["ndjson", "jsonl", "jsonlines", "json-seq", "stream+json"].iter().any(|with| ends(with))
        || ["application/grpc", "application/connect+", "multipart/"].iter().any(|with| begins(with))
        || is("application/vnd.amazon.eventstream")
        || (begins("application/vnd.docker.") && ends("-stream"))
        || has_streaming_parameter(&value[end..])
}

/// Whether one of these parameters (`; a=b; c="d"`) is named `stream` or `boundary`.
fn has_streaming_parameter(parameters: &[u8]) -> bool {
    let (mut quoted, mut escaped, mut begin) = (false, false, 0);
    let named = |part: &[u8]| {
        let name = part.split(|b| *b == b'=').next().unwrap_or_default().trim_ascii();
        name.eq_ignore_ascii_case(b"stream") || name.eq_ignore_ascii_case(b"boundary")
    };
    for (at, byte) in parameters.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => {
                if named(&parameters[begin..at]) {
                    return true;
                }
                begin = at + 1;
            }
            _ => {}
        }
    }
    named(&parameters[begin..])
}

/// The error of a body in a coding that nobody here can undo; it names the coding. What was undone beneath has taken
/// its header away.
#[cfg_attr(
    not(any(feature = "client", feature = "sse")),
    expect(dead_code, reason = "whoever reads a body asks")
)]
pub(crate) fn coded(headers: &HeaderMap) -> Option<Error> {
    let mut codings = String::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        for coding in value.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii) {
            // The others are no codings, and are written there all the same: a charset, and how S3 frames an upload.
            let plain = ["", "identity", "utf-8", "aws-chunked"];
            if !plain.iter().any(|plain| coding.eq_ignore_ascii_case(plain.as_bytes())) {
                codings.push_str(if codings.is_empty() { "" } else { ", " });
                codings.extend(coding.escape_ascii().map(char::from));
            }
        }
    }
    if codings.is_empty() {
        return None;
    }
    let detail = format!("the response body is coded as {codings}, which nothing here decodes");
    let mut error = Error::new(ErrorKind::Transport, detail).at(Phase::Body);
    // Asked again it would come in the same coding.
    error.inner_mut().fault.caller = true;
    Some(error)
}

/// The declared length; a value that is no number is left to the transport to refuse.
#[inline]
pub(crate) fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// What has arrived of a body. It grows with what arrives, never from a declared length, and one frame stays as it is.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    read: Pieces,
    pub(crate) trailers: Option<Box<HeaderMap>>,
}

/// One piece is handed on as it came; only more than one are put together.
#[derive(Debug)]
enum Pieces {
    One(Bytes),
    More(BytesMut),
}

impl Default for Pieces {
    fn default() -> Pieces {
        Pieces::One(Bytes::new())
    }
}

impl Buffer {
    pub(crate) fn len(&self) -> u64 {
        match &self.read {
            Pieces::One(data) => data.len() as u64,
            Pieces::More(data) => data.len() as u64,
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        match &mut self.read {
            Pieces::One(first) if first.is_empty() => *first = data,
            Pieces::One(first) => {
                let mut more = BytesMut::with_capacity(first.len() + data.len());
                more.extend_from_slice(first);
                more.extend_from_slice(&data);
                self.read = Pieces::More(more);
            }
            Pieces::More(more) => more.extend_from_slice(&data),
        }
    }

    #[inline]
    pub(crate) fn take(&mut self) -> Bytes {
        match std::mem::take(&mut self.read) {
            Pieces::One(data) => data,
            Pieces::More(data) => data.freeze(),
        }
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
            "application/ndjson",
            "application/vnd.api+ndjson",
            "application/jsonl",
            "text/x-jsonlines",
            "application/json-seq",
            "application/geo+json-seq",
            "application/stream+json",
            "application/x-json-stream; stream=1",
            "application/json;stream=watch",
            "application/json; charset=utf-8; Stream=watch",
            "application/grpc",
            "application/grpc+proto",
            "application/grpc-web-text",
            "application/connect+json",
            "application/vnd.amazon.eventstream",
            "application/vnd.docker.raw-stream",
            "application/vnd.docker.multiplexed-stream",
            "multipart/x-mixed-replace; boundary=x",
            "multipart/mixed",
            "MULTIPART/related; type=\"a;b\"",
            "image/jpeg; boundary=frame",
            "text/plain; title=\"a\\\"; b\"; boundary=\"x\"",
        ] {
            let plan = plan(&Method::GET, &head(200, &[(CONTENT_TYPE, kind)]), 100);
            assert_eq!(plan, Plan::Stream { endless: true }, "{kind}");
        }
        for kind in [
            "application/json",
            "application/json; charset=utf-8",
            "application/json; profile=\"https://a/?x; stream=1\"",
            "application/json; upstream=1",
            "text/plain; title=\"; boundary=\\\"",
            "application/connect",
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/octet-stream",
            "application/x-jsonlx",
            "ndjson/x",
            "",
            ";",
        ] {
            let plan = plan(&Method::GET, &head(200, &[(CONTENT_TYPE, kind)]), 100);
            assert_eq!(plan, Plan::Collect(100), "{kind}");
        }
    }

    #[test]
    fn a_coding_that_nothing_here_undoes_is_named() {
        let said = |values: &[&'static str]| {
            let headers: Vec<_> = values.iter().map(|value| (CONTENT_ENCODING, *value)).collect();
            coded(&head(200, &headers).headers).map(|error| {
                assert!(!error.is_retriable());
                error.to_string()
            })
        };
        let coded_as = |codings: &str| {
            Some(format!("the response body is coded as {codings}, which nothing here decodes"))
        };
        for plain in [&[][..], &["identity"], &["Identity, "], &["UTF-8"], &["aws-chunked"], &[""]] {
            assert_eq!(said(plain), None, "{plain:?}");
        }
        for coding in ["br", "zstd", "gzip", "deflate", "x-own"] {
            assert_eq!(said(&[coding]), coded_as(coding));
        }
        assert_eq!(said(&["gzip, gzip"]), coded_as("gzip, gzip"));
        assert_eq!(said(&["aws-chunked,gzip", " BR"]), coded_as("gzip, BR"));
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
