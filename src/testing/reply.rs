//! The behaviours of a peer, one constructor each.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Received;
use super::answer::{Answer, At, Cut, Ending, Framing, Source};

/// How often one reply may be decided by a function that names another function.
const MAX_BY: usize = 16;

/// What a peer does with one request (or, where it says so, with one connection).
///
/// A constructor names the behaviour; the other methods shape it. Those from [`header`](Reply::header) on shape an
/// answer and panic, with the place in the test, on a behaviour that never answers.
///
/// ```
/// use std::time::Duration;
/// use unwedge::testing::Reply;
///
/// let slow = Reply::ok("ten bytes.").drip(1, Duration::from_secs(1));
/// let torn = Reply::ok("ten bytes.").chunked().reset_after(4);
/// let busy = Reply::status(503).header("retry-after", "5").after(Duration::from_millis(20));
/// ```
///
/// Over HTTP/2 a reply is about its stream: [`refuse`](Reply::refuse) on a connection that is there is REFUSED_STREAM,
/// every [`reset`](Reply::reset) is INTERNAL_ERROR, [`hang`](Reply::hang) leaves other streams alone. What closes, and
/// [`silent`](Reply::silent), is about the whole connection. A head is one piece: a slow one comes when its last byte
/// would, an endless one never.
#[derive(Clone, Debug)]
#[must_use]
pub struct Reply {
    pub(super) after: Duration,
    pub(super) act: Act,
}

#[derive(Clone)]
pub(super) enum Act {
    Refuse,
    ConnectHang,
    Silent,
    Hang,
    Close,
    Reset,
    Raw(Bytes),
    EndlessHeaders(Duration),
    EndlessInformational(Duration),
    Answer(Box<Answer>),
    By(Arc<dyn Fn(&Received) -> Reply + Send + Sync>),
}

/// Connections.
impl Reply {
    /// The connect is refused.
    ///
    /// Used up by a connect, not by a request. On a real socket the kernel has already answered when a step that is to
    /// be used up is looked at, so the connection is reset at once instead; in [`Script::until`](super::Script::until),
    /// [`flap`](super::Script::flap) and [`forever`](super::Script::forever) nothing listens and the kernel refuses.
    pub fn refuse() -> Reply {
        Act::Refuse.into()
    }

    /// The connect is never answered. Used up by a connect. On a real socket this is [`silent`](Reply::silent).
    pub fn connect_hang() -> Reply {
        Act::ConnectHang.into()
    }

    /// The connection is accepted and nothing is ever read from it or written to it. Used up by a connect; for a
    /// request on a connection that is already served, nothing is read after its head.
    pub fn silent() -> Reply {
        Act::Silent.into()
    }
}

/// Requests that get no answer.
impl Reply {
    /// The request is read, then nothing.
    pub fn hang() -> Reply {
        Act::Hang.into()
    }

    /// The request is read, then the connection is closed in good order.
    pub fn close() -> Reply {
        Act::Close.into()
    }

    /// The request is read, then the connection is reset.
    pub fn reset() -> Reply {
        Act::Reset.into()
    }

    /// The request is read and these bytes are the answer, whatever they are; then the connection is closed.
    pub fn raw(bytes: impl Into<Bytes>) -> Reply {
        Act::Raw(bytes.into()).into()
    }

    /// An answer that is no HTTP.
    pub fn garbage() -> Reply {
        Reply::raw(&b"\x16\x03\x01\x00 this is not the protocol you are looking for\r\n\r\n"[..])
    }

    /// A head that never ends: one header line each `every`. With zero as fast as they are read, which on a paused
    /// clock keeps that clock where it is as long as the client reads on.
    pub fn endless_headers(every: Duration) -> Reply {
        Act::EndlessHeaders(every).into()
    }

    /// Informational responses (103) without end, one each `every`; zero as in
    /// [`endless_headers`](Reply::endless_headers).
    pub fn endless_informational(every: Duration) -> Reply {
        Act::EndlessInformational(every).into()
    }
}

/// Answers.
impl Reply {
    /// 200 with a body.
    pub fn ok(body: impl Into<Bytes>) -> Reply {
        Reply::status(200).body(body)
    }

    /// This status without a body.
    pub fn status(status: u16) -> Reply {
        Act::Answer(Box::new(Answer::new(status))).into()
    }

    /// 200 with `bytes` bytes of filler as its body, which cost no memory.
    pub fn sized(bytes: u64) -> Reply {
        Reply::status(200).with(|a| a.body = Source::Filler(Some(bytes)))
    }

    /// 200 with a chunked body that never ends, as fast as it is read; give it a pace by [`drip`](Reply::drip). Without
    /// one it keeps a paused clock where it is as long as the client reads on.
    pub fn endless() -> Reply {
        Reply::status(200).with(|a| a.body = Source::Filler(None)).chunked()
    }

    /// 200, a head that promises 100 bytes, then nothing.
    pub fn headers_then_hang() -> Reply {
        Reply::sized(100).hang_after(0)
    }

    /// 302 to another place.
    pub fn redirect(to: &str) -> Reply {
        Reply::status(302).header("location", to)
    }

    /// 202 without a body after `hold`: a long poll that had nothing to tell. One that has is
    /// `Reply::ok(job).after(t)`.
    pub fn long_poll(hold: Duration) -> Reply {
        Reply::status(202).after(hold)
    }

    /// What this function says to the request, which it sees with its body.
    pub fn by(f: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Reply {
        Act::By(Arc::new(f)).into()
    }

    /// The behaviour begins `d` after the request was read. Not looked at for connects: see
    /// [`Pipe::connect_takes`](super::Pipe::connect_takes).
    pub fn after(mut self, d: Duration) -> Reply {
        self.after = d;
        self
    }
}

/// The shape of an answer.
impl Reply {
    /// Adds a header, as it stands. One named Content-Length or Transfer-Encoding replaces the peer's own.
    #[track_caller]
    pub fn header(self, name: &str, value: &str) -> Reply {
        self.with(|a| a.headers.push((name.to_owned(), value.to_owned())))
    }

    /// Adds `Retry-After`.
    #[track_caller]
    pub fn retry_after(self, value: &str) -> Reply {
        self.header("retry-after", value)
    }

    /// Sets the body.
    #[track_caller]
    pub fn body(self, body: impl Into<Bytes>) -> Reply {
        self.with(|a| a.body = Source::Bytes(body.into()))
    }

    /// Sends the body in pieces of `n` bytes, each `every` after what was before it.
    #[track_caller]
    pub fn drip(self, n: usize, every: Duration) -> Reply {
        self.with(|a| a.drip = Some((n.max(1), every)))
    }

    /// Sends the body chunked, without a Content-Length.
    #[track_caller]
    pub fn chunked(self) -> Reply {
        self.with(|a| a.framing = Framing::Chunked)
    }

    /// Adds a trailer after a chunked body.
    #[track_caller]
    pub fn trailer(self, name: &str, value: &str) -> Reply {
        self.chunked().with(|a| a.trailers.push((name.to_owned(), value.to_owned())))
    }

    /// Sends the body without its length; the end of the connection is its end.
    #[track_caller]
    pub fn until_close(self) -> Reply {
        self.with(|a| a.framing = Framing::UntilClose)
    }

    /// Declares this Content-Length, whatever the body has. Above the body's length the connection is closed where the
    /// body ends; below it the rest of the body is sent all the same.
    #[track_caller]
    pub fn declare(self, content_length: u64) -> Reply {
        self.with(|a| a.framing = Framing::Declared(content_length))
    }

    /// Closes the connection in good order after `n` bytes of the body.
    #[track_caller]
    pub fn truncate_after(self, n: u64) -> Reply {
        self.with(|a| a.cut = Some((At::Body(n), Cut::Close)))
    }

    /// Resets the connection after `n` bytes of the body.
    #[track_caller]
    pub fn reset_after(self, n: u64) -> Reply {
        self.with(|a| a.cut = Some((At::Body(n), Cut::Reset)))
    }

    /// Falls silent after `n` bytes of the body.
    #[track_caller]
    pub fn hang_after(self, n: u64) -> Reply {
        self.with(|a| a.cut = Some((At::Body(n), Cut::Hang)))
    }

    /// Ends in the middle of the head, after `n` bytes of it.
    #[track_caller]
    pub fn cut_head(self, n: usize, how: Cut) -> Reply {
        self.with(|a| a.cut = Some((At::Head(n), how)))
    }

    /// Sends the head one byte each `every`.
    #[track_caller]
    pub fn slow_head(self, every: Duration) -> Reply {
        self.with(|a| a.head_pace = Some(every))
    }

    /// Pads the head with headers to at least `bytes`.
    #[track_caller]
    pub fn head_size(self, bytes: usize) -> Reply {
        self.with(|a| a.head_size = bytes)
    }

    /// Sends `n` informational responses (103) first.
    #[track_caller]
    pub fn informational(self, n: u32) -> Reply {
        self.with(|a| a.informational = n)
    }

    /// Answers without reading the request's body. The connection cannot be used again.
    #[track_caller]
    pub fn early(self) -> Reply {
        self.with(|a| a.early = true)
    }

    /// Announces `Connection: close` and closes after the answer.
    #[track_caller]
    pub fn closing(self) -> Reply {
        self.with(|a| a.ending = Ending::Closing)
    }

    /// Closes the connection right after the answer without having announced it: a client's pool holds it for alive.
    #[track_caller]
    pub fn stale(self) -> Reply {
        self.with(|a| a.ending = Ending::Stale)
    }

    /// Keeps the connection and closes it when the head of the next request has arrived on it.
    #[track_caller]
    pub fn stale_on_next(self) -> Reply {
        self.with(|a| a.ending = Ending::StaleOnNext)
    }

    #[track_caller]
    fn with(mut self, f: impl FnOnce(&mut Answer)) -> Reply {
        match &mut self.act {
            Act::Answer(answer) => f(answer),
            other => {
                panic!("{other:?} sends no answer that could have headers, a body or an ending")
            }
        }
        self
    }
}

impl Reply {
    /// The reply itself where a function is to say it, which may name another function.
    pub(super) fn decide(mut self, received: &Received) -> Reply {
        for _ in 0..MAX_BY {
            let Act::By(f) = &self.act else { break };
            let said = f(received);
            let after = self.after + said.after;
            self = said.after(after);
        }
        self
    }

    /// Whether it stands for a server that is not there.
    pub(super) fn refuses(&self) -> bool {
        matches!(self.act, Act::Refuse)
    }

    /// Whether the request's body is left unread.
    pub(super) fn leaves_body(&self) -> bool {
        match &self.act {
            Act::Answer(answer) => answer.early,
            Act::Silent | Act::ConnectHang | Act::Refuse => true,
            _ => false,
        }
    }
}

impl From<Act> for Reply {
    fn from(act: Act) -> Reply {
        Reply { after: Duration::ZERO, act }
    }
}

impl fmt::Debug for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Refuse => f.write_str("Reply::refuse()"),
            Act::ConnectHang => f.write_str("Reply::connect_hang()"),
            Act::Silent => f.write_str("Reply::silent()"),
            Act::Hang => f.write_str("Reply::hang()"),
            Act::Close => f.write_str("Reply::close()"),
            Act::Reset => f.write_str("Reply::reset()"),
            Act::Raw(bytes) => write!(f, "Reply::raw({bytes:?})"),
            Act::EndlessHeaders(every) => write!(f, "Reply::endless_headers({every:?})"),
            Act::EndlessInformational(every) => {
                write!(f, "Reply::endless_informational({every:?})")
            }
            Act::Answer(answer) => answer.fmt(f),
            Act::By(_) => f.write_str("Reply::by(..)"),
        }
    }
}
