//! What an operator sees of a breaker, and may tell it.

use crate::breaker::machine::Machine;
use crate::breaker::shared::{BACKLOG, Breaker};
use crate::breaker::values::Changes;
use crate::breaker::{Phase, Snapshot, Transition};
use crate::telemetry::{self, ClientName};
use std::fmt;
use std::sync::Arc;
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

impl Breaker {
    /// The client that calls the origin: its name, or its number. None for a breaker outside of a stack.
    pub fn client(&self) -> Option<&std::sync::Arc<str>> {
        self.0.of.client.as_ref().map(ClientName::name)
    }

    /// All there is to know at this moment.
    pub fn snapshot(&self) -> Snapshot {
        let now = Instant::now();
        let state = self.ask(|machine, out| {
            self.collect_successes(machine);
            machine.state(now, out)
        });
        Snapshot {
            origin: std::sync::Arc::clone(&self.0.of.origin),
            group: self.0.of.group.clone(),
            client: self.0.of.client(),
            phase: state.phase,
            in_phase_for: state.in_phase_for,
            opened_for: state.opened_for,
            retry_in: state.retry_in,
            consecutive_failures: state.run,
            calls: state.totals.calls,
            failures: state.totals.failures,
            slow: state.totals.slow,
            probes_in_flight: state.probes_in_flight,
            probes_passed: state.probes_passed,
            expired_leases: state.expired_leases,
            generation: u64::from(state.generation),
            gates: 0,
            gate_opens_in: None,
        }
    }

    /// Whether the circuit is closed. Time alone never closes it, so that this needs no question to the machine.
    pub(crate) fn is_closed(&self) -> bool {
        self.word().is_closed()
    }

    /// What happens to the next call.
    pub fn phase(&self) -> Phase {
        if self.word().is_closed() {
            return Phase::Closed;
        }
        let now = Instant::now();
        self.ask(|machine, out| machine.state(now, out).phase)
    }

    /// Every transition from now on. A receiver that falls 64 behind is told how many it missed.
    ///
    /// A breaker has no timer: the end of an open wait and of a lease are noticed by the next call or snapshot.
    pub fn subscribe(&self) -> broadcast::Receiver<Transition> {
        self.0.own.get_or_init(|| broadcast::Sender::new(BACKLOG)).subscribe()
    }

    /// Refuses every call until [`reset`](Breaker::reset) or another command. Refusals name the longest open wait.
    pub fn force_open(&self) {
        self.command(|machine, now, out| machine.force(Phase::ForcedOpen, now, out));
    }

    /// Closes the circuit now, as if the probes had passed. Nothing happens where it is closed already.
    pub fn force_closed(&self) {
        self.command(|machine, now, out| machine.force(Phase::Closed, now, out));
    }

    /// Admits every call and records nothing, until [`reset`](Breaker::reset) or another command.
    pub fn disable(&self) {
        self.command(|machine, now, out| machine.force(Phase::Disabled, now, out));
    }

    /// Closed, with all counts at zero and nothing remembered of earlier failures, whatever it was before. Results of calls that are in flight are dropped.
    pub fn reset(&self) {
        self.command(|machine, now, out| machine.reset(now, out));
    }

    /// Told of every change of phase from the moment on at which one begins to listen.
    pub(crate) fn changed(&self) -> &Notify {
        &self.0.changed
    }

    /// Told when the circuit closes; whoever knows of other good news of the origin tells it too.
    pub(crate) fn better(&self) -> &Arc<Notify> {
        &self.0.better
    }

    fn command(&self, command: impl FnOnce(&mut Machine, Instant, &mut Changes)) {
        let now = Instant::now();
        self.ask(|machine, out| {
            self.collect_successes(machine);
            command(machine, now, out);
        });
    }

    #[cold]
    pub(super) fn publish(&self, changes: &Changes) {
        for change in changes.iter() {
            let transition = Transition {
                origin: std::sync::Arc::clone(&self.0.of.origin),
                group: self.0.of.group.clone(),
                client: self.0.of.client(),
                from: change.from,
                to: change.to,
                reason: change.reason,
                generation: u64::from(change.generation),
                wait: change.wait,
                opened_for: change.opened_for,
            };
            telemetry::breaker(&self.0.of, change.from.as_str(), change.to.as_str(), &change.reason);
            for channel in [self.0.own.get(), self.0.shared.as_ref()].into_iter().flatten() {
                // An error says that nobody listens.
                let _ = channel.send(transition.clone());
            }
            self.0.changed.notify_waiters();
            if matches!(change.to, Phase::Closed | Phase::Disabled) {
                self.0.better.notify_waiters();
            }
        }
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closed = self.word().is_closed();
        f.debug_struct("Breaker")
            .field("name", &self.0.of.origin)
            .field("group", &self.0.of.group)
            .field("closed", &closed)
            .finish_non_exhaustive()
    }
}
