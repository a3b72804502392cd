//! The events of a supervisor, and its report at the end.

#[cfg(feature = "serde")]
use crate::duration::written;
use crate::supervise::policy::Reason;
use crate::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;

/// Something that happened to a supervised subsystem.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(tag = "event", rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Event {
    /// A loop or a sweep panicked.
    Panicked {
        /// The subsystem.
        name: Arc<str>,
        /// The message of the panic, and its place in the source.
        message: String,
    },
    /// A loop ended, and is restarted.
    Restart {
        /// The subsystem.
        name: Arc<str>,
        /// How it ended.
        reason: Reason,
        /// The wait before the restart.
        #[cfg_attr(feature = "serde", serde(rename = "in_seconds", serialize_with = "written::seconds"))]
        wait: Duration,
        /// The number of restarts, this one included.
        restarts: u64,
    },
    /// The first heartbeat after a subsystem was down or stale.
    Recovered {
        /// The subsystem.
        name: Arc<str>,
        /// The time since it went down.
        #[cfg_attr(feature = "serde", serde(rename = "after_seconds", serialize_with = "written::seconds"))]
        after: Duration,
    },
    /// A subsystem became stale. Reported once, until it recovers.
    Stale {
        /// The subsystem.
        name: Arc<str>,
        /// The time since its last heartbeat, or since its start if there was none.
        #[cfg_attr(feature = "serde", serde(rename = "silent_seconds", serialize_with = "written::seconds"))]
        silent_for: Duration,
        /// Its oldest call in flight.
        waits_for: Option<String>,
    },
    /// A subsystem is restarted too often.
    Escalated {
        /// The subsystem.
        name: Arc<str>,
        /// The total number of restarts.
        restarts: u64,
    },
    /// A loop returned, which its settings allow.
    Stopped {
        /// The subsystem.
        name: Arc<str>,
    },
    /// A sweep of a patrol ended.
    Sweep {
        /// The patrol.
        name: Arc<str>,
        /// The number of the sweep, from 1.
        n: u64,
        /// How it ended.
        outcome: Outcome,
        /// Its last phase, if it names its phases.
        phase: Option<&'static str>,
        /// How long it took.
        #[cfg_attr(feature = "serde", serde(rename = "took_seconds", serialize_with = "written::seconds"))]
        took: Duration,
    },
    /// Ticks of a patrol that passed during a sweep and were skipped.
    Skipped {
        /// The patrol.
        name: Arc<str>,
        /// The number of skipped ticks.
        ticks: u64,
    },
    /// A graceful shutdown began.
    ShuttingDown {
        /// Its cause: `SIGTERM`, or the text that the awaited future returned.
        signal: &'static str,
    },
}

/// How a sweep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Outcome {
    /// It succeeded.
    Ok,
    /// It reached its limit.
    Timeout,
    /// It panicked.
    Panic,
    /// It returned an error.
    Error,
}

impl Outcome {
    /// The stable name for programs: `ok`, `timeout`, `panic`, `error`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Timeout => "timeout",
            Outcome::Panic => "panic",
            Outcome::Error => "error",
        }
    }
}

/// Where events go. Nobody has to listen, and one who is slow loses the oldest, not the crew its time.
#[derive(Clone, Debug)]
pub(crate) struct Recorder(broadcast::Sender<Event>);

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder(broadcast::channel(1024).0)
    }
}

impl Recorder {
    pub(crate) fn tell(&self, event: Event) {
        // An error says that nobody listens.
        let _ = self.0.send(event);
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }
}

/// How the supervised program ended.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Report {
    /// The cause of the end; `None` if every subsystem had ended by itself.
    pub signal: Option<&'static str>,
    /// Whether every subsystem ended by itself within the grace, and no second signal cut that short.
    pub clean: bool,
    /// The names of the others. They were aborted; one that blocks its thread runs on until the process ends.
    pub stragglers: Vec<String>,
    /// How many subsystems had not ended yet when the signal came.
    pub running: usize,
    /// The time from the signal to the end.
    #[cfg_attr(feature = "serde", serde(rename = "took_seconds", serialize_with = "written::seconds"))]
    pub took: Duration,
    /// The number of restarts of all subsystems.
    pub restarts: u64,
}

impl Report {
    /// 0 after a clean end, 1 if a subsystem had to be aborted. See [`exit`](Report::exit).
    ///
    /// ```
    /// use std::time::Duration;
    /// use unwedge::supervise::Supervisor;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), unwedge::Error> {
    /// let mut crew = Supervisor::new();
    /// crew.spawn("relay", Duration::from_secs(60), |heart| async move { heart.cancelled().await });
    /// crew.spawn("deaf", Duration::from_secs(60), |_| std::future::pending::<()>());
    /// let report = crew.run_until(tokio::time::sleep(Duration::from_secs(1)), Duration::from_secs(10)).await?;
    /// assert_eq!(report.stragglers, ["deaf"]);
    /// assert_eq!((report.clean, report.exit_code()), (false, 1));
    /// # Ok(()) }
    /// ```
    pub fn exit_code(&self) -> i32 {
        i32::from(!self.clean)
    }

    /// Kills the process groups of all [children](crate::child) that still run, and ends the process with the
    /// [exit code](Report::exit_code).
    ///
    /// A return from `main` instead waits for ever for a subsystem that blocks its thread, and `std::process::exit` alone
    /// leaves the children of tasks that still run behind. Flush logs and files before; no destructor runs.
    ///
    /// ```no_run
    /// # async fn daemon(crew: unwedge::supervise::Supervisor) -> Result<(), unwedge::Error> {
    /// use std::time::Duration;
    /// use unwedge::supervise::ctrl_c;
    ///
    /// let report = crew.run_until(ctrl_c(), Duration::from_secs(10)).await?;
    /// report.exit()
    /// # }
    /// ```
    pub fn exit(&self) -> ! {
        exit(self.exit_code())
    }
}

/// Ends the process, and what it started.
pub(super) fn exit(code: i32) -> ! {
    #[cfg(unix)]
    crate::child::kill_all();
    std::process::exit(code)
}
