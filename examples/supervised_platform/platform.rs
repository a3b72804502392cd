//! What the loops look after, where no server is given: it sends each of them what brings it down.

use crate::common::Stop;
use unwedge::testing::{Peer, Reply, Script};

/// It ends when it is dropped.
pub(crate) struct Platform {
    url: String,
    _peer: Peer,
}

impl Platform {
    pub(crate) fn start() -> Result<Platform, Stop> {
        let tenants = || Reply::ok(r#"[{"name":"blue","plan":0},{"name":"green","plan":1}]"#);
        let bad = Reply::ok(r#"[{"name":"blue","plan":0},{"name":"red","plan":7}]"#);
        let peer = Peer::new()
            .on("GET /events", Reply::ok("[]"))
            .on("GET /tenants", Script::new().times(2, tenants()).times(2, bad).forever(tenants()))
            .on("GET /schedule", Script::new().times(2, Reply::ok("[]")).forever(Reply::hang()))
            .on("GET /channels", Script::new().times(2, Reply::ok("3")).forever(Reply::ok("1000000000")))
            .forever(Reply::status(404));
        let at = peer.listen()?;
        Ok(Platform { url: format!("http://{at}"), _peer: peer })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}
