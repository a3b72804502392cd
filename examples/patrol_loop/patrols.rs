//! One patrol: what it looks at, and what it does about it.

use serde::Deserialize;
use serde_json::json;
use std::time::Duration;
use tokio::sync::mpsc;
use unwedge::supervise::Sweep;
use unwedge::{Client, Error};

/// How bad something is, by the number that the server gives it.
const LEVELS: [&str; 3] = ["fine", "warning", "critical"];

#[derive(Clone)]
pub(crate) struct Patrol {
    name: &'static str,
    base: String,
    client: Client,
    findings: mpsc::Sender<String>,
}

#[derive(Deserialize)]
struct Item {
    id: u64,
    level: usize,
    /// How long it takes to think about it.
    #[serde(default)]
    analysis_ms: u64,
}

impl Patrol {
    pub(crate) fn new(
        name: &'static str,
        server: &str,
        client: Client,
        findings: mpsc::Sender<String>,
    ) -> Patrol {
        Patrol { name, base: server.to_owned(), client, findings }
    }

    /// Each phase has bounds of its own in its calls; the limit of the sweep is the last line of defence.
    pub(crate) async fn sweep(self, sweep: Sweep) -> Result<(), Error> {
        sweep.phase("collect");
        let response = self.client.get(format!("{}/{}", self.base, self.name)).send().await?;
        let items: Vec<Item> = response.error_for_status().await?.json().await?;

        sweep.phase("analyze");
        let critical: Vec<u64> = items.iter().filter(|item| is_critical(item)).map(|item| item.id).collect();

        sweep.phase("execute");
        for id in critical {
            let request = self.client.post(format!("{}/actions", self.base)).json(&json!({ "id": id }));
            let key = format!("{}-{}-{id}", self.name, sweep.number());
            request.idempotency_key(key).send().await?.error_for_status().await?;
            // Never waits for whoever reports: a queue that is full loses the word, not the deed.
            if self.findings.try_send(format!("{} {id}", self.name)).is_err() {
                tracing::warn!(patrol = self.name, id, "too much to report");
            }
        }
        Ok(())
    }
}

/// Panics at a level that there is not: the mistake of the incident, left in on purpose.
fn is_critical(item: &Item) -> bool {
    if item.analysis_ms > 0 {
        computes(Duration::from_millis(item.analysis_ms));
    }
    LEVELS[item.level] == "critical"
}

/// A computation without an `.await`: nothing can cut it, and the watchdog says that it goes on.
#[expect(clippy::disallowed_methods, reason = "blocks its thread, which is what there is to see")]
fn computes(time: Duration) {
    std::thread::sleep(time);
}
