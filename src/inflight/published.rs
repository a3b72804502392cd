//! What is in flight, as metrics.

use crate::inflight::InFlight;
use crate::inflight::table::Table;
use crate::origin::Origin;
use crate::sync::lock;
use crate::telemetry::facade;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// So many origins have series for their connections; of more than these nobody draws lines.
const ORIGINS: usize = 200;

impl InFlight {
    /// Sets the gauges `unwedge_calls_in_flight`, `unwedge_oldest_in_flight_seconds` and, of the connections of a client,
    /// `http.client.open_connections` to what there is now, once [`record`](crate::metrics::record) was called. Age is
    /// nothing that happens, so somebody has to look: the admin endpoints do before each scrape.
    pub fn publish(&self) {
        let (calls, began) = self.0.oldest_start();
        let oldest = began.map_or(Duration::ZERO, |began| began.elapsed());
        facade::in_flight(&self.0.client, calls, oldest);
        self.publish_connections();
    }

    fn publish_connections(&self) {
        let mut open: BTreeMap<String, (Origin, usize, usize)> = BTreeMap::new();
        // What was published before and is not there any more has none.
        for origin in std::mem::take(&mut *lock(&self.0.published)) {
            open.insert(origin.to_string(), (origin, 0, 0));
        }
        for pooled in self.0.pooled() {
            let (_, active, idle) =
                open.entry(pooled.origin.to_string()).or_insert((pooled.origin.clone(), 0, 0));
            *active += pooled.active;
            *idle += pooled.open - pooled.active;
        }
        let mut published = Vec::new();
        let shown = open.into_iter().filter(|(name, _)| facade::shows(&self.0.client, name));
        for (_, (origin, active, idle)) in shown.take(ORIGINS) {
            facade::connections(&self.0.client, &origin, active, idle);
            if active + idle > 0 {
                published.push(origin);
            }
        }
        *lock(&self.0.published) = published;
    }
}

impl Table {
    /// How many calls there are, and when the oldest began.
    pub(super) fn oldest_start(&self) -> (usize, Option<Instant>) {
        let (mut calls, mut oldest) = (0, None::<Instant>);
        self.pieces(|_, details| {
            calls += 1;
            oldest = Some(oldest.map_or(details.started, |oldest| oldest.min(details.started)));
        });
        (calls, oldest)
    }
}
