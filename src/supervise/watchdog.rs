//! Looks for subsystems that fell silent, from a thread of its own: also when no task of the runtime runs any more.

use crate::error::Error;
use crate::inflight::InFlight;
use crate::panics;
use crate::supervise::liveness::Registry;
use crate::supervise::report::{Event, Recorder};
use crate::supervise::state::SubsystemState;
use crate::supervise::systemd;
use crate::supervise::verdict::{Activity, Verdict, is_due};
use crate::supervise::watch::Watch;
use crate::sync::{Arc, Mutex, lock};
use crate::telemetry::gauges;
use crate::telemetry::log::supervise as log;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Thread, park_timeout};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// How often the oldest call in flight is looked at.
const CALLS: Duration = Duration::from_secs(60);
/// How often metrics are set, and of how many subsystems.
const PUBLISHED: Duration = Duration::from_secs(1);
const SERIES: usize = 200;
/// The least and the most between two looks, where nobody says.
const LEAST: Duration = Duration::from_millis(10);
const MOST: Duration = Duration::from_secs(1);
/// Below this it would do nothing else.
const FINEST: Duration = Duration::from_millis(1);

/// What the thread and the runtime share.
pub(crate) struct Watched {
    registry: Arc<Registry>,
    recorder: Recorder,
    calls: Vec<InFlight>,
    calls_seen: Mutex<Option<Instant>>,
    published: Mutex<Option<Instant>>,
    began: Instant,
    /// When a task of the runtime last looked.
    looked: Mutex<Instant>,
    pub(crate) period: Duration,
    /// Counts up while tasks of the runtime run.
    pulse: AtomicU64,
    /// A task that only wakes a worker is on its way.
    nudged: AtomicBool,
    ends: AtomicBool,
}

/// The thread. It ends when this is dropped.
pub(crate) struct Watchdog {
    pub(crate) watched: Arc<Watched>,
    thread: Thread,
}

impl Watchdog {
    /// # Errors
    /// Kind `Config` where the system gives no thread, or for a period that cannot work.
    pub(crate) fn start(
        registry: &Arc<Registry>,
        calls: Vec<InFlight>,
        period: Option<Duration>,
    ) -> Result<Watchdog, Error> {
        let cells = registry.all();
        let shortest = cells.iter().filter_map(|cell| cell.settings().threshold()).min();
        let mut looks = match (period, shortest) {
            (Some(period), Some(shortest)) if period > shortest => {
                use crate::duration::human;
                return Err(Error::config(format!(
                    "the watchdog looks every {:#}, and the shortest stale threshold is {:#}: it must look more often",
                    human(period),
                    human(shortest)
                )));
            }
            (Some(period), _) => period,
            (None, shortest) => (shortest.unwrap_or(MOST) / 4).clamp(LEAST, MOST),
        };
        systemd::prepare();
        crate::duration::check("the period of the watchdog", looks)?;
        if looks < FINEST {
            return Err(Error::config(format!(
                "the period of the watchdog is {looks:?}: it must be at least 1 ms, the resolution of timers"
            )));
        }
        looks = for_systemd(looks, systemd::watchdog());
        let watched = Arc::new(Watched {
            registry: Arc::clone(registry),
            recorder: registry.recorder.clone(),
            calls,
            calls_seen: Mutex::default(),
            published: Mutex::default(),
            began: Instant::now(),
            looked: Mutex::new(Instant::now()),
            period: looks,
            pulse: AtomicU64::new(0),
            nudged: AtomicBool::new(false),
            ends: AtomicBool::new(false),
        });
        let thread = {
            let (watched, runtime) = (Arc::clone(&watched), Handle::current());
            let named = std::thread::Builder::new().name("unwedge-watchdog".to_owned());
            let started = named.spawn(move || watched.looks_outside(&runtime));
            started
                .map_err(|error| {
                    Error::config(format!("the thread of the watchdog cannot be started: {error}"))
                })?
                .thread()
                .clone()
        };
        log::started(cells.len(), looks);
        for cell in &cells {
            let settings = cell.settings();
            if let (Some(threshold), true) = (settings.threshold(), settings.watch != Watch::Off) {
                log::watching(&cell.name, threshold + looks);
            }
        }
        Ok(Watchdog { watched, thread })
    }
}

/// Often enough that of three words to systemd one suffices, within the time that it waits for one.
fn for_systemd(looks: Duration, waits: Option<Duration>) -> Duration {
    waits.map_or(looks, |waits| looks.min(waits / 3).max(LEAST))
}

/// What its thread saw last.
struct LastLook {
    pulse: u64,
    moved: Instant,
    blocked: bool,
    woke: Instant,
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.watched.ends.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Watched {
    /// A task of the runtime runs, and looks.
    pub(crate) fn looks_inside(&self, now: Instant) {
        self.pulse.fetch_add(1, Ordering::Relaxed);
        let before = std::mem::replace(&mut *lock(&self.looked), now);
        self.look(now - self.lag(before, now));
    }

    /// By how much a look is late, where the one before it was then. It judges as of the moment when it was due: in a
    /// process that did not run, since it was stopped or its machine had no time for it, nobody could show a sign of life,
    /// and each has until the next look to do so.
    fn lag(&self, before: Instant, now: Instant) -> Duration {
        now.saturating_duration_since(before).saturating_sub(self.period)
    }

    /// The thread: whether tasks run, and where they do not, the look that they owe.
    fn looks_outside(self: &Arc<Self>, runtime: &Handle) {
        // For its clock.
        let _inside = runtime.enter();
        let now = Instant::now();
        let pulse = self.pulse.load(Ordering::Relaxed);
        let mut seen = LastLook { pulse, moved: now, blocked: false, woke: now };
        loop {
            park_timeout(self.period);
            if self.ends.load(Ordering::Acquire) {
                return;
            }
            // What it tells goes through code of others, and nobody would miss this thread.
            let _ = panics::catch(|| self.looks_once(&mut seen, runtime));
        }
    }

    fn looks_once(self: &Arc<Self>, seen: &mut LastLook, runtime: &Handle) {
        let now = Instant::now();
        // A thread that is late itself cannot tell who else is.
        let lag = self.lag(seen.woke, now);
        seen.woke = now;
        self.registry.late(lag);
        let latest = self.pulse.load(Ordering::Relaxed);
        let silent = now - seen.moved;
        if latest != seen.pulse {
            let blocked = std::mem::replace(&mut seen.blocked, false);
            (seen.pulse, seen.moved) = (latest, now);
            systemd::alive();
            if blocked {
                log::unblocked(silent);
            }
        } else if now > seen.moved {
            self.nudge(runtime);
            if silent > 2 * self.period + lag {
                self.look(now - lag);
                if !std::mem::replace(&mut seen.blocked, true) {
                    log::blocked(silent);
                }
            }
        }
    }

    /// Wakes a worker that sleeps, if there is one.
    ///
    /// One of tokio's workers waits for timers and sockets on behalf of all. When what it then runs blocks its thread,
    /// the others may sleep on, and nobody waits in its place: one blocked thread stops the whole runtime. A worker that
    /// is woken from outside takes over.
    fn nudge(self: &Arc<Self>, runtime: &Handle) {
        if !self.nudged.swap(true, Ordering::Relaxed) {
            let watched = Arc::clone(self);
            #[expect(clippy::disallowed_methods, reason = "it ends at once, and there is one at a time")]
            runtime.spawn(async move { watched.nudged.store(false, Ordering::Relaxed) });
        }
    }

    /// Reports each subsystem that has become stale, and ends those that are to be ended.
    pub(crate) fn look(&self, now: Instant) {
        let mut due: HashMap<usize, Verdict> = HashMap::new();
        for cell in self.registry.all() {
            cell.looks_at_polls(now);
            let settings = cell.settings();
            let Some(threshold) = settings.threshold().filter(|_| settings.watch != Watch::Off) else {
                continue;
            };
            let verdict = is_due(cell.seen(), threshold, now);
            if verdict.is_stale() && !cell.reported.swap(true, Ordering::Relaxed) {
                due.insert(Arc::as_ptr(&cell).addr(), verdict);
            }
        }
        if !due.is_empty() {
            let address = |cell: &SubsystemState| std::ptr::from_ref(cell).addr();
            for (cell, shown) in self.registry.show(now, |cell| due.contains_key(&address(cell))) {
                // One that cannot be told must not keep the others from it: they are marked as reported.
                let _ = panics::catch(|| self.report(&cell, due[&address(&cell)], &shown, now));
            }
        }
        self.look_at_calls(now);
        if gauges::are_read() {
            self.publish(now);
        }
    }

    /// Once a second: how each subsystem is, as metrics.
    fn publish(&self, now: Instant) {
        if !is_time(&self.published, PUBLISHED, now) {
            return;
        }
        for cell in self.registry.all().iter().take(SERIES) {
            let (seen, threshold) = (cell.seen(), cell.settings().threshold());
            let age = now.saturating_duration_since(seen.beat.unwrap_or(self.began));
            let stale = threshold.is_some_and(|threshold| is_due(seen, threshold, now).is_stale());
            gauges::subsystem(&cell.name, age, stale);
        }
        gauges::watchdog_lag(self.registry.lag());
    }

    fn report(
        &self,
        cell: &SubsystemState,
        verdict: Verdict,
        shown: &crate::supervise::Subsystem,
        now: Instant,
    ) {
        let since_start = match cell.seen().activity {
            Activity::Working { since } => now.saturating_duration_since(since),
            _ => Duration::ZERO,
        };
        let silent_for = verdict.since().unwrap_or(since_start);
        let enforced = cell.settings().watch == Watch::Enforce;
        cell.stuck.store(matches!(verdict, Verdict::NotProgressing(_)), Ordering::Relaxed);
        cell.goes_down(now.checked_sub(silent_for).unwrap_or(now));
        let (name, waits_for) = (Arc::clone(&cell.name), shown.waits_for.clone());
        self.recorder.tell(Event::Stale { name, silent_for, waits_for });
        if enforced {
            // Nobody to wake is one that does not wait: nothing is kept for the run after it.
            cell.abort.notify_waiters();
        }
        log::stale(&cell.name, enforced, shown);
    }

    /// Once a minute: the oldest call that lives on after its bound.
    fn look_at_calls(&self, now: Instant) {
        if !is_time(&self.calls_seen, CALLS, now) {
            return;
        }
        let own = self.calls.iter().map(|calls| Arc::clone(&calls.0));
        let theirs = self.registry.all().into_iter().flat_map(|cell| cell.member.tables());
        let tables: HashMap<usize, _> =
            own.chain(theirs).map(|table| (Arc::as_ptr(&table).addr(), table)).collect();
        let oldest = tables.values().filter_map(|table| table.overdue(now)).max_by_key(|call| call.age);
        if let Some(call) = oldest {
            log::overdue(call.subsystem.as_deref().unwrap_or("none"), &call);
        }
    }
}

/// Whether it is so long since the last time, and notes that it is now.
fn is_time(last: &Mutex<Option<Instant>>, every: Duration, now: Instant) -> bool {
    let mut last = lock(last);
    let due = now.saturating_duration_since(*last.get_or_insert(now)) >= every;
    if due {
        *last = Some(now);
    }
    due
}

#[cfg(all(test, not(unwedge_loom)))]
mod tests;
