//! The registry of subsystems: heartbeats, progress and state of each.

use crate::Error;
use crate::duration::check;
use crate::inflight::Call;
use crate::supervise::report::Recorder;
use crate::supervise::snapshot::Subsystem;
use crate::supervise::state::{Settings, SubsystemState};
use crate::supervise::verdict::judge;
use crate::sync::{Arc, Mutex, lock};
use crate::telemetry::log::supervise as log;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// No program has more loops than this; one that makes up names without end is not followed.
const MOST: usize = 65_536;

/// The registry of all subsystems: the last heartbeat and the state of each. Clones share it.
///
/// A supervisor has one, see [`Supervisor::liveness`](crate::supervise::Supervisor::liveness). It also works alone, for loops that
/// something else runs:
///
/// ```
/// use std::time::Duration;
/// use unwedge::supervise::Liveness;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let liveness = Liveness::new();
/// liveness.beat("scheduler");
/// tokio::time::sleep(Duration::from_secs(90)).await;
/// let (healthy, stale) = liveness.is_healthy(&["scheduler", "relay"], Duration::from_secs(60));
/// assert!(!healthy);
/// assert_eq!(stale, ["scheduler", "relay"]); // one fell silent, the other was never seen
/// # }
/// ```
#[derive(Clone)]
pub struct Liveness(pub(crate) Arc<Registry>);

pub(crate) struct Registry {
    epoch: Instant,
    cells: Mutex<Cells>,
    pub(crate) recorder: Recorder,
    said_too_many: AtomicBool,
    said_short: AtomicBool,
    /// By how much the watchdog was late when it last looked, in nanoseconds.
    lag: AtomicU64,
}

#[derive(Default)]
struct Cells {
    by_name: HashMap<Arc<str>, usize>,
    all: Vec<Arc<SubsystemState>>,
}

impl Default for Liveness {
    fn default() -> Liveness {
        Liveness::new()
    }
}

impl Liveness {
    /// An empty registry.
    pub fn new() -> Liveness {
        Liveness(Arc::new(Registry {
            epoch: Instant::now(),
            cells: Mutex::default(),
            recorder: Recorder::default(),
            said_too_many: AtomicBool::new(false),
            said_short: AtomicBool::new(false),
            lag: AtomicU64::new(0),
        }))
    }

    /// Records a heartbeat. An unknown name is added as a new subsystem.
    ///
    /// The handle of a supervised loop ([`Heartbeat::beat`](crate::supervise::Heartbeat::beat)) does the same without looking for the name.
    pub fn beat(&self, name: &str) {
        if let Some(cell) = self.0.get(name).or_else(|| self.0.add(name.into(), None).ok()) {
            cell.beat();
        }
    }

    /// Adds a subsystem with the interval of its heartbeats, so that it becomes stale even if it never sends one.
    ///
    /// # Errors
    /// Kind `Config` for an interval of zero or above 10 years, and for a name that is blank or there already.
    pub fn expect(&self, name: &str, every: Duration) -> Result<(), Error> {
        check(&format!("the interval of {name}"), every)?;
        self.0.add(name.into(), Some(every)).map(drop)
    }

    /// The time of the subsystem's last heartbeat; `None` if there was none.
    pub fn last_tick(&self, name: &str) -> Option<Instant> {
        self.0.get(name)?.seen().beat
    }

    /// All subsystems, in the order in which they were added.
    pub fn snapshot(&self) -> Vec<Subsystem> {
        self.0.show(Instant::now(), |_| true).into_iter().map(|(_, shown)| shown).collect()
    }

    /// The delay of the watchdog's last check: on an overloaded machine staleness means little. Zero without a watchdog.
    pub fn watchdog_lag(&self) -> Duration {
        self.0.lag()
    }

    /// Whether none of these subsystems is stale, and the names of the stale ones.
    ///
    /// A subsystem is stale if it was never seen, if it had no heartbeat or no progress for longer than `stale_after`, if
    /// its rest is overdue, or if its restart takes longer than `stale_after`. It is not stale while it is parked or rests
    /// as announced. An empty list of expected names is not healthy, so that a wrong list does not turn a probe green.
    pub fn is_healthy<N: AsRef<str>>(&self, expected: &[N], stale_after: Duration) -> (bool, Vec<String>) {
        if expected.is_empty() {
            return (false, vec!["no subsystem is expected: name at least one".to_owned()]);
        }
        let now = Instant::now();
        let stale = |name: &&N| match self.0.get(name.as_ref()) {
            None => true,
            Some(cell) => {
                let every = cell.settings().every;
                if every.is_some_and(|every| stale_after < every)
                    && !self.0.said_short.swap(true, Ordering::Relaxed)
                {
                    log::short(name.as_ref(), stale_after, every.unwrap_or_default());
                }
                judge(cell.seen(), stale_after, now).is_stale()
            }
        };
        let stale: Vec<String> = expected.iter().filter(stale).map(|name| name.as_ref().to_owned()).collect();
        (stale.is_empty(), stale)
    }
}

impl fmt::Debug for Liveness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.snapshot()).finish()
    }
}

impl Registry {
    fn get(&self, name: &str) -> Option<Arc<SubsystemState>> {
        let cells = lock(&self.cells);
        cells.by_name.get(name).map(|&at| Arc::clone(&cells.all[at]))
    }

    pub(crate) fn late(&self, lag: Duration) {
        self.lag.store(lag.as_nanos() as u64, Ordering::Relaxed);
    }

    pub(crate) fn lag(&self) -> Duration {
        Duration::from_nanos(self.lag.load(Ordering::Relaxed))
    }

    pub(crate) fn all(&self) -> Vec<Arc<SubsystemState>> {
        lock(&self.cells).all.clone()
    }

    fn add(&self, name: Arc<str>, every: Option<Duration>) -> Result<Arc<SubsystemState>, Error> {
        self.join(name, CancellationToken::new(), Settings { every, ..Settings::default() })
    }

    /// A new subsystem.
    pub(crate) fn join(
        &self,
        name: Arc<str>,
        cancel: CancellationToken,
        settings: Settings,
    ) -> Result<Arc<SubsystemState>, Error> {
        if name.trim().is_empty() {
            return Err(Error::config(
                "the name of a subsystem is blank: it is what the log and the probes call it",
            ));
        }
        let mut cells = lock(&self.cells);
        if cells.by_name.contains_key(&name) {
            return Err(Error::config(format!(
                "there is a subsystem {name:?} already: each needs a name of its own"
            )));
        }
        if cells.all.len() >= MOST {
            drop(cells);
            if !self.said_too_many.swap(true, Ordering::Relaxed) {
                log::too_many(MOST, &name);
            }
            return Err(Error::config(format!("there are {MOST} subsystems, {name:?} is one too many")));
        }
        let recorder = self.recorder.clone();
        let cell = Arc::new(SubsystemState::new(Arc::clone(&name), cancel, settings, self.epoch, recorder));
        let at = cells.all.len();
        cells.all.push(Arc::clone(&cell));
        cells.by_name.insert(name, at);
        Ok(cell)
    }

    /// Those subsystems that are asked for, with what they wait for.
    pub(crate) fn show(
        &self,
        now: Instant,
        wanted: impl Fn(&SubsystemState) -> bool,
    ) -> Vec<(Arc<SubsystemState>, Subsystem)> {
        let cells: Vec<Arc<SubsystemState>> = self.all().into_iter().filter(|cell| wanted(cell)).collect();
        let calls = oldest(&cells, now);
        let call = |cell: &Arc<SubsystemState>| calls.get(&Arc::as_ptr(&cell.member).addr());
        let shown: Vec<Subsystem> = cells.iter().map(|cell| Subsystem::new(cell, call(cell), now)).collect();
        cells.into_iter().zip(shown).collect()
    }
}

/// The oldest call of each, by the address of the member. Each table is read once.
fn oldest(cells: &[Arc<SubsystemState>], now: Instant) -> HashMap<usize, Call> {
    let tables = cells.iter().flat_map(|cell| cell.member.tables());
    let tables: HashMap<usize, _> = tables.map(|table| (Arc::as_ptr(&table).addr(), table)).collect();
    let mut calls = HashMap::new();
    for table in tables.values() {
        table.oldest(now, &mut calls);
    }
    calls
}

#[cfg(test)]
mod tests;
