//! How attempts end, in a few words that do not multiply.

use crate::error::{Error, Phase};
use http::StatusCode;

pub(super) fn outcome(status: Option<StatusCode>, error: Option<&Error>) -> &'static str {
    match (error, status.map(|status| status.as_u16())) {
        (Some(error), _) => error.kind().as_str(),
        (None, Some(200..300)) => "2xx",
        (None, Some(300..400)) => "3xx",
        (None, Some(400..500)) => "4xx",
        (None, Some(500..600)) => "5xx",
        (None, _) => "other",
    }
}

/// Why there was no connection, in a few words that do not multiply.
pub(super) fn connect_cause(error: &Error) -> &'static str {
    use std::io::ErrorKind as Io;
    let fault = error.inner().fault;
    if fault.certificate {
        return "certificate";
    }
    if fault.pool {
        return "pool";
    }
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let io = cause.downcast_ref::<std::io::Error>();
        match io.map(std::io::Error::kind) {
            Some(Io::ConnectionRefused) => return "refused",
            Some(Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::UnexpectedEof) => {
                return "reset";
            }
            Some(Io::HostUnreachable | Io::NetworkUnreachable | Io::NetworkDown) => return "unreachable",
            Some(Io::TimedOut) => return "timeout",
            _ => {}
        }
        // io::Error shows the source of what it wraps, not what it wraps.
        next = match io.and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    match error.phase() {
        _ if fault.timed_out || error.is_timeout() => "timeout",
        Some(Phase::Resolve) => "resolve",
        Some(Phase::Tls) => "tls",
        _ => "other",
    }
}
