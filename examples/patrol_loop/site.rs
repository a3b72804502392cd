//! What is patrolled, where no server is given: it plays the whole incident, once.

use crate::common::Stop;
use std::time::Duration;
use unwedge::testing::{Peer, Reply, Script};

/// It ends when it is dropped.
pub(crate) struct Site {
    url: String,
    _peer: Peer,
}

impl Site {
    pub(crate) fn start(limit: Duration) -> Result<Site, Stop> {
        let well = || Reply::ok(r#"[{"id":1,"level":0},{"id":2,"level":2}]"#);
        let blocks = 2 * limit.min(Duration::from_secs(60)).as_millis();
        let alerts = Script::new()
            .then(well())
            .then(Reply::ok(r#"[{"id":3,"level":9}]"#))
            .then(well())
            .then(Reply::hang())
            .then(well())
            .then(Reply::ok(format!(r#"[{{"id":4,"level":1,"analysis_ms":{blocks}}}]"#)))
            .forever(well());
        let reports = Script::new().then(Reply::ok("")).then(Reply::status(410)).forever(Reply::ok(""));
        let peer = Peer::new()
            .on("GET /alerts", alerts)
            .on("GET /disks", well())
            .on("POST /actions", Reply::ok(""))
            .on("POST /reports", reports)
            .forever(Reply::status(404));
        let at = peer.listen()?;
        Ok(Site { url: format!("http://{at}"), _peer: peer })
    }
}

impl Site {
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}
