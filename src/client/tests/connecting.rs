//! The connect bound.

use super::*;
use crate::{ErrorKind, Limits, Phase, retry, within};
use tokio::time::Instant;

fn once() -> retry::Settings {
    retry::Settings::default().max_retries(0)
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_hangs_ends_at_its_bound_and_says_where() {
    let peer = Peer::new().then(Reply::connect_hang()).forever(Reply::ok("ok"));
    let client = piped(&peer).retry(once()).build().unwrap();
    let start = Instant::now();
    let call = Beside::new(client.get(URL).send());
    tokio::time::sleep(SEC).await;
    let waiting = client.in_flight().snapshot()[0].clone();
    assert_eq!((waiting.phase, waiting.in_phase), (Phase::Connect, SEC));
    let error = call.ended().await.unwrap_err();
    assert_eq!(start.elapsed(), 5 * SEC);
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Connect, Some(Phase::Connect)));
    assert!(error.is_timeout() && error.is_retriable());
    assert_eq!(error.to_string(), "GET http://api.example/jobs: no connection after 5 s");
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_is_tried_again_for_a_post_too() {
    let peer = Peer::new().times(2, Reply::refuse()).forever(Reply::ok("ok"));
    let response = client(&peer).post(URL).body("b").await.unwrap();
    assert_eq!(response.attempts().count, 3);
    assert_eq!((peer.connects(), peer.request_count()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn the_connect_limit_is_a_setting() {
    let peer = Peer::new().forever(Reply::connect_hang());
    let limits = Limits::default().connect(300 * MS);
    let client = piped(&peer).limits(limits).retry(once()).build().unwrap();
    let start = Instant::now();
    assert!(client.get(URL).await.unwrap_err().is_connect());
    assert_eq!(start.elapsed(), 300 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_scope_ends_the_call_while_it_connects() {
    let peer = Peer::new().forever(Reply::connect_hang());
    let client = client(&peer);
    let start = Instant::now();
    let error = within(2 * SEC, client.get(URL).send()).await.unwrap().unwrap_err();
    assert!(error.is_deadline(), "{error}");
    assert_eq!((error.phase(), start.elapsed()), (Some(Phase::Connect), 2 * SEC));
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_lost_its_race_goes_on_beyond_the_scope_of_its_call_but_not_beyond_its_bound() {
    let peer = Peer::new().forever(Reply::ok("ok").after(SEC));
    let pipe = peer.pipe().connect_takes(3 * SEC);
    let client = Client::builder().pipe(pipe).build().unwrap();
    client.get(URL).await.unwrap();
    // The one connection is busy for 1 s: the second call begins to connect and then takes the one that came free.
    let first = Beside::new(client.get(URL).send());
    tokio::task::yield_now().await;
    let second = within(2500 * MS, client.get(URL).send()).await.unwrap().unwrap();
    assert_eq!(second.status(), 200);
    first.ended().await.unwrap();
    assert_eq!(peer.connections(), 1);
    tokio::time::sleep(5 * SEC).await;
    assert_eq!(
        (peer.connections(), peer.open_connections()),
        (2, 2),
        "its connect was finished for the pool"
    );

    let hanging = Peer::new().then(Reply::ok("ok").after(SEC)).then(Reply::ok("ok").after(SEC));
    let hanging = hanging.then(Reply::connect_hang()).forever(Reply::ok("ok").after(SEC));
    let client = piped(&hanging).build().unwrap();
    client.get(URL).await.unwrap();
    let first = Beside::new(client.get(URL).send());
    tokio::time::sleep(MS).await;
    client.get(URL).await.unwrap();
    first.ended().await.unwrap();
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let with = alive();
    tokio::time::sleep(5 * SEC).await;
    assert_eq!(alive(), with - 1, "the connect that hangs has ended at its bound");
}
