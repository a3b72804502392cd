//! What Prometheus reads: the names, labels and buckets, and how a scrape is made.

use crate::common::Stop;
use crate::incident::{Dropped, Severity};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;
use tokio::time::Instant;

macro_rules! names {
    ($($constant:ident $kind:ident $name:literal $about:literal;)*) => {
        $(pub(crate) const $constant: &str = concat!("kubernetes_mcp_runner_", $name);)*

        fn describe() {
            $($kind!($constant, $about);)*
        }
    };
}

macro_rules! seconds {
    ($name:expr, $about:literal) => {
        describe_histogram!($name, Unit::Seconds, $about)
    };
}

names! {
    RECEIVED describe_counter "events_received_total" "Events that came, whatever became of them.";
    FILTERED describe_counter "events_filtered_total" "Events below the least severity.";
    QUEUED describe_counter "events_queued_total" "Events that were put into the queue.";
    EXPIRED describe_counter "events_expired_total" "Events that grew too old in the queue.";
    DEQUEUED describe_counter "events_dequeued_total" "Events that were taken out of the queue for an agent.";
    DROPPED describe_counter "events_dropped_total" "Events that no agent was run for, by reason.";
    QUEUE_DEPTH describe_gauge "queue_depth" "Events that wait for an agent.";
    SPAWNED describe_counter "agents_spawned_total" "Agent runs that were begun.";
    COMPLETED describe_counter "agents_completed_total" "Agent runs that ended well.";
    FAILED describe_counter "agents_failed_total" "Agent runs that failed: exit status, spawn error, or killed at shutdown.";
    TIMED_OUT describe_counter "agents_timeout_total" "Agent runs that were ended at their limit.";
    ACTIVE describe_gauge "agents_active" "Agents that run now.";
    AGENT_DURATION seconds "agent_duration_seconds" "How long agents ran, by how they ended.";
    CIRCUIT describe_gauge "circuit_breaker_state" "Breaker over agent runs: 0 closed, 1 open, 2 half-open.";
    SSE_ACTIVE describe_gauge "sse_connections_active" "Event streams that are connected.";
    SSE_RECONNECTIONS describe_counter "sse_reconnections_total" "Connections made after the first one.";
    SSE_ERRORS describe_counter "sse_errors_total" "Connections lost or not made: network, server, timeout.";
    SSE_DURATION seconds "sse_connection_duration_seconds" "How long event streams stayed connected.";
    BUILD describe_gauge "build_info" "Always 1; the version is a label.";
    UPTIME describe_gauge "uptime_seconds" "Since the start.";
}

const AGENT_BUCKETS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 180.0, 240.0, 300.0];
const SSE_BUCKETS: [f64; 7] = [60.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14_400.0];
/// Why a connection was lost.
pub(crate) const CAUSES: [&str; 3] = ["network", "server", "timeout"];
/// Reasons of dropped events beside those of [`Dropped`].
pub(crate) const QUEUE_FULL: &str = "queue_full";
pub(crate) const SHUTDOWN: &str = "shutdown";

/// The recorder, and what is looked up when somebody scrapes.
pub(crate) struct Meters {
    handle: PrometheusHandle,
    process: Collector,
    start: Instant,
    /// The next scrape fails, see `--break`.
    broken: AtomicBool,
}

impl Meters {
    /// Becomes what all counts of this process go to. Every series that can be known beforehand is there at once, so
    /// that a rate over it has a first value.
    pub(crate) fn install(clusters: &[&str], broken: bool) -> Result<Meters, Stop> {
        let cannot = |error: &dyn std::fmt::Display| Stop::Failed(format!("metrics: {error}"));
        let full = |name: &str| Matcher::Full(name.to_owned());
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(full(AGENT_DURATION), &AGENT_BUCKETS)
            .and_then(|builder| builder.set_buckets_for_metric(full(SSE_DURATION), &SSE_BUCKETS))
            .map_err(|error| cannot(&error))?
            .build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|error| cannot(&error))?;
        describe();
        let process = Collector::default();
        process.describe();
        clusters.iter().for_each(|cluster| begin(cluster));
        gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        gauge!(CIRCUIT).set(0.0);
        Ok(Meters { handle, process, start: Instant::now(), broken: AtomicBool::new(broken) })
    }

    /// The text for Prometheus, or `None` where it could not be made.
    pub(crate) fn scrape(&self) -> Option<String> {
        // One that fails is the scraper's loss alone.
        catch_unwind(AssertUnwindSafe(|| {
            assert!(!self.broken.swap(false, Ordering::Relaxed), "--break scrape");
            gauge!(UPTIME).set(self.start.elapsed().as_secs_f64());
            runtime();
            self.process.collect();
            self.handle.render()
        }))
        .ok()
    }

    /// Brings what was measured into its buckets; without it, memory grows while nobody scrapes.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

/// All series of a cluster, at zero.
fn begin(cluster: &str) {
    for severity in Severity::ALL {
        for name in [RECEIVED, FILTERED, QUEUED, EXPIRED, DEQUEUED] {
            count(name, &[("cluster", cluster), ("severity", severity.as_str())], 0);
        }
    }
    for reason in Dropped::ALL.iter().map(|dropped| dropped.as_str()).chain([QUEUE_FULL, SHUTDOWN]) {
        count(DROPPED, &[("cluster", cluster), ("reason", reason)], 0);
    }
    for reason in CAUSES {
        count(SSE_ERRORS, &[("cluster", cluster), ("reason", reason)], 0);
    }
    for name in [SPAWNED, COMPLETED, FAILED, TIMED_OUT, SSE_RECONNECTIONS] {
        count(name, &[("cluster", cluster)], 0);
    }
    for name in [QUEUE_DEPTH, ACTIVE, SSE_ACTIVE] {
        set(name, cluster, 0.0);
    }
}

pub(crate) fn count(name: &'static str, labels: &[(&'static str, &str)], more: u64) {
    let labels: Vec<_> = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    counter!(name, &labels).increment(more);
}

pub(crate) fn set(name: &'static str, cluster: &str, value: f64) {
    gauge!(name, "cluster" => cluster.to_owned()).set(value);
}

fn runtime() {
    let runtime = Handle::current().metrics();
    gauge!("tokio_workers").set(runtime.num_workers() as f64);
    gauge!("tokio_alive_tasks").set(runtime.num_alive_tasks() as f64);
    gauge!("tokio_global_queue_depth").set(runtime.global_queue_depth() as f64);
}
