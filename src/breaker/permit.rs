//! The right to make one call, which reports itself.

use super::values::{Outcome, Ticket};
use super::{Breaker, pace};
use std::borrow::Borrow;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// The right to make one call, given by [`Breaker::acquire`].
///
/// Say how the call went with [`success`](Permit::success), [`failure`](Permit::failure) or
/// [`neutral`](Permit::neutral). A permit that is dropped without a word, because the future that held it was given
/// up by its caller, reports itself: when nothing was [`heard`](Permit::heard) for
/// [`hang_after`](super::Settings::hang_after) (or twice the slowest success of the last minute) the server hung and
/// that counts towards the run of failures, otherwise nothing is recorded. Dropped by a panic, it is a failure. In
/// every case a half-open circuit gets its place back.
///
/// It borrows the breaker, or owns a handle of its own if it has to live longer
/// ([`acquire_owned`](Breaker::acquire_owned)).
#[must_use = "dropping a permit at once says that nothing was called"]
pub struct Permit<B: Borrow<Breaker> = Breaker> {
    breaker: B,
    ticket: Ticket,
    /// The last sign of life, in nanoseconds after the admission.
    heard: u64,
    quiet: bool,
    /// A panic now is not that of the call.
    outside: bool,
    settled: bool,
}

impl<B: Borrow<Breaker>> Permit<B> {
    #[inline]
    pub(super) fn new(breaker: B, ticket: Ticket) -> Permit<B> {
        Permit { breaker, ticket, heard: 0, quiet: false, outside: false, settled: false }
    }

    /// The call went well: the server answered, if only to say no.
    #[inline]
    pub fn success(self) {
        self.record(Outcome::Success, Instant::now());
    }

    /// The call failed, and the server is the likely cause.
    pub fn failure(self) {
        self.record(Outcome::Failure { retry_after: None }, Instant::now());
    }

    /// The call failed, and the server asked to be left alone for that long. If this opens the circuit, it stays open
    /// for at least that time, up to the greater of the longest open wait and 5 min.
    pub fn failure_retry_after(self, wait: Duration) {
        self.record(Outcome::Failure { retry_after: Some(wait) }, Instant::now());
    }

    /// The server turned the call away but is well (429, 425): neither adds to the run of failures nor ends it, and
    /// counts as a failure for the ratio.
    pub fn neutral(self) {
        self.record(Outcome::Neutral { retry_after: None }, Instant::now());
    }

    /// The call was given up for reasons that have nothing to do with the server: nothing is recorded.
    pub fn cancel(self) {
        self.record(Outcome::Nothing, Instant::now());
    }

    /// A sign of life: the server's silence is counted from here on.
    pub fn heard(&mut self) {
        self.heard_at(Instant::now());
    }

    /// Counts this call as a failure now, once, if it has been in flight for as long as
    /// [`overdue_after`](super::Settings::overdue_after) says; otherwise, and where that is off, nothing happens.
    pub fn overdue(&mut self) {
        self.note_overdue(Instant::now());
    }

    #[inline]
    pub(crate) fn record(mut self, outcome: Outcome, now: Instant) {
        self.settled = true;
        self.breaker.borrow().record(&self.ticket, outcome, now);
    }

    /// A byte came, or the caller listens again.
    #[inline]
    pub(crate) fn heard_at(&mut self, now: Instant) {
        self.quiet = false;
        self.heard = pace::nanos(now.saturating_duration_since(self.ticket.admitted));
    }

    /// Nobody listens until [`heard_at`](Permit::heard_at): silence is the consumer's, not the server's.
    #[inline]
    pub(crate) fn quiet(&mut self) {
        self.quiet = true;
    }

    /// How long this call takes says nothing about the server: a stream lives as long as there is something to say.
    #[inline]
    pub(crate) fn untimed(&mut self) {
        self.ticket.timed = false;
    }

    /// The generation of a half-open admission; `None` where the circuit was closed.
    pub(crate) fn half_open_generation(&self) -> Option<u64> {
        (self.ticket.slot != 0).then_some(u64::from(self.ticket.generation))
    }

    /// Nothing is sent yet: whoever waits here waits for something else than the server.
    #[inline]
    pub(crate) fn unsent(&mut self) {
        (self.quiet, self.outside) = (true, true);
    }

    /// The call goes out now: how long it takes, and the server's silence, are counted from here on.
    #[inline]
    pub(crate) fn sent_at(&mut self, now: Instant) {
        self.ticket.admitted = now;
        (self.heard, self.quiet) = (0, false);
    }

    /// Whether the code of the call is running, so that a panic is its own.
    #[inline]
    pub(crate) fn in_service(&mut self, inside: bool) {
        self.outside = !inside;
    }

    /// The reader of a stream leaves before its end: a success, unless it waited in vain for so long that it hung.
    pub(crate) fn leave_stream(self, now: Instant) {
        if self.panicked() {
            self.record(Outcome::Failure { retry_after: None }, now);
        } else if self.quiet || self.silent_for(now) < self.hang_threshold(now) {
            self.record(Outcome::Success, now);
        } else {
            self.record(Outcome::Hang, now);
        }
    }

    /// Whether a panic of the call's own code is unwinding.
    fn panicked(&self) -> bool {
        !self.outside && std::thread::panicking()
    }

    fn silent_for(&self, now: Instant) -> Duration {
        let since_admission = now.saturating_duration_since(self.ticket.admitted);
        since_admission.saturating_sub(Duration::from_nanos(self.heard))
    }

    /// The silence that makes a call that is given up a hang.
    pub(crate) fn hang_threshold(&self, now: Instant) -> Duration {
        self.breaker.borrow().hang_threshold(now)
    }

    /// When to call [`note_overdue`](Permit::note_overdue).
    pub(crate) fn overdue_at(&self) -> Option<Instant> {
        let waits = self.ticket.records && !self.ticket.overdue;
        let after = self.breaker.borrow().overdue_after().filter(|_| waits)?;
        self.ticket.admitted.checked_add(after)
    }

    pub(crate) fn note_overdue(&mut self, now: Instant) {
        self.breaker.borrow().overdue(&mut self.ticket, now);
        // Also where it no longer counts, since the circuit has changed meanwhile: whoever waits for that moment would
        // wait for it again.
        self.ticket.overdue |= self.overdue_at().is_some_and(|at| at <= now);
    }

    #[cold]
    fn abandoned(&mut self) {
        if !self.breaker.borrow().wants(&self.ticket) {
            return;
        }
        let now = Instant::now();
        if self.panicked() {
            return self.breaker.borrow().record(&self.ticket, Outcome::Failure { retry_after: None }, now);
        }
        let silent = self.silent_for(now);
        self.breaker.borrow().dropped(&self.ticket, if self.quiet { Duration::ZERO } else { silent }, now);
    }
}

impl<B: Borrow<Breaker>> Drop for Permit<B> {
    #[inline]
    fn drop(&mut self) {
        if !self.settled {
            self.abandoned();
        }
    }
}

impl<B: Borrow<Breaker>> fmt::Debug for Permit<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("breaker", self.breaker.borrow())
            .field("settled", &self.settled)
            .finish_non_exhaustive()
    }
}
