//! The two things that can be done from outside, by whoever has the token.

use super::reply::{json, line};
use super::state::State;
use crate::sync::Arc;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::time::timeout;

/// An origin is a line.
const BODY: usize = 4096;
const READ: Duration = Duration::from_secs(5);

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
    let body = match timeout(READ, to_bytes(body, BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return line(StatusCode::PAYLOAD_TOO_LARGE, "the body is broken, or above 4 KiB"),
        Err(_) => return line(StatusCode::REQUEST_TIMEOUT, "the body did not arrive within 5 s"),
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
        let mut unknown = json!({ "error": "there is no circuit breaker of this name", "origin": origin });
        if let Some(group) = group {
            unknown["group"] = group.into_owned().into();
        }
        if let Some(client) = client {
            unknown["client"] = client.into_owned().into();
        }
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
    tracing::warn!(
        origin = &*origin,
        group,
        client,
        command = what,
        phase,
        "circuit breaker commanded from outside"
    );
    let mut done = json!({ "origin": &**found[0].name(), "phase": phase });
    if let Some(group) = group {
        done["group"] = group.into();
    }
    if let Some(client) = client {
        done["client"] = client.into();
    }
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
