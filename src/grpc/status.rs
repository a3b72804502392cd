//! What a failed call is in gRPC.

use crate::error::Error;
use crate::retry::grpc::{INTERNAL, PUSHBACK, STATUS, UNAVAILABLE, UNKNOWN, of_error};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

const PERMISSION_DENIED: u32 = 7;
const UNIMPLEMENTED: u32 = 12;
const UNAUTHENTICATED: u32 = 16;

const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What stands for itself in a message: all that is printed, but the sign of what does not.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// A response that consists of its head.
pub(super) fn response<R: Default>(error: &Error) -> Response<R> {
    let mut response = Response::new(R::default());
    *response.headers_mut() = trailers(error);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// What a response ends with.
pub(super) fn trailers(error: &Error) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert(STATUS, of_error(error.kind()).into());
    let message = utf8_percent_encode(&error.to_string(), ENCODED).to_string();
    if let Ok(message) = HeaderValue::try_from(message) {
        trailers.insert(MESSAGE, message);
    }
    if let Some(retry_in) = error.retry_in() {
        trailers.insert(PUSHBACK, i32::try_from(retry_in.as_millis()).unwrap_or(i32::MAX).into());
    }
    trailers
}

/// What callers make of a response that ends without a status.
pub(super) fn of_http(status: StatusCode) -> u32 {
    match status.as_u16() {
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        429 | 502..=504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use std::time::Duration;

    #[test]
    fn a_failure_has_the_status_that_callers_of_grpc_know_its_words_and_when_to_come_back() {
        let second = Duration::from_secs(1);
        for (kind, status) in [
            (ErrorKind::Deadline, 4),
            (ErrorKind::Attempt, 4),
            (ErrorKind::Stall, 4),
            (ErrorKind::Connect, 14),
            (ErrorKind::Open { retry_in: second }, 14),
            (ErrorKind::Unhealthy { since: second, retry_in: second }, 14),
            (ErrorKind::RetryAfter { retry_in: second }, 14),
            (ErrorKind::Transport, 14),
            (ErrorKind::TooLarge, 8),
            (ErrorKind::Cancelled, 1),
            (ErrorKind::Config, 13),
            (ErrorKind::Redirect, 2),
        ] {
            let error = Error::new(kind, "100 % of caf\u{e9}s\nare closed");
            let response = response::<()>(&error);
            assert_eq!(
                (response.status().as_u16(), &response.headers()[STATUS]),
                (200, &HeaderValue::from(status))
            );
            let message = response.headers()[MESSAGE].to_str().expect("text");
            assert!(message.contains("100 %25 of caf%C3%A9s%0Aare closed"), "{kind:?}: {message}");
            let wait = response.headers().get(PUSHBACK).map(|wait| wait.as_bytes());
            let refusal = matches!(
                kind,
                ErrorKind::Open { .. } | ErrorKind::Unhealthy { .. } | ErrorKind::RetryAfter { .. }
            );
            assert_eq!(wait, refusal.then_some(&b"1000"[..]), "{kind:?}");
        }
    }

    #[test]
    fn a_response_without_a_status_means_what_its_status_in_http_says() {
        let of = |status: u16| of_http(StatusCode::from_u16(status).expect("a status"));
        assert_eq!([200, 500, 404, 503, 429, 401, 403, 400].map(of), [2, 2, 12, 14, 14, 16, 7, 13]);
    }
}
