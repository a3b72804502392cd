//! The words, levels and names of everything that is logged, traced and measured.

/// One line for the log. What the subscriber does with it must cost nobody anything else: where it panics, as where a
/// value does that is shown, the work that was told of goes on.
macro_rules! say {
    ($level:ident, $($line:tt)*) => {
        $crate::sync::shielded(|| tracing::$level!($($line)*))
    };
}

#[cfg(feature = "metrics")]
mod causes;
#[cfg(feature = "metrics")]
mod handles;
mod labels;
#[cfg(feature = "metrics")]
mod names;
mod record;

pub(crate) use labels::{ClientName, Subject};
#[cfg(feature = "metrics")]
pub use names::{Kind, METRICS, Metric, record};
#[cfg(feature = "metrics")]
pub(crate) use record::in_flight;
pub(crate) use record::{End, Labels, Meter, leases_expired};
#[cfg(feature = "supervise")]
pub(crate) use record::{is_read, queued, subsystem, watchdog_lag};

#[cfg(feature = "supervise")]
pub(crate) mod log_supervise;

/// What stands for all that are too many to have a label of their own.
#[cfg(feature = "metrics")]
const OTHER: &str = "other";

use crate::duration::human;
use crate::error::Error;
use crate::options::Group;
use crate::origin::Origin;
use std::fmt::Display;
use std::time::Duration;
use tracing::Span;

/// The origin, and the client that talks to it, of a line for the log.
pub(crate) type Whose<'a> = (&'a Origin, &'a ClientName);

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
pub(crate) fn retry((origin, client): Whose<'_>, attempt: u32, of: u32, wait: Duration, cause: &str) {
    say!(debug,
        %origin, client = client.if_given(),
        attempt,
        wait = %human(wait),
        cause,
        "retry {attempt}/{of} in {}: {cause}",
        human(wait),
    );
}

/// A call that failed in the end. The caller has seen to it that this is said once a second at most.
pub(crate) fn failed((origin, client): Whose<'_>, error: &Error, suppressed: u64) {
    say!(warn, %origin, client = client.if_given(), attempt = error.attempts(), suppressed, "{error}");
}

/// A health check passed after one that failed, or after an open circuit.
pub(crate) fn recovered((origin, client): Whose<'_>, down_for: Option<Duration>) {
    let down_for = down_for.map(|d| human(d).to_string());
    say!(info, %origin, client = client.if_given(), down_for, "health check passed, resuming normal operations");
}

/// A request body type that cannot be sent twice.
pub(crate) fn unreplayable(body: &str) {
    say!(
        warn,
        body,
        "requests with a body of this type get one attempt, since it cannot be sent again: see retry::Settings::replay_with"
    );
}

/// A long poll without any bound of its own.
pub(crate) fn unbounded((origin, client): Whose<'_>, reason: &str) {
    say!(debug, %origin, client = client.if_given(), reason, "long poll without a bound");
}

/// One line for each change of phase of a breaker, named as in `breaker::Phase::as_str`. The moments at which calls
/// begin to be refused are warnings.
pub(crate) fn breaker(of: &Subject, from: &'static str, to: &'static str, reason: &dyn Display) {
    record::breaker(of, from, to);
    let (origin, group) = (&*of.origin, of.group.as_ref().map(Group::as_str));
    let client = of.client.as_ref().and_then(ClientName::if_given);
    match to {
        "open" => say!(warn, origin, group, client, from, to, "opening circuit after {reason}"),
        "forced_open" => say!(warn, origin, group, client, from, to, "circuit forced open"),
        "half_open" => say!(info, origin, group, client, from, to, "entering half-open"),
        "closed" => say!(info, origin, group, client, from, to, "circuit closed"),
        _ => say!(info, origin, group, client, from, to, "circuit breaker disabled"),
    }
}

/// A 429, or a quota that is used up: calls like it do not leave for so long.
pub(crate) fn gate_closed((origin, client): Whose<'_>, group: Option<&Group>, wait: Duration) {
    let group = group.map(Group::as_str);
    let wait = human(wait);
    say!(info, %origin, client = client.if_given(), group, %wait, "quota used up, calls like this one wait for {wait:#}");
}

/// Requests name more groups of an origin than have state of their own. Said once for an origin.
pub(crate) fn too_many_groups((origin, client): Whose<'_>, most: usize) {
    say!(warn, %origin, client = client.if_given(), "more than {most} groups: the rest share one circuit breaker, are they one of a request?");
}

/// The machine was suspended, so that idle connections are not trusted any more.
#[cfg(any(feature = "client", feature = "reqwest"))]
pub(crate) fn slept(gap: Duration) {
    let slept = human(gap);
    say!(info, %slept, "the machine slept for {slept:#}, leaving its idle connections");
}

/// The settings of the inner client were good once, and are not any more.
#[cfg(feature = "reqwest")]
pub(crate) fn not_renewed(error: &Error) {
    say!(warn, %error, "no new inner client after the sleep, its idle connections stay in use");
}

/// An item of a queue that waited too long.
#[cfg(feature = "supervise")]
pub(crate) fn expired(queue: &str, cluster: &str, event_id: &str, age: Duration, max_age: Duration) {
    say!(warn, %cluster, event_id, age = %human(age), max_age = %human(max_age), "event expired");
    record::expired(queue);
}

/// More of a queue would expire than its valve lets pass.
#[cfg(feature = "supervise")]
pub(crate) fn held(alarm: &dyn Display) {
    say!(error, "{alarm}");
}

/// A line that a child process wrote, or as much of it as is shown.
#[cfg(feature = "supervise")]
pub(crate) fn child_wrote(pid: u32, stream: &'static str, line: &str) {
    say!(debug, pid, stream, "{line}");
}

/// A child process that is told to end.
#[cfg(feature = "supervise")]
pub(crate) fn child_ends(program: &str, pid: u32, why: &'static str, after: Duration) {
    say!(warn, program, pid, duration = %human(after), "child {why}, ending its process group");
}

/// An event stream is connected: at first, and again after it was lost.
#[cfg(feature = "sse")]
pub(crate) fn stream_connected(cluster: &str, attempt: u32) {
    say!(info, cluster, attempt, "event stream connected");
    record::stream(cluster, None);
}

/// An event stream is not connected, and will be tried again after the wait.
#[cfg(feature = "sse")]
pub(crate) fn stream_lost(cluster: &str, cause: &'static str, attempt: u32, wait: Duration, error: &Error) {
    say!(warn, cluster, cause, attempt, wait = %human(wait), %error, "event stream lost");
    record::stream(cluster, Some(cause));
}

/// An event stream has ended for good: without an error where the server said so.
#[cfg(feature = "sse")]
pub(crate) fn stream_ended(cluster: &str, error: Option<&Error>) {
    match error {
        None => say!(info, cluster, "event stream ended by the server"),
        Some(error) => say!(error, cluster, %error, "event stream ended"),
    }
}

/// The caller's hook was to say what follows a refusal, and did not.
#[cfg(feature = "sse")]
pub(crate) fn stream_hook_failed(cluster: &str, why: &str) {
    say!(warn, cluster, why, "event stream: the hook for refusals failed");
}

/// An event was thrown away because of its size.
#[cfg(feature = "sse")]
pub(crate) fn stream_too_large(cluster: &str, error: &Error) {
    say!(warn, cluster, %error, "event above its size limit");
}
