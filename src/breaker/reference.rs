//! The breaker once more, written for reading: time goes on tick by tick, and what counts is counted anew from the
//! whole history each time. [`check`] plays one history on it and on the machine and compares them after each step.

mod counts;
mod history;
mod play;

pub use play::check;

use crate::breaker::Phase;
use crate::breaker::values::{Outcome, Place, Refused, State};
use history::{Plan, TICK, ticks};
use std::time::Duration;

/// A second, and the tenth of it that an event lasts.
const SECOND: u64 = 10;
const EVENT: u64 = 1;
/// How long a call that is not sent yet keeps its place.
const UNSENT: u64 = 15;

#[derive(Clone, Copy, Debug)]
struct Call {
    generation: u32,
    /// Admitted while half-open.
    probing: bool,
    place: Place,
    sent: u64,
    /// When its place is free at the latest.
    end: u64,
    over: bool,
    overdue: bool,
    streams: bool,
}

impl Call {
    fn is_poll(&self) -> bool {
        self.place == Place::Poll
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Success,
    Failure { in_run: bool },
    Neutral,
    Hang { in_run: bool },
}

#[derive(Clone, Copy, Debug)]
struct Event {
    at: u64,
    took: u64,
    timed: bool,
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
    /// The first failure of the last that were one.
    one_event: Option<u64>,
    /// When, and whether it failed: since the last reset, without the present run and those that opened the circuit.
    record: Vec<(u64, bool)>,
    last_success: Option<u64>,
    /// When, and how long each took; of all generations.
    successes: Vec<(u64, u64)>,
    changes: Vec<(Phase, Phase, u32)>,
}

impl Reference {
    fn wait(&mut self, n: u64) {
        for _ in 0..n {
            self.now += 1;
            let over = |c: &Call| c.end == self.now && c.place == Place::Sent;
            let hung = self.probes(false).filter(|c| over(c)).count() as u64;
            if hung > 0 {
                self.expired += hung;
                self.open(0);
            }
            if self.phase == Phase::Open && self.now == self.until {
                self.enter(Phase::HalfOpen);
            }
        }
    }

    /// In flight. One whose lease ends in this very tick is still there for `wait` to find; the others just leave.
    fn probes(&self, polls: bool) -> impl Iterator<Item = &Call> {
        let half_open = self.phase == Phase::HalfOpen;
        let in_flight = move |c: &&Call| half_open && c.probing && c.generation == self.generation && !c.over;
        let there = |c: &&Call| c.end + u64::from(c.place == Place::Sent) > self.now;
        self.calls.iter().filter(in_flight).filter(there).filter(move |c| c.is_poll() == polls)
    }

    fn retry_in(&self, poll: bool) -> Option<Duration> {
        let places = if poll || self.passed() == 0 { 1 } else { self.plan.probes };
        match self.phase {
            Phase::Open => Some(ticks(self.until - self.now)),
            Phase::ForcedOpen => Some(ticks(self.plan.open_max)),
            Phase::HalfOpen if self.probes(poll).count() >= places => {
                self.probes(poll).map(|c| ticks((c.end - self.now).min(SECOND))).min()
            }
            _ => None,
        }
    }

    fn admit(&mut self, place: Place) -> Result<(), Refused> {
        if let Some(retry_in) = self.retry_in(place == Place::Poll) {
            return Err(Refused { retry_in });
        }
        let length = match place {
            Place::Sent | Place::Answered => self.plan.lease,
            Place::Unsent => UNSENT,
            Place::Poll => SECOND,
        };
        self.calls.push(Call {
            generation: self.generation,
            probing: self.phase == Phase::HalfOpen,
            place,
            sent: self.now,
            end: self.now + length,
            over: false,
            overdue: false,
            streams: false,
        });
        Ok(())
    }

    fn hand_over(&mut self, call: usize) -> bool {
        let (now, lease) = (self.now, self.plan.lease);
        let current = self.calls[call].generation == self.generation;
        let c = &mut self.calls[call];
        let there = c.end > now;
        if c.probing && !(current && (there || c.is_poll())) {
            return false;
        }
        c.sent = now;
        if c.probing && there {
            c.end = now + if c.is_poll() { SECOND } else { lease };
            c.place = if c.is_poll() { Place::Poll } else { Place::Sent };
        }
        true
    }

    fn stream(&mut self, call: usize) {
        if self.calls[call].probing {
            self.record(call, Outcome::Success);
        }
        let generation = self.generation;
        let c = &mut self.calls[call];
        if c.probing {
            (c.generation, c.probing, c.over) = (generation, false, false);
        }
        c.streams = true;
    }

    fn record(&mut self, call: usize, outcome: Outcome) {
        let c = self.calls[call];
        let (poll, took) = (c.is_poll(), self.now - c.sent);
        let late = self.phase == Phase::HalfOpen && !poll && (c.end <= self.now || !c.probing);
        let parked = self.phase == Phase::HalfOpen && poll && took >= SECOND;
        self.calls[call].over = true;
        if c.over || late || c.generation != self.generation || matches!(self.phase, Phase::Disabled) {
            return;
        }
        let (what, retry_after) = match outcome {
            Outcome::Success => (What::Success, None),
            Outcome::TimedOut => (What::Failure { in_run: !c.overdue }, None),
            Outcome::Failure { .. } if self.phase == Phase::Closed && self.is_one_event(c.sent) => return,
            Outcome::Hang if c.streams && self.phase == Phase::Closed && self.is_one_event(c.sent) => return,
            Outcome::Failure { retry_after } => (What::Failure { in_run: !c.overdue }, retry_after),
            Outcome::Neutral { retry_after } => (What::Neutral, retry_after),
            Outcome::Hang => (What::Hang { in_run: !c.overdue }, None),
            Outcome::Nothing => return,
        };
        let failed = matches!(what, What::Failure { .. } | What::Hang { .. });
        if failed && parked {
            return;
        }
        let timed = !poll && !c.streams;
        let slow = timed && self.plan.ratio.as_ref().is_some_and(|r| took > r.slow_after);
        if what == What::Success {
            self.last_success = Some(self.now);
            if timed {
                self.successes.push((self.now, took));
            }
            if self.phase == Phase::HalfOpen && slow {
                return self.open(0);
            }
            if self.phase == Phase::Closed {
                let run = self.present_run().map(|e| (e.at, true)).collect::<Vec<_>>();
                self.record.extend(run);
                self.record.push((self.now, false));
            }
        }
        self.events.push(Event { at: self.now, took, timed, what });
        let retry_after = retry_after.map_or(0, |d| (d.as_millis() / TICK.as_millis()) as u64);
        match (self.phase, what) {
            (Phase::Closed, _) if failed && self.is_down() => self.open(retry_after),
            (Phase::Closed, What::Hang { .. }) => {}
            (Phase::Closed, _) if self.ratio_says_open() => self.open(retry_after),
            (Phase::HalfOpen, _) if failed => self.open(retry_after),
            (Phase::HalfOpen, What::Success) if self.passed() >= self.plan.close_after => {
                self.enter(Phase::Closed);
            }
            _ => {}
        }
    }

    fn is_one_event(&mut self, sent: u64) -> bool {
        let one = self.one_event.is_some_and(|first| sent < first && self.now - first <= EVENT);
        if !one {
            self.one_event = Some(self.now);
        }
        one
    }

    /// Longer than chance explains: what happens by chance once in a million times is no chance.
    fn is_down(&self) -> bool {
        let weight = |at: &u64| (-(ticks(self.now - at).as_secs_f64()) / 60.0).exp();
        let all: f64 = self.record.iter().map(|(at, _)| weight(at)).sum();
        let failed: f64 = self.record.iter().filter(|(_, failed)| *failed).map(|(at, _)| weight(at)).sum();
        let share = failed / (all + 10.0);
        let run = self.run();
        let explained = share.powf(run as f64) > 1e-6 * (1.0 + 1e-12);
        let quiet = self.last_success.is_none_or(|last| self.now - last >= SECOND);
        quiet && run >= self.plan.failures && (!explained || run >= 60.max(self.plan.failures))
    }

    fn drop_call(&mut self, call: usize, heard: u64) {
        let silent = self.now - heard;
        // A step of four seconds is forgotten sixteen steps later.
        let step = |tick: u64| ticks(tick).as_secs() / 4;
        let recent = self.successes.iter().filter(|(at, _)| step(self.now) - step(*at) < 16);
        let slowest = recent.map(|(_, took)| *took).max().unwrap_or(0);
        let hang = !self.calls[call].is_poll() && silent >= self.plan.hang_after.max(2 * slowest);
        self.record(call, if hang { Outcome::Hang } else { Outcome::Nothing });
    }

    fn overdue(&mut self, call: usize) {
        let Some(after) = self.plan.overdue_after else {
            return;
        };
        let c = self.calls[call];
        if c.over || c.overdue || c.is_poll() || c.generation != self.generation || self.now < c.sent + after
        {
            return;
        }
        self.record(call, Outcome::Hang);
        self.calls[call].over = false;
        self.calls[call].overdue = true;
    }

    fn present_run(&self) -> impl Iterator<Item = &Event> {
        let since_success = self.events.iter().rev().take_while(|e| e.what != What::Success);
        since_success
            .filter(|e| matches!(e.what, What::Hang { in_run: true } | What::Failure { in_run: true }))
    }

    fn run(&self) -> u64 {
        self.present_run().count() as u64
    }

    fn passed(&self) -> u64 {
        let half_open = self.phase == Phase::HalfOpen;
        self.events.iter().filter(|e| half_open && e.what == What::Success).count() as u64
    }

    fn open(&mut self, retry_after: u64) {
        self.openings = match (self.phase, self.passed()) {
            (Phase::HalfOpen, 0) => self.openings + 1,
            (Phase::HalfOpen, _) => self.openings,
            _ => 0,
        };
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
        self.one_event = None;
    }

    fn reset(&mut self) {
        self.enter(Phase::Closed);
        self.record.clear();
        self.last_success = None;
    }

    fn state(&self) -> State {
        State {
            phase: self.phase,
            generation: self.generation,
            run: self.run() as u32 * u32::from(self.phase == Phase::Closed),
            totals: self.totals(),
            in_phase_for: ticks(self.now - self.since),
            opened_for: self.opened.map(|opened| ticks(self.now - opened)),
            retry_in: self.retry_in(false),
            probes_in_flight: self.probes(false).count(),
            probes_passed: self.passed() as u32,
            expired_leases: self.expired,
        }
    }
}
