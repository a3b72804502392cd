//! The broker's protocol, as its client speaks it.

use crate::common::Stop;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;
use unwedge::admin::Admin;
use unwedge::breaker::Transition;
use unwedge::retry::{self, Backoff};
use unwedge::{Client, Error, Limits, long_poll};

/// How long saying good-bye may take: nobody waits for a program that ends.
const GOODBYE: Duration = Duration::from_secs(2);

pub(crate) struct Api {
    client: Client,
    base: String,
    hold: Duration,
}

/// What became of an acquisition that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acquired {
    Ours,
    /// Another listener was faster.
    Others,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

#[derive(Deserialize)]
struct Session {
    session: String,
}

#[derive(Deserialize)]
struct Message {
    job: String,
}

impl Api {
    pub(crate) fn new(
        base: &str,
        control_plane: Duration,
        hold: Duration,
        seed: Option<u64>,
    ) -> Result<Api, Stop> {
        let mut backoff = Backoff::default();
        if let Some(seed) = seed {
            backoff = backoff.seed(seed);
        }
        // Every call that does not say why it may wait: token, session, acquire, delete.
        let client = Client::builder()
            .name("control plane")
            .limits(Limits::default().total(control_plane))
            .retry(retry::Settings::default().backoff(backoff))
            .build()
            .map_err(|error| Stop::usage(format!("--control-plane-timeout: {error}")))?;
        Ok(Api { client, base: base.to_owned(), hold })
    }

    pub(crate) fn transitions(&self) -> tokio::sync::broadcast::Receiver<Transition> {
        self.client.breakers().subscribe()
    }

    /// Its circuits and calls are shown to operators.
    pub(crate) fn shown(&self, admin: Admin) -> Admin {
        admin.breakers(self.client.breakers()).calls(self.client.in_flight())
    }

    /// A token. One too many does no harm, so that the call may be repeated.
    pub(crate) async fn token(&self) -> Result<String, Error> {
        let request = self.client.post(format!("{}/token", self.base)).idempotent();
        let answer: Token = request.send().await?.error_for_status().await?.json().await?;
        Ok(answer.token)
    }

    /// A session. The key keeps a repeated call from making two.
    pub(crate) async fn session(&self, token: &str, key: &str) -> Result<String, Error> {
        let request = self.client.post(format!("{}/session", self.base));
        let response = request.bearer_auth(token).idempotency_key(key).send().await?;
        let answer: Session = response.error_for_status().await?.json().await?;
        Ok(answer.session)
    }

    /// Waits for the next job: the one call that may take long.
    pub(crate) async fn message(&self, token: &str, session: &str) -> Result<Option<String>, Error> {
        let parked = long_poll!("the broker parks GetMessage until a job arrives").up_to(self.hold);
        let request = self.client.get(format!("{}/message", self.base)).query(&[("session", session)]);
        let response = request.bearer_auth(token).long_poll(parked).send().await?;
        let response = response.error_for_status().await?;
        if response.status() == http::StatusCode::ACCEPTED {
            return Ok(None);
        }
        let message: Message = response.json().await?;
        Ok(Some(message.job))
    }

    /// Takes a job, which this listener alone does under this key, however often it asks.
    pub(crate) async fn acquire(&self, token: &str, job: &str, key: &str) -> Result<Acquired, Error> {
        let request = self.client.post(format!("{}/acquire", self.base)).json(&json!({ "job": job }));
        let response = request.bearer_auth(token).idempotency_key(key).send().await?;
        if response.status() == http::StatusCode::CONFLICT {
            return Ok(Acquired::Others);
        }
        response.error_for_status().await.map(|_| Acquired::Ours)
    }

    pub(crate) async fn leave(&self, token: &str, session: &str) -> Result<(), Error> {
        let request = self.client.delete(format!("{}/session/{session}", self.base)).label("/session/{id}");
        request.bearer_auth(token).deadline(GOODBYE).send().await?.error_for_status().await.map(drop)
    }
}
