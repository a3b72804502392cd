//! Tells the server what was found: a loop that is no patrol.

use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};
use unwedge::supervise::Heartbeat;
use unwedge::{Client, Error};

/// A report, and a sign of life, this often.
pub(crate) const EVERY: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(crate) struct Reporter {
    url: String,
    client: Client,
    /// One run after the other reads from it.
    found: Arc<Mutex<mpsc::Receiver<String>>>,
}

impl Reporter {
    pub(crate) fn new(server: &str, client: Client, found: mpsc::Receiver<String>) -> Reporter {
        Reporter { url: format!("{server}/reports"), client, found: Arc::new(Mutex::new(found)) }
    }

    /// Ends where the server says that it wants no more: nobody asked for that end, and it is started again.
    pub(crate) async fn run(self, heart: Heartbeat) -> Result<(), Error> {
        let mut found = self.found.lock().await;
        while heart.rest(EVERY).await {
            let mut findings = Vec::new();
            while let Ok(finding) = found.try_recv() {
                findings.push(finding);
            }
            let request = self.client.post(&self.url).json(&json!({ "findings": findings }));
            let response = request.idempotent().send().await?;
            if response.status() == http::StatusCode::GONE {
                return Ok(());
            }
            response.error_for_status().await?;
            heart.progress();
        }
        Ok(())
    }
}
