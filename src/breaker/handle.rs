//! The handle of a breaker: admission, snapshots and commands.

use crate::breaker::admitted::Admitted;
use crate::breaker::machine::Machine;
use crate::breaker::permit::Permit;
use crate::breaker::settings::{ATTEMPT, Settings};
use crate::breaker::shared::{BACKLOG, Breaker};
use crate::breaker::values::{Changes, Lease, Refused};
use crate::breaker::{Phase, Snapshot, Transition};
use crate::error::{Error, ErrorKind};
use crate::options::Group;
use crate::telemetry::{ClientName, Subject};
use std::fmt;
use std::sync::Arc;
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

impl Breaker {
    /// A breaker of its own, not part of any stack.
    ///
    /// The settings mean the same as in a stack; defaults that depend on the attempt limit assume 10 s.
    ///
    /// # Errors
    /// Kind `Config` for a setting of zero, a duration above 10 years, a ratio outside (0, 1].
    pub fn new(name: impl Into<std::sync::Arc<str>>, settings: Settings) -> Result<Breaker, Error> {
        settings.check_alone()?;
        let rules = Arc::new(settings.rules(ATTEMPT));
        Ok(Breaker::make(Subject::named(name.into()), &rules, None))
    }

    /// Asks for a permit for one call. Report its outcome to the permit; without a report, dropping it counts as a hang if the
    /// server was silent for long.
    ///
    /// # Errors
    /// Kind `Open` while the circuit is open or all probes are taken; [`Error::retry_in`] says when to come back.
    #[inline]
    pub fn acquire(&self) -> Result<Permit<&Breaker>, Error> {
        let ticket = self.ticket(Instant::now(), self.lease()).map_err(refusal)?;
        Ok(Permit::new(self, ticket))
    }

    /// As [`acquire`](Breaker::acquire), for a permit that has to live longer than the borrow.
    ///
    /// # Errors
    /// As [`acquire`](Breaker::acquire).
    #[inline]
    pub fn acquire_owned(&self) -> Result<Permit, Error> {
        let ticket = self.ticket(Instant::now(), self.lease()).map_err(refusal)?;
        Ok(Permit::new(self.clone(), ticket))
    }

    /// As [`acquire`](Breaker::acquire), without the cost of an error, for a caller that keeps the handle elsewhere.
    #[inline(always)]
    pub(crate) fn admit(&self, now: Instant, lease: Lease) -> Result<Admitted, Refused> {
        Ok(Admitted::new(self.ticket(now, lease)?))
    }

    /// The origin, or the name given to [`new`](Breaker::new).
    pub fn name(&self) -> &std::sync::Arc<str> {
        &self.0.of.origin
    }

    /// The group of the origin that it belongs to, in a stack whose requests name groups.
    pub fn group(&self) -> Option<&Group> {
        self.0.of.group.as_ref()
    }

    /// The client that calls the origin: its name, or its number. None for a breaker outside of a stack.
    pub fn client(&self) -> Option<&std::sync::Arc<str>> {
        self.0.of.client.as_ref().map(ClientName::name)
    }

    /// The present state. Reading it changes nothing: see [`phase`](Breaker::phase).
    pub fn snapshot(&self) -> Snapshot {
        let now = Instant::now();
        let state = self.ask(|machine, _| {
            self.collect_successes(machine);
            machine.state(now)
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

    /// The phase, which decides about the next call.
    ///
    /// Reading it makes no transition: it is `HalfOpen` as soon as the open wait is over, but the transition is made, logged
    /// and sent to [subscribers](Breaker::subscribe) by the next call.
    ///
    /// ```
    /// use unwedge::breaker::{Breaker, Phase, Settings};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), unwedge::Error> {
    /// let breaker = Breaker::new("agent runs", Settings::default().failures(1))?;
    /// breaker.acquire()?.failure();
    /// let mut transitions = breaker.subscribe();
    /// tokio::time::advance(breaker.snapshot().retry_in.unwrap_or_default()).await;
    /// assert_eq!(breaker.phase(), Phase::HalfOpen);
    /// assert!(transitions.try_recv().is_err());
    /// breaker.acquire()?.success();
    /// assert_eq!(transitions.try_recv().map(|told| told.to), Ok(Phase::HalfOpen));
    /// # Ok(()) }
    /// ```
    pub fn phase(&self) -> Phase {
        if self.word().is_closed() {
            return Phase::Closed;
        }
        let now = Instant::now();
        self.lock().state(now).phase
    }

    /// Subscribes to transitions from now on. A receiver that is more than 64 behind gets the number that it missed.
    ///
    /// A breaker has no timer: the end of an open wait and of a lease are noticed by the next call.
    pub fn subscribe(&self) -> broadcast::Receiver<Transition> {
        self.0.own.get_or_init(|| broadcast::Sender::new(BACKLOG)).subscribe()
    }

    /// Refuses every call until [`reset`](Breaker::reset) or another command. Refusals name the longest open wait.
    pub fn force_open(&self) {
        self.command(|machine, now, out| machine.force(Phase::ForcedOpen, now, out));
    }

    /// Closes the circuit now, as if the probes had succeeded. Has no effect if it is closed already.
    pub fn force_closed(&self) {
        self.command(|machine, now, out| machine.force(Phase::Closed, now, out));
    }

    /// Admits every call and records nothing, until [`reset`](Breaker::reset) or another command.
    pub fn disable(&self) {
        self.command(|machine, now, out| machine.force(Phase::Disabled, now, out));
    }

    /// Closes the circuit, with all counts at zero and no memory of earlier failures. Results of calls in flight are ignored.
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
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("name", &self.0.of.origin)
            .field("group", &self.0.of.group)
            .field("phase", &self.phase())
            .finish_non_exhaustive()
    }
}

#[cold]
pub(super) fn refusal(Refused { retry_in }: Refused) -> Error {
    Error::new(ErrorKind::Open { retry_in }, "")
}
