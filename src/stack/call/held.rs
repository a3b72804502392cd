//! What a call holds of what it shares with others, and gives back when it ends: its permit, its part in a health check,
//! its place at a gate.

use crate::breaker::{Admitted, Breaker, Outcome};
use crate::health::{SingleFlight, Waiting};
use crate::stack::gates::{Place, SharedGates};
use tokio::time::Instant;

/// Nothing is held before the first admission.
#[derive(Default)]
pub(super) struct Held {
    /// Of the circuit breaker, for the attempt under way.
    pub(super) permit: Option<Admitted>,
    /// In the health check that goes before it.
    pub(super) probe: Probe,
    /// Where it waits at a gate.
    pub(super) place: Option<Box<Place>>,
}

/// This call's part in a health check.
#[derive(Debug, Default)]
pub(super) enum Probe {
    /// None: there is no check, or it is over.
    #[default]
    None,
    /// It makes the check.
    Leading(u64),
    /// It waits for the check of another call.
    Waiting(Box<Waiting>),
}

/// Why a call was given up that says nothing more of its attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GivenUp {
    /// The program ends: what a shutdown cuts off was not hung.
    Ending,
    /// A reader that leaves a stream has had what it wanted, unless it waited in vain.
    Stream,
    /// Its caller gave it up.
    Dropped,
}

impl Held {
    /// How the attempt went. Said once: what comes later finds no permit.
    #[inline]
    pub(super) fn settle(&mut self, breaker: &Breaker, outcome: Outcome, now: Instant) {
        if let Some(permit) = self.permit.take() {
            permit.record(breaker, outcome, now);
        }
    }

    /// The attempt has no result of its own. The permit judges by how long it has heard nothing.
    pub(super) fn leave(&mut self, breaker: &Breaker, left: GivenUp, now: impl FnOnce() -> Instant) {
        let Some(permit) = self.permit.take() else { return };
        match left {
            GivenUp::Ending => permit.record(breaker, Outcome::Nothing, now()),
            GivenUp::Stream => permit.leave_stream(breaker, now()),
            GivenUp::Dropped => permit.abandon(breaker),
        }
    }

    /// A sign of life.
    #[inline]
    pub(super) fn heard(&mut self, now: Instant) {
        if let Some(permit) = &mut self.permit {
            permit.heard_at(now);
        }
    }

    /// Whether the server is waited for. Whoever waits for an address, or for room in a pool of its own, does not: how long
    /// that takes, and is silent, counts from then on.
    pub(super) fn listens(&mut self, to_the_server: bool, now: Instant) {
        match &mut self.permit {
            Some(permit) if to_the_server => permit.listen(now),
            Some(permit) => permit.quiet(),
            None => {}
        }
    }

    /// Nobody listens: silence is the reader's own.
    #[inline]
    pub(super) fn quiet(&mut self) {
        if let Some(permit) = &mut self.permit {
            permit.quiet();
        }
    }

    /// Whether the code of the inner service runs: only there a panic is its own.
    #[inline]
    pub(super) fn in_service(&mut self, inside: bool) {
        if let Some(permit) = &mut self.permit {
            permit.in_service(inside);
        }
    }

    /// It takes so long that it counts as a failure already.
    pub(super) fn overdue(&mut self, breaker: &Breaker, now: Instant) {
        if let Some(permit) = &mut self.permit {
            permit.note_overdue(breaker, now);
        }
    }

    /// The round of probes that the attempt is one of; none where the circuit was closed.
    pub(super) fn half_open(&self) -> Option<u64> {
        self.permit.as_ref()?.half_open_generation()
    }

    /// Its part in a health check, which is over for it.
    pub(super) fn end_probe(&mut self) -> Probe {
        std::mem::take(&mut self.probe)
    }

    /// Without a verdict: another call may lead the check.
    #[inline]
    pub(super) fn leave_probe(&mut self, flight: Option<&SingleFlight>) {
        let Some(flight) = flight else { return };
        match &self.probe {
            Probe::None => return,
            Probe::Leading(number) => flight.abandon(*number),
            Probe::Waiting(waiting) => flight.leave(waiting),
        }
        self.probe = Probe::None;
    }

    /// It waits at no gate any more.
    #[inline]
    pub(super) fn leave_gate(&mut self, gates: &SharedGates) {
        if let Some(waits) = self.place.take() {
            gates.with(|gates| gates.leave(waits.key, waits.place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::{Phase as Circuit, Settings};
    use crate::health::{Answer, Mode};
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn admitted(breaker: &Breaker) -> Held {
        let permit = breaker.admit(Instant::now(), breaker.lease()).ok();
        Held { permit, ..Held::default() }
    }

    fn breaker() -> Breaker {
        Breaker::new("api", Settings::default().failures(1).hang_after(SECOND)).expect("valid settings")
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_word_on_an_attempt_is_the_last() {
        let breaker = breaker();
        let mut held = admitted(&breaker);
        held.settle(&breaker, Outcome::Success, Instant::now());
        held.settle(&breaker, Outcome::Failure { retry_after: None }, Instant::now());
        held.leave(&breaker, GivenUp::Dropped, Instant::now);
        assert_eq!(breaker.phase(), Circuit::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_left_in_silence_was_hung_unless_the_program_ends() {
        for (left, phase) in [
            (GivenUp::Dropped, Circuit::Open),
            (GivenUp::Stream, Circuit::Open),
            (GivenUp::Ending, Circuit::Closed),
        ] {
            let breaker = breaker();
            let mut held = admitted(&breaker);
            tokio::time::advance(2 * SECOND).await;
            held.leave(&breaker, left, Instant::now);
            assert_eq!(breaker.phase(), phase, "{left:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_not_counted_while_nobody_listens_nor_after_a_sign_of_life() {
        let breaker = breaker();
        let mut held = admitted(&breaker);
        held.quiet();
        tokio::time::advance(2 * SECOND).await;
        held.leave(&breaker, GivenUp::Dropped, Instant::now);
        let mut held = admitted(&breaker);
        tokio::time::advance(2 * SECOND).await;
        held.heard(Instant::now());
        held.leave(&breaker, GivenUp::Dropped, Instant::now);
        assert_eq!(breaker.phase(), Circuit::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn how_long_a_server_takes_is_counted_from_the_end_of_the_wait_for_its_address() {
        for (silent, phase) in [(SECOND / 2, Circuit::Closed), (SECOND, Circuit::Open)] {
            let breaker = breaker();
            let mut held = admitted(&breaker);
            held.listens(false, Instant::now());
            tokio::time::advance(4 * SECOND).await;
            held.listens(true, Instant::now());
            for _ in 0..4 {
                tokio::time::advance(silent / 4).await;
                held.listens(true, Instant::now());
            }
            held.leave(&breaker, GivenUp::Dropped, Instant::now);
            assert_eq!(breaker.phase(), phase, "{silent:?}");
        }
        let late = Settings::default().failures(1).hang_after(SECOND).overdue_after(SECOND);
        let breaker = Breaker::new("api", late).expect("valid settings");
        let mut held = admitted(&breaker);
        held.listens(false, Instant::now());
        tokio::time::advance(4 * SECOND).await;
        held.listens(true, Instant::now());
        let overdue = held.permit.as_ref().and_then(|permit| permit.overdue_at(&breaker));
        assert_eq!(overdue, Some(Instant::now() + SECOND), "it is not late yet");
        held.listens(false, Instant::now());
        tokio::time::advance(4 * SECOND).await;
        held.leave(&breaker, GivenUp::Dropped, Instant::now);
        assert_eq!(breaker.phase(), Circuit::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_a_health_check_without_a_verdict_lets_another_lead() {
        let flight = SingleFlight::new(SECOND, SECOND, Mode::default());
        let Answer::Lead(number) = flight.ask(None, Instant::now()) else { panic!("nobody checks yet") };
        let mut held = Held { probe: Probe::Leading(number), ..Held::default() };
        held.leave_probe(Some(&flight));
        assert!(matches!(held.end_probe(), Probe::None));
        assert!(matches!(flight.ask(None, Instant::now()), Answer::Lead(_)));
    }
}
