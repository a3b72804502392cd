//! How a connection of an event stream ends: which clock ran out, what was lost by it, and when the next one is made.

use super::{EventStream, Link};
use crate::duration::human;
use crate::error::{self, Error, ErrorKind};
use crate::sse::status::{Cause, Phase};
use crate::sse::verdict::{self, Verdict};
use crate::telemetry;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// The longest wait that somebody else may ask for, as for an open circuit.
const MOST_ASKED: Duration = Duration::from_secs(300);
/// Jitter on it, so that not all clients come back together.
const SPREAD: f64 = 0.1;
/// A bound that is noticed so much late was noticed by a reader that came late: what lies ready gets so long to arrive.
const LATE: Duration = Duration::from_millis(100);
const GRACE: Duration = Duration::from_secs(1);

/// Which clock ran out.
#[derive(Clone, Copy)]
pub(super) enum Bound {
    Headers,
    Idle,
    Events(Duration),
}

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

    pub(super) fn poll_bound(
        &mut self,
        at: Instant,
        bound: Bound,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Error>> {
        if let Err(error) = ready!(self.timer.as_mut().poll(self.grace.unwrap_or(at), cx)) {
            return Poll::Ready(Some(self.fail(error)));
        }
        let now = Instant::now();
        if self.grace.is_none() && now > at + LATE {
            // Round again: the timer is asked for its new end.
            self.grace = Some(now + GRACE);
            return Poll::Ready(None);
        }
        let error = match bound {
            Bound::Headers => {
                Error::new(ErrorKind::Attempt, "").at(error::Phase::Headers).limit(self.settings.idle)
            }
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
        Poll::Ready(self.lost(error, None))
    }

    /// The connection is gone, or was not made: wait, then try again. Some where there is no use in that.
    pub(super) fn lost(&mut self, error: Error, cause: Option<Cause>) -> Option<Error> {
        let error = match verdict::of_error(self.settings.mode, error) {
            Verdict::Fatal(error) if cause.is_none() && error.status().is_none() => {
                return Some(self.fail(error));
            }
            Verdict::Fatal(error) | Verdict::Again(error) => self.connect.named(error),
            Verdict::Read | Verdict::Stop => unreachable!("an error is neither"),
        };
        let cause = cause.unwrap_or_else(|| verdict::cause(&error));
        let mut wait = self.backoff.draw(self.failures, self.last_wait, &mut self.rng);
        self.last_wait = Some(wait);
        self.failures = self.failures.saturating_add(1);
        if let Some(asked) = error.retry_in() {
            let spread = if error.is_open() || error.is_unhealthy() { 0.0 } else { SPREAD * self.rng.f64() };
            let asked = asked.min(MOST_ASKED);
            wait = wait.max((asked + asked.mul_f64(spread)).min(MOST_ASKED));
        }
        telemetry::stream_lost(&self.name, cause.as_str(), self.failures, wait, &error);
        self.status.send_modify(|status| status.lost(cause, error.to_string(), wait));
        let until = Instant::now() + wait;
        self.link = Link::Waiting(self.connect.ends.map_or(until, |ends| until.min(ends)));
        None
    }

    /// The last word.
    pub(super) fn fail(&mut self, error: Error) -> Error {
        let error = self.connect.named(error);
        telemetry::stream_ended(&self.name, Some(&error));
        self.end(Some(error.to_string()));
        error
    }

    pub(super) fn end(&mut self, error: Option<String>) {
        self.link = Link::Ended;
        self.status.send_modify(|status| (status.phase, status.error) = (Phase::Ended, error));
    }
}
