//! What an answer or an error means for an event stream. Pure.

use super::{Cause, Mode};
use crate::error::{Error, ErrorKind};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode, response};
use std::time::Duration;

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
pub(crate) fn of_head(mode: Mode, head: &response::Parts, asked: Option<Duration>) -> Verdict {
    match head.status {
        StatusCode::OK if is_event_stream(&head.headers) => Verdict::Read,
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
            match (mode, code.as_u16()) {
                (Mode::Agent, 500.. | 408 | 425 | 429) => Verdict::Again(status(code, asked, detail)),
                _ => Verdict::Fatal(status(code, asked, detail)),
            }
        }
    }
}

/// Of a call that had no answer, or a body that broke.
pub(crate) fn of_error(mode: Mode, error: Error) -> Verdict {
    let hopeless = matches!(
        error.kind(),
        ErrorKind::Config | ErrorKind::Cancelled | ErrorKind::Redirect | ErrorKind::TooLarge
    );
    if hopeless || (mode == Mode::Spec && !error.is_retriable()) {
        Verdict::Fatal(error)
    } else {
        Verdict::Again(error)
    }
}

/// Who is to blame.
pub(crate) fn cause(error: &Error) -> Cause {
    if error.is_timeout() {
        Cause::Timeout
    } else if error.status().is_some() || error.retry_in().is_some() {
        Cause::Server
    } else {
        Cause::Network
    }
}

fn status(code: StatusCode, asked: Option<Duration>, detail: String) -> Error {
    let kind = match asked {
        Some(retry_in) => ErrorKind::RetryAfter { retry_in },
        None => ErrorKind::Transport,
    };
    let mut error = Error::new(kind, detail);
    error.inner_mut().status = Some(code);
    error
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return false };
    let essence = value.as_bytes().split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(b"text/event-stream")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(mode: Mode, status: u16, kind: Option<&str>) -> Verdict {
        let mut response = http::Response::builder().status(status);
        if let Some(kind) = kind {
            response = response.header(CONTENT_TYPE, kind);
        }
        of_head(mode, &response.body(()).unwrap().into_parts().0, None)
    }

    #[test]
    fn events_are_read_from_200_and_the_one_type_alone() {
        for kind in ["text/event-stream", "Text/Event-Stream;charset=utf-8", " text/event-stream ; x=y"] {
            assert!(matches!(judged(Mode::Spec, 200, Some(kind)), Verdict::Read), "{kind}");
        }
        for kind in [Some("text/plain"), Some("text/event-streams"), Some(""), None] {
            match judged(Mode::Agent, 200, kind) {
                Verdict::Fatal(error) => {
                    assert!(error.to_string().contains("text/event-stream was expected"), "{error}");
                    assert!(!error.is_retriable());
                }
                other => panic!("{kind:?}: {other:?}"),
            }
        }
        assert!(matches!(judged(Mode::Agent, 206, Some("text/event-stream")), Verdict::Fatal(_)));
    }

    #[test]
    fn an_agent_tries_again_where_time_may_heal_and_the_standard_does_not() {
        for status in [500, 501, 502, 503, 504, 599, 408, 425, 429] {
            assert!(matches!(judged(Mode::Agent, status, None), Verdict::Again(_)), "{status}");
            assert!(matches!(judged(Mode::Spec, status, None), Verdict::Fatal(_)), "{status}");
        }
        for status in [301, 304, 400, 401, 403, 404, 410] {
            assert!(matches!(judged(Mode::Agent, status, None), Verdict::Fatal(_)), "{status}");
        }
        for mode in [Mode::Agent, Mode::Spec] {
            assert!(matches!(judged(mode, 204, Some("text/event-stream")), Verdict::Stop));
        }
    }

    #[test]
    fn errors_that_no_wait_heals_are_fatal() {
        let hopeless = [ErrorKind::Config, ErrorKind::Cancelled, ErrorKind::Redirect, ErrorKind::TooLarge];
        for kind in hopeless {
            assert!(matches!(of_error(Mode::Agent, Error::new(kind, "")), Verdict::Fatal(_)), "{kind}");
        }
        let retry_in = Duration::from_secs(5);
        for kind in [ErrorKind::Transport, ErrorKind::Connect, ErrorKind::Stall, ErrorKind::Open { retry_in }]
        {
            for mode in [Mode::Agent, Mode::Spec] {
                assert!(matches!(of_error(mode, Error::new(kind, "")), Verdict::Again(_)), "{kind}");
            }
        }
    }

    #[test]
    fn the_blame_is_the_networks_the_servers_or_that_of_silence() {
        let retry_in = Duration::from_secs(5);
        let of = |kind| cause(&Error::new(kind, ""));
        assert_eq!(of(ErrorKind::Transport), Cause::Network);
        assert_eq!(of(ErrorKind::Connect), Cause::Network);
        assert_eq!(of(ErrorKind::Open { retry_in }), Cause::Server);
        assert_eq!(of(ErrorKind::Attempt), Cause::Timeout);
        assert_eq!(of(ErrorKind::Stall), Cause::Timeout);
        assert_eq!(cause(&status(StatusCode::BAD_GATEWAY, None, String::new())), Cause::Server);
    }
}
