//! What is counted of calls and circuit breakers. Nothing is, while nobody records.

use crate::error::{Error, Phase};
use crate::origin::Origin;
use crate::sync::made;
use crate::telemetry::causes::{connect_cause, outcome};
use crate::telemetry::labels::Subject;
use crate::telemetry::names;
use crate::telemetry::sink::{End, OriginSink, Sink, add, count, observe, set, sink};
use http::{Method, StatusCode};
use std::sync::OnceLock;
use std::time::Duration;

/// What is counted of the calls to one origin.
pub(crate) struct Meter {
    origin: Origin,
    of: Subject,
    /// The series that every call moves, from the first call that is counted on.
    series: OnceLock<Box<dyn OriginSink>>,
}

impl Meter {
    pub(crate) fn new(origin: &Origin, of: Subject) -> Meter {
        Meter { origin: origin.clone(), of, series: OnceLock::new() }
    }

    fn series(&self, sink: &dyn Sink) -> &dyn OriginSink {
        &**made(&self.series, || sink.origin(&self.origin, &self.of))
    }

    /// The breaker of an origin, or of a group of it, that was not called before.
    pub(crate) fn breaker_made(&self, phase: &'static str) {
        phase_is(&self.of, phase);
    }

    /// A call is over: answered to its last byte, failed, or dropped by its caller.
    #[inline]
    pub(crate) fn called(&self, method: &Method, end: End, long_poll: bool, took: impl FnOnce() -> Duration) {
        if let Some(sink) = sink() {
            self.series(sink).called(method, end, long_poll, took());
            if long_poll {
                sink.add(&names::LONG_POLLS, self.of.of_origin(), -1.0);
            }
        }
    }

    /// An attempt ended with this status, or with this error.
    #[inline]
    pub(crate) fn attempted(&self, status: Option<StatusCode>, error: Option<&Error>) {
        if let Some(sink) = sink() {
            self.series(sink).attempted(outcome(status, error));
            if let Some(error) = error.filter(|error| error.is_connect()) {
                sink.count(&names::CONNECTION_FAILURES, self.of.and("cause", connect_cause(error)));
            }
        }
    }

    /// What the budget for retries has left.
    #[inline]
    pub(crate) fn budget(&self, left: impl FnOnce() -> u32) {
        if let Some(sink) = sink() {
            self.series(sink).budget(left());
        }
    }

    /// A long poll begins.
    pub(crate) fn polls(&self, unbounded: bool) {
        add(&names::LONG_POLLS, || self.of.of_origin(), 1.0);
        if unbounded {
            count(&names::UNBOUNDED, || self.of.of_origin());
        }
    }

    /// A call ended with this error.
    pub(crate) fn ended(&self, error: &Error) {
        if error.is_deadline() {
            let phase = error.phase().unwrap_or(Phase::Headers);
            count(&names::DEADLINES, || self.of.and("phase", phase.as_str()));
        }
    }

    pub(crate) fn retried(&self, status: Option<StatusCode>, error: Option<&Error>) {
        count(&names::RETRIES, || {
            let cause = match (&status, error) {
                (Some(status), _) => status.as_str(),
                (None, error) => error.map_or("unknown", |error| error.kind().as_str()),
            };
            self.of.and("cause", cause)
        });
    }

    /// A call came to a gate that a 429 had closed: it `waited`, or was `refused`.
    pub(crate) fn gate(&self, outcome: &'static str) {
        count(&names::GATE_CALLS, || {
            let mut labels = self.of.labels();
            labels.push(("outcome", outcome.to_owned()));
            labels
        });
    }

    /// A response closed a gate.
    pub(crate) fn gate_closed(&self) {
        count(&names::GATES_CLOSED, || self.of.labels());
    }

    /// A call whose group is one too many.
    pub(crate) fn folded(&self) {
        count(&names::FOLDED, || self.of.of_origin());
    }

    pub(crate) fn checked(&self, passed: bool) {
        count(&names::HEALTH_CHECKS, || self.of.and("outcome", if passed { "passed" } else { "failed" }));
    }

    pub(crate) fn recovered(&self, down_for: Option<Duration>) {
        if let Some(down_for) = down_for {
            observe(&names::RECOVERY, || self.of.of_origin(), down_for.as_secs_f64());
        }
    }
}

/// The circuit breaker went from one phase to another.
pub(super) fn breaker(of: &Subject, from: &'static str, to: &'static str) {
    phase_is(of, to);
    count(&names::TRANSITIONS, || {
        let mut labels = of.labels();
        labels.extend([("from", from.to_owned()), ("to", to.to_owned())]);
        labels
    });
}

/// One number, so that no reader can see two phases at once.
fn phase_is(of: &Subject, phase: &'static str) {
    let phases = ["closed", "open", "half_open", "forced_open", "disabled"];
    let number = phases.iter().position(|name| *name == phase).unwrap_or_default();
    set(&names::PHASE, || of.labels(), number as f64);
}

/// Probes of a half-open circuit that did not return.
pub(crate) fn leases_expired(of: &Subject, leases: u64) {
    for _ in 0..if sink().is_some() { leases } else { 0 } {
        count(&names::EXPIRED_LEASES, || of.labels());
    }
}
