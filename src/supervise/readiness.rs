//! Readiness of the program, and escalation after too many restarts.

use crate::sync::{Arc, Mutex, lock};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The reaction to a subsystem that is restarted more often than its [`Policy`](crate::supervise::Policy) allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Escalation {
    /// One error in the log; the program is not ready until the subsystem is healthy again. Restarts go on at the longest wait.
    #[default]
    Report,
    /// The same, and then a graceful shutdown as after a signal; the process exits with this code.
    Exit(i32),
}

/// What all parts of a crew share.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) cancel: CancellationToken,
    started: AtomicBool,
    escalated: AtomicUsize,
    escalation: Mutex<Escalation>,
    exit: Mutex<Option<i32>>,
    pub(crate) exits: Notify,
}

impl Shared {
    pub(crate) fn escalate(&self, escalation: Escalation) {
        *lock(&self.escalation) = escalation;
    }

    pub(crate) fn starts(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// One more subsystem cannot be kept up: the code to exit with, if that is what is to be done.
    pub(crate) fn gives_up(&self) -> Option<i32> {
        self.escalated.fetch_add(1, Ordering::AcqRel);
        match *lock(&self.escalation) {
            Escalation::Report => None,
            Escalation::Exit(code) => Some(code),
        }
    }

    pub(crate) fn exits_with(&self, code: i32) {
        lock(&self.exit).get_or_insert(code);
        self.exits.notify_one();
    }

    pub(crate) fn exit(&self) -> Option<i32> {
        *lock(&self.exit)
    }

    /// One of them is healthy again.
    pub(crate) fn takes_back(&self) {
        self.escalated.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whether the program is ready to do its work. A handle for probes.
#[derive(Clone)]
pub struct Readiness(pub(crate) Arc<Shared>);

impl Readiness {
    /// Whether the supervisor runs, no shutdown has begun, and no subsystem is restarted too often.
    pub fn is_ready(&self) -> bool {
        let shared = &self.0;
        let running = shared.started.load(Ordering::Acquire) && !shared.cancel.is_cancelled();
        running && shared.escalated.load(Ordering::Acquire) == 0
    }

    /// Whether a shutdown has begun.
    pub fn is_shutting_down(&self) -> bool {
        self.0.cancel.is_cancelled()
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness")
            .field("ready", &self.is_ready())
            .field("shutting_down", &self.is_shutting_down())
            .finish()
    }
}
