//! What is in flight, as metrics.

use crate::inflight::InFlight;
use crate::inflight::table::Table;
use crate::telemetry::facade;
use std::time::Duration;
use tokio::time::Instant;

impl InFlight {
    /// Sets the gauges `unwedge_calls_in_flight` and `unwedge_oldest_in_flight_seconds` to what is in flight now, once
    /// [`record`](crate::metrics::record) was called. Age is nothing that happens, so somebody has to look: the admin
    /// endpoints do before each scrape.
    pub fn publish(&self) {
        let (calls, began) = self.0.oldest_start();
        let oldest = began.map_or(Duration::ZERO, |began| began.elapsed());
        facade::in_flight(&self.0.client, calls, oldest);
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
