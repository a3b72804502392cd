//! The breaker once more, written for reading: time goes on tick by tick, and what counts is counted anew from the
//! whole history each time. [`check`] plays one history on it and on the machine and compares them after each step.

mod history;

use super::Phase;
use super::machine::Machine;
use super::settings::{ATTEMPT, HEALTH};
use super::values::{Change, Changes, Lease, Outcome, Refused, State, Ticket};
use super::window::Totals;
use history::{Op, Plan, TICK, decode, ticks};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
struct Call {
    generation: u32,
    admitted: u64,
    lease_end: u64,
    long_poll: bool,
    over: bool,
    overdue: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Success,
    Failure { in_run: bool },
    Neutral,
    Hang,
}

#[derive(Clone, Copy, Debug)]
struct Event {
    at: u64,
    took: u64,
    long_poll: bool,
    what: What,
}

struct Reference {
    plan: Plan,
    now: u64,
    phase: Phase,
    generation: u32,
    since: u64,
    opened: Option<u64>,
    until: u64,
    openings: u32,
    expired: u64,
    calls: Vec<Call>,
    /// Of this generation.
    events: Vec<Event>,
    /// When, and how long each took; of all generations.
    successes: Vec<(u64, u64)>,
    changes: Vec<(Phase, Phase, u32)>,
}

impl Reference {
    fn wait(&mut self, n: u64) {
        for _ in 0..n {
            self.now += 1;
            let over = |c: &Call| c.lease_end == self.now && !c.long_poll;
            let hung = self.probes().filter(|c| over(c)).count() as u64;
            if hung > 0 {
                self.expired += hung;
                self.open(0);
            }
            if self.phase == Phase::Open && self.now == self.until {
                self.enter(Phase::HalfOpen);
            }
        }
    }

    /// In flight. One whose lease ends in this very tick is still there for `wait` to find; a long poll just leaves.
    fn probes(&self) -> impl Iterator<Item = &Call> {
        let half_open = self.phase == Phase::HalfOpen;
        let in_flight = move |c: &&Call| half_open && c.generation == self.generation && !c.over;
        self.calls.iter().filter(in_flight).filter(|c| c.lease_end + u64::from(!c.long_poll) > self.now)
    }

    fn retry_in(&self) -> Option<Duration> {
        match self.phase {
            Phase::Open => Some(ticks(self.until - self.now)),
            Phase::ForcedOpen => Some(ticks(self.plan.open_max)),
            Phase::HalfOpen if self.probes().count() >= self.plan.probes => {
                self.probes().map(|c| ticks(c.lease_end - self.now).min(Duration::from_secs(1))).min()
            }
            _ => None,
        }
    }

    fn admit(&mut self, long_poll: bool) -> Result<(), Refused> {
        if let Some(retry_in) = self.retry_in() {
            return Err(Refused { retry_in });
        }
        let lease_end = self.now + self.plan.lease;
        let generation = self.generation;
        self.calls.push(Call {
            generation,
            admitted: self.now,
            lease_end,
            long_poll,
            over: false,
            overdue: false,
        });
        Ok(())
    }

    fn record(&mut self, call: usize, outcome: Outcome) {
        let Call { admitted, long_poll, overdue, over, generation, .. } = self.calls[call];
        let late = self.phase == Phase::HalfOpen && self.calls[call].lease_end <= self.now;
        self.calls[call].over = true;
        if over || late || generation != self.generation || matches!(self.phase, Phase::Disabled) {
            return;
        }
        let (what, retry_after) = match outcome {
            Outcome::Success => (What::Success, None),
            Outcome::TimedOut => (What::Failure { in_run: !overdue }, None),
            Outcome::Failure { retry_after } => (What::Failure { in_run: !overdue }, retry_after),
            Outcome::Neutral { retry_after } => (What::Neutral, retry_after),
            Outcome::Hang if overdue && self.phase == Phase::Closed => return,
            Outcome::Hang => (What::Hang, None),
            Outcome::Nothing => return,
        };
        let took = self.now - admitted;
        self.events.push(Event { at: self.now, took, long_poll, what });
        if what == What::Success && !long_poll {
            self.successes.push((self.now, took));
        }
        let retry_after = retry_after.map_or(0, |d| (d.as_millis() / TICK.as_millis()) as u64);
        let passed = self.passed();
        match (self.phase, what) {
            (Phase::Closed, _) if self.run() >= self.plan.failures => self.open(retry_after),
            (Phase::Closed, What::Hang) => {}
            (Phase::Closed, _) if self.ratio_says_open() => self.open(retry_after),
            (Phase::HalfOpen, What::Failure { .. } | What::Hang) => self.open(retry_after),
            (Phase::HalfOpen, What::Success) if passed >= self.plan.close_after => self.enter(Phase::Closed),
            _ => {}
        }
    }

    fn drop_call(&mut self, call: usize, heard: u64) {
        let silent = self.now - heard;
        // A step of four seconds is forgotten sixteen steps later.
        let step = |tick: u64| ticks(tick).as_secs() / 4;
        let recent = self.successes.iter().filter(|(at, _)| step(self.now) - step(*at) < 16);
        let slowest = recent.map(|(_, took)| *took).max().unwrap_or(0);
        let hang = !self.calls[call].long_poll && silent >= self.plan.hang_after.max(2 * slowest);
        self.record(call, if hang { Outcome::Hang } else { Outcome::Nothing });
    }

    fn overdue(&mut self, call: usize) {
        let Some(after) = self.plan.overdue_after else {
            return;
        };
        let c = self.calls[call];
        if c.over
            || c.overdue
            || c.long_poll
            || c.generation != self.generation
            || self.now < c.admitted + after
        {
            return;
        }
        self.record(call, Outcome::Hang);
        self.calls[call].over = false;
        self.calls[call].overdue = true;
    }

    fn run(&self) -> u64 {
        let since_success = self.events.iter().rev().take_while(|e| e.what != What::Success);
        since_success.filter(|e| matches!(e.what, What::Hang | What::Failure { in_run: true })).count() as u64
    }

    fn passed(&self) -> u64 {
        let half_open = self.phase == Phase::HalfOpen;
        self.events.iter().filter(|e| half_open && e.what == What::Success).count() as u64
    }

    fn totals(&self) -> Totals {
        let results: Vec<_> = self.events.iter().filter(|e| e.what != What::Hang).collect();
        let mut totals = Totals::default();
        if self.phase != Phase::Closed {
            return totals;
        }
        let Some(r) = &self.plan.ratio else {
            results.iter().for_each(|e| totals.add(e.what != What::Success, false));
            return totals;
        };
        let nanos = |tick: u64| tick * TICK.as_nanos() as u64;
        let step = nanos(r.window).div_ceil(r.buckets);
        let mut groups: Vec<Vec<&Event>> = Vec::new();
        for event in results {
            match groups.last_mut() {
                Some(group) if nanos(event.at - group[0].at) < step => group.push(event),
                _ => groups.push(vec![event]),
            }
        }
        let recent = |group: &Vec<&Event>| nanos(self.now - group[0].at) < step * r.buckets;
        for event in groups.iter().filter(|group| recent(group)).flatten() {
            totals.add(event.what != What::Success, event.took > r.slow_after && !event.long_poll);
        }
        totals
    }

    fn ratio_says_open(&self) -> bool {
        let Totals { calls, failures, slow } = self.totals();
        let Some(r) = &self.plan.ratio else {
            return false;
        };
        calls >= r.min_calls
            && (failures * 100 >= calls * r.failed_percent || slow * 100 >= calls * r.slow_percent)
    }

    fn open(&mut self, retry_after: u64) {
        self.openings = if self.phase == Phase::HalfOpen { self.openings + 1 } else { 0 };
        let wait = (0..self.openings).fold(self.plan.open, |wait, _| (wait * 2).min(self.plan.open_max));
        let wait = wait.min(self.plan.open_max);
        self.until = self.now + wait.max(retry_after.min(self.plan.open_max.max(3_000)));
        self.enter(Phase::Open);
    }

    fn enter(&mut self, to: Phase) {
        self.generation += 1;
        if self.phase != to {
            self.changes.push((self.phase, to, self.generation));
        }
        self.phase = to;
        self.since = self.now;
        self.opened = match to {
            Phase::Closed | Phase::Disabled => None,
            _ => Some(self.opened.unwrap_or(self.now)),
        };
        self.events.clear();
    }

    fn state(&self) -> State {
        State {
            phase: self.phase,
            generation: self.generation,
            run: self.run() as u32 * u32::from(self.phase == Phase::Closed),
            totals: self.totals(),
            in_phase_for: ticks(self.now - self.since),
            opened_for: self.opened.map(|opened| ticks(self.now - opened)),
            retry_in: self.retry_in(),
            probes_in_flight: self.probes().count(),
            probes_passed: self.passed() as u32,
            expired_leases: self.expired,
        }
    }
}

/// Plays the history that `bytes` stand for on both.
///
/// # Panics
/// Where they differ.
pub fn check(bytes: &[u8]) {
    let (plan, ops) = decode(bytes);
    let start = Instant::now();
    let settings = plan.settings();
    settings.check_alone().expect("valid settings");
    let rules = Arc::new(settings.rules(ATTEMPT, HEALTH));
    let mut machine = Machine::new(rules, fastrand::Rng::with_seed(0), start);
    let lease = ticks(plan.lease);
    let mut reference = Reference {
        plan,
        now: 0,
        phase: Phase::Closed,
        generation: 0,
        since: 0,
        opened: None,
        until: 0,
        openings: 0,
        expired: 0,
        calls: Vec::new(),
        events: Vec::new(),
        successes: Vec::new(),
        changes: Vec::new(),
    };
    // With its place in the reference; taken out when the call is over.
    let mut tickets: Vec<(usize, Ticket)> = Vec::new();
    let mut changes = Vec::new();
    for (n, op) in ops.iter().enumerate() {
        let mut out = Changes::default();
        let now = start + ticks(reference.now);
        // Mostly a young one: the old ones are of another generation.
        let pick = |call: usize, tickets: &Vec<_>| {
            let among = if call.is_multiple_of(4) { tickets.len() } else { tickets.len().min(3) };
            (among > 0).then(|| tickets.len() - 1 - call / 4 % among)
        };
        match *op {
            Op::Wait(n) => reference.wait(n),
            Op::Admit { long_poll } => {
                let answer = machine.admit(now, Lease { length: lease, records: !long_poll }, &mut out);
                assert_eq!(
                    answer.as_ref().map(drop),
                    reference.admit(long_poll).as_ref().map(drop),
                    "{n}: {op:?}"
                );
                if let Ok(ticket) = answer {
                    tickets.push((reference.calls.len() - 1, ticket));
                }
            }
            Op::Record(call, outcome) => {
                if let Some(at) = pick(call, &tickets) {
                    let (call, ticket) = tickets.swap_remove(at);
                    machine.record(&ticket, outcome, now, &mut out);
                    reference.record(call, outcome);
                }
            }
            Op::Drop { call, heard_after } => {
                if let Some(at) = pick(call, &tickets) {
                    let (call, ticket) = tickets.swap_remove(at);
                    let heard = (reference.calls[call].admitted + heard_after).min(reference.now);
                    machine.dropped(&ticket, ticks(reference.now - heard), now, &mut out);
                    reference.drop_call(call, heard);
                }
            }
            Op::Overdue(call) => {
                if let Some(at) = pick(call, &tickets) {
                    machine.overdue(&mut tickets[at].1, now, &mut out);
                    reference.overdue(tickets[at].0);
                }
            }
            Op::Force(to) => {
                machine.force(to, now, &mut out);
                if reference.phase != to {
                    reference.enter(to);
                }
            }
            Op::Reset => {
                machine.reset(now, &mut out);
                reference.enter(Phase::Closed);
            }
        }
        // Half of the time the machine is not asked, and has to make up for it later.
        if n % 2 == 0 {
            let state = machine.state(start + ticks(reference.now), &mut out);
            assert_eq!(state, reference.state(), "{n}: {op:?}");
            assert_eq!(machine.expired_leases(), state.expired_leases);
        }
        changes.extend(out.iter().map(|Change { from, to, generation, .. }| (*from, *to, *generation)));
    }
    let mut out = Changes::default();
    assert_eq!(machine.state(start + ticks(reference.now), &mut out), reference.state());
    changes.extend(out.iter().map(|Change { from, to, generation, .. }| (*from, *to, *generation)));
    assert_eq!(changes, reference.changes);
}
