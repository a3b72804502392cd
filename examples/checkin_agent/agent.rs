//! The loop that checks in, whatever became of the check-in before.

use crate::common::daemon::Daemon;
use crate::common::log;
use crate::common::output::millis;
use rand::RngExt;
use rand::rngs::SmallRng;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use unwedge::supervise::Heartbeat;
use unwedge::{Client, Error};

#[derive(Clone)]
pub(crate) struct Agent {
    pub(crate) client: Client,
    pub(crate) url: String,
    pub(crate) id: String,
    pub(crate) every: Duration,
    pub(crate) splay: f64,
    pub(crate) rng: SmallRng,
    pub(crate) daemon: Daemon,
    pub(crate) counts: Arc<Counts>,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) well: AtomicU64,
    pub(crate) given_up: AtomicU64,
}

impl Agent {
    /// Ticks that pass during a check-in are skipped.
    pub(crate) async fn run(mut self, heart: Heartbeat) {
        let base = Instant::now();
        let mut tick = 0;
        let mut down = None;
        loop {
            let late = self.every.mul_f64(self.splay * self.rng.random::<f64>());
            let due = offset(self.every, tick).saturating_sub(base.elapsed()) + late;
            if !heart.rest(due).await {
                return;
            }
            let began = Instant::now();
            let ended = self.check_in().await;
            if ended.as_ref().is_err_and(Error::is_cancelled) {
                return;
            }
            self.tell(ended, began, &mut down);
            heart.progress();
            tick = next(self.every, tick, base.elapsed());
        }
    }

    /// One check-in, with all its attempts: the status, and how many there were.
    async fn check_in(&self) -> Result<(u16, u32), Error> {
        // Never drawn from the seed: a server may remember the keys of an earlier run.
        let key = format!("{}-{:016x}", self.id, rand::random::<u64>());
        let request = self.client.post(&self.url).label("/api/v1/agents/{id}/commands");
        let response = request.json(&json!({ "agent": self.id })).idempotency_key(key).send().await?;
        let attempts = response.attempts().count;
        let response = response.error_for_status().await?;
        Ok((response.status().as_u16(), attempts))
    }

    fn tell(&self, ended: Result<(u16, u32), Error>, began: Instant, down: &mut Option<Instant>) {
        let object = self.daemon.event("checkin").with("ok", ended.is_ok());
        let took = millis(began.elapsed());
        let object = match ended {
            Ok((status, attempts)) => {
                self.counts.well.fetch_add(1, Ordering::Relaxed);
                if attempts > 1 {
                    down.get_or_insert(began);
                }
                match down.take() {
                    Some(since) => {
                        tracing::info!("[CHECKIN] Successfully checked in after server recovery");
                        self.daemon.recovered("server", since.elapsed());
                    }
                    None => tracing::info!("[CHECKIN] Successfully checked in"),
                }
                object.with("status", status).with("attempts", attempts).with("ms", took)
            }
            Err(error) => {
                self.counts.given_up.fetch_add(1, Ordering::Relaxed);
                down.get_or_insert(began);
                tracing::warn!("[CHECKIN] Given up until the next one is due: {}", log::said(&error));
                let status = error.status().map(|status| status.as_u16());
                let object = object.with("status", status).with("attempts", error.attempts());
                object.with("ms", took).with("kind", error.kind().as_str()).with("error", error.to_string())
            }
        };
        self.daemon.tell(&object);
    }
}

/// From the start to this tick.
fn offset(every: Duration, tick: u64) -> Duration {
    let nanos = every.as_nanos().saturating_mul(u128::from(tick));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// The first tick after this one that is not over yet.
fn next(every: Duration, tick: u64, since_start: Duration) -> u64 {
    let due = since_start.as_nanos().div_ceil(every.as_nanos().max(1));
    u64::try_from(due).unwrap_or(u64::MAX).max(tick + 1)
}
