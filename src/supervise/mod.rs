//! Supervision of the loops that make the calls: restarts, heartbeats, a watchdog, graceful shutdown.
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
//! report.exit()
//! # }
//! ```
//!
//! After a panic, an error or an unexpected return the loop is logged and restarted: see [`Policy`].
//! A [`patrol`](Supervisor::patrol) is such a loop for periodic work.
//!
//! For the work between loops there are a [`queue`](crate::queue) with an age limit, and [`child`](crate::child) processes with a
//! timeout.
//!
//! # Heartbeats and progress
//! Each subsystem declares the interval of its heartbeats. After twice that interval without one it is stale: [`Liveness`]
//! shows it, the log names it together with the call in which it hangs, and with [`Watch::Enforce`] it is aborted and
//! restarted. Before a wait for somebody else a loop calls [`Heartbeat::parked`]; in place of a sleep [`Heartbeat::rest`].
//!
//! No supervisor can end code that blocks its thread without an `.await`. The watchdog runs on its own thread, so it reports
//! such code even if no timer of the runtime can fire. On a runtime with several threads it also wakes another worker, which
//! takes over the timers and sockets of the blocked one.
//!
//! # Graceful shutdown
//! At the signal every subsystem is asked to end ([`Heartbeat::cancelled`]). Back-offs, long polls and
//! event streams that reconnect end at once with an error of kind [`Cancelled`](crate::ErrorKind::Cancelled); all other calls
//! may go on until the end of the grace period. Subsystems that still run then are aborted and named.
//!
//! # Under systemd
//! Where `NOTIFY_SOCKET` is set (`Type=notify`), systemd is told `READY=1` when a supervisor has started its loops and, with
//! `WatchdogSec=`, `WATCHDOG=1` at a third of that time or more often, as long as tasks of the runtime run. `STOPPING=1`
//! is told when the process ends: at a signal that ends it, from [`Signals::asked`] or [`ctrl_c`], at a future of your own
//! that gives the name `SIGTERM` or `SIGINT`, and with [`Escalation::Exit`]. A supervisor that ends for another reason, a future of your own or its last loop, says nothing:
//! the program may run others, or start the next one with new settings.

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
pub use handle::{Heartbeat, InScope, Parked};
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

/// Runs a set of loops, restarts those that end, and shuts them all down at a signal.
///
/// No loop runs before [`run_until`](Supervisor::run_until), which also checks all settings.
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
    /// A supervisor without loops.
    ///
    /// As process 1 of a container the program handles SIGTERM and SIGINT as [`Signals`] describes from here on, because
    /// there a signal without a handler has no effect.
    pub fn new() -> Supervisor {
        if std::process::id() == 1 {
            // Without a handler the program is as deaf as it was; run_until says so where it waits for a signal.
            let _ = signal::install_unasked();
        }
        Supervisor {
            liveness: Liveness::new(),
            shared: Arc::default(),
            tasks: Vec::new(),
            period: None,
            calls: Vec::new(),
            seed: None,
            exit: |code| report::exit(code),
            reap: true,
        }
    }

    /// Adds a loop, with the interval of its heartbeats. The closure is called at each start and makes the loop's future.
    ///
    /// The future may return nothing or a `Result`. The returned [`Task`] sets the rest: the meaning of a return, the
    /// stale threshold, the restart of a stale loop. A name that is blank or taken, and an interval of zero, are errors of
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

    /// Adds periodic work: a sweep at each interval, with a time limit for each sweep: see [`Sweep`].
    ///
    /// The first sweep runs at once. A sweep runs inside [`within`](crate::within): at its limit it is dropped, and the next
    /// tick runs. Ticks that pass during a sweep are skipped and counted. A panic, an error and a timeout end the sweep,
    /// never the patrol.
    ///
    /// A sweep that blocks its thread, by a lock, `std::thread::sleep` or a loop without an `.await`, cannot be ended. The
    /// watchdog reports it when it is 10 % over its limit.
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

    /// The registry of all subsystems, for probes and pages. It is available before the supervisor runs.
    pub fn liveness(&self) -> Liveness {
        self.liveness.clone()
    }

    /// Whether the program is ready to do its work, for probes.
    pub fn readiness(&self) -> Readiness {
        Readiness(Arc::clone(&self.shared))
    }

    /// Subscribes to events (sweeps, restarts, stale loops) from now on. A receiver that is more than 1024 events behind
    /// loses the oldest.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.liveness.0.recorder.listen()
    }

    /// The reaction to a subsystem that is restarted too often. Default: not ready, and one error in the log.
    pub fn escalate(&mut self, escalation: Escalation) -> &mut Supervisor {
        self.shared.escalate(escalation);
        self
    }

    /// The interval of the watchdog's checks. Default: a quarter of the shortest stale threshold, between 10 ms and 1 s. Less
    /// than 1 ms, and more than the shortest threshold, are errors of [`run_until`](Supervisor::run_until).
    pub fn watch_every(&mut self, period: Duration) -> &mut Supervisor {
        self.period = Some(period);
        self
    }

    /// Adds the calls of a stack that are made outside of all subsystems. Calls made inside a subsystem are known anyway.
    pub fn calls(&mut self, calls: InFlight) -> &mut Supervisor {
        self.calls.push(calls);
        self
    }

    /// Whether the program, as process 1 of a container, reaps orphaned processes. Default true.
    ///
    /// A process that lost its parent becomes a child of process 1 and stays a zombie until that reaps it. Reaped are
    /// processes that have been zombies for 10 s and were not started through this crate. So the status of a
    /// `std::process::Child` is lost if you read it more than 10 s after its end. With an init as process 1 (`tini`,
    /// `docker run --init`) this is not needed. On other systems than Linux nothing is reaped.
    pub fn reap(&mut self, reap: bool) -> &mut Supervisor {
        self.reap = reap;
        self
    }

    /// Makes all jitter and splay reproducible, for tests and replays.
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
