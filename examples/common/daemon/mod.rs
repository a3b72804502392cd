//! What all long-running examples share: how they begin, what they say of themselves, and how they end.
//!
//! With `--json` standard output is one object an event, each with `event` and `t_ms`: first `ready`, last `done`.
//! Without it the log of `tracing` is what people read there. SIGTERM, SIGINT, `--for` and a standard output that nobody
//! reads any more ask for the end, which the program itself brings about; a second signal kills what was started and ends
//! it on the spot. A full disk behind its output ends nothing: lines are lost, and counted.

mod crew;
mod lines;
mod options;

pub(crate) use options::{Options, help};

use super::log;
use super::output::millis;
use super::signals::Signals;
use super::{Object, Stop};
use lines::Lines;
use serde_json::Value;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};
use unwedge::Group;
use unwedge::breaker::Transition;
use unwedge::supervise::Report;

/// Loops that block their threads must leave some to the others, also on a machine with one core.
const WORKERS: usize = 4;

/// Why a program is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Signal(&'static str),
    /// The time of `--for` is over.
    TimeOver,
    /// Nobody reads standard output any more.
    Closed,
}

impl End {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            End::Signal(name) => name,
            End::TimeOver => "--for",
            End::Closed => "a closed standard output",
        }
    }
}

/// A running example, as its parts see it. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Daemon {
    start: Instant,
    json: bool,
    /// Where the admin endpoints of its crew listen.
    admin: Option<SocketAddr>,
    lines: Lines,
    end: watch::Receiver<Option<End>>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

/// How it went: the exit code and the counts of the last object.
#[must_use]
pub(crate) struct Done {
    kept: bool,
    counts: Vec<(&'static str, Value)>,
}

impl Done {
    /// A clean end, if the promise of the program was `kept`.
    pub(crate) fn new(kept: bool) -> Done {
        Done { kept, counts: Vec::new() }
    }

    /// A clean end of a crew: those that had to be aborted are named, and are no failure of the program.
    pub(crate) fn of(report: &Report) -> Done {
        Done::new(true)
            .count("restarts", report.restarts)
            .count("clean", report.clean)
            .count("stragglers", report.stragglers.clone())
    }

    pub(crate) fn count(mut self, name: &'static str, value: impl Into<Value>) -> Done {
        self.counts.push((name, value.into()));
        self
    }
}

/// Something that reads the log while it is written.
pub(crate) type Reader = Box<dyn Layer<Registry> + Send + Sync>;

/// Runs a program on its own runtime until it has ended by itself, which it should do soon after [`Daemon::ended`].
pub(crate) fn run<F>(options: &Options, program: impl FnOnce(Daemon) -> F) -> Result<ExitCode, Stop>
where
    F: Future<Output = Result<Done, Stop>>,
{
    run_told(options, Own::default(), program)
}

/// What a program says of itself beside its log, or in place of lines of it.
pub(crate) struct Own {
    /// Reads the log.
    pub(crate) reader: Option<Reader>,
    /// The lines of the library that it says in its own words.
    pub(crate) twice: log::Twice,
}

impl Default for Own {
    fn default() -> Own {
        Own { reader: None, twice: |_| false }
    }
}

/// The same, for one that has words of its own.
pub(crate) fn run_told<F>(
    options: &Options,
    own: Own,
    program: impl FnOnce(Daemon) -> F,
) -> Result<ExitCode, Stop>
where
    F: Future<Output = Result<Done, Stop>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    let code = runtime.block_on(async {
        let daemon = Daemon::start(options, own)?;
        let ended = program(daemon.clone()).await;
        daemon.finish(ended).await
    });
    // A loop that blocks its thread must not hold the end.
    runtime.shutdown_background();
    code
}

/// What is said of the program.
impl Daemon {
    /// An object with its `event` and `t_ms`; [`tell`](Daemon::tell) says it.
    pub(crate) fn event(&self, name: &str) -> Object {
        Object::event(name).with("t_ms", millis(self.start.elapsed()))
    }

    /// Says it at once, with `--json`. Never waits.
    pub(crate) fn tell(&self, object: &Object) {
        if self.json {
            self.lines.out(object.line());
        }
    }

    /// The first object: everything listens.
    pub(crate) fn ready(&self, admin: Option<&str>, server: Option<&str>) {
        tracing::info!(admin, server, "ready");
        self.tell(&self.event("ready").with("admin", admin).with("server", server));
    }

    /// What had failed works again.
    pub(crate) fn recovered(&self, name: &str, after: Duration) {
        self.tell(&self.event("recovered").with("name", name).with("after_ms", millis(after)));
    }

    /// Says every change of these breakers: `daemon.watch(client.breakers().subscribe())`.
    pub(crate) fn watch(&self, mut changes: broadcast::Receiver<Transition>) {
        let daemon = self.clone();
        self.spawn(async move {
            loop {
                match changes.recv().await {
                    Ok(change) => daemon.breaker(&change),
                    Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "transitions were missed"),
                    Err(RecvError::Closed) => return,
                }
            }
        });
    }

    fn breaker(&self, change: &Transition) {
        let object = self.event("breaker").with("origin", &*change.origin);
        let object = object.with("group", change.group.as_ref().map(Group::as_str));
        let object = object.with("client", change.client.as_deref());
        self.tell(&object.with("from", change.from.as_str()).with("to", change.to.as_str()));
    }
}

/// Its end.
impl Daemon {
    /// Waits until the program is asked to end. Any number may wait, at any time.
    pub(crate) async fn ended(&self) -> End {
        match self.end.clone().wait_for(Option::is_some).await.map(|end| *end) {
            Ok(Some(end)) => end,
            // Whoever would say so is gone, which happens with the runtime alone.
            _ => pending().await,
        }
    }

    /// The same, said in the log: for a program without a crew, which says so itself.
    pub(crate) async fn asked_to_end(&self) {
        match self.ended().await {
            End::Signal(signal) => tracing::info!(signal, "shutting down"),
            end => tracing::info!(by = end.as_str(), "shutting down"),
        }
    }

    /// Runs something beside the program, to its end or the program's.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(task);
    }

    fn start(options: &Options, own: Own) -> Result<Daemon, Stop> {
        let lines = Lines::start()?;
        let (to, json) = (lines.clone(), options.json);
        let written = log::to(move || to.log(json), own.twice)?;
        tracing_subscriber::registry().with(own.reader).with(written).init();
        let (say, end) = watch::channel(None);
        let start = Instant::now();
        let daemon = Daemon { start, json, admin: options.admin, lines, end, tasks: Arc::default() };
        // Before anybody is told that the program is there to be ended.
        let signals = Signals::install()?;
        daemon.spawn(until_ended(signals, options.run_for, daemon.lines.clone(), say));
        Ok(daemon)
    }

    async fn finish(self, ended: Result<Done, Stop>) -> Result<ExitCode, Stop> {
        // It kills what was started, by which the program may end in order before it is told why.
        if timeout(Duration::ZERO, Signals::install()?.asked_again()).await.is_ok() {
            end_at_once(&self.lines).await
        }
        let (exit, counts) = match &ended {
            Ok(done) => (u8::from(!done.kept), &*done.counts),
            Err(Stop::Failed(_)) => (1, &[][..]),
            Err(_) => return ended.map(|_| ExitCode::SUCCESS),
        };
        let mut object = self.event("done").with("exit", exit);
        for (name, value) in counts {
            object = object.with(name, value.clone());
        }
        if let Err(Stop::Failed(why)) = &ended {
            object = object.with("error", &**why);
        }
        if self.lines.lost() > 0 {
            object = object.with("lost_lines", self.lines.lost());
        }
        self.lines.last(if self.json { object.line() } else { String::new() }).await;
        ended.map(|_| ExitCode::from(exit))
    }
}

async fn until_ended(
    signals: Signals,
    run_for: Option<Duration>,
    lines: Lines,
    say: watch::Sender<Option<End>>,
) {
    let over = async {
        match run_for {
            Some(run_for) => sleep(run_for).await,
            None => pending().await,
        }
    };
    let end = tokio::select! {
        asked = signals.asked() => End::Signal(asked.name()),
        () = over => End::TimeOver,
        () = lines.closed() => End::Closed,
    };
    say.send_replace(Some(end));
    // Whoever asks twice does not want to wait.
    signals.asked_again().await;
    end_at_once(&lines).await
}

async fn end_at_once(lines: &Lines) -> ! {
    tracing::warn!("asked again, ending at once");
    lines.last(String::new()).await;
    std::process::exit(1);
}
