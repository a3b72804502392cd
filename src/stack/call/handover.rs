//! The moment at which a connection takes a request: what comes before it is not the silence of the server.

use crate::error::Phase;
use crate::inflight;
use crate::stack::call::clock::Clock;
use crate::stack::call::held::Probe;
use crate::stack::call::state::CallState;
use tokio::time::Instant;

impl CallState {
    /// What the inner service did when it was polled, and is pending: a request that was sent.
    #[inline]
    pub(super) fn heard_beneath(&mut self, clock: &mut Clock) {
        let doing = self.attempts.passage.hear(inflight::reported());
        if doing != self.attempts.passage.doing() {
            self.moved(doing, clock.now());
        }
        self.idle(doing, clock);
    }

    /// The same of a health check.
    pub(super) fn check_heard_beneath(&mut self, clock: &mut Clock) {
        let doing = self.attempts.passage.hear(inflight::reported());
        if doing != self.attempts.passage.doing() {
            self.moved(doing, clock.now());
        }
        self.idle(Phase::HealthCheck, clock);
    }

    /// The server has answered it, so that it was asked.
    #[inline]
    pub(super) fn was_taken(&mut self, now: Instant) {
        if self.attempts.passage.doing() != Phase::Headers {
            self.moved(Phase::Headers, now);
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
        let nobody = self.attempts.passage.doing().asks_nobody();
        let anew = self.attempts.passage.moves(doing, over);
        if anew {
            self.attempts.began = now;
        }
        self.held.waits_for(doing, now);
        if let Some(permit) = self.held.permit.as_mut().filter(|_| anew || nobody && !doing.asks_nobody()) {
            permit.sent_at(now);
        }
    }
}
