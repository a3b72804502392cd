//! The recorder of the `metrics` facade, to which everything is told once [`record`] was called.

mod origin;

use crate::origin::Origin;
use crate::sync::shielded;
use crate::telemetry::facade::origin::OriginSeries;
use crate::telemetry::labels::{ClientName, LabelSet, Subject};
use crate::telemetry::names::{IN_FLIGHT, Kind, METRICS, Metric, OLDEST, OPEN_CONNECTIONS};
use crate::telemetry::sink::{OriginSink, SINK, Sink, set};
use crate::telemetry::spans::address;
use ::metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use std::time::Duration;

/// Describes all metrics to the recorder of the `metrics` facade that is installed, and begins to count.
///
/// Call it once, after the recorder was installed and before the first call: what was counted of an origin before goes
/// to the recorder of that time. Until it is called nothing is counted, and the feature costs a look at one flag.
///
/// ```
/// // A recorder would be installed here, by an exporter of your choice.
/// unwedge::metrics::record();
/// ```
#[doc(alias("exporter", "opentelemetry"))]
pub fn record() {
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.about),
            Kind::Gauge => describe_gauge!(metric.name, metric.about),
            Kind::Histogram => describe_histogram!(metric.name, Unit::Seconds, metric.about),
        }
    }
    // It is set already where this is called twice.
    let _ = SINK.set(&Facade);
}

struct Facade;

impl Sink for Facade {
    fn count(&self, metric: &Metric, labels: LabelSet) {
        shielded(|| counter!(metric.name, &labels).increment(1));
    }

    fn set(&self, metric: &Metric, labels: LabelSet, value: f64) {
        shielded(|| gauge!(metric.name, &labels).set(value));
    }

    fn add(&self, metric: &Metric, labels: LabelSet, difference: f64) {
        shielded(|| gauge!(metric.name, &labels).increment(difference));
    }

    fn observe(&self, metric: &Metric, labels: LabelSet, seconds: f64) {
        shielded(|| histogram!(metric.name, &labels).record(seconds));
    }

    fn origin(&self, origin: &Origin, of: &Subject) -> Box<dyn OriginSink> {
        Box::new(OriginSeries::new(origin, of))
    }
}

/// Whether the connections of a client to this origin have series of their own.
pub(crate) fn shows(client: &ClientName, origin: &str) -> bool {
    client.shows(origin)
}

/// The connections of a client to one origin, each time that somebody looks.
pub(crate) fn connections(client: &ClientName, origin: &Origin, active: usize, idle: usize) {
    for (state, count) in [("active", active), ("idle", idle)] {
        let labels = || {
            vec![
                ("http.connection.state", state.to_owned()),
                ("server.address", address(origin).to_owned()),
                ("server.port", origin.port().to_string()),
                client.label(),
            ]
        };
        set(&OPEN_CONNECTIONS, labels, count as f64);
    }
}

/// What is in flight, each time that somebody looks.
pub(crate) fn in_flight(client: &ClientName, calls: usize, oldest: Duration) {
    set(&IN_FLIGHT, || vec![client.label()], calls as f64);
    set(&OLDEST, || vec![client.label()], oldest.as_secs_f64());
}
