//! The words of an [`Error`]: one line that a person understands at 3 a.m.

use super::{Attempt, Error, ErrorKind, Inner, Phase};
use crate::duration::human;
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
        let mut d = f.debug_struct("Error");
        d.field("kind", &self.0.kind);
        if let Some(phase) = self.0.phase {
            d.field("phase", &phase);
        }
        d.field("message", &format_args!("\"{self}\""));
        if let Some(source) = &self.0.source {
            d.field("source", source);
        }
        d.finish()
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
            write!(f, " after {} bytes", inner.received)?;
        }
        (_, Some(Phase::Headers)) => {
            f.write_str("no response headers")?;
            after(inner, f)?;
        }
        (_, Some(Phase::Body)) => {
            f.write_str("the response body was not complete")?;
            after(inner, f)?;
            write!(f, ", {} bytes received", inner.received)?;
        }
        (_, Some(Phase::HealthCheck)) => {
            f.write_str("no answer from the health check")?;
            after(inner, f)?;
        }
        (_, phase) => {
            f.write_str("out of time")?;
            after(inner, f)?;
            if let Some(phase) = phase {
                write!(f, " while {phase}")?;
            }
        }
    }
    if inner.kind == ErrorKind::Deadline {
        f.write_str(" (deadline)")?;
    }
    Ok(())
}

fn after(inner: &Inner, f: &mut Formatter<'_>) -> fmt::Result {
    match inner.limit {
        Some(limit) => write!(f, " after {:#}", human(limit)),
        None => f.write_str(" in time"),
    }
}

/// The innermost cause, because the outer ones only say that there is one ("client error (Connect)").
fn root(inner: &Inner, f: &mut Formatter<'_>) -> fmt::Result {
    let Some(source) = &inner.source else { return f.write_str(inner.kind.as_str()) };
    let mut cause: &(dyn StdError + 'static) = &**source;
    while let Some(next) = cause.source() {
        cause = next;
    }
    match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => f.write_str("connection refused"),
        Some(io::ErrorKind::ConnectionReset) => f.write_str("connection reset"),
        Some(io::ErrorKind::BrokenPipe) => f.write_str("connection closed while sending"),
        Some(io::ErrorKind::UnexpectedEof) => f.write_str("connection closed in mid-message"),
        _ => write!(f, "{cause}"),
    }?;
    if inner.phase == Some(Phase::Body) && inner.received > 0 {
        write!(f, " after {} bytes of the body", inner.received)?;
    }
    Ok(())
}

fn story(inner: &Inner, f: &mut Formatter<'_>) -> fmt::Result {
    let many = inner.attempt > 0 && inner.attempts_allowed > 1;
    if !many && inner.journal.is_empty() {
        return match inner.redirects {
            0 => Ok(()),
            n => write!(f, " ({})", Redirected(n)),
        };
    }
    f.write_str(" (")?;
    if many {
        write!(f, "attempt {} of {}", inner.attempt, inner.attempts_allowed)?;
    }
    for (n, attempt) in inner.journal.iter().enumerate() {
        f.write_str(match (n, many) {
            (0, true) => "; before: ",
            (0, false) => "before: ",
            _ => ", ",
        })?;
        write!(f, "{attempt}")?;
    }
    if inner.redirects > 0 {
        write!(f, "; {}", Redirected(inner.redirects))?;
    }
    f.write_str(")")
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
