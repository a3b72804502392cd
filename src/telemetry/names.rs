//! The table of metrics.

/// What kind of series a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Goes up only.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution; its bounds stand in [`Metric::buckets`].
    Histogram,
}

/// One metric of this crate.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Metric {
    /// As it is given to the `metrics` facade. Exporters write a dot as they must, Prometheus as an underscore, and add the
    /// unit, seconds for histograms, where the name lacks it.
    pub name: &'static str,
    /// What kind of series it is.
    pub kind: Kind,
    /// The names of its labels. `group` is left out where a request has none, `client` for a breaker outside of a stack.
    pub labels: &'static [&'static str],
    /// What it says, in one line.
    pub about: &'static str,
    /// The upper bounds of a histogram, in seconds.
    pub buckets: &'static [f64],
}

/// Beyond the default total of 30 s, since limits are set longer than that.
const CALL: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0];
const POLL: &[f64] =
    &[0.1, 1.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];
const OUTAGE: &[f64] =
    &[0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0];

macro_rules! metrics {
    ($($constant:ident $kind:ident $name:literal [$($label:literal)*] $buckets:expr, $about:literal;)*) => {
        $(pub(crate) static $constant: Metric = Metric {
            name: $name, kind: Kind::$kind, labels: &[$($label),*], about: $about, buckets: $buckets,
        };)*
        /// Every metric of this crate, in the order of the manual.
        pub static METRICS: &[&Metric] = &[$(&$constant),*];
    };
}

#[rustfmt::skip]
metrics! {
    CALL_DURATION Histogram "http.client.request.duration" ["http.request.method" "server.address" "server.port" "http.response.status_code" "error.type" "client"] CALL, "Seconds from the start of a call to its last byte, long polls apart; OpenTelemetry's name and attributes.";
    LONG_POLL_DURATION Histogram "unwedge_long_poll_duration_seconds" ["origin" "client" "outcome"] POLL, "Seconds from the start of a long poll to its last byte.";
    ATTEMPTS Counter "unwedge_attempts_total" ["origin" "client" "outcome"] &[], "Attempts by how they ended: a class of status, or a kind of error.";
    RETRIES Counter "unwedge_retries_total" ["origin" "client" "cause"] &[], "Attempts that were made again, by what the one before died of.";
    BUDGET Gauge "unwedge_retry_budget_tokens" ["origin" "client" "group"] &[], "Tokens that are left for retries.";
    PHASE Gauge "unwedge_breaker_phase" ["origin" "client" "group"] &[], "Phase of the circuit breaker: 0 closed, 1 open, 2 half-open, 3 forced open, 4 disabled.";
    TRANSITIONS Counter "unwedge_breaker_transitions_total" ["origin" "client" "group" "from" "to"] &[], "Changes of phase of the circuit breaker.";
    EXPIRED_LEASES Counter "unwedge_breaker_expired_leases_total" ["origin" "client" "group"] &[], "Probes of a half-open circuit that did not return within their lease.";
    GATES_CLOSED Counter "unwedge_gates_closed_total" ["origin" "client" "group"] &[], "Gates that were closed for calls of one path and credential, by a 429 or a quota of which nothing remained.";
    GATE_CALLS Counter "unwedge_gate_calls_total" ["origin" "client" "group" "outcome"] &[], "Calls that came to a closed gate: those that waited for it, and those that were refused since it opens too late for them.";
    FOLDED Counter "unwedge_groups_folded_total" ["origin" "client"] &[], "Calls whose group shares the state of others, since their origin has too many groups.";
    HEALTH_CHECKS Counter "unwedge_health_checks_total" ["origin" "client" "outcome"] &[], "Health checks, passed and failed.";
    CONNECTION_FAILURES Counter "unwedge_connection_failures_total" ["origin" "client" "cause"] &[], "Connections that could not be had, by cause.";
    RECOVERY Histogram "unwedge_recovery_seconds" ["origin" "client"] OUTAGE, "Seconds from the first sign of an outage to the first health check that passed, or to the closing of the circuit.";
    DEADLINES Counter "unwedge_deadline_exceeded_total" ["origin" "client" "phase"] &[], "Calls that ended at their deadline, by the phase they were in.";
    LONG_POLLS Gauge "unwedge_long_polls_in_flight" ["origin" "client"] &[], "Long polls under way.";
    UNBOUNDED Counter "unwedge_unbounded_calls_total" ["origin" "client"] &[], "Long polls without any bound of their own.";
    STREAM_CONNECTS Counter "unwedge_event_stream_connects_total" ["stream"] &[], "Connections of an event stream that were made, the first one included.";
    STREAM_LOSSES Counter "unwedge_event_stream_losses_total" ["stream" "cause"] &[], "Connections of an event stream that were lost or not made.";
    RESTARTS Counter "unwedge_restarts_total" ["subsystem" "reason"] &[], "Loops that were started again, by how they ended.";
    STALE Counter "unwedge_stale_total" ["subsystem"] &[], "Times that a subsystem fell silent for longer than its threshold.";
    QUEUE_EXPIRED Counter "unwedge_queue_expired_total" ["queue"] &[], "Items of a queue that grew too old.";
    QUEUE_WAITING Gauge "unwedge_queue_waiting" ["queue"] &[], "Items that wait in a queue, also those that are too old and not yet swept.";
    QUEUE_HELD Gauge "unwedge_queue_held" ["queue"] &[], "Items that the valve of a queue held back at its last sweep, 0 where it let all pass.";
    SUBSYSTEM_AGE Gauge "unwedge_subsystem_last_tick_age_seconds" ["subsystem"] &[], "Seconds since the last sign of life of a supervised loop, or since its crew was started where it never showed one.";
    SUBSYSTEM_STALE Gauge "unwedge_subsystem_stale" ["subsystem"] &[], "1 while a supervised loop is stale, else 0.";
    WATCHDOG_LAG Gauge "unwedge_watchdog_lag_seconds" [] &[], "By how much the watchdog was late when it last looked.";
    IN_FLIGHT Gauge "unwedge_calls_in_flight" ["client"] &[], "Calls under way when it was last looked.";
    OLDEST Gauge "unwedge_oldest_in_flight_seconds" ["client"] &[], "Age of the oldest call under way when it was last looked.";
    OPEN_CONNECTIONS Gauge "http.client.open_connections" ["http.connection.state" "server.address" "server.port" "client"] &[], "Connections of a client when it was last looked, active and idle; OpenTelemetry's name and attributes.";
}
