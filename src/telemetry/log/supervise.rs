//! The words of the supervisor.

use crate::duration::compact::compact;
use crate::duration::human;
use crate::telemetry::names::{RESTARTS, STALE};
use crate::telemetry::sink::count;
use std::fmt::Display;
use std::time::Duration;

pub(crate) fn panicked(subsystem: &str, panic: &str, backtrace: &str) {
    // A filter of tracing-subscriber remembers for each thread that its layer refused the event under way. Where the
    // arguments of that event panic it is never cleared, and the next event, this one, would be refused in its place. To
    // ask anew overwrites it.
    crate::sync::shielded(|| {
        let _ = tracing::enabled!(tracing::Level::ERROR);
    });
    say!(error, subsystem, panic, backtrace, "panicked, loop will continue");
}

/// An error of the user's, with the durations that the library wrote into it.
fn said(error: Option<&str>) -> Option<String> {
    error.map(|error| compact(&error))
}

/// The name of a signal is one; a timer and the end of a demonstration are none.
fn told_apart(asked: Option<&str>) -> (Option<&str>, Option<&str>) {
    match asked {
        Some(name) if name.starts_with("SIG") => (Some(name), None),
        other => (None, other),
    }
}

/// Names of subsystems are few by construction.
fn restarted(subsystem: &str, reason: &str) {
    count(&RESTARTS, || vec![("subsystem", subsystem.to_owned()), ("reason", reason.to_owned())]);
}

/// After a panic, an error, or because it was stale.
pub(crate) fn restarting(subsystem: &str, reason: &str, error: Option<&str>, restarts: u64, wait: Duration) {
    say!(warn, subsystem, reason, error = said(error), restarts, "in" = %human(wait), "loop failed, restarting");
    restarted(subsystem, reason);
}

pub(crate) fn returned(subsystem: &str, restarts: u64, wait: Duration) {
    say!(warn, subsystem, restarts, "in" = %human(wait), "loop exited unexpectedly, restarting");
    restarted(subsystem, "return");
}

pub(crate) fn stopping(subsystem: &str, error: Option<&str>) {
    say!(info, subsystem, error = said(error), "loop stopping");
}

pub(crate) fn stopped(subsystem: &str) {
    say!(info, subsystem, "loop returned, not restarting");
}

pub(crate) fn escalated(subsystem: &str, restarts: u64, exit: Option<i32>) {
    match exit {
        Some(code) => {
            say!(error, subsystem, restarts, code, "restarted too often, not ready and exiting")
        }
        None => say!(error, subsystem, restarts, "restarted too often, not ready until it is healthy"),
    }
}

pub(crate) fn healthy(subsystem: &str) {
    say!(info, subsystem, "healthy again after too many restarts");
}

pub(crate) fn recovered(subsystem: &str, after: Duration) {
    say!(info, subsystem, after = %human(after), "recovered");
}

pub(crate) fn stale(subsystem: &str, enforced: bool, told: &dyn Display) {
    match enforced {
        true => say!(error, subsystem, "stale, restarting it: {}", compact(told)),
        false => say!(error, subsystem, "stale: {}", compact(told)),
    }
    count(&STALE, || vec![("subsystem", subsystem.to_owned())]);
}

pub(crate) fn overdue(subsystem: &str, call: &dyn Display) {
    say!(warn, subsystem, "call in flight beyond its bound: {}", compact(call));
}

/// No task ran for a while: every worker thread is blocked, or the machine was.
pub(crate) fn blocked(silent: Duration) {
    say!(error, silent = %human(silent), "no task of the runtime runs: a worker thread is blocked");
}

pub(crate) fn unblocked(silent: Duration) {
    say!(warn, silent = %human(silent), "the runtime runs again");
}

pub(crate) fn watching(subsystem: &str, within: Duration) {
    say!(info, subsystem, within = %human(within), "watched: a hang is reported within this time");
}

pub(crate) fn started(subsystems: usize, period: Duration) {
    say!(info, subsystems, period = %human(period), "watchdog looks after the loops");
}

pub(crate) fn aborts_on_panic() {
    say!(warn, "this program is built with panic = \"abort\": a panic ends it, and no loop can be restarted");
}

pub(crate) fn short(subsystem: &str, stale_after: Duration, every: Duration) {
    say!(
        warn,
        subsystem,
        "health was asked with a stale threshold of {}, below the heartbeat interval of {}: the verdict will flap",
        human(stale_after),
        human(every),
    );
}

pub(crate) fn too_many(most: usize, name: &str) {
    say!(warn, name, "more than {most} subsystems: this one and those after it are not followed");
}

pub(crate) fn sweep(patrol: &str, phase: Option<&str>, took: Duration) {
    say!(info, patrol, phase, outcome = "ok", duration = %human(took), "sweep complete");
}

pub(crate) fn sweep_failed(
    patrol: &str,
    phase: Option<&str>,
    outcome: &str,
    took: Duration,
    failures: u64,
    error: &str,
) {
    say!(warn, patrol, phase, outcome, duration = %human(took), failures, error = compact(&error), "sweep failed");
}

pub(crate) fn sweeps_recovered(patrol: &str, failures: u64, down_for: Duration) {
    say!(info, patrol, failures, down_for = %human(down_for), "sweeps succeed again");
}

pub(crate) fn skipped(patrol: &str, ticks: u64) {
    say!(warn, patrol, ticks, "ticks skipped");
}

/// Asked for by a signal, or `by` something else.
pub(crate) fn shutting_down(asked: &str, in_flight: usize) {
    let (signal, by) = told_apart(Some(asked));
    say!(info, signal, by, in_flight, "shutting down");
}

pub(crate) fn straggler(subsystem: &str, told: &dyn Display) {
    say!(warn, subsystem, "did not end in time, aborted: {}", compact(told));
}

pub(crate) fn shut_down(asked: Option<&str>, killed: usize, clean: bool, took: Duration) {
    let (signal, by) = told_apart(asked);
    say!(info, signal, by, killed, clean, took = %human(took), "shutdown complete");
}

#[cfg(unix)]
pub(crate) fn signal_not_taken(signal: &str) {
    say!(error, signal, "signal received, but nothing in the program waits for it: ending at once");
}

#[cfg(unix)]
pub(crate) fn reaped(pid: u32) {
    say!(debug, pid, "reaped an orphaned process");
}

#[cfg(unix)]
pub(crate) fn no_reaper(error: &dyn Display) {
    say!(warn, "orphaned processes are not reaped: {error}");
}

#[cfg(unix)]
pub(crate) fn systemd(error: &dyn Display) {
    say!(warn, "systemd could not be notified: {error}");
}
