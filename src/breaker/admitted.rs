//! One admitted call as the breaker sees it, without a handle to the breaker: whoever holds it brings that along.

use crate::breaker::Breaker;
use crate::breaker::values::{Outcome, Ticket};
use std::time::Duration;
use tokio::time::Instant;

/// An admitted call whose result is still to come. It has to end in [`record`](Admitted::record),
/// [`leave_stream`](Admitted::leave_stream) or [`abandon`](Admitted::abandon), with the breaker that admitted it.
#[derive(Debug)]
#[must_use]
pub(crate) struct Admitted {
    ticket: Ticket,
    /// The last sign of life.
    heard: Instant,
    quiet: bool,
    /// A panic now is not that of the call.
    outside: bool,
}

impl Admitted {
    #[inline]
    pub(super) fn new(ticket: Ticket) -> Admitted {
        Admitted { heard: ticket.admitted, ticket, quiet: false, outside: false }
    }

    #[inline]
    pub(crate) fn record(self, breaker: &Breaker, outcome: Outcome, now: Instant) {
        breaker.record(&self.ticket, outcome, now);
    }

    /// A byte came, or the caller listens again.
    #[inline]
    pub(crate) fn heard_at(&mut self, now: Instant) {
        self.quiet = false;
        self.heard = now;
    }

    /// Nobody listens until [`heard_at`](Admitted::heard_at): silence is the consumer's, not the server's.
    #[inline]
    pub(crate) fn quiet(&mut self) {
        self.quiet = true;
    }

    /// The server is waited for: it is asked now, unless it was before.
    pub(crate) fn listen(&mut self, now: Instant) {
        if self.quiet {
            self.sent_at(now);
        }
    }

    /// Nothing is sent yet: whoever waits here waits for something else than the server.
    #[inline]
    pub(crate) fn unsent(&mut self) {
        (self.quiet, self.outside) = (true, true);
    }

    /// The request is handed over now, and the lease of a probe begins. False where the circuit has changed since this
    /// call was admitted as a probe, or its place is gone: it has to ask again. An attempt of its own limit has a lease that
    /// is longer.
    #[inline]
    pub(crate) fn hand_over(&mut self, breaker: &Breaker, attempt: Duration, now: Instant) -> bool {
        let may = self.ticket.slot == 0 || breaker.hand_over(&self.ticket, attempt, now);
        if may {
            self.sent_at(now);
        }
        may
    }

    /// The call goes out now: how long it takes, and the server's silence, are counted from here on.
    #[inline]
    pub(crate) fn sent_at(&mut self, now: Instant) {
        self.ticket.admitted = now;
        (self.heard, self.quiet) = (now, false);
    }

    /// Whether the code of the call is running, so that a panic is its own.
    #[inline]
    pub(crate) fn in_service(&mut self, inside: bool) {
        self.outside = !inside;
    }

    /// The answer is handed over while it streams, which is all that is asked of a probe. How long it takes says nothing
    /// about the server: a stream lives as long as there is something to say.
    #[inline]
    pub(crate) fn streams(&mut self, breaker: &Breaker, now: Instant) {
        if self.ticket.slot != 0 {
            breaker.pass_probe(&mut self.ticket, now);
        }
        (self.ticket.timed, self.ticket.streams) = (false, true);
    }

    /// As [`streams`](Admitted::streams), of an answer whose verdict may come right behind its head: a probe has not passed
    /// before its reader has looked, and [`streams`](Admitted::streams) says so.
    #[inline]
    pub(crate) fn streams_unjudged(&mut self, breaker: &Breaker) {
        if self.ticket.slot != 0 {
            breaker.answered_probe(&self.ticket);
        }
        (self.ticket.timed, self.ticket.streams) = (false, true);
    }

    /// The generation of a half-open admission; `None` where the circuit was closed.
    pub(crate) fn half_open_generation(&self) -> Option<u64> {
        (self.ticket.slot != 0).then_some(u64::from(self.ticket.generation))
    }

    /// When to call [`note_overdue`](Admitted::note_overdue).
    pub(crate) fn overdue_at(&self, breaker: &Breaker) -> Option<Instant> {
        let waits = self.ticket.records && !self.ticket.overdue;
        let after = breaker.overdue_after().filter(|_| waits)?;
        self.ticket.admitted.checked_add(after)
    }

    pub(crate) fn note_overdue(&mut self, breaker: &Breaker, now: Instant) {
        breaker.overdue(&mut self.ticket, now);
        // Also where it no longer counts, since the circuit has changed meanwhile: whoever waits for that moment would
        // wait for it again.
        self.ticket.overdue |= self.overdue_at(breaker).is_some_and(|at| at <= now);
    }

    /// The reader of a stream leaves before its end: a success, unless it waited in vain for so long that it hung.
    pub(crate) fn leave_stream(self, breaker: &Breaker, now: Instant) {
        let outcome = if self.panicked() {
            Outcome::Failure { retry_after: None }
        } else if self.silent_for(now) < breaker.hang_threshold(now) {
            Outcome::Success
        } else {
            Outcome::Hang
        };
        self.record(breaker, outcome, now);
    }

    /// The call was given up without a result: by how long the server was silent it is judged.
    #[cold]
    pub(crate) fn abandon(self, breaker: &Breaker) {
        if !breaker.wants(&self.ticket) {
            return;
        }
        let now = Instant::now();
        if self.panicked() {
            return self.record(breaker, Outcome::Failure { retry_after: None }, now);
        }
        breaker.dropped(&self.ticket, self.silent_for(now), now);
    }

    /// Whether a panic of the call's own code is unwinding.
    fn panicked(&self) -> bool {
        !self.outside && std::thread::panicking()
    }

    fn silent_for(&self, now: Instant) -> Duration {
        if self.quiet { Duration::ZERO } else { now.saturating_duration_since(self.heard) }
    }
}
