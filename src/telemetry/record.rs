//! What is counted, and where. Every function does nothing without the feature `metrics`, and while nobody records.

use crate::error::Error;
#[cfg(feature = "metrics")]
use crate::error::Phase;
use crate::options::Group;
use crate::origin::Origin;
#[cfg(feature = "metrics")]
use crate::telemetry::causes::{connect_cause, outcome};
#[cfg(feature = "metrics")]
use crate::telemetry::handles::{Handles, Known};
use crate::telemetry::labels::{ClientName, Subject};
#[cfg(feature = "metrics")]
use crate::telemetry::names;
use http::{Method, StatusCode};
use std::sync::Arc;
use std::time::Duration;

/// What is counted of the calls to one origin.
pub(crate) struct Meter {
    #[cfg(feature = "metrics")]
    handles: Handles,
}

/// Which origins of a stack have labels of their own, and what it is called.
pub(crate) struct Labels {
    pub(crate) client: ClientName,
    #[cfg(feature = "metrics")]
    known: Known,
}

impl Labels {
    pub(crate) fn new(client: ClientName) -> Labels {
        Labels {
            client,
            #[cfg(feature = "metrics")]
            known: Known::default(),
        }
    }

    /// This origin or group, with labels of its own as long as there are not too many of them.
    pub(crate) fn of(&self, origin: Arc<str>, group: Option<&Group>) -> Subject {
        #[cfg(feature = "metrics")]
        let (label, group_label) = self.known.labels(&origin, group);
        Subject {
            origin,
            group: group.cloned(),
            client: Some(self.client.clone()),
            #[cfg(feature = "metrics")]
            label,
            #[cfg(feature = "metrics")]
            group_label,
        }
    }
}

/// How a call ended, as far as it is known. Neither is: its caller dropped it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct End {
    pub(crate) status: Option<StatusCode>,
    pub(crate) error: Option<&'static str>,
}

#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted"))]
impl Meter {
    pub(crate) fn new(origin: &Origin, of: Subject) -> Meter {
        Meter {
            #[cfg(feature = "metrics")]
            handles: Handles::new(origin, of),
        }
    }

    /// The breaker of an origin, or of a group of it, that was not called before.
    pub(crate) fn breaker_made(&self, phase: &'static str) {
        #[cfg(feature = "metrics")]
        if names::is_recorded() {
            phase_is(&self.handles.of, phase);
        }
    }

    /// A call is over: answered to its last byte, failed, or dropped by its caller.
    #[inline]
    pub(crate) fn called(&self, method: &Method, end: End, long_poll: bool, took: impl FnOnce() -> Duration) {
        #[cfg(feature = "metrics")]
        if names::is_recorded() {
            self.handles.called(method, end, long_poll, took());
            if long_poll {
                self.handles.long_poll(-1.0);
            }
        }
    }

    /// An attempt ended with this status, or with this error.
    #[inline]
    pub(crate) fn attempted(&self, status: Option<StatusCode>, error: Option<&Error>) {
        #[cfg(feature = "metrics")]
        if names::is_recorded() {
            self.handles.attempted(outcome(status, error));
            if let Some(error) = error.filter(|error| error.is_connect()) {
                let cause = connect_cause(error).to_owned();
                names::count(&names::CONNECTION_FAILURES, self.handles.of.and("cause", cause));
            }
        }
    }

    /// What the budget for retries has left.
    #[inline]
    pub(crate) fn budget(&self, left: impl FnOnce() -> u32) {
        #[cfg(feature = "metrics")]
        if names::is_recorded() {
            self.handles.budget(left());
        }
    }

    /// A long poll begins.
    pub(crate) fn polls(&self, unbounded: bool) {
        #[cfg(feature = "metrics")]
        if names::is_recorded() {
            self.handles.long_poll(1.0);
            if unbounded {
                names::count(&names::UNBOUNDED, self.handles.of.of_origin());
            }
        }
    }

    /// A call ended with this error.
    pub(crate) fn ended(&self, error: &Error) {
        #[cfg(feature = "metrics")]
        if names::is_recorded() && error.is_deadline() {
            let phase = error.phase().unwrap_or(Phase::Headers).as_str().to_owned();
            names::count(&names::DEADLINES, self.handles.of.and("phase", phase));
        }
    }

    pub(crate) fn retried(&self, status: Option<StatusCode>, error: Option<&Error>) {
        #[cfg(feature = "metrics")]
        if names::is_recorded() {
            let cause = match (status, error) {
                (Some(status), _) => status.as_str().to_owned(),
                (None, error) => error.map_or("unknown", |error| error.kind().as_str()).to_owned(),
            };
            names::count(&names::RETRIES, self.handles.of.and("cause", cause));
        }
    }

    /// A call came to a gate that a 429 had closed: it `waited`, or was `refused`.
    pub(crate) fn gate(&self, outcome: &'static str) {
        #[cfg(feature = "metrics")]
        if names::is_recorded() {
            let mut labels = self.handles.of.labels();
            labels.push(("outcome", outcome.to_owned()));
            names::count(&names::GATE_CALLS, labels);
        }
    }

    /// A response closed a gate.
    pub(crate) fn gate_closed(&self) {
        #[cfg(feature = "metrics")]
        if names::is_recorded() {
            names::count(&names::GATES_CLOSED, self.handles.of.labels());
        }
    }

    /// A call whose group is one too many.
    pub(crate) fn folded(&self) {
        #[cfg(feature = "metrics")]
        if names::is_recorded() {
            names::count(&names::FOLDED, self.handles.of.of_origin());
        }
    }

    pub(crate) fn checked(&self, passed: bool) {
        #[cfg(feature = "metrics")]
        if names::is_recorded() {
            let outcome = if passed { "passed" } else { "failed" };
            names::count(&names::HEALTH_CHECKS, self.handles.of.and("outcome", outcome));
        }
    }

    pub(crate) fn recovered(&self, down_for: Option<Duration>) {
        #[cfg(feature = "metrics")]
        if let Some(down_for) = down_for {
            names::observe(&names::RECOVERY, self.handles.of.of_origin(), down_for.as_secs_f64());
        }
    }
}

/// The circuit breaker went from one phase to another.
#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted"))]
pub(super) fn breaker(of: &Subject, from: &'static str, to: &'static str) {
    #[cfg(feature = "metrics")]
    if names::is_recorded() {
        phase_is(of, to);
        let mut labels = of.labels();
        labels.extend([("from", from.to_owned()), ("to", to.to_owned())]);
        names::count(&names::TRANSITIONS, labels);
    }
}

/// One number, so that no reader can see two phases at once.
#[cfg(feature = "metrics")]
fn phase_is(of: &Subject, phase: &'static str) {
    let phases = ["closed", "open", "half_open", "forced_open", "disabled"];
    let number = phases.iter().position(|name| *name == phase).unwrap_or_default();
    names::set(&names::PHASE, of.labels(), number as f64);
}

/// Probes of a half-open circuit that did not return.
#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted"))]
pub(crate) fn leases_expired(of: &Subject, leases: u64) {
    #[cfg(feature = "metrics")]
    for _ in 0..if names::is_recorded() { leases } else { 0 } {
        names::count(&names::EXPIRED_LEASES, of.labels());
    }
}

/// An event stream is connected; with a `cause`, it was lost or could not be connected.
#[cfg(feature = "sse")]
#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted"))]
pub(super) fn stream(name: &str, cause: Option<&'static str>) {
    #[cfg(feature = "metrics")]
    if names::is_recorded() {
        let stream = ("stream", name.to_owned());
        match cause {
            None => names::count(&names::STREAM_CONNECTS, vec![stream]),
            Some(cause) => {
                names::count(&names::STREAM_LOSSES, vec![stream, ("cause", cause.to_owned())]);
            }
        }
    }
}

/// A loop is started again; names of subsystems are few by construction.
#[cfg(feature = "supervise")]
#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted"))]
pub(super) fn restarted(subsystem: &str, reason: &str) {
    #[cfg(feature = "metrics")]
    if names::is_recorded() {
        let labels = vec![("subsystem", subsystem.to_owned()), ("reason", reason.to_owned())];
        names::count(&names::RESTARTS, labels);
    }
}

#[cfg(feature = "supervise")]
#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted"))]
pub(super) fn stale(subsystem: &str) {
    #[cfg(feature = "metrics")]
    if names::is_recorded() {
        names::count(&names::STALE, vec![("subsystem", subsystem.to_owned())]);
    }
}

/// An item of a queue grew too old. Its key comes from outside, and is in no label.
#[cfg(feature = "supervise")]
#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted"))]
pub(super) fn expired(queue: &str) {
    #[cfg(feature = "metrics")]
    if names::is_recorded() {
        names::count(&names::QUEUE_EXPIRED, vec![("queue", queue.to_owned())]);
    }
}

/// So many waited in a queue, and so many do now. The difference is told: threads may come here in any order.
#[cfg(feature = "supervise")]
#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted"))]
pub(crate) fn queued(queue: &'static str, before: u64, after: u64) {
    #[cfg(feature = "metrics")]
    if before != after && names::is_recorded() {
        names::add(&names::QUEUE_WAITING, vec![("queue", queue.to_owned())], after as f64 - before as f64);
    }
}

/// Whether there is a reader of what [`subsystem`] would say.
#[cfg(feature = "supervise")]
pub(crate) fn is_read() -> bool {
    #[cfg(feature = "metrics")]
    return names::is_recorded();
    #[cfg(not(feature = "metrics"))]
    false
}

/// A supervised loop, each time that the watchdog publishes.
#[cfg(feature = "supervise")]
#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted"))]
pub(crate) fn subsystem(name: &str, age: Duration, stale: bool) {
    #[cfg(feature = "metrics")]
    {
        names::set(&names::SUBSYSTEM_AGE, vec![("subsystem", name.to_owned())], age.as_secs_f64());
        names::set(&names::SUBSYSTEM_STALE, vec![("subsystem", name.to_owned())], f64::from(u8::from(stale)));
    }
}

#[cfg(feature = "supervise")]
#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted"))]
pub(crate) fn watchdog_lag(lag: Duration) {
    #[cfg(feature = "metrics")]
    names::set(&names::WATCHDOG_LAG, Vec::new(), lag.as_secs_f64());
}

/// What is in flight, each time that somebody looks.
#[cfg(feature = "metrics")]
pub(crate) fn in_flight(client: &ClientName, calls: usize, oldest: Duration) {
    names::set(&names::IN_FLIGHT, vec![client.label()], calls as f64);
    names::set(&names::OLDEST, vec![client.label()], oldest.as_secs_f64());
}
