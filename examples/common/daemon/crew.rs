//! A program that is a crew of supervised loops.

use super::{Daemon, Stop};
use crate::common::output::millis;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use unwedge::admin::Admin;
use unwedge::supervise::{Event, Report, Supervisor};

impl Daemon {
    /// Runs the crew until the program is asked to end, shows it, and says what happens to it. `ready` is said when
    /// all its settings were found to work, and before anything of it runs.
    pub(crate) async fn crew(
        &self,
        crew: Supervisor,
        grace: Duration,
        admin: Admin,
        server: Option<&str>,
    ) -> Result<Report, Stop> {
        let mut events = crew.events();
        let shown = match self.admin {
            Some(at) => {
                let prometheus = unwedge::admin::prometheus().map_err(Stop::usage)?;
                let admin = admin.program(env!("CARGO_BIN_NAME"), env!("CARGO_PKG_VERSION"));
                let shown = admin.metrics(prometheus).serve(at).await;
                Some(shown.map_err(|error| Stop::listen("--admin", at, error))?)
            }
            None => None,
        };
        let asked = async {
            let url = shown.as_ref().map(|shown| shown.url());
            self.ready(url.as_deref(), server);
            self.ended().await.as_str()
        };
        let mut run = pin!(crew.run_until(asked, grace));
        // Beside the crew and not in a task: what is said last comes before `done`.
        let report = loop {
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Ok(event) => self.happened(&event),
                    Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "events were missed"),
                    Err(RecvError::Closed) => break run.await,
                },
                report = &mut run => break report,
            }
        };
        loop {
            match events.try_recv() {
                Ok(event) => self.happened(&event),
                Err(TryRecvError::Lagged(missed)) => tracing::warn!(missed, "events were missed"),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        report.map_err(Stop::usage)
    }

    /// Says what happened to a crew, if that is of use to a program.
    pub(crate) fn happened(&self, event: &Event) {
        let object = match event {
            Event::Panicked { name, message } => {
                self.event("panic").with("name", &**name).with("message", &**message)
            }
            Event::Restart { name, reason, wait, restarts } => {
                let object = self.event("restart").with("name", &**name).with("reason", reason.as_str());
                object.with("in_ms", millis(*wait)).with("restarts", *restarts)
            }
            Event::Recovered { name, after } => return self.recovered(name, *after),
            Event::Stale { name, silent_for, waits_for } => {
                let object = self.event("stale").with("name", &**name);
                object.with("seconds_ago", silent_for.as_secs()).with("waits_for", waits_for.as_deref())
            }
            Event::Sweep { name, n, outcome, phase, took } => {
                let object = self.event("sweep").with("name", &**name).with("n", *n);
                object.with("outcome", outcome.as_str()).with("phase", *phase).with("ms", millis(*took))
            }
            Event::Skipped { name, ticks } => {
                self.event("skipped").with("name", &**name).with("ticks", *ticks)
            }
            // In the log, and in the counts at the end.
            _ => return,
        };
        self.tell(&object);
    }
}
