//! The decisions of a circuit breaker as values: every question brings its own `now`.
//!
//! What falls due between two questions (the end of the open wait, the end of a lease) is made up for at the next
//! one, as of the moment at which it was due.

mod judge;

use crate::breaker::chance::Chance;
use crate::breaker::latency::LatencyWindow;
use crate::breaker::leases::{Due, ProbeLeases};
use crate::breaker::rules::Rules;
use crate::breaker::values::{Change, Changes, Lease, Outcome, PARKED, Place, Refused, State, Ticket};
use crate::breaker::window::{Totals, Window};
use crate::breaker::{Phase, Reason};
use crate::retry::backoff::Rng;
use crate::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The longest that a half-open refusal sends its caller away: a place may be free much sooner.
const BUSY_MAX: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(crate) struct Machine {
    rules: Arc<Rules>,
    rng: Rng,
    phase: Phase,
    generation: u32,
    since: Instant,
    opened: Option<Instant>,
    run: u32,
    /// Of all generations, until a reset.
    chance: Chance,
    last_success: Option<Instant>,
    /// The first failure of the last event.
    event: Option<Instant>,
    /// Only with the ratio rule.
    window: Option<Window>,
    /// Without it: everything since the circuit closed.
    totals: Totals,
    until: Instant,
    reopenings: u32,
    last_wait: Duration,
    slots: ProbeLeases,
    passed: u32,
    expired_leases: u64,
    pace: LatencyWindow,
}

impl Machine {
    pub(crate) fn new(rules: Arc<Rules>, rng: Rng, now: Instant) -> Machine {
        Machine {
            phase: if rules.disabled { Phase::Disabled } else { Phase::Closed },
            window: rules.ratio.as_ref().map(|rule| Window::new(rule.window, rule.buckets)),
            rules,
            rng,
            generation: 0,
            since: now,
            opened: None,
            run: 0,
            chance: Chance::new(now),
            last_success: None,
            event: None,
            totals: Totals::default(),
            until: now,
            reopenings: 0,
            last_wait: Duration::ZERO,
            slots: ProbeLeases::default(),
            passed: 0,
            expired_leases: 0,
            pace: LatencyWindow::new(now),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// While open: the end of the wait.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    pub(crate) fn pace(&self) -> &LatencyWindow {
        &self.pace
    }

    /// Whether a success would change nothing but a count and perhaps the pace.
    pub(crate) fn is_quiet(&self) -> bool {
        self.phase == Phase::Closed && self.run == 0 && self.window.is_none()
    }

    /// Successes that were counted elsewhere while [`is_quiet`](Machine::is_quiet) was true, and the moment of the last.
    pub(crate) fn add_successes(&mut self, n: u64, last: Instant) {
        self.totals.calls += n;
        self.chance.add_successes(n, last);
        self.last_success = self.last_success.max(Some(last));
    }

    /// # Errors
    /// When the circuit is open, or all places for probes are taken.
    pub(crate) fn admit(&mut self, now: Instant, lease: Lease, out: &mut Changes) -> Result<Ticket, Refused> {
        self.advance(now, out);
        if let Some(retry_in) = self.retry_in(now, lease.place == Place::Poll) {
            return Err(Refused { retry_in });
        }
        let mut ticket = Ticket::new(now, self.generation, lease);
        if self.phase == Phase::HalfOpen {
            ticket.slot = self.slots.take(later(now, lease.length), lease.place);
        }
        Ok(ticket)
    }

    /// The request of a call that was admitted while half-open goes out, and its lease begins. False where its place is
    /// gone.
    pub(crate) fn hand_over(
        &mut self,
        ticket: &Ticket,
        lease: Duration,
        now: Instant,
        out: &mut Changes,
    ) -> bool {
        self.advance(now, out);
        if ticket.generation != self.generation {
            return false;
        }
        let length = if ticket.records { lease } else { PARKED };
        self.slots.hand_over(ticket.slot, later(now, length)) || !ticket.records
    }

    /// A probe has its head, which is no verdict yet.
    pub(crate) fn answered_probe(&mut self, ticket: &Ticket) {
        if ticket.generation == self.generation {
            self.slots.answered(ticket.slot);
        }
    }

    pub(crate) fn record(&mut self, ticket: &Ticket, outcome: Outcome, now: Instant, out: &mut Changes) {
        self.advance(now, out);
        if ticket.generation != self.generation {
            return;
        }
        match self.phase {
            Phase::Closed => self.judge(ticket, outcome, now, out),
            Phase::HalfOpen => self.judge_probe(ticket, outcome, now, out),
            Phase::Open | Phase::ForcedOpen | Phase::Disabled => {}
        }
    }

    /// A permit that was dropped without a result, `silent` after the last sign of life.
    pub(crate) fn dropped(&mut self, ticket: &Ticket, silent: Duration, now: Instant, out: &mut Changes) {
        let hang = ticket.records && silent >= self.hang_threshold(now);
        self.record(ticket, if hang { Outcome::Hang } else { Outcome::Nothing }, now, out);
    }

    /// Counts a call that is still in flight, once, if it is as late as the settings say.
    pub(crate) fn overdue(&mut self, ticket: &mut Ticket, now: Instant, out: &mut Changes) {
        self.advance(now, out);
        let Some(limit) = self.rules.overdue_after else {
            return;
        };
        let late = now.saturating_duration_since(ticket.admitted) >= limit;
        if !late || ticket.overdue || !ticket.records || ticket.generation != self.generation {
            return;
        }
        // As a hang: nothing has come back that a ratio could count.
        self.record(ticket, Outcome::Hang, now, out);
        ticket.overdue = true;
    }

    pub(crate) fn hang_threshold(&self, now: Instant) -> Duration {
        self.rules.hang_after.max(self.pace.slowest(now).saturating_mul(2))
    }

    /// Forced open, disabled, or closed as if the probes had passed.
    pub(crate) fn force(&mut self, to: Phase, now: Instant, out: &mut Changes) {
        self.advance(now, out);
        if self.phase != to {
            self.enter(to, now, Reason::Manual, None, out);
        }
    }

    /// Closed, with nothing counted and no result of an earlier call to come.
    pub(crate) fn reset(&mut self, now: Instant, out: &mut Changes) {
        self.advance(now, out);
        self.enter(Phase::Closed, now, Reason::Manual, None, out);
        self.chance = Chance::new(now);
        self.last_success = None;
    }

    /// What the next question would meet. To look is no question: what falls due is left for that to make up for, and to
    /// tell of.
    pub(crate) fn state(&self, now: Instant) -> State {
        if self.is_due(now) {
            let mut then = self.clone();
            then.advance(now, &mut Changes::default());
            return then.shown(now);
        }
        self.shown(now)
    }

    fn shown(&self, now: Instant) -> State {
        State {
            phase: self.phase,
            generation: self.generation,
            run: self.run,
            totals: self.window.as_ref().map_or(self.totals, |window| window.totals(now)),
            in_phase_for: now.saturating_duration_since(self.since),
            opened_for: self.opened.map(|opened| now.saturating_duration_since(opened)),
            retry_in: self.retry_in(now, false),
            probes_in_flight: self.slots.probes(),
            probes_passed: self.passed,
            expired_leases: self.expired_leases,
        }
    }

    /// For how long a call would be refused; `None` where it would not.
    fn retry_in(&self, now: Instant, poll: bool) -> Option<Duration> {
        match self.phase {
            Phase::Closed | Phase::Disabled => None,
            Phase::Open => Some(self.until.saturating_duration_since(now)),
            Phase::ForcedOpen => Some(self.rules.open_max),
            Phase::HalfOpen if !poll && self.slots.probes() < self.places() => None,
            Phase::HalfOpen => {
                // One poll at a time, until it is parked.
                let free = self.slots.earliest_end(poll)?.saturating_duration_since(now);
                Some(free.min(BUSY_MAX))
            }
        }
    }

    /// The first probe goes alone.
    fn places(&self) -> usize {
        if self.passed == 0 { 1 } else { self.rules.probes }
    }

    pub(super) fn expired_leases(&self) -> u64 {
        self.expired_leases
    }

    /// Whether time alone has changed something since the last question.
    fn is_due(&self, now: Instant) -> bool {
        match self.phase {
            Phase::Open => now >= self.until,
            Phase::HalfOpen => self.slots.is_due(now),
            Phase::Closed | Phase::ForcedOpen | Phase::Disabled => false,
        }
    }

    fn advance(&mut self, now: Instant, out: &mut Changes) {
        if self.phase == Phase::HalfOpen {
            if let Some(Due { at, hung }) = self.slots.expire(now) {
                self.expired_leases += hung;
                self.open(at, Reason::ProbeHung, None, out);
            }
        }
        if self.phase == Phase::Open && now >= self.until {
            self.enter(Phase::HalfOpen, self.until, Reason::WaitOver, None, out);
        }
    }

    fn open(&mut self, at: Instant, reason: Reason, retry_after: Option<Duration>, out: &mut Changes) {
        let again = self.phase == Phase::HalfOpen;
        self.reopenings = match (again, self.passed) {
            (false, _) => 0,
            (true, 0) => self.reopenings.saturating_add(1),
            // It answers some of the calls: no reason to leave it alone for longer.
            (true, _) => self.reopenings,
        };
        let wait = self.rules.open.draw(self.reopenings, again.then_some(self.last_wait), &mut self.rng);
        self.last_wait = wait;
        let asked = retry_after.unwrap_or_default().min(self.rules.retry_after_max);
        let wait = wait.max(asked);
        self.until = later(at, wait);
        self.enter(Phase::Open, at, reason, Some(wait), out);
    }

    fn enter(&mut self, to: Phase, at: Instant, reason: Reason, wait: Option<Duration>, out: &mut Changes) {
        let from = self.phase;
        self.generation = self.generation.wrapping_add(1);
        self.phase = to;
        self.since = at;
        self.run = 0;
        self.chance.drop_run();
        self.event = None;
        self.totals = Totals::default();
        if let Some(window) = &mut self.window {
            window.clear();
        }
        self.slots.clear();
        self.passed = 0;
        let opened = *self.opened.get_or_insert(at);
        if matches!(to, Phase::Closed | Phase::Disabled) {
            self.opened = None;
        }
        if from != to {
            let opened_for = (to == Phase::Closed).then(|| at.saturating_duration_since(opened));
            out.push(Change { from, to, reason, generation: self.generation, wait, opened_for });
        }
    }
}

/// A moment that cannot overflow: where the clock ends, the longest wait that it can still show.
fn later(at: Instant, mut wait: Duration) -> Instant {
    loop {
        if let Some(then) = at.checked_add(wait) {
            return then;
        }
        wait /= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_beyond_the_end_of_the_clock_is_one_in_a_far_future() {
        let now = Instant::now();
        let century = Duration::from_secs(100 * 365 * 24 * 3600);
        assert_eq!(later(now, century), now + century);
        assert!(later(now, Duration::MAX) > now + century);
    }
}
