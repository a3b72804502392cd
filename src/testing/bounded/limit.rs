//! How long a call may take.

use std::time::Duration;

use crate::duration::LONGEST;
use crate::stack::Bounds;

/// How long a call may take to its head and, from its start as well, to the last byte of its body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Within {
    pub(super) head: Duration,
    pub(super) all: Duration,
    pub(super) grace: Duration,
}

impl Within {
    pub(super) fn limit(limit: Duration, grace: Duration) -> Within {
        let limit = limit.min(LONGEST);
        Within { head: limit, all: limit, grace }
    }

    pub(super) fn of(worst: &Bounds, grace: Duration) -> Within {
        match (worst.total, worst.with_stream()) {
            (Some(head), Some(all)) => Within { head, all, grace },
            _ => panic!(
                "the service has no bound of its own; give it one, or name yours with the variant that takes it:\n{worst}"
            ),
        }
    }
}
