//! The loops above the calls: restarted when they end, watched while they run, and ended in order.
//!
//! ```no_run
//! use std::time::Duration;
//! use unwedge::supervise::{Supervisor, ctrl_c};
//!
//! # async fn sweep() -> Result<(), unwedge::Error> { Ok(()) }
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), unwedge::Error> {
//! let mut crew = Supervisor::new();
//! crew.spawn("patrol", Duration::from_secs(120), move |heart| async move {
//!     loop {
//!         sweep().await?;
//!         heart.progress();
//!         if !heart.rest(Duration::from_secs(60)).await {
//!             return Ok::<_, unwedge::Error>(()); // the program ends
//!         }
//!     }
//! });
//! let report = crew.run_until(ctrl_c(), Duration::from_secs(10)).await?;
//! std::process::exit(report.exit_code());
//! # }
//! ```
//!
//! A panic, an error and a return that nobody asked for are logged, and the loop is started again: see [`Policy`].
//! A [`patrol`](Supervisor::patrol) is the same for work that is due every so often.
//!
//! Between loops stand a [`queue`](crate::queue) in which nothing grows old unseen, and [`child`](crate::child) processes that end.
//!
//! # Alive, and getting on
//! Each subsystem says how often it means to show a sign of life. From twice that time on its silence is stale: it is
//! shown by [`Liveness`], logged together with the call that it waits in, and, with [`Watch::Enforce`], ended and started
//! again. A loop that waits for somebody else says so with [`Heartbeat::parked`], one that sleeps with [`Heartbeat::rest`].
//!
//! What no supervisor can do is to end code that blocks its thread without an `.await`. The watchdog looks from a thread
//! of its own, and reports it although no timer of the runtime can fire. On a runtime of several threads it also wakes
//! another worker, which takes over the timers and sockets that the blocked one had waited for.
//!
//! # The end
//! At the signal every subsystem is told to end ([`Heartbeat::cancelled`]). Calls of this crate that wait between two
//! attempts, and long polls, end with an error of kind [`Cancelled`](crate::ErrorKind::Cancelled) at once; all others have
//! until the end of the grace. What still runs then is aborted, and named.

mod ending;
mod handle;
mod liveness;
mod patrol;
mod policy;
mod readiness;
#[cfg(unix)]
mod reaper;
mod report;
mod restart;
mod run;
mod settings;
#[cfg(feature = "serde")]
pub(crate) mod shown;
mod signal;
mod snapshot;
mod state;
mod systemd;
mod verdict;
mod watch;
mod watchdog;

pub use ending::Ending;
pub use handle::{Heartbeat, Parked};
pub use liveness::Liveness;
pub use patrol::Sweep;
pub use policy::{OnReturn, Policy, Reason};
pub use readiness::{Escalation, Readiness};
pub use report::{Event, Outcome, Report};
pub use settings::Task;
pub use signal::{Asked, Hangups, Signals, ctrl_c};
pub use snapshot::{State, Subsystem};
pub use verdict::Verdict;
pub use watch::Watch;

use crate::inflight::InFlight;
use crate::sync::Arc;
use readiness::Shared;
use state::Settings;
use std::fmt;
use std::future::Future;
use std::time::Duration;
use tokio::sync::broadcast;

/// Keeps a set of loops alive until it is told to end them.
///
/// Nothing runs before [`run_until`](Supervisor::run_until), which also checks all settings.
#[must_use = "nothing runs before run_until"]
#[doc(alias("supervisor", "daemon", "restart"))]
pub struct Supervisor {
    liveness: Liveness,
    shared: Arc<Shared>,
    tasks: Vec<Task>,
    /// How often the watchdog looks; where it was not set, often enough for the shortest threshold.
    period: Option<Duration>,
    calls: Vec<InFlight>,
    seed: Option<u64>,
    exit: fn(i32),
    reap: bool,
}

impl Default for Supervisor {
    fn default() -> Supervisor {
        Supervisor::new()
    }
}

impl Supervisor {
    /// A supervisor of nobody yet.
    ///
    /// As process 1 of a container it listens to [`Signals`] from here on, since a signal without a handler has no effect
    /// there.
    pub fn new() -> Supervisor {
        if std::process::id() == 1 {
            // Without a handler the program is as deaf as it was; run_until says so where it waits for a signal.
            let _ = Signals::install();
        }
        Supervisor {
            liveness: Liveness::new(),
            shared: Arc::default(),
            tasks: Vec::new(),
            period: None,
            calls: Vec::new(),
            seed: None,
            exit: |code| std::process::exit(code),
            reap: true,
        }
    }

    /// Adds a loop: what makes it, and how often it means to show a sign of life. The closure is called for every start.
    ///
    /// The future may return nothing or a `Result`. What comes back sets the rest: what a return means, when silence is
    /// stale, whether a stale one is restarted. A name that is blank or taken, and an interval of zero, are errors of
    /// [`run_until`](Supervisor::run_until).
    pub fn spawn<F, Fut>(&mut self, name: impl Into<Arc<str>>, every: Duration, factory: F) -> &mut Task
    where
        F: FnMut(Heartbeat) -> Fut + Send + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: Ending,
    {
        let settings = Settings { every: Some(every), ..Settings::default() };
        self.add(name.into(), settings, every, |run| Box::pin(restart::keep(run, factory)))
    }

    /// Adds a sweep that is due every so often, each one bounded by `limit`: see [`Sweep`].
    ///
    /// The first is due at once. A sweep runs inside [`within`](crate::within): at the limit it is dropped, whatever it
    /// waits for, and the next tick runs. Ticks that pass during a sweep are skipped and counted. A panic, an error and a
    /// timeout end the sweep, never the patrol.
    ///
    /// A sweep that blocks its thread, by a lock, `std::thread::sleep` or a loop without an `.await`, cannot be cut. The
    /// watchdog reports it when it is a tenth over its limit.
    ///
    /// A limit above the interval is an error of [`run_until`](Supervisor::run_until).
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use unwedge::supervise::Supervisor;
    /// # async fn collect() -> Result<Vec<u8>, unwedge::Error> { Ok(vec![]) }
    /// # async fn execute(found: Vec<u8>) -> Result<(), unwedge::Error> { Ok(()) }
    /// # let mut crew = Supervisor::new();
    /// crew.patrol("alerts", Duration::from_secs(3600), Duration::from_secs(300), |sweep| async move {
    ///     sweep.phase("collect");
    ///     let found = collect().await?;
    ///     sweep.phase("execute");
    ///     execute(found).await
    /// });
    /// ```
    #[doc(alias("cron", "ticker", "periodic", "scheduler"))]
    pub fn patrol<F, Fut>(
        &mut self,
        name: impl Into<Arc<str>>,
        every: Duration,
        limit: Duration,
        sweep: F,
    ) -> &mut Task
    where
        F: FnMut(Sweep) -> Fut + Send + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: Ending,
    {
        let settings =
            Settings { every: Some(every), stale_after: Some(limit + limit / 10), ..Settings::default() };
        self.add(name.into(), settings, limit, move |run| {
            let rounds = patrol::Rounds::new(every, limit, run.splay, run.rng(), run.recorder.clone());
            Box::pin(restart::keep(run, rounds.factory(sweep)))
        })
    }

    fn add(
        &mut self,
        name: Arc<str>,
        settings: Settings,
        least: Duration,
        start: impl FnOnce(restart::Run) -> settings::Running + Send + 'static,
    ) -> &mut Task {
        let cell = self.liveness.0.join(name, self.shared.cancel.clone(), settings);
        self.tasks.push(Task::new(cell, least, start));
        let last = self.tasks.len() - 1;
        &mut self.tasks[last]
    }

    /// The registry of all subsystems, for probes and pages. It can be had before the crew runs.
    pub fn liveness(&self) -> Liveness {
        self.liveness.clone()
    }

    /// Whether the program is ready to do its work, for probes.
    pub fn readiness(&self) -> Readiness {
        Readiness(Arc::clone(&self.shared))
    }

    /// What happens from now on. A listener that falls more than 1024 events behind loses the oldest.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.liveness.0.recorder.listen()
    }

    /// What is done about a subsystem that is restarted too often. Default: not ready, and one error in the log.
    pub fn escalate(&mut self, escalation: Escalation) -> &mut Supervisor {
        self.shared.escalate(escalation);
        self
    }

    /// How often the watchdog looks. Default: a quarter of the shortest threshold, between 10 ms and 1 s. Less than 1 ms,
    /// and more than the shortest threshold, are errors of [`run_until`](Supervisor::run_until).
    pub fn watch_every(&mut self, period: Duration) -> &mut Supervisor {
        self.period = Some(period);
        self
    }

    /// Looks after the calls of a stack that are made outside of every subsystem too. Those made inside are found by
    /// themselves.
    pub fn calls(&mut self, calls: InFlight) -> &mut Supervisor {
        self.calls.push(calls);
        self
    }

    /// Whether, as process 1 of a container, zombies are reaped that nobody waited for within 10 s and that were not
    /// started through the library: what lost its parent becomes a child of process 1, and would stay a zombie for as long
    /// as that lives. Default true. A `std::process::Child` whose status is taken later than that is then lost; an init
    /// (`tini`, `docker run --init`) as process 1 makes this superfluous. On other systems than Linux nothing is reaped.
    pub fn reap(&mut self, reap: bool) -> &mut Supervisor {
        self.reap = reap;
        self
    }

    /// Fixes all jitter and splay, for tests and replays.
    pub fn seed(&mut self, seed: u64) -> &mut Supervisor {
        self.seed = Some(seed);
        self
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor").field("subsystems", &self.liveness).finish_non_exhaustive()
    }
}

// Statics of loom cannot be made at compile time.
#[cfg(all(test, not(unwedge_loom)))]
mod tests;
