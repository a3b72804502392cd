//! The life of one subsystem: started, ended somehow, started again.

use crate::deadline::sleep_until;
use crate::panics::{Caught, Panic, catch};
use crate::retry::backoff::Rng;
use crate::supervise::ending::{Ending, words};
use crate::supervise::handle::Heartbeat;
use crate::supervise::policy::{Decision, Policy, Reason, Restarts};
use crate::supervise::readiness::Shared;
use crate::supervise::report::{Event, Recorder};
use crate::supervise::state::SubsystemState;
use crate::supervise::verdict::{Activity, lived, shows_life};
use crate::supervise::watch::Watch;
use crate::sync::Arc;
use crate::telemetry::log::supervise as log;
use rand::SeedableRng;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often one is looked at that is long enough to be healthy, and shows no sign of life.
const AGAIN: Duration = Duration::from_secs(1);

/// All that a subsystem needs to run.
pub(crate) struct Run {
    pub(crate) cell: Arc<SubsystemState>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) recorder: Recorder,
    pub(crate) policy: Policy,
    pub(crate) splay: f64,
    pub(crate) seed: Option<u64>,
}

impl Run {
    pub(crate) fn rng(&self) -> Rng {
        match self.seed {
            // Subsystems that share a seed must not tick together.
            Some(seed) => {
                let name = self.cell.name.bytes();
                Rng::seed_from_u64(
                    name.fold(seed, |mix, byte| (mix ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)),
                )
            }
            None => self.policy.rng(),
        }
    }
}

/// How one run ended.
enum End {
    Returned,
    Failed(String),
    Panicked(Panic),
    /// Ended by the watchdog. It had done its work for so long.
    Stale(Duration),
}

/// Runs the subsystem until it is told to end, or ends for good.
pub(crate) async fn keep<F, Fut>(run: Run, factory: F)
where
    F: FnMut(Heartbeat) -> Fut,
    Fut: Future,
    Fut::Output: Ending,
{
    let mut factory = factory;
    run.cell.member.scope(runs(&run, &mut factory)).await;
    // What it holds is the user's too.
    if let Err(panic) = catch(|| drop(factory)) {
        told(&run, &panic);
    }
    run.cell.does(Activity::Stopped);
}

async fn runs<F, Fut>(run: &Run, factory: &mut F)
where
    F: FnMut(Heartbeat) -> Fut,
    Fut: Future,
    Fut::Output: Ending,
{
    let Run { cell, shared, policy, recorder, .. } = run;
    let mut rng = run.rng();
    let mut restarts = Restarts::default();
    while !shared.cancel.is_cancelled() {
        let began = Instant::now();
        cell.starts(began);
        let end = once(run, factory, &mut restarts, began).await;
        let now = Instant::now();
        let healthy = match end {
            // What was given up and hangs is not taken back.
            End::Stale(lived) => lived >= policy.get_healthy_after() && !restarts.has_escalated(),
            _ if restarts.has_escalated() => is_healthy(run, began, now),
            // It ended by itself, and so did not hang.
            _ => now - began >= policy.get_healthy_after(),
        };
        let (reason, error) = match end {
            End::Returned => (Reason::Return, None),
            End::Failed(error) => (Reason::Error, Some(error)),
            End::Stale(_) => (Reason::Stale, None),
            End::Panicked(panic) => {
                told(run, &panic);
                (Reason::Panic, Some(panic.message))
            }
        };
        if shared.cancel.is_cancelled() {
            return log::stopping(&cell.name, error.as_deref());
        }
        if restarts.has_escalated() && healthy {
            taken_back(run, &mut restarts);
        }
        let Decision::Restart { wait, escalate } = restarts.ended(policy, reason, healthy, now, &mut rng)
        else {
            if restarts.has_escalated() {
                taken_back(run, &mut restarts);
            }
            log::stopped(&cell.name);
            recorder.tell(Event::Stopped { name: Arc::clone(&cell.name) });
            return;
        };
        cell.does(Activity::BackOff { until: now + wait });
        cell.goes_down(now);
        let count = cell.restarts.fetch_add(1, Ordering::Relaxed) + 1;
        match reason {
            Reason::Return => log::returned(&cell.name, count, wait),
            _ => log::restarting(&cell.name, reason.as_str(), error.as_deref(), count, wait),
        }
        recorder.tell(Event::Restart { name: Arc::clone(&cell.name), reason, wait, restarts: count });
        if escalate {
            let exit = shared.gives_up();
            log::escalated(&cell.name, count, exit);
            recorder.tell(Event::Escalated { name: Arc::clone(&cell.name), restarts: count });
            if let Some(code) = exit {
                shared.exits_with(code);
            }
        }
        if shared.cancel.run_until_cancelled(sleep(wait)).await.is_none() {
            break;
        }
    }
    log::stopping(&cell.name, None);
}

/// One run. Where it is healthy although the subsystem was given up, that is taken back.
async fn once<F, Fut>(run: &Run, factory: &mut F, restarts: &mut Restarts, began: Instant) -> End
where
    F: FnMut(Heartbeat) -> Fut,
    Fut: Future,
    Fut::Output: Ending,
{
    // From before the run begins, so that no order to end it is lost.
    let mut abort = pin!(run.cell.abort.notified());
    let work = match catch(|| factory(Heartbeat(Arc::clone(&run.cell)))) {
        Ok(work) => work,
        Err(panic) => return End::Panicked(panic),
    };
    let mut work = Caught::new(work);
    let mut healthy =
        pin!(restarts.has_escalated().then(|| sleep_until(began + run.policy.get_healthy_after())));
    poll_fn(|cx| {
        run.cell.turns();
        // A panic ends in here.
        let polled = pin!(&mut work).poll(cx);
        run.cell.turns();
        match polled {
            Poll::Ready(Ok(ending)) => return Poll::Ready(ended(ending)),
            Poll::Ready(Err(panic)) => return Poll::Ready(End::Panicked(panic)),
            Poll::Pending => {}
        }
        if abort.as_mut().poll(cx).is_ready() {
            return Poll::Ready(End::Stale(lived(run.cell.seen(), began, Instant::now())));
        }
        while let Some(Poll::Ready(slept)) = healthy.as_mut().as_pin_mut().map(|timer| timer.poll(cx)) {
            let now = Instant::now();
            let is_healthy = is_healthy(run, began, now);
            // On a runtime that has ended nobody can look again.
            let again = !is_healthy && slept.is_ok();
            healthy.set(again.then(|| sleep_until(now + AGAIN)));
            if is_healthy {
                taken_back(run, restarts);
            }
        }
        Poll::Pending
    })
    .await
}

/// Whether a run is as long as a healthy one, and does not hang. How one lives that is not watched, nobody knows.
fn is_healthy(run: &Run, began: Instant, now: Instant) -> bool {
    let settings = run.cell.settings();
    let shows_life = match settings.threshold().filter(|_| settings.watch != Watch::Off) {
        Some(threshold) => shows_life(run.cell.seen(), began, threshold, now),
        None => true,
    };
    shows_life && now - began >= run.policy.get_healthy_after()
}

/// The words of an error are the user's code, like the loop that returned it.
fn ended(ending: impl Ending) -> End {
    match words(ending) {
        Ok(None) => End::Returned,
        Ok(Some(error)) => End::Failed(error),
        Err(panic) => End::Panicked(panic),
    }
}

/// It was given up, and is healthy after all.
fn taken_back(run: &Run, restarts: &mut Restarts) {
    restarts.healthy();
    run.shared.takes_back();
    log::healthy(&run.cell.name);
}

/// A panic, in the log and as an event.
fn told(run: &Run, panic: &Panic) {
    log::panicked(&run.cell.name, &panic.message, &panic.backtrace);
    let (name, message) = (Arc::clone(&run.cell.name), panic.message.clone());
    run.recorder.tell(Event::Panicked { name, message });
}
