//! Settings and steps, from any bytes: what a property test or a fuzzer makes up.

use crate::breaker::values::{Outcome, Place};
use crate::breaker::{Phase, Ratio, Settings};
use crate::retry::{Backoff, Jitter};
use std::time::Duration;

/// All times of a history are multiples of this.
pub(super) const TICK: Duration = Duration::from_millis(100);

pub(super) fn ticks(n: u64) -> Duration {
    TICK * u32::try_from(n).expect("a history of less than 13 years")
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) failures: u64,
    pub(super) ratio: Option<RatioPlan>,
    pub(super) open: u64,
    pub(super) open_max: u64,
    pub(super) probes: usize,
    pub(super) close_after: u64,
    pub(super) lease: u64,
    pub(super) hang_after: u64,
    pub(super) overdue_after: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct RatioPlan {
    pub(super) failed_percent: u64,
    pub(super) slow_percent: u64,
    pub(super) min_calls: u64,
    pub(super) window: u64,
    pub(super) buckets: u64,
    pub(super) slow_after: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Wait(u64),
    Admit(Place),
    HandOver(usize),
    Stream(usize),
    Record(usize, Outcome),
    Drop { call: usize, heard_after: u64 },
    Overdue(usize),
    Force(Phase),
    Reset,
}

/// Turns any bytes into a history: eleven of them into settings, each three of the rest into a step.
pub(super) fn decode(bytes: &[u8]) -> (Plan, Vec<Op>) {
    let mut bytes = bytes.iter().map(|b| u64::from(*b));
    let mut next = || bytes.next().unwrap_or(0);
    let mut plan = Plan {
        failures: 1 + next() % 6,
        ratio: None,
        open: 10 * (1 + next() % 6),
        open_max: 10 * (6 + next() % 40),
        probes: 1 + next() as usize % 4,
        close_after: 1 + next() % 4,
        lease: 20 + next() % 200,
        hang_after: 1 + next() % 20,
        overdue_after: (next() % 3 == 0).then_some(15),
    };
    let (on, shares, size) = (next(), next(), next());
    if on % 2 == 0 {
        plan.failures += 4;
        plan.ratio = Some(RatioPlan {
            failed_percent: 10 * (1 + shares % 10),
            slow_percent: 10 * (1 + shares / 10 % 10),
            min_calls: 1 + size % 10,
            window: 1 + on / 2,
            buckets: 1 + size / 10 % 12,
            slow_after: 10,
        });
    }
    let mut ops = Vec::new();
    let mut steps = bytes;
    while let (Some(what), Some(a), b) = (steps.next(), steps.next(), steps.next().unwrap_or(0)) {
        let call = a as usize;
        let retry_after = (b % 4 == 0).then(|| ticks(b * 30));
        // Commands are rare, so that most histories get somewhere by themselves.
        ops.push(match what % 64 {
            0..=7 => Op::Wait(1 + a % 10),
            8..=11 => Op::Wait(1 + a * 3),
            12 => Op::Wait(a * b),
            13..=27 => match a % 8 {
                0 => Op::Admit(Place::Poll),
                1..=2 => Op::Admit(Place::Unsent),
                _ => Op::Admit(Place::Sent),
            },
            28 => Op::HandOver(call),
            29 => Op::Stream(call),
            30..=39 => Op::Record(call, Outcome::Success),
            40..=45 => Op::Record(call, Outcome::Failure { retry_after }),
            46..=49 => Op::Record(call, Outcome::TimedOut),
            50..=51 => Op::Record(call, Outcome::Neutral { retry_after }),
            52 => Op::Record(call, Outcome::Nothing),
            53..=57 => Op::Drop { call, heard_after: b % 32 },
            58..=61 => Op::Overdue(call),
            62 if a % 4 == 0 => Op::Reset,
            63 if a % 4 == 0 => Op::Force([Phase::ForcedOpen, Phase::Disabled, Phase::Closed][call / 4 % 3]),
            _ => Op::Admit(Place::Sent),
        });
    }
    (plan, ops)
}

impl Plan {
    pub(super) fn settings(&self) -> Settings {
        let mut settings = Settings::default()
            .failures(self.failures as u32)
            .open(Backoff::exponential(ticks(self.open)).cap(ticks(self.open_max)).jitter(Jitter::None))
            .half_open(self.probes as u32, self.close_after as u32)
            .lease(ticks(self.lease))
            .hang_after(ticks(self.hang_after));
        if let Some(after) = self.overdue_after {
            settings = settings.overdue_after(ticks(after));
        }
        if let Some(r) = &self.ratio {
            settings = settings.ratio(
                Ratio::default()
                    .failure_ratio(r.failed_percent as f64 / 100.0)
                    .slow_ratio(r.slow_percent as f64 / 100.0)
                    .min_calls(r.min_calls as u32)
                    .window(ticks(r.window))
                    .buckets(r.buckets as u32)
                    .slow_after(ticks(r.slow_after)),
            );
        }
        settings
    }
}
