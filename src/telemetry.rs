//! The words, levels and names of everything that is logged, traced and measured.

#[cfg(feature = "metrics")]
mod handles;
mod meter;
#[cfg(feature = "metrics")]
mod names;

#[cfg(feature = "metrics")]
pub(crate) use meter::in_flight;
pub(crate) use meter::{End, Labels, Meter, breaker_made, leases_expired};
#[cfg(feature = "metrics")]
pub use names::{Kind, METRICS, Metric, record};

#[cfg(feature = "supervise")]
pub(crate) mod crew;

use crate::duration::human;
use crate::error::Error;
use crate::origin::Origin;
use std::fmt::Display;
use std::time::Duration;
use tracing::Span;

/// The span of a call: from its first poll to its result.
pub(crate) fn call(origin: &Origin, method: &http::Method, url: impl FnOnce() -> String) -> Span {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return Span::none();
    }
    tracing::debug_span!(
        "call",
        http.request.method = %method,
        server.address = origin.host(),
        server.port = origin.port(),
        url.full = url(),
    )
}

/// The span of one attempt. The first has no resend count, as OpenTelemetry wants it.
pub(crate) fn attempt(number: u32) -> Span {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return Span::none();
    }
    let span = tracing::debug_span!("attempt", http.request.resend_count = tracing::field::Empty);
    if number > 1 {
        span.record("http.request.resend_count", number - 1);
    }
    span
}

/// An attempt that will be repeated.
pub(crate) fn retry(origin: &Origin, attempt: u32, of: u32, wait: Duration, cause: &str) {
    tracing::debug!(
        %origin,
        attempt,
        wait = %human(wait),
        cause,
        "retry {attempt}/{of} in {}: {cause}",
        human(wait),
    );
}

/// A call that failed in the end. The caller has seen to it that this is said once a second at most.
pub(crate) fn failed(origin: &Origin, error: &Error, suppressed: u64) {
    tracing::warn!(%origin, attempt = error.attempts(), suppressed, "{error}");
}

/// A health check passed after one that failed, or after an open circuit.
pub(crate) fn recovered(origin: &Origin, down_for: Option<Duration>) {
    let down_for = down_for.map(|d| human(d).to_string());
    tracing::info!(%origin, down_for, "health check passed, resuming normal operations");
}

/// A request body type that cannot be sent twice.
pub(crate) fn unreplayable(body: &str) {
    tracing::warn!(
        body,
        "requests with a body of this type get one attempt, since it cannot be sent again: see retry::Settings::replay_with"
    );
}

/// A long poll without any bound of its own.
pub(crate) fn unbounded(origin: &Origin, reason: &str) {
    tracing::debug!(%origin, reason, "long poll without a bound");
}

/// One line for each change of phase of a breaker, named as in `breaker::Phase::as_str`. The moments at which calls
/// begin to be refused are warnings.
pub(crate) fn breaker(
    (origin, label): (&str, &str),
    from: &'static str,
    to: &'static str,
    reason: &dyn Display,
) {
    meter::breaker(label, from, to);
    match to {
        "open" => tracing::warn!(origin, from, to, "opening circuit after {reason}"),
        "forced_open" => tracing::warn!(origin, from, to, "circuit forced open"),
        "half_open" => tracing::info!(origin, from, to, "entering half-open"),
        "closed" => tracing::info!(origin, from, to, "circuit closed"),
        _ => tracing::info!(origin, from, to, "circuit breaker disabled"),
    }
}

/// The machine was suspended, so that idle connections are not trusted any more.
#[cfg(feature = "client")]
pub(crate) fn slept(gap: Duration) {
    let slept = human(gap);
    tracing::info!(%slept, "the machine slept for {slept:#}, leaving its idle connections");
}
