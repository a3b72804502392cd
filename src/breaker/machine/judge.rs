//! What a result means for the circuit.

use crate::breaker::machine::Machine;
use crate::breaker::values::{Changes, Outcome, PARKED, Ticket};
use crate::breaker::window::Totals;
use crate::breaker::{Phase, Reason};
use std::time::Duration;
use tokio::time::Instant;

/// A server that answered less than this ago is not down, however many calls fail meanwhile.
const QUIET: Duration = Duration::from_secs(1);
/// What one fault does to many calls shows within this time.
const EVENT: Duration = Duration::from_millis(100);

impl Machine {
    pub(super) fn judge(&mut self, ticket: &Ticket, outcome: Outcome, now: Instant, out: &mut Changes) {
        let in_run = match outcome {
            Outcome::Nothing => return,
            Outcome::Failure { .. } if self.is_of_an_event(ticket, now) => return,
            // Streams stall together, and their readers leave together.
            Outcome::Hang if ticket.streams && self.is_of_an_event(ticket, now) => return,
            Outcome::Failure { .. } | Outcome::TimedOut | Outcome::Hang => {
                if !ticket.overdue {
                    self.run = self.run.saturating_add(1);
                    self.chance.failed(now);
                }
                true
            }
            Outcome::Neutral { .. } => false,
            Outcome::Success => {
                self.run = 0;
                self.chance.succeeded(now);
                self.answered(ticket, now);
                false
            }
        };
        // Of a hang nothing came back that a ratio could count.
        let ratio = if outcome == Outcome::Hang { None } else { self.count(ticket, outcome, now) };
        let reason = if in_run && self.is_down(now) {
            Some(Reason::Consecutive { failures: self.run })
        } else {
            ratio
        };
        if let Some(reason) = reason {
            self.open(now, reason, outcome.retry_after(), out);
        }
    }

    /// Whether this failure is one more of many that have one cause: a backend that dies takes along all that it was
    /// doing. Another begins where it is not.
    fn is_of_an_event(&mut self, ticket: &Ticket, now: Instant) -> bool {
        let same = |first| ticket.admitted < first && now.saturating_duration_since(first) <= EVENT;
        let same = self.event.is_some_and(same);
        if !same {
            self.event = Some(now);
        }
        same
    }

    /// Whether the run is longer than chance explains, and nothing else came for a while.
    fn is_down(&mut self, now: Instant) -> bool {
        let quiet = |last: Instant| now.saturating_duration_since(last) >= QUIET;
        self.run >= self.rules.failures
            && self.last_success.is_none_or(quiet)
            && self.run >= self.chance.needed(self.rules.failures, now)
    }

    fn answered(&mut self, ticket: &Ticket, now: Instant) {
        self.last_success = self.last_success.max(Some(now));
        if ticket.timed {
            self.pace.note(now, now.saturating_duration_since(ticket.admitted));
        }
    }

    /// Counts a result, and says whether the ratio rule opens the circuit for it.
    fn count(&mut self, ticket: &Ticket, outcome: Outcome, now: Instant) -> Option<Reason> {
        let failed = outcome != Outcome::Success;
        let slow = self.is_slow(ticket, now);
        let (Some(rule), Some(window)) = (&self.rules.ratio, &mut self.window) else {
            self.totals.add(failed, false);
            return None;
        };
        let Totals { calls, failures, slow } = window.record(now, failed, slow);
        // Divided, not multiplied: 3 of 10 is then the same number as a ratio written as 0.3.
        let too_many = |part: u64, ratio: f64| part as f64 / calls as f64 >= ratio;
        if calls < rule.min_calls {
            None
        } else if too_many(failures, rule.failure_ratio) {
            Some(Reason::FailureRatio { failures, calls })
        } else if too_many(slow, rule.slow_ratio) {
            Some(Reason::SlowRatio { slow, calls })
        } else {
            None
        }
    }

    fn is_slow(&self, ticket: &Ticket, now: Instant) -> bool {
        let took = now.saturating_duration_since(ticket.admitted);
        ticket.timed && self.rules.ratio.as_ref().is_some_and(|rule| took > rule.slow_after)
    }

    pub(super) fn judge_probe(&mut self, ticket: &Ticket, outcome: Outcome, now: Instant, out: &mut Changes) {
        let held = self.slots.free(ticket.slot);
        let poll = ticket.slot != 0 && !ticket.records;
        if !held && !poll {
            // Its lease is over: what it says now was settled then.
            return;
        }
        let parked = poll && now.saturating_duration_since(ticket.admitted) >= PARKED;
        match outcome {
            Outcome::Nothing | Outcome::Neutral { .. } => {}
            Outcome::Success => {
                self.answered(ticket, now);
                if self.is_slow(ticket, now) {
                    return self.open(now, Reason::ProbeSlow, None, out);
                }
                self.passed += 1;
                if self.passed >= self.rules.close_after {
                    self.enter(Phase::Closed, now, Reason::ProbesPassed, None, out);
                }
            }
            // Somebody between here and the server grew tired of it.
            Outcome::Hang | Outcome::TimedOut | Outcome::Failure { .. } if parked => {}
            Outcome::Hang => self.open(now, Reason::ProbeHung, None, out),
            Outcome::TimedOut | Outcome::Failure { .. } => {
                self.open(now, Reason::ProbeFailed, outcome.retry_after(), out);
            }
        }
    }
}
