//! What became of every event and of every agent: counted, said, and shown to Prometheus, in one place.

use crate::common::daemon::{Daemon, Done};
use crate::common::output::millis;
use crate::common::{Object, log};
use crate::incident::{Dropped, Incident, Severity};
use crate::meters::{self, count};
use metrics::histogram;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use unwedge::child::Outcome;
use unwedge::queue::Counts;

pub(crate) struct Book {
    daemon: Daemon,
    received: AtomicU64,
    filtered: AtomicU64,
    /// In the order of [`Dropped::ALL`].
    dropped: [AtomicU64; 4],
    active: AtomicU64,
    /// In the order of [`OUTCOMES`].
    agents: [AtomicU64; 4],
    /// The incidents whose agents did not end by themselves.
    killed: Mutex<Vec<String>>,
}

const OUTCOMES: [Outcome; 4] = [Outcome::Completed, Outcome::Failed, Outcome::TimedOut, Outcome::Killed];

impl Book {
    pub(crate) fn new(daemon: Daemon) -> Book {
        Book {
            daemon,
            received: AtomicU64::default(),
            filtered: AtomicU64::default(),
            dropped: Default::default(),
            active: AtomicU64::default(),
            agents: Default::default(),
            killed: Mutex::default(),
        }
    }

    pub(crate) fn received(&self, cluster: &str, event_id: &str, severity: Option<Severity>) {
        self.received.fetch_add(1, Ordering::Relaxed);
        let severity = severity.map_or("unknown", Severity::as_str);
        count(meters::RECEIVED, &[("cluster", cluster), ("severity", severity)], 1);
        self.daemon.tell(&self.event("received", cluster, event_id).with("severity", severity));
    }

    pub(crate) fn filtered(&self, cluster: &str, incident: &Incident) {
        self.filtered.fetch_add(1, Ordering::Relaxed);
        self.step(meters::FILTERED, cluster, incident);
        self.daemon.tell(&self.event("filtered", cluster, &incident.event_id));
    }

    pub(crate) fn queued(&self, cluster: &str, event_id: &str, severity: Severity) {
        count(meters::QUEUED, &[("cluster", cluster), ("severity", severity.as_str())], 1);
        self.daemon.tell(&self.event("queued", cluster, event_id));
    }

    pub(crate) fn refused(&self, cluster: &str, event_id: &str, why: &str) {
        count(meters::DROPPED, &[("cluster", cluster), ("reason", meters::QUEUE_FULL)], 1);
        tracing::warn!(cluster, event_id, "event refused: {}", log::said(&why));
        self.daemon.tell(&self.event("refused", cluster, event_id));
    }

    pub(crate) fn expired(&self, cluster: &str, incident: &Incident) {
        self.step(meters::EXPIRED, cluster, incident);
        self.daemon.tell(&self.event("expired", cluster, &incident.event_id));
    }

    pub(crate) fn dequeued(&self, cluster: &str, incident: &Incident) {
        self.step(meters::DEQUEUED, cluster, incident);
    }

    pub(crate) fn dropped(&self, cluster: &str, event_id: &str, reason: Dropped, why: &str) {
        self.dropped[reason as usize].fetch_add(1, Ordering::Relaxed);
        let reason = reason.as_str();
        count(meters::DROPPED, &[("cluster", cluster), ("reason", reason)], 1);
        tracing::warn!(cluster, event_id, reason, "event dropped: {}", log::said(&why));
        self.daemon.tell(&self.event("dropped", cluster, event_id).with("reason", reason));
    }

    /// It was still in the queue when the program ended.
    pub(crate) fn drained(&self, cluster: &str, event_id: &str) {
        count(meters::DROPPED, &[("cluster", cluster), ("reason", meters::SHUTDOWN)], 1);
        tracing::warn!(cluster, event_id, "event not handled: the program ends");
        self.daemon.tell(&self.event("drained", cluster, event_id));
    }

    pub(crate) fn agent_begins(&self, cluster: &str) {
        self.active.fetch_add(1, Ordering::Relaxed);
        count(meters::SPAWNED, &[("cluster", cluster)], 1);
        metrics::gauge!(meters::ACTIVE, "cluster" => cluster.to_owned()).increment(1.0);
    }

    pub(crate) fn agent_ends(&self, cluster: &str, incident_id: &str, outcome: Outcome, took: Duration) {
        let place = OUTCOMES.iter().position(|one| *one == outcome).unwrap_or(1);
        self.agents[place].fetch_add(1, Ordering::Relaxed);
        let name = match outcome {
            Outcome::Completed => meters::COMPLETED,
            Outcome::TimedOut => meters::TIMED_OUT,
            _ => meters::FAILED,
        };
        count(name, &[("cluster", cluster)], 1);
        metrics::gauge!(meters::ACTIVE, "cluster" => cluster.to_owned()).decrement(1.0);
        let status = outcome.as_str();
        histogram!(meters::AGENT_DURATION, "cluster" => cluster.to_owned(), "status" => status)
            .record(took.as_secs_f64());
        if outcome == Outcome::Killed {
            let mut killed = self.killed.lock().unwrap_or_else(PoisonError::into_inner);
            killed.push(incident_id.to_owned());
        }
        let object = self.daemon.event("agent").with("cluster", cluster).with("incident_id", incident_id);
        self.daemon.tell(&object.with("outcome", status).with("ms", millis(took)));
        // Last, so that whoever sees nobody active sees all that they did.
        self.active.fetch_sub(1, Ordering::Release);
    }

    pub(crate) fn received_so_far(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(crate) fn active(&self) -> u64 {
        self.active.load(Ordering::Acquire)
    }

    /// The last counts, of which the queue keeps its own. The end is good only if they add up.
    pub(crate) fn close(&self, queue: &Counts) -> Done {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (received, filtered) = (of(&self.received), of(&self.filtered));
        let dropped: u64 = self.dropped.iter().map(of).sum();
        // What was taken out and refused by the breaker was not served.
        let served = queue.served - of(&self.dropped[Dropped::CircuitOpen as usize]);
        let Counts { expired, refused, drained, .. } = *queue;
        let adds_up = received == filtered + served + expired + refused + dropped + drained;
        let word = if adds_up { "the counts add up" } else { "THE COUNTS DO NOT ADD UP" };
        tracing::info!(
            "received {received} = filtered {filtered} + served {served} + expired {expired} + refused {refused} + dropped {dropped} + drained {drained}: {word}"
        );
        let [completed, failed, timed_out, killed] = self.agents.each_ref().map(of);
        tracing::info!(
            "agents: {completed} completed, {failed} failed, {timed_out} timed out, {killed} killed"
        );
        let reasons = Dropped::ALL
            .map(|reason| (reason.as_str().to_owned(), of(&self.dropped[reason as usize]).into()));
        let named = self.killed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Done::new(adds_up)
            .count("received", received)
            .count("filtered", filtered)
            .count("served", served)
            .count("expired", expired)
            .count("refused", refused)
            .count("dropped", dropped)
            .count("drained", drained)
            .count("dropped_by_reason", serde_json::Value::Object(reasons.into_iter().collect()))
            .count("completed", completed)
            .count("failed", failed)
            .count("timed_out", timed_out)
            .count("killed", killed)
            .count("killed_incidents", named)
    }

    fn step(&self, name: &'static str, cluster: &str, incident: &Incident) {
        count(name, &[("cluster", cluster), ("severity", incident.severity.as_str())], 1);
    }

    fn event(&self, name: &str, cluster: &str, event_id: &str) -> Object {
        self.daemon.event(name).with("cluster", cluster).with("event_id", event_id)
    }
}
