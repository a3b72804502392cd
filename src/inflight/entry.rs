//! An entry of the table, and a copy of one to be put into words where the table is not locked.

use crate::LongPoll;
use crate::error::Phase;
use crate::inflight::call::Call;
use crate::inflight::owner::Owner;
use crate::sync::Arc;
use crate::target::Target;
use crate::telemetry::ClientName;
use tokio::time::Instant;

/// What does not change while a call runs.
#[derive(Clone)]
pub(crate) struct Details {
    pub(crate) target: Target,
    pub(crate) started: Instant,
    pub(crate) deadline: Option<Instant>,
    pub(crate) attempts_allowed: u32,
    pub(crate) long_poll: Option<Arc<LongPoll>>,
    pub(crate) subsystem: Option<Arc<Owner>>,
}

/// A call as it was when somebody looked.
pub(super) struct EntryCopy {
    pub(super) details: Details,
    pub(super) state: u32,
    pub(super) in_phase_since: Instant,
}

impl EntryCopy {
    /// In words.
    pub(super) fn call(&self, client: &ClientName, now: Instant) -> Call {
        let details = &self.details;
        Call {
            client: Arc::clone(client.name()),
            method: details.target.method.clone(),
            url: details.target.url(),
            phase: Phase::from_u8(self.state as u8),
            in_phase: now.saturating_duration_since(self.in_phase_since),
            attempt: self.state >> 8,
            attempts_allowed: details.attempts_allowed,
            age: now.saturating_duration_since(details.started),
            deadline_in: details.deadline.map(|at| at.saturating_duration_since(now)),
            long_poll: details.long_poll.as_ref().map(|poll| poll.reason().to_owned()),
            unbounded: details.long_poll.as_ref().is_some_and(|poll| poll.is_unbounded()),
            subsystem: details.subsystem.as_ref().map(|member| member.name().to_owned()),
        }
    }
}
