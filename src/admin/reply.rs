//! Answers.

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

/// Its keys in the order of the alphabet.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_value(body) {
        Ok(body) => with(status, "application/json", format!("{body}\n")),
        Err(error) => line(StatusCode::INTERNAL_SERVER_ERROR, &format!("this cannot be shown: {error}")),
    }
}

/// A line for whoever typed the URL.
pub(super) fn line(status: StatusCode, line: &str) -> Response {
    with(status, "text/plain; charset=utf-8", format!("{line}\n"))
}

pub(super) fn with(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // What is shown is true now and never again.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
