//! The client over the in-memory pipe on a paused clock; over real sockets where kernel or TLS are the point.

mod attempts;
mod blame;
mod broken;
mod connecting;
mod connectors;
mod floods;
mod handover;
mod hostile;
mod hostile_one;
mod hostile_two;
mod http2;
mod hung;
mod local;
mod moved_names;
mod pooled;
mod proxies;
mod refused_streams;
mod renewal;
mod requests;
mod resolving;
mod responses;
mod slots;
mod sockets;
mod socks;
mod tls;
mod uploads;
mod urls;
mod versions;

use super::*;
use crate::body::Body;
use crate::error::Error;
use crate::testing::{Peer, Reply};
use http::{Method, Request};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::JoinSet;
use tower_service::Service;

const SEC: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// A client whose connections all lead to this peer.
fn piped(peer: &Peer) -> ClientBuilder {
    Client::builder().pipe(peer.pipe())
}

fn client(peer: &Peer) -> Client {
    piped(peer).build().unwrap()
}

const URL: &str = "http://api.example/jobs";

/// A call that goes on beside the test, and ends with this value.
struct Beside(JoinSet<Result<Response, Error>>);

impl Beside {
    fn new(call: Sending) -> Beside {
        let mut tasks = JoinSet::new();
        tasks.spawn(call);
        Beside(tasks)
    }

    async fn ended(mut self) -> Result<Response, Error> {
        self.0.join_next().await.unwrap().unwrap()
    }
}
