//! The moment at which a connection takes a request: what comes before it is not the silence of the server.

use crate::error::Phase;
use crate::inflight;
use crate::stack::call::clock::Clock;
use crate::stack::call::held::{Held, Probe};
use crate::stack::call::state::CallState;
use tokio::time::Instant;

impl CallState {
    /// What the inner service did when it was polled, and is pending: a request that was sent.
    #[inline]
    pub(super) fn heard_beneath(&mut self, clock: &mut Clock) {
        let doing = self.attempts.passage.hear(inflight::reported());
        if self.attempts.passage.has_moved(doing) {
            self.moved(doing, clock.now());
        }
        self.idle(doing, clock);
    }

    /// The same of a health check.
    pub(super) fn check_heard_beneath(&mut self, clock: &mut Clock) {
        let doing = self.attempts.passage.hear(inflight::reported());
        if self.attempts.passage.has_moved(doing) {
            self.moved(doing, clock.now());
        }
        self.idle(Phase::HealthCheck, clock);
    }

    /// The server has answered it, so that it was asked.
    #[inline]
    pub(super) fn was_taken(&mut self, now: Instant) {
        if self.attempts.passage.doing() != Phase::Headers {
            // It was perhaps taken in this very moment.
            self.attempts.passage.hear(inflight::reported());
            self.moved(Phase::Headers, now);
        }
    }

    /// It has its whole time from now on, and so has what it holds of others.
    fn handed_over(&mut self, now: Instant) {
        self.attempts.began = now;
        let Held { permit, probe, .. } = &mut self.held;
        if let Probe::Leading(number) = probe {
            if let Some(flight) = &self.origin_state.health {
                flight.renew(*number, now);
            }
            if let Some(permit) = permit {
                permit.sent_at(now);
            }
            return;
        }
        let attempt = self.limits.bounds(&self.origin_state.context).attempt;
        if let Some(permit) = permit {
            // One whose place is gone meanwhile is no probe any more: its outcome is no news.
            permit.hand_over(&self.origin_state.breaker, attempt, now);
        }
    }

    #[cold]
    fn moved(&mut self, doing: Phase, now: Instant) {
        let context = self.context();
        let limit = match self.held.probe {
            Probe::Leading(_) => Some(context.check_limit()),
            _ => self.limits.attempt(context),
        };
        // Whoever is polled late has a connection for long and sends only now. What would be left of its time is none of
        // the server's.
        let over = limit.is_some_and(|limit| now.saturating_duration_since(self.attempts.began) >= limit);
        let anew = self.attempts.passage.moves(doing, over);
        self.held.listens(!self.attempts.passage.is_local(), now);
        if anew {
            self.handed_over(now);
        }
    }
}
