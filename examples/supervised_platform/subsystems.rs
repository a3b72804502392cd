//! The five loops. Each rests for a tick, does its work, and says so.

use crate::common::daemon::Daemon;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use unwedge::supervise::{Heartbeat, Liveness};
use unwedge::{Client, Error};

const PLANS: [&str; 2] = ["free", "paid"];

/// What the loops are made of.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) daemon: Daemon,
    pub(crate) server: String,
    pub(crate) tick: Duration,
    pub(crate) bounded: Client,
    /// Bounded as well, for the channel manager alone.
    pub(crate) apart: Client,
    pub(crate) unbounded: Client,
}

#[derive(Deserialize)]
struct Tenant {
    name: String,
    plan: usize,
}

impl Parts {
    /// Carries events on.
    pub(crate) async fn relay(self, heart: Heartbeat) -> Result<(), Error> {
        while heart.rest(self.tick).await {
            let events: Vec<String> = self.get(&self.bounded, "events").await?;
            tracing::debug!(events = events.len(), "carried on");
            self.worked(&heart);
        }
        Ok(())
    }

    /// Says who is stale. It needs nobody else, and so works while everything else is down.
    pub(crate) async fn monitor(self, heart: Heartbeat, liveness: Liveness) {
        let mut before = 0;
        while heart.rest(self.tick).await {
            let stale: Vec<_> = liveness.snapshot().into_iter().filter(|subsystem| subsystem.stale).collect();
            if stale.len() != before {
                before = stale.len();
                // Why, the watchdog says.
                let names: Vec<&str> = stale.iter().map(|subsystem| subsystem.name.as_str()).collect();
                tracing::info!(stale = before, names = names.join(", "), "looked at all");
            }
            self.worked(&heart);
        }
    }

    /// Looks at every tenant, and panics at one whose plan there is not: a mistake, left in on purpose.
    pub(crate) async fn sweep(self, heart: Heartbeat) -> Result<(), Error> {
        while heart.rest(self.tick).await {
            let tenants: Vec<Tenant> = self.get(&self.bounded, "tenants").await?;
            for tenant in tenants {
                tracing::debug!(tenant = tenant.name, plan = PLANS[tenant.plan], "well");
            }
            self.worked(&heart);
        }
        Ok(())
    }

    /// Waits for the server without a bound, and without a word about it: a mistake, left in on purpose.
    pub(crate) async fn schedule(self, heart: Heartbeat) -> Result<(), Error> {
        while heart.rest(self.tick).await {
            let due: Vec<String> = self.get(&self.unbounded, "schedule").await?;
            tracing::debug!(due = due.len(), "scheduled");
            self.worked(&heart);
        }
        Ok(())
    }

    /// Computes on its thread, for as long as there are channels: a mistake, left in on purpose.
    pub(crate) async fn channels(self, heart: Heartbeat) -> Result<(), Error> {
        while heart.rest(self.tick).await {
            let channels: u32 = self.get(&self.apart, "channels").await?;
            for _ in 0..channels {
                computes();
            }
            self.worked(&heart);
        }
        Ok(())
    }

    async fn get<T: DeserializeOwned>(&self, client: &Client, what: &str) -> Result<T, Error> {
        let response = client.get(format!("{}/{what}", self.server)).send().await?;
        response.error_for_status().await?.json().await
    }

    fn worked(&self, heart: &Heartbeat) {
        heart.progress();
        self.daemon.tell(&self.daemon.event("tick").with("name", heart.name()));
    }
}

/// Some work without an `.await`.
#[expect(clippy::disallowed_methods, reason = "blocks its thread, which is what there is to see")]
fn computes() {
    std::thread::sleep(Duration::from_millis(1));
}
