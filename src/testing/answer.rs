//! The head and the framing of an answer, as bytes.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::request::Head;

/// What a filler body is made of, and the largest piece that is written at once.
static FILLER: [u8; 16 * 1024] = [b'x'; 16 * 1024];
/// The length of one line of padding in a large head.
const PADDING: usize = 4096;

#[derive(Clone, Debug)]
pub(super) struct Answer {
    status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) trailers: Vec<(String, String)>,
    pub(super) body: Source,
    pub(super) framing: Framing,
    pub(super) ending: Ending,
    pub(super) cut: Option<(At, Cut)>,
    pub(super) drip: Option<(usize, Duration)>,
    pub(super) head_pace: Option<Duration>,
    pub(super) head_size: usize,
    pub(super) informational: u32,
    pub(super) early: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Source {
    Bytes(Bytes),
    /// So many bytes of filler, or without end.
    Filler(Option<u64>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length,
    Declared(u64),
    Chunked,
    UntilClose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    KeepAlive,
    Closing,
    Stale,
    StaleOnNext,
}

/// How a connection ends that ends too early.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It stays open and nothing comes any more.
    Hang,
    /// It is closed in good order.
    Close,
    /// It is reset.
    Reset,
}

/// Where an answer is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Head(usize),
    Body(u64),
}

impl Source {
    pub(super) fn len(&self) -> Option<u64> {
        match self {
            Source::Bytes(bytes) => Some(bytes.len() as u64),
            Source::Filler(len) => *len,
        }
    }

    /// At most `max` bytes from `from` on; empty at the end.
    pub(super) fn piece(&self, from: u64, max: usize) -> Bytes {
        let max = max.min(FILLER.len());
        let left = self.len().map_or(u64::MAX, |len| len.saturating_sub(from));
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(max);
        match self {
            // `from` is below the length of a body in memory whenever anything is left of it.
            Source::Bytes(bytes) if n > 0 => {
                let from = usize::try_from(from).unwrap_or(usize::MAX);
                bytes.slice(from..from + n)
            }
            Source::Bytes(_) => Bytes::new(),
            Source::Filler(_) => Bytes::from_static(&FILLER[..n]),
        }
    }
}

impl Answer {
    pub(super) fn new(status: u16) -> Answer {
        Answer {
            status,
            headers: Vec::new(),
            trailers: Vec::new(),
            body: Source::Bytes(Bytes::new()),
            framing: Framing::Length,
            ending: Ending::KeepAlive,
            cut: None,
            drip: None,
            head_pace: None,
            head_size: 0,
            informational: 0,
            early: false,
        }
    }

    /// Whether a body goes out at all: never for HEAD, 1xx, 204 and 304.
    pub(super) fn has_body(&self, request: &Head) -> bool {
        request.method != http::Method::HEAD && !self.bodiless()
    }

    fn bodiless(&self) -> bool {
        matches!(self.status, 100..=199 | 204 | 304)
    }

    /// Whether the connection ends with this answer, by what the answer is.
    pub(super) fn ends(&self, request: &Head) -> bool {
        !request.keep_alive
            || self.early && !request.body.is_empty()
            || matches!(self.ending, Ending::Closing | Ending::Stale)
            || self.has_body(request) && (self.lies() || self.framing == Framing::UntilClose)
    }

    /// Whether more is declared than comes.
    pub(super) fn lies(&self) -> bool {
        matches!(self.framing, Framing::Declared(n) if self.body.len().is_some_and(|len| n > len))
    }

    /// The Content-Length, where there is one.
    fn length(&self) -> Option<u64> {
        match self.framing {
            Framing::Declared(n) => Some(n),
            Framing::Length => self.body.len(),
            Framing::Chunked | Framing::UntilClose => None,
        }
    }

    /// Status and headers for HTTP/2, without those that are about a connection of HTTP/1.
    pub(super) fn response(&self) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let headers = response.headers_mut();
        let padding = (0..self.head_size.div_ceil(PADDING))
            .map(|n| (format!("x-padding-{n}"), "x".repeat(PADDING.min(self.head_size - n * PADDING))));
        for (name, value) in self.headers.iter().cloned().chain(padding) {
            let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) else {
                continue;
            };
            if ![CONNECTION, TRANSFER_ENCODING, UPGRADE].contains(&name) {
                headers.append(name, value);
            }
        }
        if let Some(length) = self.length().filter(|_| !self.bodiless()) {
            headers.entry(CONTENT_LENGTH).or_insert(length.into());
        }
        response
    }

    /// Status line and headers, to the empty line.
    pub(super) fn head(&self, request: &Head) -> Vec<u8> {
        let reason =
            StatusCode::from_u16(self.status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Status");
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", self.status);
        let mut line = |name: &str, value: &str| {
            // Writing to a String cannot fail.
            let _ = write!(head, "{name}: {value}\r\n");
        };
        for (name, value) in &self.headers {
            line(name, value);
        }
        let framed = |(name, _): &(String, String)| {
            name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding")
        };
        if !self.bodiless() && !self.headers.iter().any(framed) {
            match self.length() {
                Some(n) => line("content-length", &n.to_string()),
                None if self.framing == Framing::Chunked => line("transfer-encoding", "chunked"),
                None => {}
            }
        }
        // A stale connection is one whose end was not announced.
        if self.ends(request) && !matches!(self.ending, Ending::Stale) && self.honest() {
            line("connection", "close");
        }
        let mut n = 0;
        while head.len() < self.head_size {
            let value = "x".repeat(PADDING.min(self.head_size - head.len()));
            let _ = write!(head, "x-padding-{n}: {value}\r\n");
            n += 1;
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// An answer that lies about its length does not say that it will close.
    fn honest(&self) -> bool {
        !matches!(self.framing, Framing::Declared(_)) || self.ending == Ending::Closing
    }

    /// The body in pieces, to its end or to where it is cut.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Bytes> + '_ {
        let stop = match self.cut {
            Some((At::Body(n), _)) => n,
            _ => u64::MAX,
        };
        let size = self.drip.map_or(usize::MAX, |(size, _)| size);
        let mut sent = 0;
        std::iter::from_fn(move || {
            let room = usize::try_from(stop - sent).unwrap_or(usize::MAX).min(size);
            let piece = self.body.piece(sent, room);
            sent += piece.len() as u64;
            (!piece.is_empty()).then_some(piece)
        })
    }

    /// From one piece to the next.
    pub(super) fn pace(&self) -> Duration {
        self.drip.map_or(Duration::ZERO, |(_, every)| every)
    }

    /// How the body ends that is cut.
    pub(super) fn body_cut(&self) -> Option<Cut> {
        match self.cut {
            Some((At::Body(_), how)) => Some(how),
            _ => None,
        }
    }

    /// One piece of the body as it goes over the wire.
    pub(super) fn frame(&self, piece: Bytes) -> Bytes {
        if self.framing != Framing::Chunked {
            return piece;
        }
        let mut chunk = BytesMut::with_capacity(piece.len() + 16);
        let _ = write!(chunk, "{:x}\r\n", piece.len());
        chunk.extend_from_slice(&piece);
        chunk.extend_from_slice(b"\r\n");
        chunk.freeze()
    }

    /// What follows the last piece.
    pub(super) fn tail(&self) -> Bytes {
        if self.framing != Framing::Chunked {
            return Bytes::new();
        }
        let mut tail = String::from("0\r\n");
        for (name, value) in &self.trailers {
            let _ = write!(tail, "{name}: {value}\r\n");
        }
        tail.push_str("\r\n");
        tail.into()
    }
}
