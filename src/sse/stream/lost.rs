//! How a connection of an event stream ends: which clock ran out, what was lost by it, and when the next one is made.

use super::refused::{nothing, of};
use super::{Bound, EventStream, Link};
use crate::duration::{LONGEST, human};
use crate::error::{self, Error, ErrorKind};
use crate::sse::state::{Cause, Phase};
use crate::sse::verdict::{self, Verdict};
use crate::telemetry;
use rand::RngExt;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// The longest wait that somebody else may ask for, as for an open circuit.
const MOST_ASKED: Duration = Duration::from_secs(300);
/// A request that is sent once goes out at most so often until its response head is there, and not after a wait of more
/// than this, as it is with a call.
const TRIES: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(60);
/// Jitter on it, so that not all clients come back together.
const SPREAD: f64 = 0.1;
/// A bound that is noticed so much late was noticed by a reader that came late: what lies ready gets so long to arrive.
const LATE: Duration = Duration::from_millis(100);
const GRACE: Duration = Duration::from_secs(1);

impl EventStream {
    /// When the silence under way is too long.
    pub(super) fn silence(&mut self) -> (Instant, Bound) {
        let since = *self.silent_since.get_or_insert_with(Instant::now);
        let idle = since + self.cadence.bound();
        match self.settings.events_within {
            Some(limit) if self.event_at + limit < idle => (self.event_at + limit, Bound::Events(limit)),
            _ => (idle, Bound::Idle),
        }
    }

    /// The timer, and the clock beside it: a task that has used up its budget is told "pending" by the timer too.
    pub(super) fn poll_timer(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.timer.as_mut().poll(at, cx) {
            Poll::Pending if Instant::now() >= at => Poll::Ready(Ok(())),
            polled => polled,
        }
    }

    pub(super) fn poll_bound(
        &mut self,
        at: Instant,
        bound: Bound,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Error>> {
        let until = self.grace(bound).unwrap_or(at);
        if let Err(error) = ready!(self.poll_timer(until, cx)) {
            return Poll::Ready(Some(self.fail(error)));
        }
        // In grace: round again, the timer is asked for its new end.
        Poll::Ready(if self.is_late(at, bound) { None } else { self.struck(bound) })
    }

    /// Whether comments that come as fast as they are read have kept an event away for too long. The timer is asked
    /// only where nothing is ready.
    pub(super) fn without_event(&mut self) -> Option<Error> {
        let limit = self.settings.events_within?;
        let (at, bound) = (self.event_at + limit, Bound::Events(limit));
        if Instant::now() < self.events_grace.unwrap_or(at) || self.is_late(at, bound) {
            return None;
        }
        self.struck(bound)
    }

    fn grace(&mut self, bound: Bound) -> &mut Option<Instant> {
        match bound {
            Bound::Events(_) => &mut self.events_grace,
            Bound::Headers | Bound::Idle => &mut self.grace,
        }
    }

    /// A bound that was reached long ago: what may lie ready gets a moment.
    fn is_late(&mut self, at: Instant, bound: Bound) -> bool {
        let now = Instant::now();
        let grace = self.grace(bound);
        let late = grace.is_none() && now > at + LATE;
        if late {
            *grace = Some(now + GRACE);
        }
        late
    }

    fn struck(&mut self, bound: Bound) -> Option<Error> {
        let error = match bound {
            Bound::Headers => Error::new(ErrorKind::Attempt, "").at(error::Phase::Headers).limit(self.idle),
            Bound::Idle => {
                let limit = self.cadence.bound();
                self.cadence.struck();
                let detail = format!("the event stream is silent: no byte for {:#}", human(limit));
                Error::new(ErrorKind::Stall, detail).at(error::Phase::Body).limit(limit)
            }
            Bound::Events(limit) => {
                let detail = format!("the event stream has nothing to say: no event for {:#}", human(limit));
                Error::new(ErrorKind::Stall, detail).at(error::Phase::Body).limit(limit)
            }
        };
        self.broke(error)
    }

    /// A connect that had no answer, or a body that broke.
    pub(super) fn broke(&mut self, error: Error) -> Option<Error> {
        let opening = matches!(self.link, Link::Opening(..));
        match verdict::of_error(self.rules(), error, opening) {
            Verdict::Again(error) if !self.gives_up(&error) => self.again(error, None),
            Verdict::Again(error) | Verdict::Fatal(error) => match of(&error) {
                Some(head) if opening => self.refused(error, head, None, nothing()),
                _ => Some(self.fail(error)),
            },
            Verdict::Read | Verdict::Stop => unreachable!("an error is neither"),
        }
    }

    /// Whether a request that is sent once has been tried often enough, or would have to wait for too long.
    pub(super) fn gives_up(&self, error: &Error) -> bool {
        let most = PATIENCE.max(self.backoff.get_cap());
        let spent = || self.tries >= TRIES || error.retry_in().is_some_and(|asked| asked > most);
        !self.connect.again && (!self.connect.repeats || spent())
    }

    /// The connection is gone, or was not made: wait, then try again.
    pub(super) fn again(&mut self, error: Error, cause: Option<Cause>) -> Option<Error> {
        let error = self.connect.named(error);
        let cause = cause.unwrap_or_else(|| verdict::cause(&error));
        let mut wait = self.draw();
        if let Some(asked) = error.retry_in() {
            let spread =
                if error.is_open() || error.is_unhealthy() { 0.0 } else { SPREAD * self.rng.random::<f64>() };
            let asked = asked.min(MOST_ASKED);
            wait = wait.max((asked + asked.mul_f64(spread)).min(MOST_ASKED));
        }
        self.waits(&error, cause, wait);
        None
    }

    /// The next wait of the back-off; the first after a connection is spread further.
    pub(super) fn draw(&mut self) -> Duration {
        let spread = self.settings.reconnect.spread;
        let wait = if std::mem::take(&mut self.was_connected) && !spread.is_zero() {
            let most = u64::try_from(spread.as_nanos()).unwrap_or(u64::MAX);
            self.backoff.get_base() + Duration::from_nanos(self.rng.random_range(0..=most))
        } else {
            self.backoff.draw(self.failures, self.last_wait, &mut self.rng)
        };
        self.last_wait = Some(wait);
        self.failures = self.failures.saturating_add(1);
        wait
    }

    pub(super) fn waits(&mut self, error: &Error, cause: Cause, wait: Duration) {
        telemetry::log::stream::lost(&self.name, cause.as_str(), self.failures, wait, error);
        // The status is locked while it is changed, and what an error says may be code of the user's.
        let said = error.to_string();
        let until = Instant::now() + wait.min(LONGEST);
        let until = self.connect.ends.map_or(until, |ends| until.min(ends));
        self.shown.waits_until(until);
        self.status.send_modify(|status| status.lost(cause, said, wait));
        self.link = Link::Waiting(until);
    }

    /// The last word.
    pub(super) fn fail(&mut self, error: Error) -> Error {
        let error = self.connect.named(error);
        telemetry::log::stream::ended(&self.name, Some(&error));
        self.end(Some(error.to_string()));
        error
    }

    pub(super) fn end(&mut self, error: Option<String>) {
        self.link = Link::Ended;
        self.status.send_modify(|status| (status.phase, status.error) = (Phase::Ended, error));
    }
}
