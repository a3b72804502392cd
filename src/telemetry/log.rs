//! The words of calls: lines for the log.

#[cfg(feature = "supervise")]
pub(crate) mod child;
#[cfg(feature = "supervise")]
pub(crate) mod queue;
#[cfg(feature = "sse")]
pub(crate) mod stream;
#[cfg(feature = "supervise")]
pub(crate) mod supervise;

use crate::duration::compact::compact;
use crate::duration::human;
use crate::error::Error;
use crate::options::Group;
use crate::origin::Origin;
use crate::telemetry::labels::{ClientName, Subject};
use crate::telemetry::record;
use std::fmt::Display;
use std::time::Duration;

/// An origin, as one client knows it: what most lines are about.
pub(crate) type Endpoint<'a> = (&'a Origin, &'a ClientName);

/// An attempt that will be repeated.
pub(crate) fn retry((origin, client): Endpoint<'_>, attempt: u32, of: u32, wait: Duration, cause: &str) {
    say!(debug,
        %origin, client = client.if_given(),
        attempt,
        wait = %human(wait),
        cause = compact(&cause),
        "retry {attempt}/{of} in {}: {}",
        human(wait),
        compact(&cause),
    );
}

/// A call that failed in the end. The caller has seen to it that this is said once a second at most.
pub(crate) fn failed((origin, client): Endpoint<'_>, error: &Error, suppressed: u64) {
    say!(warn,
        %origin, client = client.if_given(),
        attempt = error.attempts(),
        wait = error.retry_in().map(|wait| tracing::field::display(human(wait))),
        cause = compact(&error.cause()),
        suppressed,
        "{}",
        compact(error),
    );
}

/// A health check passed after one that failed, or after an open circuit.
pub(crate) fn recovered((origin, client): Endpoint<'_>, down_for: Option<Duration>) {
    let down_for = down_for.map(|d| human(d).to_string());
    say!(info, %origin, client = client.if_given(), down_for, "health check passed, resuming normal operations");
}

/// A request body type that cannot be sent twice.
pub(crate) fn unreplayable(body: &str) {
    say!(
        warn,
        body,
        "requests with a body of this type get one attempt, since it cannot be sent again: \
         retry::Settings::replay_with says how; .replay_with(retry::replay_empty(Body::empty)), with the Body of that \
         client, repeats those whose body is empty"
    );
}

/// A long poll without any bound of its own.
pub(crate) fn unbounded((origin, client): Endpoint<'_>, reason: &str) {
    say!(debug, %origin, client = client.if_given(), reason, "long poll without a bound");
}

/// One line for each change of phase of a breaker, named as in `breaker::Phase::as_str`. The moments at which calls
/// begin to be refused are warnings.
pub(crate) fn breaker(of: &Subject, from: &'static str, to: &'static str, reason: &dyn Display) {
    record::breaker(of, from, to);
    let (origin, group) = (&*of.origin, of.group.as_ref().map(Group::as_str));
    let client = of.client.as_ref().and_then(ClientName::if_given);
    match to {
        "open" => say!(warn, origin, group, client, from, to, "opening circuit after {}", compact(reason)),
        "forced_open" => say!(warn, origin, group, client, from, to, "circuit forced open"),
        "half_open" => say!(info, origin, group, client, from, to, "entering half-open"),
        "closed" => say!(info, origin, group, client, from, to, "circuit closed"),
        _ => say!(info, origin, group, client, from, to, "circuit breaker disabled"),
    }
}

/// A 429, or a quota that is used up: calls like it do not leave for so long.
pub(crate) fn gate_closed((origin, client): Endpoint<'_>, group: Option<&Group>, wait: Duration) {
    let group = group.map(Group::as_str);
    let wait = human(wait);
    say!(info, %origin, client = client.if_given(), group, %wait, "quota used up, calls like this one wait for {wait}");
}

/// Requests name more groups of an origin than have state of their own. Said once for an origin.
pub(crate) fn too_many_groups((origin, client): Endpoint<'_>, most: usize) {
    say!(warn, %origin, client = client.if_given(), "more than {most} groups: further ones share one circuit breaker; is the name unique to each request?");
}

/// The machine was suspended, so that idle connections are not trusted any more.
#[cfg(any(feature = "client", feature = "reqwest"))]
pub(crate) fn slept(gap: Duration) {
    let slept = human(gap);
    say!(info, %slept, "the machine slept for {slept}, discarding idle connections");
}

/// The settings of the inner client were good once, and are not any more.
#[cfg(feature = "reqwest")]
pub(crate) fn not_renewed(error: &Error) {
    say!(warn, error = compact(error), "no new reqwest client after the sleep, idle connections stay in use");
}
