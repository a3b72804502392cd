//! What an answer or an error means for an event stream. Pure.

use super::{Cause, Mode};
use crate::collect::coded;
use crate::duration::human;
use crate::error::{Error, ErrorKind};
use crate::retry::classify::{Outcome, Repeat};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode, response};
use std::time::Duration;

/// What a stream comes back from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) mode: Mode,
    /// It connects again. Otherwise only what was provably not processed is repeated, until the response head is there.
    pub(crate) again: bool,
}

#[derive(Debug)]
pub(crate) enum Verdict {
    /// Events follow.
    Read,
    /// The server wants nobody to come back.
    Stop,
    /// Try again later.
    Again(Error),
    /// No later try will do better.
    Fatal(Error),
}

/// Of a response head. `asked`: its `Retry-After`.
pub(crate) fn of_head(rules: Rules, head: &response::Parts, asked: Option<Duration>) -> Verdict {
    match head.status {
        StatusCode::OK if is_event_stream(&head.headers) => match coded(&head.headers) {
            None => Verdict::Read,
            Some(mut error) => {
                error.inner_mut().status = Some(head.status);
                Verdict::Fatal(error)
            }
        },
        StatusCode::NO_CONTENT => Verdict::Stop,
        StatusCode::OK => {
            let kind = head.headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
            let kind = kind.map_or("no content type".to_owned(), |kind| format!("content type {kind:?}"));
            Verdict::Fatal(status(head.status, None, format!("{kind} where text/event-stream was expected")))
        }
        code => {
            let mut detail = code.as_u16().to_string();
            if let Some(reason) = code.canonical_reason() {
                detail = format!("{detail} {reason}");
            }
            if let Some(asked) = asked {
                detail = format!("{detail}, the server asks to wait {:#}", human(asked));
            }
            let error = status(code, asked, detail);
            let comes_back = match rules {
                Rules { mode: Mode::Spec, .. } => false,
                // What the reader of the error would be told is what the stream itself does.
                Rules { again: true, .. } => error.is_retriable(),
                Rules { again: false, .. } => Outcome::Head(head).class().repeat == Repeat::Always,
            };
            if comes_back { Verdict::Again(error) } else { Verdict::Fatal(error) }
        }
    }
}

/// Of a call that had no answer, or a body that broke. `opening`: there was no response head yet.
pub(crate) fn of_error(rules: Rules, error: Error, opening: bool) -> Verdict {
    let comes_back = match rules {
        Rules { again: false, .. } => opening && is_unprocessed(&error),
        Rules { mode: Mode::Spec, .. } => error.is_retriable(),
        // Certificates are renewed.
        Rules { mode: Mode::Agent, .. } => error.is_retriable() || error.inner().fault.certificate,
    };
    if comes_back { Verdict::Again(error) } else { Verdict::Fatal(error) }
}

/// Whether the server has provably not processed the request: it may be sent again, whatever it does.
fn is_unprocessed(error: &Error) -> bool {
    let refused = error.is_refused()
        || (matches!(error.kind(), ErrorKind::RetryAfter { .. }) && error.status().is_none());
    refused || Outcome::Error(error).class().repeat == Repeat::Always
}

/// Who is to blame.
pub(crate) fn cause(error: &Error) -> Cause {
    if error.is_timeout() {
        Cause::Timeout
    } else if error.status().is_some() || says_when(error.kind()) {
        Cause::Server
    } else {
        Cause::Network
    }
}

/// Refusals; the circuit may be open after any failure, which then has a time as well.
fn says_when(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Open { .. } | ErrorKind::Unhealthy { .. } | ErrorKind::RetryAfter { .. })
}

fn status(code: StatusCode, asked: Option<Duration>, detail: String) -> Error {
    let mut error = Error::new(ErrorKind::Transport, detail);
    error.inner_mut().status = Some(code);
    // A wait heals nothing where the request is at fault, whatever the server says.
    if let Some(retry_in) = asked.filter(|_| error.is_retriable()) {
        error.inner_mut().kind = ErrorKind::RetryAfter { retry_in };
    }
    error
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return false };
    let essence = value.as_bytes().split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(b"text/event-stream")
}

#[cfg(test)]
mod tests;
