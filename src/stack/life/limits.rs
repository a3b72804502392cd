//! What the user says of a call: when its parts have to be over, and what its outcomes mean.

use super::Life;
use crate::deadline::{Bounds, Deadline};
use crate::retry::{Class, Outcome};
use std::time::Duration;
use tokio::time::Instant;

impl Life {
    /// What an outcome means: the user's word, where there is one.
    pub(super) fn class(&self, outcome: &Outcome<'_>) -> Class {
        let own = match (&self.lane.shared.classify, &self.head) {
            (Some(classify), Some(head)) => classify(&head.view(), outcome),
            _ => None,
        };
        own.unwrap_or_else(|| outcome.class())
    }

    /// The limits of this call.
    #[inline]
    pub(in crate::stack) fn bounds(&self) -> &Bounds {
        self.own.as_deref().unwrap_or(&self.lane.shared.bounds)
    }

    /// The end of every wait but the one for an answer, which is all that a long poll is exempt from.
    pub(in crate::stack) fn waits_until(&self) -> Option<Instant> {
        let total = self.long_poll.is_some() && self.lane.shared.parts.total;
        Deadline::nearest(self.deadline, total.then(|| self.asked + self.bounds().total))
    }

    /// When the attempt has to have its headers, and, unless it is a long poll, its collected body.
    pub(in crate::stack) fn attempt_ends(&self) -> Option<(Instant, Duration)> {
        let limit = match &self.long_poll {
            Some(poll) => poll.bound(self.lane.shared.bounds.long_poll)?,
            None if self.lane.shared.parts.attempt => self.bounds().attempt,
            None => return None,
        };
        Some((self.began + limit, limit))
    }

    pub(in crate::stack) fn probe_ends(&self) -> Option<Instant> {
        self.lane.shared.health.as_ref()?;
        Some(self.began + self.lane.shared.check_limit())
    }
}
