//! The text that Prometheus reads.

use super::exposition::Exposition;
use super::reply;
use crate::Error;
use crate::inflight::InFlight;
use crate::metrics::{Kind, METRICS};
use axum::response::Response;
use http::StatusCode;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Between two clean-ups of the recorder: without them what histograms were told would pile up where nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// Makes a Prometheus recorder with the buckets of this crate, installs it for the whole program, and begins to count.
///
/// Names are those that Prometheus recommends: units and `_total` are added where a name lacks them, also to metrics of
/// the program's own, so that `http.client.request.duration` is `http_client_request_duration_seconds`.
///
/// For more than that, global labels or buckets of your own, take [`prometheus_builder`].
///
/// ```
/// # use unwedge::{admin::{self, Admin}, supervise::Supervisor};
/// # let crew = Supervisor::new();
/// let handle = admin::prometheus()?;
/// let admin = Admin::new(&crew).metrics(handle);
/// # Ok::<_, unwedge::Error>(())
/// ```
///
/// # Errors
/// Kind `Config` where the program has a recorder already.
pub fn prometheus() -> Result<PrometheusHandle, Error> {
    let installed = prometheus_builder().install_recorder();
    let handle = installed.map_err(|error| {
        Error::config(format!("the recorder for Prometheus cannot be installed: {error}"))
    })?;
    crate::metrics::record();
    Ok(handle)
}

/// A Prometheus recorder with the buckets of this crate and recommended names, to add to. When it is installed call
/// [`metrics::record`](crate::metrics::record), and give the handle to [`Admin::metrics`](super::Admin::metrics).
pub fn prometheus_builder() -> PrometheusBuilder {
    METRICS.iter().filter(|metric| metric.kind == Kind::Histogram).fold(
        PrometheusBuilder::new().with_recommended_naming(true),
        |builder, metric| {
            builder
                .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), metric.buckets)
                .expect("histograms have buckets")
        },
    )
}

/// What `/metrics` does: a recorder, and what is to be done before it is read.
#[derive(Clone)]
pub struct Scrape {
    handle: PrometheusHandle,
    before: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl From<PrometheusHandle> for Scrape {
    fn from(handle: PrometheusHandle) -> Scrape {
        Scrape { handle, before: None }
    }
}

impl Scrape {
    /// Runs this before each scrape, for gauges that nothing moves by itself: ages, depths, figures of the process. It
    /// must not block. Where it panics the scrape answers 500.
    pub fn before(self, run: impl Fn() + Send + Sync + 'static) -> Scrape {
        Scrape { before: Some(Arc::new(run)), ..self }
    }
}

impl Exposition for Scrape {
    fn answer(&self, calls: &[InFlight]) -> Response {
        calls.iter().for_each(InFlight::publish);
        if let Some(before) = &self.before {
            before();
        }
        reply::with(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.handle.render())
    }

    /// Keeps the recorder small.
    fn upkeep(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let handle = self.handle.clone();
        Box::pin(async move {
            let mut ticks = interval(UPKEEP);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                handle.run_upkeep();
            }
        })
    }
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape").finish_non_exhaustive()
    }
}
