//! What orchestrators and Prometheus ask for: one server for the probes, one for the metrics.

use crate::common::Stop;
use crate::common::daemon::Daemon;
use crate::listen::{Answer, Listening, text};
use crate::runner::Runner;
use http::StatusCode;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// They answer as long as it is kept.
pub(crate) struct Probes {
    health: Listening,
    metrics: Listening,
}

/// Both listen where they are reached from outside of a pod, and show nothing but this.
pub(crate) async fn start(runner: &Arc<Runner>, bind: IpAddr) -> Result<Probes, Stop> {
    let settings = &runner.settings;
    let answer = |of: fn(&Runner, &str) -> Answer| {
        let runner = Arc::clone(runner);
        move |request: &http::Request<_>| of(&runner, request.uri().path())
    };
    let (health, metrics) = (settings.health_port, settings.metrics_port);
    let cannot =
        |name: &str, port: u16, error: std::io::Error| Stop::listen(name, SocketAddr::new(bind, port), error);
    Ok(Probes {
        health: Listening::start((bind, health).into(), answer(probe))
            .await
            .map_err(|error| cannot("HEALTH_PORT", health, error))?,
        metrics: Listening::start((bind, metrics).into(), answer(scrape))
            .await
            .map_err(|error| cannot("METRICS_PORT", metrics, error))?,
    })
}

impl Probes {
    /// The first object, with the addresses of both.
    pub(crate) fn say(&self, daemon: &Daemon, admin: Option<&str>, server: Option<&str>) {
        let (health, metrics) = (self.health.url(), self.metrics.url());
        tracing::info!(health, metrics, admin, server, "ready");
        let object = daemon.event("ready").with("admin", admin).with("server", server);
        daemon.tell(&object.with("health", health).with("metrics", metrics));
    }
}

fn probe(runner: &Runner, path: &str) -> Answer {
    let ok = match path {
        "/healthz" => !runner.ending.load(Ordering::Relaxed),
        "/readyz" => !runner.ending.load(Ordering::Relaxed) && runner.is_ready(),
        _ => return text(StatusCode::NOT_FOUND, "/healthz and /readyz\n"),
    };
    if ok {
        return text(StatusCode::OK, "ok\n");
    }
    let why = match runner.ending.load(Ordering::Relaxed) {
        true => "shutting down\n".to_owned(),
        false => format!(
            "event streams connected: {}, breaker over agent runs: {}\n",
            runner.connected.load(Ordering::Relaxed),
            runner.breaker.phase()
        ),
    };
    text(StatusCode::SERVICE_UNAVAILABLE, why)
}

fn scrape(runner: &Runner, path: &str) -> Answer {
    if path != "/metrics" {
        return text(StatusCode::NOT_FOUND, "/metrics\n");
    }
    let state = match runner.breaker.phase() {
        unwedge::breaker::Phase::Open | unwedge::breaker::Phase::ForcedOpen => 1.0,
        unwedge::breaker::Phase::HalfOpen => 2.0,
        _ => 0.0,
    };
    metrics::gauge!(crate::meters::CIRCUIT).set(state);
    match runner.meters.scrape() {
        Some(page) => text(StatusCode::OK, page),
        None => text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be put together\n"),
    }
}
