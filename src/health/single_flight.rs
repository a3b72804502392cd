//! Single flight: however many callers need a verdict, one probe is on the wire.

use crate::health::Mode;
use crate::health::state::{Advice, Verdict};
use crate::sync::{Mutex, lock, wake_all};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// A task that keeps a verdict fresh begins its check this soon after the end of the last one; later it has ended itself.
const SOON: Duration = Duration::from_secs(1);

/// The verdict of one origin, and the probe that is under way for it.
#[derive(Debug)]
pub(crate) struct SingleFlight(Mutex<State>);

#[derive(Debug)]
struct State {
    verdict: Verdict,
    /// The breaker generation that the verdict was made under: the end of an open wait makes it stale.
    generation: u64,
    /// Which probe is on the wire, by number, and when its leader has had its time: one that nobody polls any more
    /// must not hold up all others.
    under_way: Option<(u64, Instant)>,
    lease: Duration,
    flights: u64,
    /// How the last finished probe ended.
    last: Option<(u64, Result<(), Arc<str>>)>,
    waiters: Vec<(u64, Waker)>,
    tickets: u64,
    /// The last check that was made in the background, or found fresh there: calls do not wait for the next one.
    beside: Option<u64>,
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
    /// Send the probe, then call [`SingleFlight::finish`] with this number, or [`SingleFlight::abandon`] when it cannot be finished.
    Lead(u64),
    /// Another caller is at it.
    Wait(Waiting),
}

/// A caller that waits for another's probe. Given back with [`SingleFlight::leave`].
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
    /// Its leader left or had its time; this caller leads the next.
    Lead(u64),
}

impl SingleFlight {
    /// `lease` is the longest that one caller may lead.
    pub(crate) fn new(interval: Duration, lease: Duration, mode: Mode) -> SingleFlight {
        SingleFlight(Mutex::new(State {
            verdict: Verdict::new(interval),
            generation: 0,
            under_way: None,
            lease,
            flights: 0,
            last: None,
            waiters: Vec::new(),
            tickets: 0,
            beside: None,
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
            Advice::Check if state.is_renewed(now) => Answer::Go,
            Advice::Check => match state.under_way {
                Some((flight, ends)) if now < ends => {
                    state.tickets += 1;
                    Answer::Wait(Waiting { ticket: state.tickets, flight })
                }
                _ => Answer::Lead(state.begin(now)),
            },
        }
    }

    /// For a check beside the calls: `Some(number)` to send it, where one is due and no other is under way.
    pub(crate) fn lead_beside(&self, now: Instant) -> Option<u64> {
        let state = &mut *lock(&self.0);
        if state.is_kept(now) {
            return None;
        }
        let number = state.begin(now);
        state.beside = Some(number);
        Some(number)
    }

    /// For a check that is a probe of a half-open circuit: `Some(number)` to send it, however fresh the verdict is, unless
    /// another is under way.
    pub(crate) fn probe(&self, generation: u64, now: Instant) -> Option<u64> {
        let state = &mut *lock(&self.0);
        if state.under_way.is_some_and(|(_, ends)| now < ends) {
            return None;
        }
        state.generation = generation;
        state.doubt();
        let number = state.begin(now);
        state.beside = Some(number);
        Some(number)
    }

    /// Asked by the one who keeps the verdict fresh beside the calls: whether nobody has to check now, since it is fresh,
    /// or a check is under way.
    pub(crate) fn rests(&self, now: Instant) -> bool {
        lock(&self.0).is_kept(now)
    }

    /// The check with this number was handed over only now: its leader has the whole time from then on, unless another one
    /// leads already.
    pub(crate) fn renew(&self, number: u64, handed_over: Instant) {
        let state = &mut *lock(&self.0);
        if let Some((_, ends)) = state.under_way.as_mut().filter(|(flight, _)| *flight == number) {
            *ends = handed_over + state.lease;
        }
    }

    /// While this is pending, ask again at [`leader_ends`](SingleFlight::leader_ends).
    pub(crate) fn poll(&self, waiting: &Waiting, now: Instant, cx: &mut Context<'_>) -> Poll<Ended> {
        // Cloned before the lock is taken, and what it replaces dropped after it is given back.
        let mut waker = cx.waker().clone();
        let mut state = lock(&self.0);
        match &state.last {
            Some((flight, result)) if *flight >= waiting.flight => {
                return Poll::Ready(match result {
                    Ok(()) => Ended::Passed,
                    Err(cause) => Ended::Failed(Arc::clone(cause)),
                });
            }
            _ => {}
        }
        if state.under_way.is_none_or(|(_, ends)| now >= ends) {
            return Poll::Ready(Ended::Lead(state.begin(now)));
        }
        match state.waiters.iter_mut().find(|(ticket, _)| *ticket == waiting.ticket) {
            Some((_, kept)) => std::mem::swap(kept, &mut waker),
            None => {
                state.waiters.push((waiting.ticket, waker));
                return Poll::Pending;
            }
        }
        drop(state);
        Poll::Pending
    }

    /// When the leader of the probe under way has had its time.
    pub(crate) fn leader_ends(&self) -> Option<Instant> {
        lock(&self.0).under_way.map(|(_, ends)| ends)
    }

    /// The caller no longer waits, for whatever reason.
    pub(crate) fn leave(&self, waiting: &Waiting) {
        let gone = {
            let waiters = &mut lock(&self.0).waiters;
            let at = waiters.iter().position(|(ticket, _)| *ticket == waiting.ticket);
            at.map(|at| waiters.swap_remove(at))
        };
        drop(gone);
    }

    /// The verdict of the probe with this number; of one whose leader came too late it is no news. Returns for how long
    /// the origin was down, where this ends an outage.
    pub(crate) fn finish(&self, number: u64, result: Result<(), Arc<str>>, now: Instant) -> Option<Duration> {
        let mut state = lock(&self.0);
        if state.under_way.is_none_or(|(flight, _)| flight != number) {
            return None;
        }
        let recovered = state.verdict.is_down().then(|| state.verdict.down_for(now));
        match &result {
            Ok(()) => state.verdict.passed(now),
            Err(_) => state.verdict.failed(now),
        }
        let passed = result.is_ok();
        state.trusted = state.trusted.map(|_| passed);
        state.under_way = None;
        state.last = Some((number, result));
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        wake_all(waiters.into_iter().map(|(_, waker)| waker));
        recovered.filter(|_| passed)
    }

    /// The leader leaves without a verdict: the next waiter to wake up leads.
    pub(crate) fn abandon(&self, number: u64) {
        let mut state = lock(&self.0);
        if state.under_way.is_none_or(|(flight, _)| flight != number) {
            return;
        }
        state.under_way = None;
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        wake_all(waiters.into_iter().map(|(_, waker)| waker));
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

    /// Whether a task that keeps it has nothing to do now. A verdict that it finds fresh, whoever made it, is one that it
    /// follows up.
    fn is_kept(&mut self, now: Instant) -> bool {
        if self.under_way.is_some_and(|(_, ends)| now < ends) {
            return true;
        }
        let fresh = self.trusted == Some(true) || self.verdict.ask(now) != Advice::Check;
        if fresh {
            self.beside = self.last.as_ref().map(|(flight, _)| *flight);
        }
        fresh
    }

    /// Whether the verdict was "healthy" until a moment ago, and is being made anew beside the calls: by a check that is
    /// under way, or by one that begins in a moment, since its task has seen the last one.
    fn is_renewed(&self, now: Instant) -> bool {
        let Some(until) = self.verdict.healthy_until() else { return false };
        match (self.under_way, &self.last) {
            (Some((flight, ends)), _) => self.beside == Some(flight) && now < ends,
            (None, Some((flight, _))) => self.beside == Some(*flight) && now < until + SOON,
            (None, None) => false,
        }
    }

    fn begin(&mut self, now: Instant) -> u64 {
        self.flights += 1;
        self.under_way = Some((self.flights, now + self.lease));
        self.flights
    }
}

#[cfg(all(test, unwedge_loom))]
mod loom_models;

#[cfg(test)]
mod tests;
