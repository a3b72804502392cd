//! What a status of gRPC means, and how long a server that sends one wants to be left alone. Pure.
//!
//! The status is a header, in the head of a response that has no message, else in the trailers behind the last one. HTTP says
//! 200 in either case.

use crate::deadline::Late;
use crate::error::ErrorKind;
use crate::retry::classify::{Class, Evidence, Repeat, class};
use http::{HeaderMap, HeaderName, response};
use std::time::Duration;

/// In the extensions of a request: it is a call of gRPC, and its status is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call;

pub(crate) const STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(crate) const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

pub(crate) const CANCELLED: u32 = 1;
pub(crate) const UNKNOWN: u32 = 2;
pub(crate) const DEADLINE_EXCEEDED: u32 = 4;
pub(crate) const RESOURCE_EXHAUSTED: u32 = 8;
pub(crate) const INTERNAL: u32 = 13;
pub(crate) const UNAVAILABLE: u32 = 14;
const DATA_LOSS: u32 = 15;

/// The status in a head or in trailers. One that cannot be read is UNKNOWN, as in gRPC.
pub(crate) fn status(headers: &HeaderMap) -> Option<u32> {
    let value = headers.get(STATUS)?.as_bytes();
    let digits =
        std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    Some(digits.and_then(|digits| digits.parse().ok()).unwrap_or(UNKNOWN))
}

/// What a head means that has a status in it: nothing was answered but that. `None` where the status is still to come.
pub(crate) fn head(head: &response::Parts) -> Option<Class> {
    let status = status(&head.headers)?;
    // The caller gave it too little time, and has none to give to another attempt.
    if status == DEADLINE_EXCEEDED && Late::refused(&head.headers) {
        return Some(class(Repeat::Never, Evidence::None));
    }
    // A server that says when to come back has not begun; one that says never has its will.
    let repeat = match (status, pushback(&head.headers)) {
        (_, Pushback::Never) => Repeat::Never,
        (UNAVAILABLE | RESOURCE_EXHAUSTED, Pushback::After(_)) => Repeat::Always,
        (UNAVAILABLE | DEADLINE_EXCEEDED, Pushback::None) => Repeat::IfIdempotent,
        _ => Repeat::Never,
    };
    Some(class(repeat, evidence(status)))
}

/// What trailers say about the server. Without a status they say what the end of a body says.
pub(crate) fn trailers(trailers: &HeaderMap) -> Evidence {
    status(trailers).map_or(Evidence::Success, evidence)
}

/// As the statuses of HTTP that stand for these: 500, 503 and 504 are failures, 429 is one of the caller, the rest are
/// answers.
fn evidence(status: u32) -> Evidence {
    match status {
        UNKNOWN | DEADLINE_EXCEEDED | INTERNAL | UNAVAILABLE | DATA_LOSS => Evidence::Failure,
        RESOURCE_EXHAUSTED => Evidence::Throttled,
        CANCELLED => Evidence::None,
        _ => Evidence::Success,
    }
}

/// The name of a status. One that nobody knows is UNKNOWN, as in gRPC.
pub(crate) fn name(status: u32) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    usize::try_from(status).ok().and_then(|at| NAMES.get(at).copied()).unwrap_or("UNKNOWN")
}

/// What a call that failed on this side is to its caller.
pub(crate) fn of_error(kind: ErrorKind) -> u32 {
    match kind {
        ErrorKind::Deadline | ErrorKind::Attempt | ErrorKind::Stall => DEADLINE_EXCEEDED,
        ErrorKind::Connect
        | ErrorKind::Open { .. }
        | ErrorKind::Unhealthy { .. }
        | ErrorKind::RetryAfter { .. }
        | ErrorKind::Transport => UNAVAILABLE,
        ErrorKind::TooLarge => RESOURCE_EXHAUSTED,
        ErrorKind::Cancelled => CANCELLED,
        ErrorKind::Config => INTERNAL,
        ErrorKind::Redirect => UNKNOWN,
    }
}

/// How long the server asks to be left alone.
pub(crate) fn asked(headers: &HeaderMap) -> Option<Duration> {
    match pushback(headers) {
        Pushback::After(wait) => Some(wait),
        _ => None,
    }
}

/// What `grpc-retry-pushback-ms` says.
enum Pushback {
    None,
    After(Duration),
    /// A negative number, and whatever cannot be read.
    Never,
}

fn pushback(headers: &HeaderMap) -> Pushback {
    let Some(value) = headers.get(PUSHBACK) else { return Pushback::None };
    let wait = value.to_str().ok().and_then(|text| text.parse::<i32>().ok());
    match wait.and_then(|wait| u64::try_from(wait).ok()) {
        Some(wait) => Pushback::After(Duration::from_millis(wait)),
        None => Pushback::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn parts(headers: &[(&'static str, &'static str)]) -> response::Parts {
        let mut parts = http::Response::new(()).into_parts().0;
        for (name, value) in headers {
            parts.headers.insert(*name, HeaderValue::from_static(value));
        }
        parts
    }

    #[test]
    fn every_status_is_judged_by_the_table() {
        for code in 0..=20_u32 {
            let mut parts = parts(&[]);
            parts.headers.insert(STATUS, code.into());
            let (repeat, evidence) = match code {
                1 => (Repeat::Never, Evidence::None),
                2 | 13 | 15 => (Repeat::Never, Evidence::Failure),
                4 | 14 => (Repeat::IfIdempotent, Evidence::Failure),
                8 => (Repeat::Never, Evidence::Throttled),
                _ => (Repeat::Never, Evidence::Success),
            };
            assert_eq!(head(&parts), Some(class(repeat, evidence)), "{code}");
            assert_eq!(trailers(&parts.headers), evidence, "{code}");
        }
    }

    #[test]
    fn a_head_without_a_status_says_nothing_yet_and_one_that_cannot_be_read_is_unknown() {
        assert_eq!(head(&parts(&[])), None);
        for bad in ["", "-1", "+14", "fourteen", "14.0", "99999999999"] {
            let unknown =
                if bad.is_empty() { Some(UNKNOWN) } else { status(&parts(&[("grpc-status", "2")]).headers) };
            assert_eq!(status(&parts(&[("grpc-status", bad)]).headers), unknown, "{bad:?}");
        }
    }

    #[test]
    fn a_server_that_names_a_wait_may_be_asked_again_and_one_that_names_none_may_not() {
        for code in ["8", "14"] {
            let of = |wait| parts(&[("grpc-status", code), ("grpc-retry-pushback-ms", wait)]);
            assert_eq!(head(&of("250")).map(|class| class.repeat), Some(Repeat::Always));
            assert_eq!(asked(&of("250").headers), Some(Duration::from_millis(250)));
            for never in ["-1", "soon", "", "2147483648"] {
                assert_eq!(head(&of(never)).map(|class| class.repeat), Some(Repeat::Never), "{never:?}");
                assert_eq!(asked(&of(never).headers), None);
            }
        }
        // A wait makes no answer a failure that can pass.
        let not_found = parts(&[("grpc-status", "5"), ("grpc-retry-pushback-ms", "250")]);
        assert_eq!(head(&not_found), Some(class(Repeat::Never, Evidence::Success)));
    }

    #[test]
    fn a_status_is_called_by_its_name_and_one_that_nobody_knows_is_unknown() {
        let names = [0, 4, 8, 14, 16, 17, u32::MAX].map(name);
        let known = ["OK", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "UNAUTHENTICATED"];
        assert_eq!((&names[..5], &names[5..]), (&known[..], &["UNKNOWN", "UNKNOWN"][..]));
    }

    #[test]
    fn a_request_that_was_refused_because_it_came_late_is_held_against_nobody() {
        let late = parts(&[("grpc-status", "4"), ("x-request-late", "refused; left-ms=0; least-ms=0")]);
        assert_eq!(head(&late), Some(class(Repeat::Never, Evidence::None)));
    }
}
