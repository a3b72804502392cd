//! Connects under way for calls of one kind: since when, and whether somebody waits for them. Pure.

use crate::transport::pool::connection::Kind;
use std::time::Duration;
use tokio::time::Instant;

/// A connect that takes longer may be to an address that nobody answers at: it is not all that is waited for any more.
pub(super) const SLOW: Duration = Duration::from_secs(1);

/// A connect under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport::pool) struct Connect {
    pub(in crate::transport::pool) kind: Kind,
    /// It was begun before it was known what the origin speaks.
    pub(super) guessed: bool,
    pub(super) begun: Instant,
    pub(super) number: u64,
    /// The last call that waited then, or had waited.
    pub(super) key: u64,
}

#[derive(Debug, Default)]
pub(super) struct UnderWay {
    /// In the order they began.
    connects: Vec<Connect>,
    /// So many of them, the last ones, have a call of their own that waits. The calls of the others were given up, or given
    /// another connection: such a connect stands in for that of a later call while it is young.
    owned: usize,
    /// When the last of those who waited was given up. None where it got a connection.
    abandoned: Option<Instant>,
}

impl UnderWay {
    pub(super) fn len(&self) -> usize {
        self.connects.len()
    }

    pub(super) fn begin(&mut self, connect: Connect) {
        self.connects.push(connect);
        self.owned += 1;
    }

    /// It has ended, in whatever way.
    pub(super) fn end(&mut self, number: u64) {
        let Some(at) = self.connects.iter().position(|connect| connect.number == number) else { return };
        self.owned -= usize::from(at >= self.spare());
        self.connects.remove(at);
    }

    /// Those that will not end are not waited for any longer.
    pub(super) fn forget_lost(&mut self, now: Instant, lost: Duration) {
        let is_lost = |first: &Connect| now.saturating_duration_since(first.begun) >= lost;
        while let Some(first) = self.first().filter(is_lost) {
            self.end(first.number);
        }
    }

    pub(super) fn first(&self) -> Option<Connect> {
        self.connects.first().copied()
    }

    /// So many calls wait from now on, since one got a connection or an error, or was given up at this moment.
    pub(super) fn wait_fewer(&mut self, waiting: usize, given_up: Option<Instant>) {
        self.owned = self.owned.min(waiting);
        self.abandoned = given_up;
    }

    fn spare(&self) -> usize {
        self.connects.len() - self.owned
    }

    /// Those whose calls wait no longer.
    fn spares(&self) -> &[Connect] {
        &self.connects[..self.spare()]
    }

    pub(super) fn is_spare(&self, number: u64) -> bool {
        self.spares().iter().any(|connect| connect.number == number)
    }

    /// Whether it has had its time, and another one may come as late: that of calls that were given up, beside an older one.
    pub(super) fn is_one_too_many(&self, connect: &Connect, now: Instant) -> bool {
        let is_late = now >= connect.begun + 2 * SLOW;
        is_late && self.spares().iter().skip(1).any(|spare| spare.number == connect.number)
    }

    /// So many calls need none of their own, where each connect is for one.
    pub(super) fn suffices_for(&self, now: Instant) -> usize {
        self.owned + self.spares().iter().filter(|connect| now < connect.begun + SLOW).count()
    }

    /// When so many calls may need one more, where each connect is for one.
    pub(super) fn suffices_until(&self, waiting: usize, now: Instant) -> Option<Instant> {
        let mut young = self.spares().iter().map(|connect| connect.begun + SLOW).filter(|until| now < *until);
        young.next().filter(|_| waiting > self.owned)
    }

    pub(super) fn newest(&self) -> Option<Instant> {
        self.connects.last().map(|connect| connect.begun)
    }

    /// The first that was begun after this one.
    pub(super) fn after(&self, number: u64) -> Option<&Connect> {
        self.connects.iter().find(|connect| connect.number > number)
    }

    /// How long one is worth its socket, where nobody waits.
    pub(super) fn worth_until(&self, now: Instant) -> Instant {
        self.abandoned.unwrap_or(now) + SLOW
    }
}
