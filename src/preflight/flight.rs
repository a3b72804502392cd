//! Single flight: however many callers need a verdict, one probe is on the wire.

use super::Mode;
use super::verdict::{Advice, Verdict};
use crate::sync::{Mutex, lock};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// The verdict of one origin, and the probe that is under way for it.
#[derive(Debug)]
pub(crate) struct Flight(Mutex<State>);

#[derive(Debug)]
struct State {
    verdict: Verdict,
    /// The breaker generation that the verdict was made under: the end of an open wait makes it stale.
    generation: u64,
    /// Which probe is on the wire, by number.
    under_way: Option<u64>,
    flights: u64,
    /// How the last finished probe ended.
    last: Option<(u64, Result<(), Arc<str>>)>,
    waiters: Vec<(u64, Waker)>,
    tickets: u64,
    /// In mode after failure: no failure since the last passed check, so that none is needed.
    trusted: Option<bool>,
}

/// What a caller is told.
#[derive(Debug)]
pub(crate) enum Answer {
    Go,
    Refuse {
        since: Duration,
        retry_in: Duration,
    },
    /// Send the probe, then call [`Flight::finish`], or [`Flight::abandon`] when it cannot be finished.
    Lead,
    /// Another caller is at it.
    Wait(Waiting),
}

/// A caller that waits for another's probe. Given back with [`Flight::leave`].
#[derive(Debug)]
pub(crate) struct Waiting {
    ticket: u64,
    flight: u64,
}

/// How the wait for another's probe ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Passed,
    Failed(Arc<str>),
    /// Its leader left; this caller leads the next.
    Lead,
}

impl Flight {
    pub(crate) fn new(interval: Duration, mode: Mode) -> Flight {
        Flight(Mutex::new(State {
            verdict: Verdict::new(interval),
            generation: 0,
            under_way: None,
            flights: 0,
            last: None,
            waiters: Vec::new(),
            tickets: 0,
            trusted: (mode == Mode::AfterFailure).then_some(true),
        }))
    }

    /// `half_open` is the generation of a half-open admission: a verdict from before it is stale.
    pub(crate) fn ask(&self, half_open: Option<u64>, now: Instant) -> Answer {
        let state = &mut *lock(&self.0);
        if let Some(generation) = half_open {
            if state.generation != generation {
                state.generation = generation;
                state.doubt();
            }
        }
        if state.trusted == Some(true) {
            return Answer::Go;
        }
        match state.verdict.ask(now) {
            Advice::Go => Answer::Go,
            Advice::Refuse { since, retry_in } => Answer::Refuse { since, retry_in },
            Advice::Check => match state.under_way {
                Some(flight) => {
                    state.tickets += 1;
                    Answer::Wait(Waiting { ticket: state.tickets, flight })
                }
                None => {
                    state.begin();
                    Answer::Lead
                }
            },
        }
    }

    pub(crate) fn poll(&self, waiting: &Waiting, cx: &mut Context<'_>) -> Poll<Ended> {
        let state = &mut *lock(&self.0);
        match &state.last {
            Some((flight, result)) if *flight >= waiting.flight => {
                return Poll::Ready(match result {
                    Ok(()) => Ended::Passed,
                    Err(cause) => Ended::Failed(Arc::clone(cause)),
                });
            }
            _ => {}
        }
        if state.under_way.is_none() {
            state.begin();
            return Poll::Ready(Ended::Lead);
        }
        match state.waiters.iter_mut().find(|(ticket, _)| *ticket == waiting.ticket) {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => state.waiters.push((waiting.ticket, cx.waker().clone())),
        }
        Poll::Pending
    }

    /// The caller no longer waits, for whatever reason.
    pub(crate) fn leave(&self, waiting: &Waiting) {
        lock(&self.0).waiters.retain(|(ticket, _)| *ticket != waiting.ticket);
    }

    /// The verdict of the probe. Returns for how long the origin was down, where this ends an outage.
    pub(crate) fn finish(&self, result: Result<(), Arc<str>>, now: Instant) -> Option<Duration> {
        let mut state = lock(&self.0);
        let recovered = state.verdict.is_down().then(|| state.verdict.down_for(now));
        match &result {
            Ok(()) => state.verdict.passed(now),
            Err(_) => state.verdict.failed(now),
        }
        let passed = result.is_ok();
        state.trusted = state.trusted.map(|_| passed);
        if let Some(flight) = state.under_way.take() {
            state.last = Some((flight, result));
        }
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        wake(waiters);
        recovered.filter(|_| passed)
    }

    /// The leader leaves without a verdict: the next waiter to wake up leads.
    pub(crate) fn abandon(&self) {
        let mut state = lock(&self.0);
        state.under_way = None;
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        wake(waiters);
    }

    /// An attempt failed: what was known is no longer believed (mode after failure).
    pub(crate) fn doubt(&self) {
        let mut state = lock(&self.0);
        if state.trusted.is_some() && !state.verdict.is_down() {
            state.doubt();
        }
    }

    /// For how long the origin has been down, and when the next check is due.
    pub(crate) fn outlook(&self, now: Instant) -> (Duration, Duration) {
        let verdict = lock(&self.0).verdict;
        let due = verdict.next_check().map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        (verdict.down_for(now), due)
    }

    /// When the next check is due; `None` where that is now.
    pub(crate) fn next_check(&self) -> Option<Instant> {
        lock(&self.0).verdict.next_check()
    }
}

impl State {
    fn doubt(&mut self) {
        self.verdict.forget();
        self.trusted = self.trusted.map(|_| false);
    }

    fn begin(&mut self) {
        self.flights += 1;
        self.under_way = Some(self.flights);
    }
}

/// Wakers are somebody else's code: never under the lock.
fn wake(waiters: Vec<(u64, Waker)>) {
    for (_, waker) in waiters {
        waker.wake();
    }
}

#[cfg(all(test, unwedge_loom))]
mod loom_models;

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(flight: &Flight, waiting: &Waiting) -> Poll<Ended> {
        flight.poll(waiting, &mut Context::from_waker(Waker::noop()))
    }

    fn wait(flight: &Flight, now: Instant) -> Waiting {
        match flight.ask(None, now) {
            Answer::Wait(waiting) => waiting,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_caller_leads_and_the_others_share_its_verdict() {
        let now = Instant::now();
        let flight = Flight::new(Duration::from_secs(30), Mode::OnDemand);
        assert!(matches!(flight.ask(None, now), Answer::Lead));
        let (a, b) = (wait(&flight, now), wait(&flight, now));
        assert!(poll(&flight, &a).is_pending());
        flight.finish(Err("503".into()), now);
        assert!(matches!(poll(&flight, &a), Poll::Ready(Ended::Failed(cause)) if &*cause == "503"));
        assert!(matches!(poll(&flight, &b), Poll::Ready(Ended::Failed(_))));
        assert!(matches!(flight.ask(None, now), Answer::Refuse { .. }));
    }

    #[test]
    fn a_leader_that_leaves_makes_one_waiter_lead_and_the_verdict_stays_unknown() {
        let now = Instant::now();
        let flight = Flight::new(Duration::from_secs(30), Mode::OnDemand);
        assert!(matches!(flight.ask(None, now), Answer::Lead));
        let (a, b) = (wait(&flight, now), wait(&flight, now));
        flight.abandon();
        assert_eq!(flight.next_check(), None);
        assert!(matches!(poll(&flight, &a), Poll::Ready(Ended::Lead)));
        assert!(poll(&flight, &b).is_pending(), "one probe on the wire");
        flight.finish(Ok(()), now);
        assert!(matches!(poll(&flight, &b), Poll::Ready(Ended::Passed)));
    }

    #[test]
    fn a_waiter_that_leaves_is_forgotten() {
        let now = Instant::now();
        let flight = Flight::new(Duration::from_secs(30), Mode::OnDemand);
        assert!(matches!(flight.ask(None, now), Answer::Lead));
        let waiting = wait(&flight, now);
        assert!(poll(&flight, &waiting).is_pending());
        flight.leave(&waiting);
        assert!(lock(&flight.0).waiters.is_empty());
    }

    #[test]
    fn a_new_half_open_generation_makes_the_verdict_stale_once() {
        let now = Instant::now();
        let flight = Flight::new(Duration::from_secs(30), Mode::OnDemand);
        flight.finish(Ok(()), now);
        assert!(matches!(flight.ask(None, now), Answer::Go));
        assert!(matches!(flight.ask(Some(2), now), Answer::Lead));
        flight.finish(Ok(()), now);
        assert!(matches!(flight.ask(Some(2), now), Answer::Go));
    }

    #[test]
    fn after_failure_means_no_check_before_the_first_failure_and_none_after_the_next_success() {
        let now = Instant::now();
        let flight = Flight::new(Duration::from_secs(30), Mode::AfterFailure);
        assert!(matches!(flight.ask(None, now + Duration::from_secs(3600)), Answer::Go));
        flight.doubt();
        assert!(matches!(flight.ask(None, now), Answer::Lead));
        flight.finish(Ok(()), now);
        assert!(matches!(flight.ask(None, now + Duration::from_secs(3600)), Answer::Go));
    }

    #[test]
    fn an_outage_that_ends_says_how_long_it_was() {
        let now = Instant::now();
        let flight = Flight::new(Duration::from_secs(30), Mode::OnDemand);
        assert_eq!(flight.finish(Ok(()), now), None);
        assert_eq!(flight.finish(Err("503".into()), now), None);
        let later = now + Duration::from_secs(7);
        assert_eq!(flight.finish(Ok(()), later), Some(Duration::from_secs(7)));
    }
}
