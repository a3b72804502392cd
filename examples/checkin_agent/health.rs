//! Asks the server for its health, all the time, and says when it is back.

use crate::common::daemon::Daemon;
use crate::common::output::millis;
use crate::common::{Stop, log};
use http::StatusCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use unwedge::supervise::Heartbeat;
use unwedge::{Client, Limits, breaker, health, retry};

/// The loop beside the check-ins. Those are checked by their own stack as well, before an attempt is made; this one sees
/// the server between them.
#[derive(Clone)]
pub(crate) struct Health {
    client: Client,
    url: String,
    interval: Duration,
    daemon: Daemon,
    opened: Arc<AtomicBool>,
}

impl Health {
    pub(crate) fn new(
        server: &str,
        settings: &health::Settings,
        daemon: Daemon,
        opened: Arc<AtomicBool>,
    ) -> Result<Health, Stop> {
        // One question, one answer: neither repeated nor refused.
        let client = Client::builder()
            .name("health")
            .limits(Limits::default().total(settings.get_timeout()))
            .retry(retry::Settings::default().max_retries(0))
            .breaker(breaker::Settings::default().failures(u32::MAX))
            .build()
            .map_err(Stop::usage)?;
        let (url, interval) = (format!("{server}{}", settings.get_path()), settings.get_interval());
        Ok(Health { client, url, interval, daemon, opened })
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    pub(crate) async fn run(self, heart: Heartbeat) {
        let mut down: Option<Instant> = None;
        loop {
            let began = Instant::now();
            let error = match self.client.get(&self.url).send().await {
                Ok(response) if response.status() == StatusCode::OK => None,
                Ok(response) => Some(response.status().to_string()),
                Err(error) => Some(error.to_string()),
            };
            let object = self.daemon.event("health").with("ok", error.is_none());
            let object = object.with("ms", millis(began.elapsed())).with("error", error.as_deref());
            self.daemon.tell(&object);
            heart.progress();
            match error {
                Some(error) => {
                    down.get_or_insert(began);
                    tracing::warn!("[HEALTH] Health check failed: {}", log::said(&error));
                }
                None => {
                    tracing::info!("[HEALTH] Health check passed");
                    if self.opened.swap(false, Ordering::AcqRel) || down.is_some() {
                        tracing::info!("[RECOVERY] Health check passed, resuming normal operations");
                    }
                    down = None;
                }
            }
            if !heart.rest(self.interval).await {
                return;
            }
        }
    }
}
