//! Requests as they come off the wire. Reads no more than it is asked for and keeps a bounded part.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::record::MAX_BODY;

/// A larger request head is answered 431.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 256;
/// A longer line between chunks is no chunk.
const MAX_LINE: usize = 4096;

/// What a request head said.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Length,
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Known(u64),
    Chunked,
}

impl Length {
    pub(super) fn is_empty(self) -> bool {
        self == Length::Known(0)
    }
}

/// Why no request came off the wire.
#[derive(Debug)]
pub(super) enum Broken {
    Gone,
    TooLarge,
    Bad,
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Broken {
        Broken::Gone
    }
}

/// Reads what there is.
pub(super) async fn fill(io: &mut (impl AsyncRead + Unpin), buf: &mut BytesMut) -> Result<(), Broken> {
    buf.reserve(8 * 1024);
    match io.read_buf(buf).await? {
        0 => Err(Broken::Gone),
        _ => Ok(()),
    }
}

/// Waits for the first byte of the next request.
pub(super) async fn first_byte(io: &mut (impl AsyncRead + Unpin), buf: &mut BytesMut) -> Result<(), Broken> {
    if buf.is_empty() { fill(io, buf).await } else { Ok(()) }
}

pub(super) async fn head(io: &mut (impl AsyncRead + Unpin), buf: &mut BytesMut) -> Result<Head, Broken> {
    loop {
        if let Some((len, head)) = parse(buf)? {
            buf.advance(len);
            return Ok(head);
        }
        if buf.len() > MAX_HEAD {
            return Err(Broken::TooLarge);
        }
        fill(io, buf).await?;
    }
}

fn parse(buf: &[u8]) -> Result<Option<(usize, Head)>, Broken> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut fields);
    let len = match request.parse(buf) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Broken::TooLarge),
        Err(_) => return Err(Broken::Bad),
    };
    let mut headers = HeaderMap::new();
    for field in request.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Broken::Bad)?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| Broken::Bad)?;
        headers.append(name, value);
    }
    let method =
        Method::from_bytes(request.method.unwrap_or_default().as_bytes()).map_err(|_| Broken::Bad)?;
    let has = |name: &str, word: &str| {
        let mut values = headers.get_all(name).iter().filter_map(|v| v.to_str().ok());
        values.any(|v| v.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)))
    };
    let body = match headers.get(http::header::CONTENT_LENGTH) {
        _ if has("transfer-encoding", "chunked") => Length::Chunked,
        None => Length::Known(0),
        Some(v) => Length::Known(v.to_str().ok().and_then(|v| v.trim().parse().ok()).ok_or(Broken::Bad)?),
    };
    let version = if request.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let keep_alive = match request.version {
        Some(0) => has("connection", "keep-alive"),
        _ => !has("connection", "close"),
    };
    let expects_continue = has("expect", "100-continue") && !body.is_empty();
    let target = request.path.unwrap_or_default().to_owned();
    Ok(Some((len, Head { method, version, target, headers, body, keep_alive, expects_continue })))
}

/// The body as far as it came: the part that is kept, its whole length, and whether it ended as it should.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) kept: BytesMut,
    pub(super) len: u64,
    pub(super) complete: bool,
}

impl Body {
    /// Takes up to `want` bytes out of the buffer and says how many.
    fn eat(&mut self, buf: &mut BytesMut, want: u64) -> u64 {
        let n = usize::try_from(want).unwrap_or(usize::MAX).min(buf.len());
        self.push(&buf[..n]);
        buf.advance(n);
        n as u64
    }

    /// The next bytes, of which as many are kept as there is room for.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = MAX_BODY - self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.len += bytes.len() as u64;
    }
}

/// Reads a body into `body`, which keeps what came when the reading fails or is cut off.
pub(super) async fn body(
    io: &mut (impl AsyncRead + Unpin),
    buf: &mut BytesMut,
    length: Length,
    body: &mut Body,
) -> Result<(), Broken> {
    match length {
        Length::Known(n) => exactly(io, buf, n, body).await?,
        Length::Chunked => loop {
            let size = line(io, buf).await?;
            let n = match httparse::parse_chunk_size(&size) {
                Ok(httparse::Status::Complete((_, n))) => n,
                _ => return Err(Broken::Bad),
            };
            if n == 0 {
                // Trailers, to the empty line.
                while line(io, buf).await?.len() > 2 {}
                break;
            }
            exactly(io, buf, n, body).await?;
            if line(io, buf).await?.as_ref() != b"\r\n" {
                return Err(Broken::Bad);
            }
        },
    }
    body.complete = true;
    Ok(())
}

async fn exactly(
    io: &mut (impl AsyncRead + Unpin),
    buf: &mut BytesMut,
    n: u64,
    body: &mut Body,
) -> Result<(), Broken> {
    let mut left = n;
    loop {
        left -= body.eat(buf, left);
        if left == 0 {
            return Ok(());
        }
        fill(io, buf).await?;
    }
}

/// A line with its end.
async fn line(io: &mut (impl AsyncRead + Unpin), buf: &mut BytesMut) -> Result<Bytes, Broken> {
    loop {
        if let Some(end) = buf.windows(2).position(|w| w == b"\r\n") {
            return Ok(buf.split_to(end + 2).freeze());
        }
        if buf.len() > MAX_LINE {
            return Err(Broken::Bad);
        }
        fill(io, buf).await?;
    }
}
