//! Settings in the form in which the machine asks them.

use crate::retry::Backoff;
use std::time::Duration;

/// Every default filled in; one value for all breakers of a stack.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) failures: u32,
    pub(crate) open: Backoff,
    pub(crate) open_max: Duration,
    pub(crate) retry_after_max: Duration,
    pub(crate) probes: usize,
    pub(crate) close_after: u32,
    pub(crate) lease: Duration,
    pub(crate) hang_after: Duration,
    pub(crate) overdue_after: Option<Duration>,
    pub(crate) ratio: Option<RatioRule>,
    pub(crate) disabled: bool,
}

/// A lease that ended with the attempt would call it a hang.
pub(super) const LEASE_GRACE: Duration = Duration::from_secs(1);

impl Rules {
    /// The lease of a probe with this attempt limit, which a call may have for itself.
    pub(super) fn lease_of(&self, attempt: Duration) -> Duration {
        if attempt < self.lease { self.lease } else { attempt.saturating_add(LEASE_GRACE) }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct RatioRule {
    pub(crate) failure_ratio: f64,
    pub(crate) slow_ratio: f64,
    pub(crate) slow_after: Duration,
    pub(crate) min_calls: u64,
    pub(crate) window: Duration,
    pub(crate) buckets: usize,
}
