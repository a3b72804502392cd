//! The words of an [`Error`]: one line that a person understands at 3 a.m.

use super::{Attempt, Error, ErrorKind, Inner, Phase, of_this_machine};
use crate::duration::human;
use crate::target::Redacted;
use std::error::Error as StdError;
use std::fmt::{self, Display, Formatter};
use std::io;

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Ready => "waiting until the service is ready",
            Phase::HealthCheck => "health check",
            Phase::BackOff => "waiting for the next attempt",
            Phase::Resolve => "resolving the host name",
            Phase::Connect => "connecting",
            Phase::Tls => "TLS handshake",
            Phase::Send => "sending the request",
            Phase::Headers => "waiting for response headers",
            Phase::Body => "reading the response body",
        })
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)?;
        // A refused connection takes no time worth naming, and a limit says its time already.
        if self.status.is_some() && self.error.is_none() {
            write!(f, " after {:#}", human(self.took))?;
        }
        Ok(())
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        if let Some(target) = &inner.target {
            write!(f, "{target}: ")?;
        }
        write!(f, "{}", What(inner))?;
        story(inner, f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // What `main() -> Result<(), Error>` and `unwrap()` print: the sentence, for whoever reads it at 3 a.m.
        if !f.alternate() {
            return Display::fmt(self, f);
        }
        let mut d = f.debug_struct("Error");
        d.field("kind", &self.0.kind);
        if let Some(phase) = self.0.phase {
            d.field("phase", &phase);
        }
        d.field("message", &format_args!("\"{self}\""));
        if let Some(source) = &self.0.source {
            // As text: the Debug of a foreign error may show a URL with all that is in it.
            d.field("source", &format_args!("\"{}\"", Chain(&**source)));
        }
        d.finish()
    }
}

/// An error and its causes, outermost first.
struct Chain<'a>(&'a (dyn StdError + 'static));

impl Display for Chain<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Redacted(self.0))?;
        match self.0.source() {
            Some(cause) => write!(f, ": {}", Chain(cause)),
            None => Ok(()),
        }
    }
}

/// The sentence without target and story.
pub(super) struct What<'a>(pub(super) &'a Inner);

impl Error {
    /// The cause as a short phrase for the journal and the log: `connection refused`.
    pub(crate) fn cause(&self) -> String {
        What(&self.0).to_string()
    }
}

impl Display for What<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let inner = self.0;
        if !inner.detail.is_empty() {
            return f.write_str(&inner.detail);
        }
        match inner.kind {
            ErrorKind::Open { retry_in } => write!(f, "circuit open, next try in {:#}", human(retry_in)),
            ErrorKind::Unhealthy { since, retry_in } => {
                write!(f, "unhealthy for {:#}, next health check in {:#}", human(since), human(retry_in))
            }
            ErrorKind::RetryAfter { retry_in } => {
                write!(f, "the server asks to wait {:#}", human(retry_in))
            }
            ErrorKind::Deadline | ErrorKind::Attempt | ErrorKind::Stall => timed(inner, f),
            ErrorKind::Connect if inner.fault.pool => {
                f.write_str("the connection this call was waiting for was given up by another caller")
            }
            ErrorKind::Connect if inner.limit.is_some() => {
                f.write_str("no connection")?;
                after(inner, f)?;
                match inner.phase {
                    Some(phase @ (Phase::Resolve | Phase::Tls)) => write!(f, " ({phase})"),
                    _ => Ok(()),
                }
            }
            ErrorKind::Connect | ErrorKind::Transport => root(inner, f),
            ErrorKind::TooLarge => f.write_str("the response head is above its cap"),
            ErrorKind::Redirect => f.write_str("redirect not followed"),
            ErrorKind::Config => f.write_str("invalid configuration"),
            ErrorKind::Cancelled => f.write_str("cancelled by shutdown"),
        }
    }
}

fn timed(inner: &Inner, f: &mut Formatter<'_>) -> fmt::Result {
    match (inner.kind, inner.phase) {
        (ErrorKind::Stall, _) => {
            f.write_str("the response body stalled: no byte")?;
            match inner.limit {
                Some(limit) => write!(f, " for {:#}", human(limit))?,
                None => f.write_str(" in time")?,
            }
            write!(f, " after {}", Bytes(inner.received))?;
        }
        (_, Some(Phase::Body)) => {
            f.write_str("the response body was not complete")?;
            after(inner, f)?;
            write!(f, ", {} received", Bytes(inner.received))?;
        }
        (_, phase) => {
            f.write_str(match phase {
                Some(Phase::Ready) => "the inner service was not ready",
                Some(Phase::HealthCheck) => "no answer from the health check",
                Some(Phase::BackOff) => "still waiting for the next attempt",
                Some(Phase::Resolve) => "the host name was not resolved",
                Some(Phase::Connect) => "no connection",
                Some(Phase::Tls) => "the TLS handshake was not complete",
                Some(Phase::Send) => "the request was not sent",
                Some(Phase::Headers) => "no response headers",
                _ => "no answer",
            })?;
            after(inner, f)?;
        }
    }
    Ok(())
}

/// `1 byte`, `2 bytes`.
pub(crate) struct Bytes(pub(crate) u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} byte{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

fn after(inner: &Inner, f: &mut Formatter<'_>) -> fmt::Result {
    match inner.limit {
        Some(limit) => write!(f, " after {:#}", human(limit)),
        None => f.write_str(" in time"),
    }
}

/// The innermost cause, because the outer ones only say that there is one ("client error (Connect)").
fn root(inner: &Inner, f: &mut Formatter<'_>) -> fmt::Result {
    let Some(source) = &inner.source else {
        return f.write_str(match inner.kind {
            ErrorKind::Connect => "no connection",
            _ => "the connection broke",
        });
    };
    let mut cause: &(dyn StdError + 'static) = &**source;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let io = cause.downcast_ref::<io::Error>();
    if let Some(lacked) = io.and_then(of_this_machine).filter(|_| inner.kind == ErrorKind::Connect) {
        return f.write_str(lacked);
    }
    // The words of the system are for those who know its numbers.
    match io.map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => f.write_str("connection refused"),
        Some(io::ErrorKind::ConnectionReset) => f.write_str("connection reset"),
        Some(io::ErrorKind::ConnectionAborted) => f.write_str("connection aborted"),
        Some(io::ErrorKind::BrokenPipe) => f.write_str("connection closed while sending"),
        Some(io::ErrorKind::UnexpectedEof) if cause.to_string().contains("close_notify") => {
            f.write_str("connection closed in mid-message, without the close_notify of TLS: cut off on the way, or by a server that never sends one")
        }
        Some(io::ErrorKind::UnexpectedEof) => f.write_str("connection closed in mid-message"),
        Some(io::ErrorKind::TimedOut) => f.write_str("connection timed out"),
        Some(io::ErrorKind::HostUnreachable) => f.write_str("host unreachable"),
        Some(io::ErrorKind::NetworkUnreachable) => f.write_str("network unreachable"),
        _ => write!(f, "{}{}", Redacted(cause), hint(inner, cause)),
    }?;
    if inner.phase == Some(Phase::Body) && inner.received > 0 {
        write!(f, " after {} of the body", Bytes(inner.received))?;
    }
    Ok(())
}

/// What a port that was taken for another says, in the words of a TLS library and of a parser, means this.
fn hint(inner: &Inner, cause: &(dyn StdError + 'static)) -> &'static str {
    let https = inner.target.as_ref().map(|target| target.uri.scheme_str() == Some("https"));
    match (https, cause.to_string()) {
        (Some(true), words) if words.contains("InvalidContentType") => {
            " (the port does not speak TLS: is its URL http://?)"
        }
        (Some(false), words) if words.contains("invalid HTTP version") => {
            " (the port does not speak HTTP/1: is its URL https://?)"
        }
        _ => "",
    }
}

/// How it came to this, in one bracket: `(deadline; attempt 3 of 4; before: 502 after 12 ms, connection refused)`.
fn story(inner: &Inner, f: &mut Formatter<'_>) -> fmt::Result {
    let mut gap = " (";
    if inner.kind == ErrorKind::Deadline && inner.detail.is_empty() {
        write!(f, "{gap}deadline")?;
        gap = "; ";
    }
    let mut before = "before: ";
    let (began, allowed) = (inner.attempt, inner.attempts_allowed);
    if began > 0 && began as usize == inner.journal.len() {
        // Ended by a refusal, with no attempt under way.
        write!(f, "{gap}after {began} of {allowed} attempts")?;
        (gap, before) = (": ", "");
    } else if began > 0 && allowed > 1 {
        write!(f, "{gap}attempt {began} of {allowed}")?;
        gap = "; ";
    }
    for same in inner.journal.chunk_by(|a, b| (a.status, &a.cause) == (b.status, &b.cause)) {
        f.write_str(gap)?;
        f.write_str(before)?;
        match same {
            [one] => write!(f, "{one}")?,
            many => write!(f, "{} x {}", many.len(), many[0].cause)?,
        }
        (gap, before) = (", ", "");
    }
    if inner.redirects > 0 {
        write!(f, "{}{}", if gap == " (" { gap } else { "; " }, Redirected(inner.redirects))?;
        gap = "; ";
    }
    if let Some(retry_in) = inner.retry_in {
        write!(f, "{}next try in {:#}", if gap == " (" { gap } else { "; " }, human(retry_in))?;
        gap = "; ";
    }
    f.write_str(if gap == " (" { "" } else { ")" })
}

struct Redirected(u32);

impl Display for Redirected {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("after a redirect"),
            n => write!(f, "after {n} redirects"),
        }
    }
}
