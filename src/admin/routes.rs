//! Which path is answered by whom.

use super::command::command;
use super::page::{live, page};
use super::state::State;
use super::{json, reply};
use crate::sync::Arc;
use axum::Router;
use axum::extract::{RawQuery, Request, State as Shared};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use http::StatusCode;
use http::header::HOST;
use serde_json::json;
use std::net::IpAddr;

pub(super) fn all(state: Arc<State>) -> Router {
    Router::new()
        .route("/admin", get(page))
        .route("/admin/events", get(live))
        .route(
            "/admin/liveness",
            asks(|state| json::liveness(&state.subsystems(), state.liveness.watchdog_lag())),
        )
        .route("/admin/breakers", asks(|state| json::breakers(&state.breakers())))
        .route("/admin/calls", asks(|state| json::calls(&state.in_flight())))
        .route("/admin/breakers/{command}", post(command))
        .with_state(Arc::clone(&state))
        .merge(probes(state))
}

pub(super) fn probes(state: Arc<State>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(state)
}

/// As a server of its own, that listens on this address.
pub(super) fn served(state: Arc<State>, on: IpAddr) -> Router {
    let router = all(state).fallback(|| async {
        reply::line(StatusCode::NOT_FOUND, "nothing here: see /admin, /healthz, /readyz and /metrics")
    });
    if on.is_loopback() { router.layer(from_fn(only_by_address)) } else { router }
}

/// A browser asks in the name of the page it shows. One whose owner lets that name point to this machine could read us.
async fn only_by_address(request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).map(|host| host.to_str().unwrap_or_default());
    match host {
        Some(host) if !is_address(host) => reply::line(
            StatusCode::MISDIRECTED_REQUEST,
            "this listens on loopback and is asked for by an IP address or as localhost",
        ),
        _ => next.run(request).await,
    }
}

fn is_address(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, port)| match port.parse::<u16>() {
        Ok(_) => name,
        Err(_) => host,
    });
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

fn asks(answer: fn(&State) -> serde_json::Value) -> MethodRouter<Arc<State>> {
    get(move |Shared(state): Shared<Arc<State>>| async move {
        state.keep();
        reply::json(StatusCode::OK, &answer(&state))
    })
}

async fn healthz(Shared(state): Shared<Arc<State>>, RawQuery(query): RawQuery) -> Response {
    let ends = state.readiness.is_shutting_down();
    let status = if ends { "shutting_down" } else { "ok" };
    let stale = match query {
        Some(query) if is_strict(&query) => state.stale(),
        _ => Vec::new(),
    };
    match (ends, stale.is_empty()) {
        (false, true) => reply::json(StatusCode::OK, &json!({ "status": status })),
        (true, true) => reply::json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": status })),
        (false, false) => reply::json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "stale": stale })),
        (true, false) => {
            reply::json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "stale": stale, "status": status }))
        }
    }
}

/// `strict`, `strict=` and anything but no.
fn is_strict(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| name == "strict" && value != "0" && value != "false")
}

async fn readyz(Shared(state): Shared<Arc<State>>) -> Response {
    let lacks = state.lacks();
    let status = if lacks.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    reply::json(status, &json::readiness(&lacks))
}

#[cfg(feature = "metrics")]
async fn metrics(Shared(state): Shared<Arc<State>>) -> Response {
    state.keep();
    let Some(scrape) = &state.scrape else {
        return reply::line(
            StatusCode::NOT_FOUND,
            "there is no recorder: give Admin::metrics the handle that admin::prometheus returns",
        );
    };
    scrape.answer(&state.calls)
}

#[cfg(not(feature = "metrics"))]
async fn metrics(Shared(_): Shared<Arc<State>>) -> Response {
    reply::line(StatusCode::NOT_FOUND, "this program was built without the feature `metrics` of unwedge")
}
