//! The same for programs.

use super::health::Lack;
use crate::breaker::Snapshot;
use crate::inflight::Call;
use crate::options::Group;
use crate::supervise::{State, Subsystem, Verdict};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

/// Calls beyond these are only counted: the oldest are the ones to look at.
const MOST: usize = 1000;

fn seconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1000.0
}

fn maybe(duration: Option<Duration>) -> Option<f64> {
    duration.map(seconds)
}

pub(super) fn rfc3339(at: SystemTime) -> Option<String> {
    // A clock that was never set may stand before 1970, and is not worth a panic.
    at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(humantime::format_rfc3339_millis(at).to_string())
}

pub(super) fn liveness(subsystems: &[Subsystem], lag: Duration) -> Value {
    let rows: Vec<Value> = subsystems.iter().map(subsystem).collect();
    json!({ "subsystems": rows, "watchdog_lag_seconds": seconds(lag) })
}

fn subsystem(shown: &Subsystem) -> Value {
    let (reason, left) = match &shown.state {
        State::Parked(reason) => (Some(reason), None),
        State::Resting(left) | State::BackOff(left) => (None, Some(*left)),
        State::Working | State::Stopped => (None, None),
    };
    let verdict = match shown.verdict {
        Verdict::Fresh => "fresh",
        Verdict::NeverSeen => "never_seen",
        Verdict::Silent(_) => "silent",
        Verdict::NotProgressing(_) => "not_progressing",
        Verdict::Overslept(_) => "overslept",
    };
    json!({
        "name": shown.name,
        "last_tick_at": shown.last_tick_at.and_then(rfc3339),
        "seconds_ago": maybe(shown.last_tick_ago),
        "expected_every_seconds": maybe(shown.expected_every),
        "stale_after_seconds": maybe(shown.stale_after),
        "stale": shown.stale,
        "verdict": verdict,
        "state": shown.state.as_str(),
        "reason": reason,
        "left_seconds": maybe(left),
        "restarts": shown.restarts,
        "waits_for": shown.waits_for,
    })
}

pub(super) fn breakers(breakers: &[Snapshot]) -> Value {
    let rows: Vec<Value> = breakers.iter().map(breaker).collect();
    json!({ "breakers": rows })
}

fn breaker(shown: &Snapshot) -> Value {
    json!({
        "origin": &*shown.origin,
        "group": shown.group.as_ref().map(Group::as_str),
        "client": shown.client.as_deref(),
        "phase": shown.phase.as_str(),
        "in_phase_seconds": seconds(shown.in_phase_for),
        "opened_for_seconds": maybe(shown.opened_for),
        "retry_in_seconds": maybe(shown.retry_in),
        "consecutive_failures": shown.consecutive_failures,
        "calls": shown.calls,
        "failures": shown.failures,
        "slow": shown.slow,
        "probes_in_flight": shown.probes_in_flight,
        "probes_passed": shown.probes_passed,
        "expired_leases": shown.expired_leases,
        "generation": shown.generation,
        "gates": shown.gates,
        "gate_opens_in_seconds": maybe(shown.gate_opens_in),
    })
}

pub(super) fn calls(calls: &[Call]) -> Value {
    let rows: Vec<Value> = calls.iter().take(MOST).map(call).collect();
    json!({ "total": calls.len(), "calls": rows })
}

fn call(shown: &Call) -> Value {
    json!({
        "client": &*shown.client,
        "method": shown.method.as_str(),
        "url": shown.url,
        "phase": shown.phase.as_str(),
        "in_phase_seconds": seconds(shown.in_phase),
        "attempt": shown.attempt,
        "attempts_allowed": shown.attempts_allowed,
        "age_seconds": seconds(shown.age),
        "deadline_in_seconds": maybe(shown.deadline_in),
        "long_poll": shown.long_poll,
        "unbounded": shown.unbounded,
        "subsystem": shown.subsystem,
    })
}

pub(super) fn readiness(lacks: &[Lack]) -> Value {
    let rows: Vec<Value> = lacks
        .iter()
        .map(|lack| json!({ "kind": lack.kind, "name": lack.name, "reason": lack.reason }))
        .collect();
    json!({ "ready": lacks.is_empty(), "not_ready": rows })
}
