//! Sweeps on a ticker, each one bounded.

use crate::deadline::within;
use crate::duration::human;
use crate::panics::{Caught, catch};
use crate::retry::backoff::Rng;
use crate::supervise::ending::{Ending, words};
use crate::supervise::handle::Heartbeat;
use crate::supervise::report::{Event, Outcome, Recorder};
use crate::sync::{Arc, Mutex, lock};
use crate::telemetry::log::supervise as log;
use rand::RngExt;
use std::fmt;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// The handle of one sweep of a [`patrol`](crate::supervise::Supervisor::patrol). Clones share it.
#[derive(Clone)]
pub struct Sweep {
    heart: Heartbeat,
    n: u64,
    phase: Arc<Mutex<Option<&'static str>>>,
}

impl Sweep {
    /// The number of this sweep, from 1.
    pub fn number(&self) -> u64 {
        self.n
    }

    /// Names the phase that begins now, and counts as progress. The error of a sweep that reaches its limit has the phase.
    pub fn phase(&self, name: &'static str) {
        *lock(&self.phase) = Some(name);
        self.heart.progress();
    }

    /// What the sweep says of itself while it runs.
    pub fn heart(&self) -> &Heartbeat {
        &self.heart
    }
}

impl fmt::Debug for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = *lock(&self.phase);
        f.debug_struct("Sweep")
            .field("heart", &self.heart)
            .field("n", &self.n)
            .field("phase", &phase)
            .finish()
    }
}

/// What a patrol keeps from round to round.
pub(crate) struct Rounds {
    every: Duration,
    limit: Duration,
    splay: f64,
    rng: Rng,
    recorder: Recorder,
    sweeps: u64,
    /// How many failed in a row, and since when.
    failures: u64,
    failing_since: Option<Instant>,
}

impl Rounds {
    pub(crate) fn new(every: Duration, limit: Duration, splay: f64, rng: Rng, recorder: Recorder) -> Rounds {
        Rounds { every, limit, splay, rng, recorder, sweeps: 0, failures: 0, failing_since: None }
    }

    /// The loop of the patrol, to be supervised like any other. It only ends with the program, or when the watchdog ends
    /// it; what was counted is kept then.
    pub(crate) fn factory<F, Fut>(
        self,
        sweep: F,
    ) -> impl FnMut(Heartbeat) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>
    where
        F: FnMut(Sweep) -> Fut + Send + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: Ending,
    {
        let (rounds, closure) = (Arc::new(Mutex::new(self)), Arc::new(Mutex::new(Some(sweep))));
        move |heart| Box::pin(patrol(heart, Arc::clone(&rounds), Arc::clone(&closure)))
    }

    /// A sweep ended: how many failed in a row up to now, and since when.
    fn ended(&mut self, ok: bool, began: Instant) -> (u64, Option<Instant>) {
        if ok {
            return (std::mem::take(&mut self.failures), self.failing_since.take());
        }
        self.failures += 1;
        self.failing_since.get_or_insert(began);
        (self.failures, self.failing_since)
    }
}

/// The loop of a patrol. The lock is held for the figures alone: closure, log and whoever hears of events are the user's.
async fn patrol<F, Fut>(heart: Heartbeat, rounds: Arc<Mutex<Rounds>>, closure: Arc<Mutex<Option<F>>>)
where
    F: FnMut(Sweep) -> Fut + Send,
    Fut: Future + Send,
    Fut::Output: Ending,
{
    let base = Instant::now();
    let (every, limit, recorder) = {
        let rounds = lock(&rounds);
        (rounds.every, rounds.limit, rounds.recorder.clone())
    };
    let mut tick = 0;
    loop {
        let at = {
            let rounds = &mut *lock(&rounds);
            let late = every.mul_f64(rounds.splay * rounds.rng.random::<f64>());
            base + offset(every, tick) + late
        };
        if at > Instant::now() && !heart.rest_until(at).await {
            return;
        }
        if heart.is_cancelled() {
            return;
        }
        let began = Instant::now();
        let n = {
            let rounds = &mut *lock(&rounds);
            rounds.sweeps += 1;
            rounds.sweeps
        };
        let sweep = Sweep { heart: heart.clone(), n, phase: Arc::default() };
        heart.progress();
        // Taken out of its place while it runs. There is one run at a time, and a panic of its own is caught.
        let Some(mut make) = lock(&closure).take() else { return };
        let swept = catch(|| make(sweep.clone()));
        *lock(&closure) = Some(make);
        let swept = match swept {
            Ok(future) => within(limit, Caught::new(future)).await,
            Err(panic) => Ok(Err(panic)),
        };
        let now = Instant::now();
        heart.progress();
        let phase = *lock(&sweep.phase);
        let (outcome, error) = match swept.map(|swept| swept.and_then(words)) {
            Ok(Ok(None)) => (Outcome::Ok, String::new()),
            // Its calls know the deadline too, and may be the first to say so.
            Ok(Ok(Some(error))) if now - began >= limit => (Outcome::Timeout, error),
            Ok(Ok(Some(error))) => (Outcome::Error, error),
            Ok(Err(panic)) => {
                log::panicked(heart.name(), &panic.message, &panic.backtrace);
                let (name, message) = (Arc::clone(&heart.0.name), panic.message.clone());
                recorder.tell(Event::Panicked { name, message });
                (Outcome::Panic, panic.message)
            }
            Err(late) => match phase {
                Some(phase) => (Outcome::Timeout, format!("not done within {:#}, in {phase}", human(limit))),
                None => (Outcome::Timeout, late.to_string()),
            },
        };
        let (failures, failing_since) = lock(&rounds).ended(outcome == Outcome::Ok, began);
        tell(&recorder, &sweep, outcome, &error, (began, now), (failures, failing_since));
        let (next, skipped) = next(every, tick, now - base);
        if skipped > 0 {
            log::skipped(heart.name(), skipped);
            let name = Arc::clone(&heart.0.name);
            recorder.tell(Event::Skipped { name, ticks: skipped });
        }
        tick = next;
    }
}

/// What is told of a sweep that ended.
fn tell(
    recorder: &Recorder,
    sweep: &Sweep,
    outcome: Outcome,
    error: &str,
    (began, now): (Instant, Instant),
    (failures, failing_since): (u64, Option<Instant>),
) {
    let (name, phase, took) = (sweep.heart.name(), *lock(&sweep.phase), now - began);
    if outcome == Outcome::Ok {
        log::sweep(name, phase, took);
        if let Some(since) = failing_since {
            log::sweeps_recovered(name, failures, now - since);
        }
    } else {
        log::sweep_failed(name, phase, outcome.as_str(), took, failures, error);
    }
    let name = Arc::clone(&sweep.heart.0.name);
    recorder.tell(Event::Sweep { name, n: sweep.n, outcome, phase, took });
}

fn offset(every: Duration, tick: u64) -> Duration {
    let nanos = every.as_nanos().saturating_mul(u128::from(tick));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// The tick after this one that is not over yet, and how many are skipped for it. One that falls on this very moment is
/// not over.
fn next(every: Duration, tick: u64, since_base: Duration) -> (u64, u64) {
    let due = since_base.as_nanos().div_ceil(every.as_nanos().max(1));
    let next = u64::try_from(due).unwrap_or(u64::MAX).max(tick + 1);
    (next, next - (tick + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_that_passed_is_skipped_and_one_that_is_due_now_is_not() {
        let every = Duration::from_secs(60);
        let at = |seconds| Duration::from_secs(seconds);
        assert_eq!(next(every, 0, at(1)), (1, 0));
        assert_eq!(next(every, 0, at(60)), (1, 0), "due at this very moment");
        assert_eq!(next(every, 0, at(61)), (2, 1));
        assert_eq!(next(every, 3, at(400)), (7, 3));
        assert_eq!(next(every, 3, at(190)), (4, 0), "a splayed tick is not early for the next");
        assert_eq!(next(every, 7, Duration::ZERO), (8, 0));
    }
}
