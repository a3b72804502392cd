//! The plain client: hyper-util's, used with care.

use super::{Ask, Failed, says_no};
use crate::scenarios::{Manner, ms};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How often it tries, and how long it waits in between: 1 s outside.
const TRIES: u32 = 3;
const WAIT: Duration = Duration::from_millis(50);

/// The longest that a call may take by what it was told.
pub(super) fn bound(manner: Manner) -> Duration {
    TRIES * manner.total() + (TRIES - 1) * WAIT
}

/// A limit on the wait for the response head, three tries, a pause between them.
#[derive(Clone)]
pub(crate) struct Plain {
    client: legacy::Client<HttpConnector, Full<Bytes>>,
    total: Duration,
}

impl Plain {
    pub(super) fn new(manner: Manner, http2: bool) -> Plain {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(ms(250)));
        connector.set_nodelay(true);
        #[allow(
            clippy::disallowed_methods,
            reason = "the client to compare with: its one timeout is around each call"
        )]
        let client = legacy::Client::builder(TokioExecutor::new()).http2_only(http2).build(connector);
        Plain { client, total: manner.total() }
    }

    pub(super) async fn call(&self, ask: Ask, url: &str) -> Result<(), Failed> {
        let response = match ask {
            Ask::Work => self.tried(url).await,
            // Every careful author exempts the long poll from the limit.
            Ask::Poll => self.client.request(request(url)?).await.map_err(|_| Failed),
        }?;
        let status = response.status();
        match response.into_body().collect().await {
            Ok(_) if !says_no(status) => Ok(()),
            _ => Err(Failed),
        }
    }

    async fn tried(&self, url: &str) -> Result<Response<Incoming>, Failed> {
        for attempt in 1..=TRIES {
            match timeout(self.total, self.client.request(request(url)?)).await {
                Ok(Ok(response)) if attempt == TRIES || !says_no(response.status()) => return Ok(response),
                _ if attempt < TRIES => sleep(WAIT).await,
                _ => {}
            }
        }
        Err(Failed)
    }
}

fn request(url: &str) -> Result<Request<Full<Bytes>>, Failed> {
    Request::get(url).body(Full::default()).map_err(|_| Failed)
}
