//! Which path is answered by whom.

use super::command::command;
use super::json::{Breakers, Calls, Health, Liveness, Processes, Queues, Readiness, Streams};
use super::page::{live, page};
use super::reply;
use super::state::State;
use crate::sync::Arc;
use axum::Router;
use axum::extract::{RawQuery, Request, State as Shared};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use http::StatusCode;
use http::header::{AUTHORIZATION, HOST};
use serde::Serialize;
use std::any::Any;
use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tower_http::timeout::TimeoutLayer;

/// An origin is a line.
const COMMAND_BYTES: usize = 4096;
const COMMAND_TIME: Duration = Duration::from_secs(5);

pub(super) fn all(state: Arc<State>) -> Router {
    Router::new()
        .route("/admin", get(page))
        .route("/admin/", get(page))
        .route("/admin/events", get(live))
        .route(
            "/admin/liveness",
            asks(|state| Liveness { subsystems: state.subsystems(), lag: state.liveness.watchdog_lag() }),
        )
        .route("/admin/breakers", asks(|state| Breakers { breakers: state.breakers() }))
        .route("/admin/calls", asks(|state| Calls::new(state.in_flight(), state.connections())))
        .route("/admin/queues", asks(|_| Queues::now()))
        .route("/admin/streams", asks(|_| Streams::now()))
        .route("/admin/processes", asks(|_| Processes::now()))
        .route("/admin/breakers/{command}", commands())
        .with_state(Arc::clone(&state))
        .layer(CatchPanicLayer::custom(panicked))
        .merge(probes(state))
}

/// The body is at most a line, and comes soon; the token is shown by nothing that prints a request.
fn commands() -> MethodRouter<Arc<State>> {
    post(command)
        .layer::<_, Infallible>(RequestBodyLimitLayer::new(COMMAND_BYTES))
        .layer::<_, Infallible>(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, COMMAND_TIME))
        .layer(SetSensitiveRequestHeadersLayer::new([AUTHORIZATION]))
}

/// What asks the program for figures may be the program's own code. The panic itself is in the log.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    reply::line(StatusCode::INTERNAL_SERVER_ERROR, "what answers this panicked: see the log")
}

pub(super) fn probes(state: Arc<State>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(state)
        .layer(CatchPanicLayer::custom(panicked))
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

fn asks<T: Serialize + 'static>(answer: fn(&State) -> T) -> MethodRouter<Arc<State>> {
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
    let code = if ends || !stale.is_empty() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let status = (ends || stale.is_empty()).then_some(status);
    reply::json(code, &Health { stale, status })
}

/// `strict`, `strict=` and anything but no.
fn is_strict(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| name == "strict" && value != "0" && value != "false")
}

async fn readyz(Shared(state): Shared<Arc<State>>) -> Response {
    let lacks = state.lacks();
    let status = if lacks.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    reply::json(status, &Readiness::new(lacks))
}

async fn metrics(Shared(state): Shared<Arc<State>>) -> Response {
    state.keep();
    match &state.scrape {
        Some(scrape) => scrape.answer(&state.calls),
        None => reply::line(StatusCode::NOT_FOUND, NO_RECORDER),
    }
}

const NO_RECORDER: &str = if cfg!(feature = "metrics") {
    "there is no recorder: give Admin::metrics the handle that admin::prometheus returns"
} else {
    "this program was built without the feature `metrics` of unwedge"
};
