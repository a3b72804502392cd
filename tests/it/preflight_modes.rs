//! When health is asked for, and what counts as healthy.

use crate::support::*;
use crate::watch::*;
use http::StatusCode;
use tokio::time::sleep;
use unwedge::health::{Mode, Settings};
use unwedge::testing::{Peer, Reply};

#[tokio::test(start_paused = true)]
async fn after_failure_means_that_only_a_failure_leads_to_a_check() {
    let peer = Peer::new()
        .on("/health", Reply::status(204))
        .times(2, Reply::ok(""))
        .then(Reply::status(503))
        .forever(Reply::ok(""));
    let settings = Settings::new("/health").mode(Mode::AfterFailure);
    let layer = each_once(steady()).health(settings).build().unwrap();
    let service = stack(&peer, &layer);
    calls(&service, 3).await;
    sleep(3600 * SECOND).await;
    assert_eq!(health_and_others(&peer), (0, 3));
    calls(&service, 1).await;
    assert_eq!(health_and_others(&peer), (1, 4));
    sleep(3600 * SECOND).await;
    calls(&service, 5).await;
    assert_eq!(health_and_others(&peer), (1, 9), "it passed, so the origin is trusted again");
}

#[tokio::test(start_paused = true)]
async fn what_counts_as_healthy_can_be_chosen() {
    for (status, accept, healthy) in [
        (204, None, true),
        (302, None, false),
        (401, None, false),
        (401, Some((|s| s == StatusCode::UNAUTHORIZED) as fn(StatusCode) -> bool), true),
        (204, Some((|s| s == StatusCode::OK) as fn(StatusCode) -> bool), false),
    ] {
        let peer = Peer::new().on("/health", Reply::status(status)).forever(Reply::ok("done"));
        let settings = Settings::new("/health");
        let settings = accept.map_or(settings.clone(), |accept| settings.accept(accept));
        let layer = each_once(steady()).health(settings).build().unwrap();
        let answer = call(&stack(&peer, &layer), get("/")).await;
        assert_eq!(answer.is_ok(), healthy, "{status}");
        if let Err(error) = answer {
            assert_eq!(error.to_string(), format!("GET http://peer.test/: health check failed: {status}"));
        }
    }
}
