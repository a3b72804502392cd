//! The shared breaker: a pure machine under a short lock, and around it what needs none.

use crate::breaker::{
    Phase, Rules, Transition,
    counter::ShardedCounter,
    latency::{self, Hint},
    machine::Machine,
    state_word::StateWord,
    values::{Changes, Lease, Outcome, Refused, Ticket},
};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard};
use crate::telemetry::{self, Subject};
use std::sync::{OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

/// A subscriber that falls this far behind is told how many it missed.
pub(super) const BACKLOG: usize = 64;

/// A handle to one circuit breaker. Clones share it.
///
/// Cheap while the circuit is closed: admission reads one atomic word, and neither it nor a result allocates.
#[derive(Clone)]
#[doc(alias("circuit_breaker", "CircuitBreaker"))]
pub struct Breaker(pub(super) Arc<Shared>);

/// What all handles share.
pub(super) struct Shared {
    /// A [`StateWord`]. Changed under the lock.
    pub(super) word: AtomicU64,
    /// Successes that changed nothing else.
    pub(super) successes: ShardedCounter,
    /// The newest step of the pace and its slowest success, see [`Hint`]. Changed under the lock.
    pub(super) hint: AtomicU64,
    /// While the circuit is open: the end of the wait, in nanoseconds after `start`. Changed under the lock.
    pub(super) until: AtomicU64,
    pub(super) start: Instant,
    pub(super) hang_after: Duration,
    pub(super) machine: Mutex<Machine>,
    pub(super) of: Subject,
    pub(super) rules: Arc<Rules>,
    /// Made by the first subscriber.
    pub(super) own: OnceLock<broadcast::Sender<Transition>>,
    pub(super) shared: Option<broadcast::Sender<Transition>>,
    /// Told of every change of phase.
    pub(super) changed: Notify,
    /// Told when calls are let through again.
    pub(super) better: Arc<Notify>,
}

impl Breaker {
    /// One of many that share rules (which were checked) and tell all their transitions to one channel.
    pub(crate) fn for_origin(
        of: Subject,
        rules: &Arc<Rules>,
        events: broadcast::Sender<Transition>,
    ) -> Breaker {
        Breaker::make(of, rules, Some(events))
    }

    pub(super) fn make(
        of: Subject,
        rules: &Arc<Rules>,
        shared: Option<broadcast::Sender<Transition>>,
    ) -> Breaker {
        let now = Instant::now();
        let machine = Machine::new(Arc::clone(rules), rules.open.rng(), now);
        let word = StateWord::new(machine.generation(), machine.phase(), machine.is_quiet());
        Breaker(Arc::new(Shared {
            word: AtomicU64::new(word.0),
            successes: ShardedCounter::default(),
            hint: AtomicU64::new(Hint::of(machine.pace()).0),
            until: AtomicU64::new(0),
            start: now,
            hang_after: rules.hang_after,
            machine: Mutex::new(machine),
            of,
            rules: Arc::clone(rules),
            own: OnceLock::new(),
            shared,
            changed: Notify::new(),
            better: Arc::default(),
        }))
    }

    #[inline(always)]
    pub(super) fn ticket(&self, now: Instant, lease: Lease) -> Result<Ticket, Refused> {
        let word = self.word();
        let mut ticket = Ticket::new(now, word.generation(), lease);
        if !word.admits_all() {
            (ticket.generation, ticket.slot) = self.ask_to_admit(word, now, lease)?;
        }
        Ok(ticket)
    }

    // The rare cases are functions of their own that take and give what fits into registers: with a pointer to a
    // ticket in its hands the compiler would write every ticket to memory, and reading it back takes longer than
    // all the rest.
    #[inline(never)]
    pub(super) fn ask_to_admit(
        &self,
        word: StateWord,
        now: Instant,
        lease: Lease,
    ) -> Result<(u32, u32), Refused> {
        if let Some(retry_in) = self.still_refused(word, now) {
            return Err(Refused { retry_in });
        }
        let ticket = self.ask(|machine, out| machine.admit(now, lease, out))?;
        Ok((ticket.generation, ticket.slot))
    }

    /// For how long a call would be refused, where that can be said without the lock.
    #[inline]
    pub(crate) fn refuses(&self, now: Instant) -> Option<Duration> {
        let word = self.word();
        if word.admits_all() { None } else { self.still_refused(word, now) }
    }

    /// The lease of a call that goes out with its admission.
    #[inline]
    pub(crate) fn lease(&self) -> Lease {
        Lease::sent(self.0.rules.lease)
    }

    /// Whether a result of this ticket still means anything.
    #[inline]
    pub(super) fn wants(&self, ticket: &Ticket) -> bool {
        let word = self.word();
        word.generation() == ticket.generation && !word.is_disabled()
    }

    #[inline(always)]
    pub(super) fn record(&self, ticket: &Ticket, outcome: Outcome, now: Instant) {
        let word = self.word();
        let settled = outcome == Outcome::Nothing && ticket.slot == 0;
        if word.generation() != ticket.generation || word.is_disabled() || settled {
            return;
        }
        // As if it had come before any failure that is being recorded right now.
        if outcome == Outcome::Success && word.is_quiet() {
            let at = self.nanos(now);
            if self.is_known(ticket, at, now) {
                if self.0.successes.add(ticket.generation, at) {
                    return;
                }
                self.ask(|machine, _| self.collect_successes(machine));
            }
        }
        self.record_locked(*ticket, outcome, now);
    }

    #[inline(never)]
    pub(super) fn record_locked(&self, ticket: Ticket, outcome: Outcome, now: Instant) {
        self.ask(|machine, out| {
            // What is judged is judged by all that came before it.
            if outcome != Outcome::Success {
                self.collect_successes(machine);
            }
            machine.record(&ticket, outcome, now, out);
        });
    }

    /// The call goes out; false where it has lost its place meanwhile.
    #[cold]
    pub(super) fn hand_over(&self, ticket: &Ticket, attempt: Duration, now: Instant) -> bool {
        let lease = self.0.rules.lease_of(attempt);
        self.ask(|machine, out| machine.hand_over(ticket, lease, now, out))
    }

    /// The answer is being handed over: a probe has passed, and what comes later counts as for any other call.
    #[cold]
    pub(super) fn pass_probe(&self, ticket: &mut Ticket, now: Instant) {
        self.record(ticket, Outcome::Success, now);
        (ticket.slot, ticket.generation) = (0, self.word().generation());
    }

    /// The head is there, and says nothing yet: the probe goes on, and its silence is no longer the server's.
    #[cold]
    pub(super) fn answered_probe(&self, ticket: &Ticket) {
        self.ask(|machine, _| machine.answered_probe(ticket));
    }

    #[cold]
    pub(super) fn dropped(&self, ticket: &Ticket, silent: Duration, now: Instant) {
        if ticket.slot != 0 || silent >= self.0.hang_after {
            self.ask(|machine, out| {
                self.collect_successes(machine);
                machine.dropped(ticket, silent, now, out);
            });
        }
    }

    #[cold]
    pub(super) fn overdue(&self, ticket: &mut Ticket, now: Instant) {
        self.ask(|machine, out| {
            self.collect_successes(machine);
            machine.overdue(ticket, now, out);
        });
    }

    pub(crate) fn overdue_after(&self) -> Option<Duration> {
        self.0.rules.overdue_after
    }

    pub(crate) fn hang_threshold(&self, now: Instant) -> Duration {
        self.lock().hang_threshold(now)
    }

    #[inline]
    pub(super) fn word(&self) -> StateWord {
        StateWord(self.0.word.load(Ordering::Acquire))
    }

    /// Whether the pace of this success is no news: another in the same step of time was no faster.
    #[inline]
    pub(super) fn is_known(&self, ticket: &Ticket, at: u64, now: Instant) -> bool {
        let hint = Hint(self.0.hint.load(Ordering::Relaxed));
        // Compared by a sum: a difference of two moments takes three times as long.
        let is_no_slower = |slowest| now <= ticket.admitted + slowest;
        !ticket.timed || hint.slowest(latency::step_at(at)).is_some_and(is_no_slower)
    }

    #[inline]
    pub(super) fn nanos(&self, now: Instant) -> u64 {
        latency::nanos(now.saturating_duration_since(self.0.start))
    }

    /// Lets a crowd in front of an open circuit be sent away without queueing for the lock.
    #[inline]
    pub(super) fn still_refused(&self, word: StateWord, now: Instant) -> Option<Duration> {
        if word.is_forced_open() {
            return Some(self.0.rules.open_max);
        }
        // Read after the word and stored before it: no older than what the word says.
        let until = self.0.until.load(Ordering::Acquire);
        let left = until.checked_sub(self.nanos(now))?;
        // 584 years after the start the nanoseconds run out, and the machine has to answer.
        (word.is_open() && left > 0 && until < u64::MAX).then(|| Duration::from_nanos(left))
    }

    /// Asks the machine, and publishes what that changed once the lock is released.
    #[inline]
    pub(super) fn ask<T>(&self, question: impl FnOnce(&mut Machine, &mut Changes) -> T) -> T {
        let mut changes = Changes::default();
        let (answer, expired) = {
            let mut machine = self.lock();
            let before = machine.expired_leases();
            let answer = question(&mut machine, &mut changes);
            self.mirror(&machine);
            (answer, machine.expired_leases() - before)
        };
        if !changes.is_empty() {
            self.publish(&changes);
        }
        if expired > 0 {
            telemetry::leases_expired(&self.0.of, expired);
        }
        answer
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Machine> {
        // Nothing of a user's runs under the lock, and a machine is whole between any two of its lines that can panic.
        self.0.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows in the atomics what the machine has become.
    pub(super) fn mirror(&self, machine: &Machine) {
        let hint = Hint::of(machine.pace());
        if self.0.hint.load(Ordering::Relaxed) != hint.0 {
            self.0.hint.store(hint.0, Ordering::Relaxed);
        }
        let new = StateWord::new(machine.generation(), machine.phase(), machine.is_quiet());
        let old = self.word();
        if new.is_open() && new.generation() != old.generation() {
            let until = self.nanos(machine.until());
            self.0.until.store(until, Ordering::Release);
        }
        if old != new {
            self.0.word.store(new.0, Ordering::Release);
        }
    }

    /// Whether what is read without the lock says what the machine says.
    #[cfg(all(test, unwedge_loom))]
    pub(super) fn is_mirrored(&self) -> bool {
        let machine = self.lock();
        let until = self.nanos(machine.until());
        self.word() == StateWord::new(machine.generation(), machine.phase(), machine.is_quiet())
            && (!self.word().is_open() || self.0.until.load(Ordering::Relaxed) == until)
    }

    pub(super) fn collect_successes(&self, machine: &mut Machine) {
        for (n, last) in self.0.successes.take(machine.generation()) {
            machine.add_successes(n, self.0.start + Duration::from_nanos(last));
        }
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
