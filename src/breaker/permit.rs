//! The permit for one call, which reports its outcome even if it is dropped.

use crate::breaker::Breaker;
use crate::breaker::admitted::Admitted;
use crate::breaker::values::{Outcome, Ticket};
use std::borrow::Borrow;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// The permit for one call, returned by [`Breaker::acquire`].
///
/// Report the outcome with [`success`](Permit::success), [`failure`](Permit::failure),
/// [`timed_out`](Permit::timed_out) or [`neutral`](Permit::neutral). A permit that is dropped without a report, because its
/// caller dropped the future, reports itself: if nothing was [`heard`](Permit::heard) for
/// [`hang_after`](crate::breaker::Settings::hang_after) (or twice the slowest success of the last minute), the call counts
/// as a hang towards the run of failures; otherwise nothing is recorded. Dropped by a panic, it counts as a failure. In
/// every case a half-open circuit gets its place back.
///
/// It borrows the breaker, or owns a handle of its own if it has to live longer
/// ([`acquire_owned`](Breaker::acquire_owned)).
#[must_use = "dropping a permit at once says that nothing was called"]
pub struct Permit<B: Borrow<Breaker> = Breaker> {
    breaker: B,
    /// Taken when the permit is told how it went.
    call: Option<Admitted>,
}

impl<B: Borrow<Breaker>> Permit<B> {
    #[inline]
    pub(super) fn new(breaker: B, ticket: Ticket) -> Permit<B> {
        Permit { breaker, call: Some(Admitted::new(ticket)) }
    }

    /// The call succeeded: the server answered, even if with a refusal.
    #[inline]
    pub fn success(self) {
        self.record(Outcome::Success, Instant::now());
    }

    /// The call failed, and the server is the likely cause. Failures within 100 ms of another one, of calls that were sent
    /// before it was reported, are one event and count once.
    pub fn failure(self) {
        self.record(Outcome::Failure { retry_after: None }, Instant::now());
    }

    /// The call timed out, and the server is the likely cause. Each timeout counts, however close they are.
    pub fn timed_out(self) {
        self.record(Outcome::TimedOut, Instant::now());
    }

    /// The call failed, and the server asked for this wait (`Retry-After`). If this opens the circuit, it stays open for at
    /// least that time, up to the greater of the longest open wait and 5 min.
    pub fn failure_retry_after(self, wait: Duration) {
        self.record(Outcome::Failure { retry_after: Some(wait) }, Instant::now());
    }

    /// The server refused the call but is healthy (429, 425): this neither adds to the run of failures nor ends it, and
    /// counts as a failure for the ratio.
    pub fn neutral(self) {
        self.record(Outcome::Neutral { retry_after: None }, Instant::now());
    }

    /// The call ended for reasons that have nothing to do with the server: nothing is recorded.
    pub fn cancel(self) {
        self.record(Outcome::Nothing, Instant::now());
    }

    /// Something came from the server: its silence is counted from here on.
    pub fn heard(&mut self) {
        if let Some(call) = &mut self.call {
            call.heard_at(Instant::now());
        }
    }

    /// Counts this call as a failure now, once, if it has been in flight for as long as
    /// [`overdue_after`](crate::breaker::Settings::overdue_after) says; otherwise, and where that is off, nothing happens.
    pub fn overdue(&mut self) {
        if let Some(call) = &mut self.call {
            call.note_overdue(self.breaker.borrow(), Instant::now());
        }
    }

    /// What a stack holds in place of a permit.
    #[cfg(test)]
    pub(super) fn call(&mut self) -> &mut Admitted {
        self.call.as_mut().expect("taken only by its end")
    }

    #[inline]
    pub(super) fn record(mut self, outcome: Outcome, now: Instant) {
        if let Some(call) = self.call.take() {
            call.record(self.breaker.borrow(), outcome, now);
        }
    }
}

impl<B: Borrow<Breaker>> Drop for Permit<B> {
    #[inline]
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            call.abandon(self.breaker.borrow());
        }
    }
}

impl<B: Borrow<Breaker>> fmt::Debug for Permit<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("breaker", self.breaker.borrow()).finish_non_exhaustive()
    }
}
