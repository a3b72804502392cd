//! The two things that can be done from outside, by whoever has the token.

use super::json::Commanded;
use super::reply::{json, line};
use super::state::State;
use crate::sync::{Arc, shielded};
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use subtle::ConstantTimeEq;

pub(super) async fn command(
    Shared(state): Shared<Arc<State>>,
    Path(what): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(token) = &state.token else {
        return line(StatusCode::NOT_FOUND, "commands are off: Admin::commands(token) turns them on");
    };
    if !is_allowed(&headers, token) {
        let mut refused =
            line(StatusCode::UNAUTHORIZED, "a command needs the header: authorization: Bearer TOKEN");
        refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return refused;
    }
    if what != "open" && what != "release" {
        return line(StatusCode::NOT_FOUND, "no such command: there are open and release");
    }
    // As much as the route lets through.
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return line(StatusCode::PAYLOAD_TOO_LARGE, "the body is broken, or above 4 KiB");
    };
    let field = |wanted: &str| form_urlencoded::parse(&body).find(|(name, _)| name == wanted);
    let Some((_, origin)) = field("origin") else {
        return line(
            StatusCode::BAD_REQUEST,
            "the body needs the field origin: origin=https%3A%2F%2Fapi.example",
        );
    };
    let group = field("group").map(|(_, group)| group);
    let client = field("client").map(|(_, client)| client);
    let found = state.find(&origin, group.as_deref(), client.as_deref());
    if found.is_empty() {
        let error = Some("there is no circuit breaker of this name");
        let (group, client) = (group.as_deref(), client.as_deref());
        let unknown = Commanded { error, origin: &origin, phase: None, group, client };
        return json(StatusCode::NOT_FOUND, &unknown);
    }
    for breaker in &found {
        match what.as_str() {
            "open" => breaker.force_open(),
            _ => breaker.reset(),
        }
    }
    let phase = found[0].phase().as_str();
    let group = group.as_deref();
    let client = client.as_deref();
    shielded(|| {
        tracing::warn!(
            origin = &*origin,
            group,
            client,
            command = what,
            phase,
            "circuit breaker commanded from outside"
        );
    });
    let done = Commanded { error: None, origin: found[0].name(), phase: Some(phase), group, client };
    json(StatusCode::OK, &done)
}

/// How long it takes tells nothing of the token but its length.
fn is_allowed(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().split_first_chunk::<7>());
    match given {
        Some((scheme, given)) if scheme.eq_ignore_ascii_case(b"bearer ") => {
            given.ct_eq(token.as_bytes()).into()
        }
        _ => false,
    }
}
