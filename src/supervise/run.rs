//! From the start of a crew to its end.

use crate::deadline::sleep_until;
use crate::duration::check;
use crate::error::Error;
use crate::inflight::owner::Owner;
use crate::panics;
use crate::supervise::liveness::Liveness;
use crate::supervise::readiness::Shared;
use crate::supervise::report::{Event, Recorder, Report};
use crate::supervise::signal::{Asked, Crew as Signalled};
use crate::supervise::state::SubsystemState;
use crate::supervise::watchdog::{Watchdog, Watched};
use crate::supervise::{Supervisor, systemd};
use crate::sync::Arc;
use crate::telemetry::log::supervise as log;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

/// How long it may take a task that was aborted to be gone. One that blocks its thread never is.
const GONE: Duration = Duration::from_millis(200);

impl Supervisor {
    /// Runs all subsystems until `signal` is ready, tells them to end, gives them the grace, and aborts those that are
    /// left.
    ///
    /// The signal is [`ctrl_c`](crate::supervise::ctrl_c), or any future that returns nothing, a name, or what
    /// `tokio::signal::ctrl_c()` does. Where it is ready at once nothing is started. Where
    /// [`Signals`](crate::supervise::Signals) are installed, as they are in process 1, and neither the future nor anybody else
    /// has answered a signal within 1 s, it ends as if the future had named it. It also ends, with a clean report, when all
    /// subsystems have stopped for good. A straggler that blocks its thread holds up the end of the runtime: end
    /// the process with the report's [`exit`](Report::exit), as in the example of the [module](super). Children of such a
    /// straggler are killed.
    ///
    /// With [`Escalation::Exit`](crate::supervise::Escalation::Exit) it ends the process itself, after the grace.
    ///
    /// # Errors
    /// Kind `Config`, before anything is started: no subsystem, a name that is blank or taken, a setting that cannot work,
    /// a signal handler that cannot be installed, no thread for the watchdog, a runtime without its timer. The same kind, once, where the runtime ends
    /// while somebody waits on its handle: the subsystems have ended with it.
    ///
    /// # Cancellation safety
    /// When it is dropped all subsystems are aborted at their next `.await`, tasks of theirs are told to end, and the
    /// program is not ready any more.
    #[doc(alias("graceful_shutdown", "with_graceful_shutdown"))]
    pub async fn run_until<S>(
        mut self,
        signal: impl Future<Output = S>,
        grace: Duration,
    ) -> Result<Report, Error>
    where
        S: Into<Asked>,
    {
        check("the grace", grace)?;
        // Also where nothing could bound what follows.
        sleep_until(Instant::now()).await?;
        if self.tasks.is_empty() {
            return Err(Error::config("there is no subsystem to run: spawn one first"));
        }
        let cells =
            self.tasks.iter_mut().map(crate::supervise::Task::check).collect::<Result<Vec<_>, _>>()?;
        // Handlers are installed by the first poll, and what cannot be ended is not started.
        let signalled = Signalled::new();
        let mut signal = pin!(signalled.asked(signal));
        let early = poll_fn(|cx| Poll::Ready(signal.as_mut().poll(cx))).await;
        if let Poll::Ready(asked) = early {
            return never_started(asked, &cells, &self.liveness.0.recorder);
        }
        if cfg!(panic = "abort") {
            log::aborts_on_panic();
        }
        panics::install();
        // Also where this future is dropped: probes and tasks of the subsystems live on, and have to know.
        let _told = self.shared.cancel.clone().drop_guard();
        let calls = std::mem::take(&mut self.calls);
        #[cfg(unix)]
        let _reaper = self.reap.then(crate::supervise::reaper::Reaper::start);
        let watchdog = Watchdog::start(&self.liveness.0, calls, self.period)?;
        let mut tasks = JoinSet::new();
        for (task, cell) in std::mem::take(&mut self.tasks).into_iter().zip(&cells) {
            let recorder = self.liveness.0.recorder.clone();
            tasks.spawn(task.start(Arc::clone(cell), Arc::clone(&self.shared), recorder, self.seed));
        }
        let mut crew =
            Crew { tasks, ticker: ticker(watchdog.watched.period), shared: &self.shared, watchdog };
        self.shared.starts();
        systemd::ready();

        let first = crew.next(signal.as_mut(), None).await;
        let began = Instant::now();
        let running = cells.iter().filter(|cell| !cell.has_stopped()).count();
        let ends_process = match &first {
            Happened::Asked(asked) => asked.ends_process(),
            first => matches!(first, Happened::Exit),
        };
        let (name, failed, again) = match first {
            Happened::Asked(asked) => {
                let again = asked.again.unwrap_or_else(|| Box::pin(std::future::pending()));
                (Some(asked.name), asked.failed, Some(again))
            }
            Happened::Exit => (Some("escalation"), None, None),
            Happened::AllGone | Happened::TimeIsUp => (None, None, None),
            Happened::RuntimeEnded => {
                return Err(Error::config("the tokio runtime has ended, and all subsystems with it"));
            }
        };
        self.shared.cancel.cancel();
        log::shutting_down(name.unwrap_or("none is left"), running);
        self.liveness.0.recorder.tell(Event::ShuttingDown { signal: name.unwrap_or("none is left") });
        if ends_process {
            systemd::stopping();
        }
        let asked = again.is_some();
        let again = async {
            match again {
                Some(again) => again.await,
                // Nobody has asked yet, so that the first signal is the one too many.
                None => drop(signal.await),
            }
        };
        // Whatever happens next, the time of those that are left is over.
        let cut = crew.drain(again, began + grace).await && asked;
        let stragglers = abort(&self.liveness, &mut crew.tasks, &cells).await;
        drop(crew);
        let report = Report {
            signal: name,
            clean: stragglers.is_empty() && !cut,
            stragglers,
            running,
            took: began.elapsed(),
            restarts: cells.iter().map(|cell| cell.restarts.load(Ordering::Relaxed)).sum(),
        };
        log::shut_down(report.signal, report.stragglers.len(), report.clean, report.took);
        if let Some(code) = self.shared.exit() {
            (self.exit)(code);
        }
        match failed {
            Some(error) => Err(no_handler(name.unwrap_or_default(), &error)),
            None => Ok(report),
        }
    }
}

/// Aborts and names those that did not end by themselves. No method of the supervisor, which may be sent to another
/// thread and not shared with one: its run can be spawned.
async fn abort(liveness: &Liveness, tasks: &mut JoinSet<()>, cells: &[Arc<SubsystemState>]) -> Vec<String> {
    let left =
        |cell: &SubsystemState| !cell.has_stopped() && cells.iter().any(|own| std::ptr::eq(&**own, cell));
    if tasks.is_empty() {
        return Vec::new();
    }
    let shown = liveness.0.show(Instant::now(), left);
    for (cell, subsystem) in &shown {
        log::straggler(&cell.name, subsystem);
    }
    tasks.abort_all();
    let gone = tokio::time::timeout(GONE, async { while tasks.join_next().await.is_some() {} }).await;
    if gone.is_err() {
        // Those who block their thread end no child that they wait for, and the process may end now.
        let is_left = |owner: &Arc<Owner>| shown.iter().any(|(cell, _)| Arc::ptr_eq(&cell.member, owner));
        crate::child::kill_of(is_left);
    }
    shown.into_iter().map(|(cell, _)| cell.name.to_string()).collect()
}

/// The signal was there before the crew.
fn never_started(asked: Asked, cells: &[Arc<SubsystemState>], recorder: &Recorder) -> Result<Report, Error> {
    if let Some(error) = &asked.failed {
        return Err(no_handler(asked.name, error));
    }
    log::shutting_down(asked.name, 0);
    recorder.tell(Event::ShuttingDown { signal: asked.name });
    if asked.ends_process() {
        systemd::stopping();
    }
    for cell in cells {
        log::stopping(&cell.name, None);
    }
    let signal = Some(asked.name);
    let (stragglers, took) = (Vec::new(), Duration::ZERO);
    log::shut_down(signal, 0, true, took);
    Ok(Report { signal, clean: true, stragglers, running: 0, took, restarts: 0 })
}

fn no_handler(signal: &str, error: &std::io::Error) -> Error {
    Error::config(format!("the handler for {signal} cannot be installed: {error}"))
}

fn ticker(period: Duration) -> Interval {
    let mut ticker = interval(period);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticker
}

/// What a crew waits for.
enum Happened {
    Asked(Asked),
    Exit,
    AllGone,
    TimeIsUp,
    RuntimeEnded,
}

struct Crew<'a> {
    tasks: JoinSet<()>,
    ticker: Interval,
    shared: &'a Shared,
    watchdog: Watchdog,
}

impl Crew<'_> {
    /// Waits until all have ended, or the time is up, or somebody asks again; whether somebody did. The children are
    /// killed at a second signal, by whose end all may be over before it is told here.
    async fn drain(&mut self, again: impl Future<Output = ()>, until: Instant) -> bool {
        let mut again = pin!(async {
            again.await;
            Asked::from(())
        });
        match self.next(again.as_mut(), Some(until)).await {
            Happened::Asked(_) => true,
            _ => poll_fn(|cx| Poll::Ready(again.as_mut().poll(cx).is_ready())).await,
        }
    }

    /// The next thing that happens, while the watchdog looks.
    async fn next(
        &mut self,
        mut signal: Pin<&mut impl Future<Output = Asked>>,
        until: Option<Instant>,
    ) -> Happened {
        let mut exits = pin!(self.shared.exits.notified());
        let mut until = pin!(until.map(sleep_until));
        let watched: &Watched = &self.watchdog.watched;
        let (tasks, ticker) = (&mut self.tasks, &mut self.ticker);
        poll_fn(|cx: &mut Context<'_>| {
            loop {
                match tasks.poll_join_next(cx) {
                    Poll::Ready(None) => return Poll::Ready(Happened::AllGone),
                    // Nobody has aborted it: it went with the runtime.
                    Poll::Ready(Some(Err(gone))) if until.is_none() && gone.is_cancelled() => {
                        return Poll::Ready(Happened::RuntimeEnded);
                    }
                    Poll::Ready(Some(_)) => continue,
                    Poll::Pending => break,
                }
            }
            // Before the signal, which is the user's and may spend the whole budget of each poll.
            while ticker.poll_tick(cx).is_ready() {
                watched.looks_inside(Instant::now());
            }
            if let Poll::Ready(asked) = signal.as_mut().poll(cx) {
                return Poll::Ready(Happened::Asked(asked));
            }
            if until.is_none() && exits.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Happened::Exit);
            }
            match until.as_mut().as_pin_mut().map(|until| until.poll(cx)) {
                Some(Poll::Ready(_)) => Poll::Ready(Happened::TimeIsUp),
                _ => Poll::Pending,
            }
        })
        .await
    }
}
