//! One agent after the other: an incident from the queue, a process with a limit, and what the breaker thinks of it.

use crate::common::log;
use crate::incident::{Dropped, Incident};
use crate::runner::Runner;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use unwedge::child::{Command, Outcome};
use unwedge::duration::human;
use unwedge::supervise::Heartbeat;

/// From SIGTERM to SIGKILL.
pub(crate) const GRACE: Duration = Duration::from_secs(5);
/// Beyond limit and grace, for the end of the process itself.
pub(crate) const SPARE: Duration = Duration::from_secs(1);

/// Runs agents until the program ends, and then lets the last one end.
pub(crate) async fn work(runner: Arc<Runner>, heart: Heartbeat) {
    loop {
        let item = {
            let _parked = heart.parked("no event waits for an agent");
            tokio::select! {
                biased;
                () = heart.cancelled() => return,
                item = runner.queue.pop() => item,
            }
        };
        let Some(item) = item else { return };
        heart.progress();
        let cluster: Arc<str> = item.key;
        runner.book.dequeued(&cluster, &item.value);
        runner.shows_depth(&cluster);
        handle(&runner, &heart, cluster, item.value).await;
    }
}

async fn handle(runner: &Runner, heart: &Heartbeat, cluster: Arc<str>, incident: Incident) {
    let permit = match runner.breaker.acquire() {
        Ok(permit) => permit,
        Err(refused) => {
            let why = refused.to_string();
            return runner.book.dropped(&cluster, &incident.event_id, Dropped::CircuitOpen, &why);
        }
    };
    let limit = runner.settings.agent_timeout;
    let run = Run::begin(runner, &cluster, &incident);
    let command = command(runner, &cluster, &incident);
    let shutdown = runner.settings.shutdown_timeout;
    // Asked to end shortly before the limit of the shutdown, killed at it.
    let asked = async {
        heart.cancelled().await;
        sleep(shutdown - (shutdown / 10).min(Duration::from_millis(500))).await;
    };
    let over = async {
        heart.cancelled().await;
        sleep(shutdown).await;
    };
    let ended = tokio::select! {
        biased;
        ended = command.run_until(asked) => ended,
        // Dropped, it is killed with all that it started.
        () = over => {
            permit.neutral();
            return run.end(Outcome::Killed, "killed: the time for the shutdown is over");
        }
    };
    match ended {
        Ok(ended) => {
            match ended.outcome {
                Outcome::Completed => permit.success(),
                Outcome::Killed => permit.neutral(),
                Outcome::TimedOut => permit.timed_out(),
                _ => permit.failure(),
            }
            if ended.outcome == Outcome::TimedOut {
                let (duration, threshold) = (human(ended.took).to_string(), human(limit).to_string());
                let id = incident.incident_id.as_str();
                let forced = ended.forced;
                tracing::warn!(
                    cluster = &*cluster,
                    incident_id = id,
                    duration,
                    threshold,
                    forced,
                    "agent timed out"
                );
            }
            run.end(ended.outcome, &ended.to_string());
        }
        Err(error) => {
            permit.failure();
            run.end(Outcome::Failed, &error.to_string());
        }
    }
}

fn command(runner: &Runner, cluster: &str, incident: &Incident) -> Command {
    // An agent needs what the runner was given: credentials, paths, proxies.
    let inherited = std::env::vars_os().map(|(name, _)| name);
    Command::new(&runner.command[0], runner.settings.agent_timeout)
        .args(&runner.command[1..])
        .inherit_env(inherited)
        .env("INCIDENT_ID", &incident.incident_id)
        .env("CLUSTER", cluster)
        .env("SEVERITY", incident.severity.as_str())
        .stdin(incident.data.clone())
        .grace(GRACE)
}

/// An agent's run in the books: it is closed however it ends.
struct Run<'a> {
    runner: &'a Runner,
    cluster: &'a str,
    incident_id: &'a str,
    began: Instant,
    open: bool,
}

impl<'a> Run<'a> {
    fn begin(runner: &'a Runner, cluster: &'a str, incident: &'a Incident) -> Run<'a> {
        runner.book.agent_begins(cluster);
        Run { runner, cluster, incident_id: &incident.incident_id, began: Instant::now(), open: true }
    }

    fn end(mut self, outcome: Outcome, how: &str) {
        self.close(outcome, how);
    }

    fn close(&mut self, outcome: Outcome, how: &str) {
        self.open = false;
        let (cluster, incident_id) = (self.cluster, self.incident_id);
        match outcome {
            Outcome::Completed => tracing::info!(cluster, incident_id, "agent {}", log::said(&how)),
            // Said before, with its limit.
            Outcome::TimedOut => {}
            _ => tracing::warn!(cluster, incident_id, "agent {}", log::said(&how)),
        }
        self.runner.book.agent_ends(cluster, incident_id, outcome, self.began.elapsed());
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if self.open {
            self.close(Outcome::Killed, "killed with its worker");
        }
    }
}
