//! A request is looked at again when its turn comes: what can no longer be answered in time is refused, not begun.

use super::Deadline;
use super::header::Late;
use crate::duration::human;
use crate::{Error, ErrorKind};
use std::cell::Cell;
use std::time::Duration;
use tokio::time::Instant;

/// Checks, in a handler that had to wait for its turn, whether there is still enough time for the work.
///
/// A request that waited in a queue, for a permit or for a lock, may be late when its turn comes. Its caller has given up, so
/// the work would be wasted; in an overload most work would be wasted that way. Call this function right after the wait, and
/// answer 504 if it returns an error: the [`IncomingLayer`](super::IncomingLayer) above then marks the response, so that the
/// client does not repeat the request and does not count a failure.
///
/// It returns an error if the [`Deadline`] of the scope has passed, or if less time is left than
/// [`refuse_below`](super::Incoming::refuse_below). Under an [`IncomingLayer`](super::IncomingLayer) it also refuses a request
/// that has waited longer than the fastest response of the last minute took, if less than that time is left. Outside of every
/// scope it returns `Ok`.
///
/// A layer that is called when the turn has come makes this call unnecessary: one behind the queue, or one above a service
/// whose readiness is the queue (`tower::limit::ConcurrencyLimit`).
///
/// # Errors
/// Kind `Deadline`, with what is left and what is needed.
///
/// ```
/// use unwedge::{Error, deadline};
/// # async fn render() {}
///
/// async fn handler(places: &tokio::sync::Semaphore) -> Result<(), Error> {
///     let _place = places.acquire().await.expect("never closed");
///     deadline::turn()?; // its caller may have gone while it waited
///     render().await;
///     Ok(())
/// }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
/// # handler(&tokio::sync::Semaphore::new(1)).await
/// # }
/// ```
pub fn turn() -> Result<(), Error> {
    match begins() {
        Some(Late::Refused { left, least }) => Err(Error::new(
            ErrorKind::Deadline,
            format!("late when its turn came: {:#} left of {:#} that it needs", human(left), human(least)),
        )),
        _ => Ok(()),
    }
}

/// The turn has come: none where the work may begin now.
pub(super) fn begins() -> Option<Late> {
    let now = Instant::now();
    let left = Deadline::current().map(|deadline| deadline.instant().saturating_duration_since(now));
    let Some(mut turn) = CURRENT.get() else { return expired(left?) };
    match left.and_then(|left| turn.late(left, now)) {
        Some(late) => turn.refused = Some(late),
        None => turn.began = now,
    }
    CURRENT.set(Some(turn));
    turn.refused
}

fn expired(left: Duration) -> Option<Late> {
    left.is_zero().then_some(Late::Refused { left, least: Duration::ZERO })
}

thread_local! {
    /// The request whose handler this thread polls right now.
    static CURRENT: Cell<Option<Turn>> = const { Cell::new(None) };
}

/// One request between its arrival and its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    arrived: Instant,
    /// When the work began, as far as is known.
    began: Instant,
    /// Less time than this was said to be too little.
    least: Duration,
    /// The fastest answer of late.
    fastest: Option<Duration>,
    pub(super) refused: Option<Late>,
}

impl Turn {
    pub(super) fn new(arrived: Instant, now: Instant, least: Duration, fastest: Option<Duration>) -> Turn {
        Turn { arrived, began: now, least, fastest, refused: None }
    }

    /// Whether this much is too little to begin with.
    ///
    /// What was measured counts only for a request that waited for longer than that: a server whose answers are slow
    /// because they wait for news (a long poll) has no queue, and must not lose its clients.
    pub(super) fn late(&self, left: Duration, now: Instant) -> Option<Late> {
        let waited = now.saturating_duration_since(self.arrived);
        let known = self.fastest.filter(|fastest| waited >= *fastest).unwrap_or_default();
        let least = self.least.max(known);
        (left.is_zero() || left < least).then_some(Late::Refused { left, least })
    }

    /// For how long the work has been going on.
    pub(super) fn took(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// Runs code of the handler, which may ask for its [`turn`].
    pub(super) fn during<T>(&mut self, work: impl FnOnce() -> T) -> T {
        /// Also where the handler panics: the next request on this thread is another one.
        struct Restore(Option<Turn>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _outer = Restore(CURRENT.replace(Some(*self)));
        let done = work();
        if let Some(turn) = CURRENT.get() {
            *self = turn;
        }
        done
    }
}

/// The fastest answer of the last minute, give or take: what is left of a caller's time has to be at least that long.
#[derive(Debug, Default)]
pub(super) struct Fastest {
    minute: u64,
    this: Option<Duration>,
    before: Option<Duration>,
}

impl Fastest {
    const MINUTE: Duration = Duration::from_secs(60);

    /// `at` counts from a moment that stays the same.
    pub(super) fn note(&mut self, at: Duration, took: Duration) {
        self.turn_over(at);
        self.this = Some(self.this.map_or(took, |this| this.min(took)));
    }

    pub(super) fn get(&mut self, at: Duration) -> Option<Duration> {
        self.turn_over(at);
        match (self.this, self.before) {
            (Some(this), Some(before)) => Some(this.min(before)),
            (this, before) => this.or(before),
        }
    }

    fn turn_over(&mut self, at: Duration) {
        let minute = at.as_secs() / Fastest::MINUTE.as_secs();
        match minute.saturating_sub(self.minute) {
            0 => return,
            1 => self.before = self.this.take(),
            _ => (self.this, self.before) = (None, None),
        }
        self.minute = minute;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_fastest_answer_is_remembered_for_one_to_two_minutes() {
        let mut fastest = Fastest::default();
        let at = Duration::from_secs;
        assert_eq!(fastest.get(at(0)), None);
        fastest.note(at(10), 30 * MS);
        fastest.note(at(20), 10 * MS);
        fastest.note(at(30), 20 * MS);
        assert_eq!(fastest.get(at(59)), Some(10 * MS));
        fastest.note(at(61), 40 * MS);
        assert_eq!(fastest.get(at(119)), Some(10 * MS));
        assert_eq!(fastest.get(at(120)), Some(40 * MS));
        assert_eq!(fastest.get(at(300)), None);
    }

    #[test]
    fn what_was_measured_counts_only_for_a_request_that_waited_that_long() {
        let start = Instant::now();
        let turn = Turn::new(start, start, Duration::ZERO, Some(50 * MS));
        assert_eq!(turn.late(20 * MS, start + 49 * MS), None, "a slow answer is no queue");
        let refused = Some(Late::Refused { left: 20 * MS, least: 50 * MS });
        assert_eq!(turn.late(20 * MS, start + 50 * MS), refused);
        assert_eq!(turn.late(50 * MS, start + 50 * MS), None);
        assert!(turn.late(Duration::ZERO, start).is_some());
        assert!(Turn::new(start, start, 30 * MS, None).late(29 * MS, start).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn outside_of_every_scope_it_is_always_the_turn_and_after_a_deadline_never() {
        assert!(turn().is_ok());
        let past = Deadline::at(Instant::now());
        let late = super::super::under(past, turn).unwrap_err();
        assert!(late.is_deadline(), "{late}");
    }
}
