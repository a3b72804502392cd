//! How loops and queues are, as numbers that are set anew from time to time.

use crate::telemetry::names;
use crate::telemetry::sink::{add, set, sink};
use std::time::Duration;

/// Whether somebody would read what [`subsystem`] says.
pub(crate) fn are_read() -> bool {
    sink().is_some()
}

/// A supervised loop, each time that the watchdog publishes. Names of subsystems are few by construction.
pub(crate) fn subsystem(name: &str, age: Duration, stale: bool) {
    let labels = || vec![("subsystem", name.to_owned())];
    set(&names::SUBSYSTEM_AGE, labels, age.as_secs_f64());
    set(&names::SUBSYSTEM_STALE, labels, f64::from(u8::from(stale)));
}

pub(crate) fn watchdog_lag(lag: Duration) {
    set(&names::WATCHDOG_LAG, Vec::new, lag.as_secs_f64());
}

/// What the valve of a queue held back in a sweep.
pub(crate) fn queue_held(queue: &'static str, items: u64) {
    set(&names::QUEUE_HELD, || vec![("queue", queue.to_owned())], items as f64);
}

/// So many waited in a queue, and so many do now. The difference is told: threads may come here in any order.
pub(crate) fn queued(queue: &'static str, before: u64, after: u64) {
    if before != after {
        let labels = || vec![("queue", queue.to_owned())];
        add(&names::QUEUE_WAITING, labels, after as f64 - before as f64);
    }
}
