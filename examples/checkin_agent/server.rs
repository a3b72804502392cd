//! The server that is checked in with: a process of its own that can be killed, or a part of the agent's.

use crate::common::Stop;
use crate::common::daemon::Daemon;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use unwedge::testing::{Peer, Received, Reply, Script};

/// It ends when it is dropped.
pub(crate) struct Server {
    url: String,
    check_ins: Arc<AtomicU64>,
    _peer: Peer,
}

impl Server {
    /// Answers 502 to everything between these moments after its start, as a proxy does while the server behind it is
    /// rebuilt.
    pub(crate) fn start(
        at: SocketAddr,
        (down, up): (Duration, Duration),
        daemon: Option<Daemon>,
    ) -> Result<Server, Stop> {
        let check_ins = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&check_ins);
        let checked_in = Reply::by(move |request: &Received| {
            counted.fetch_add(1, Ordering::Relaxed);
            if let Some(daemon) = &daemon {
                let key = request.header("idempotency-key");
                daemon.tell(&daemon.event("checked_in").with("path", request.path()).with("key", key));
            }
            Reply::ok(r#"{"commands":[]}"#)
        });
        let rebuilt =
            |well: Reply| Script::new().until(down, well.clone()).until(up, Reply::status(502)).forever(well);
        let peer = Peer::new()
            .on("GET /health", rebuilt(Reply::ok("")))
            .on("POST /api/v1/agents/*", rebuilt(checked_in))
            .forever(Reply::status(404));
        let at = peer.listen_on(at).map_err(|error| Stop::listen("--serve", at, error))?;
        Ok(Server { url: format!("http://{at}"), check_ins, _peer: peer })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn check_ins(&self) -> u64 {
        self.check_ins.load(Ordering::Relaxed)
    }
}
