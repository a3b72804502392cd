//! What happens to a crew: events as they happen, and what is to be said at the end.

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
        /// What it said, and where in the source.
        message: String,
    },
    /// A loop ended, and is started again.
    Restart {
        /// The subsystem.
        name: Arc<str>,
        /// How it ended.
        reason: Reason,
        /// When it is started again.
        #[cfg_attr(feature = "serde", serde(rename = "in_seconds", serialize_with = "written::seconds"))]
        wait: Duration,
        /// How often it was started again, this time included.
        restarts: u64,
    },
    /// The first sign of life after a subsystem was down or stale.
    Recovered {
        /// The subsystem.
        name: Arc<str>,
        /// Since it went down.
        #[cfg_attr(feature = "serde", serde(rename = "after_seconds", serialize_with = "written::seconds"))]
        after: Duration,
    },
    /// A subsystem that is to show signs of life shows none. Told once, until it recovers.
    Stale {
        /// The subsystem.
        name: Arc<str>,
        /// For how long; since it was started, where it was never seen.
        #[cfg_attr(feature = "serde", serde(rename = "silent_seconds", serialize_with = "written::seconds"))]
        silent_for: Duration,
        /// Its oldest call in flight.
        waits_for: Option<String>,
    },
    /// A subsystem is restarted too often.
    Escalated {
        /// The subsystem.
        name: Arc<str>,
        /// How often it was started again in all.
        restarts: u64,
    },
    /// A loop returned, and may.
    Stopped {
        /// The subsystem.
        name: Arc<str>,
    },
    /// A sweep of a patrol came to its end.
    Sweep {
        /// The patrol.
        name: Arc<str>,
        /// The how-manieth sweep it was, from 1.
        n: u64,
        /// How it ended.
        outcome: Outcome,
        /// The phase it was in, if it names its phases.
        phase: Option<&'static str>,
        /// How long it took.
        #[cfg_attr(feature = "serde", serde(rename = "took_seconds", serialize_with = "written::seconds"))]
        took: Duration,
    },
    /// Ticks of a patrol that passed during a sweep, and are not made up for.
    Skipped {
        /// The patrol.
        name: Arc<str>,
        /// How many.
        ticks: u64,
    },
    /// The crew was told to end.
    ShuttingDown {
        /// By whom: `SIGTERM`, or what the future that ended it said.
        signal: &'static str,
    },
}

/// How a sweep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Outcome {
    /// It did what it had to.
    Ok,
    /// It ran into its limit.
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

/// How a crew came to its end.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Report {
    /// What ended it; `None` where every subsystem had ended by itself.
    pub signal: Option<&'static str>,
    /// Whether every subsystem ended by itself within the grace.
    pub clean: bool,
    /// Those that did not, by name. They were aborted; one that blocks its thread runs on until the process ends.
    pub stragglers: Vec<String>,
    /// How many subsystems had not ended yet when the signal came.
    pub running: usize,
    /// From the signal to the end.
    #[cfg_attr(feature = "serde", serde(rename = "took_seconds", serialize_with = "written::seconds"))]
    pub took: Duration,
    /// How often subsystems were started again, in all.
    pub restarts: u64,
}

impl Report {
    /// 0 after a clean end, 1 where somebody had to be aborted.
    ///
    /// Give it to `std::process::exit`: a return from `main` waits for ever for a straggler that blocks its thread. What
    /// is left to be written, to a log or a file, is written before.
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
}
