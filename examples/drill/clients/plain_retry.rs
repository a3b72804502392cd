//! The stronger plain client: reqwest with a timeout around each try, and reqwest-retry.

use super::{Ask, Failed, outside, says_no};
use crate::scenarios::Manner;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use reqwest_retry::RetryTransientMiddleware;
use reqwest_retry::policies::ExponentialBackoff;
use std::time::Duration;

/// Of one try, body included: 10 s outside, as an attempt of unwedge has it.
fn timeout() -> Duration {
    outside(10)
}

/// How often it tries again, and between which bounds it waits: what unwedge has in the same place.
fn retries(manner: Manner) -> (u32, Duration, Duration) {
    match manner {
        Manner::Prompt => (3, outside(1) / 2, outside(10)),
        Manner::Patient => (10, outside(5), outside(20)),
    }
}

/// The longest that a call may take by what it was told.
pub(super) fn bound(manner: Manner) -> Duration {
    let (retries, _, most) = retries(manner);
    (retries + 1) * timeout() + retries * most
}

#[derive(Clone)]
pub(crate) struct PlainRetry {
    client: ClientWithMiddleware,
    /// Every careful author exempts the long poll from the limit.
    polls: reqwest::Client,
}

impl PlainRetry {
    pub(super) fn new(manner: Manner, http2: bool) -> Result<PlainRetry, String> {
        let (retries, least, most) = retries(manner);
        let policy = ExponentialBackoff::builder().retry_bounds(least, most).build_with_max_retries(retries);
        let client = ClientBuilder::new(reqwest(http2, Some(timeout()))?)
            .with(RetryTransientMiddleware::new_with_policy(policy))
            .build();
        Ok(PlainRetry { client, polls: reqwest(http2, None)? })
    }

    pub(super) async fn call(&self, ask: Ask, url: &str) -> Result<(), Failed> {
        let response = match ask {
            Ask::Work => self.client.get(url).send().await.map_err(|_| Failed),
            Ask::Poll => self.polls.get(url).send().await.map_err(|_| Failed),
        }?;
        let status = response.status();
        match response.bytes().await {
            Ok(_) if !says_no(status) => Ok(()),
            _ => Err(Failed),
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the client to compare with: its one timeout is around each try"
)]
fn reqwest(http2: bool, timeout: Option<Duration>) -> Result<reqwest::Client, String> {
    let client = reqwest::Client::builder().no_proxy();
    let client = client.connect_timeout(outside(5));
    let client = if http2 { client.http2_prior_knowledge() } else { client };
    let client = match timeout {
        Some(timeout) => client.timeout(timeout),
        None => client,
    };
    client.build().map_err(|error| error.to_string())
}
