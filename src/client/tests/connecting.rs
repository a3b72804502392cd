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

/// A client to a resolver that answers nobody.
fn unresolved() -> ClientBuilder {
    let dead = tower::service_fn(|_| std::future::pending::<std::io::Result<Vec<std::net::SocketAddr>>>());
    Client::builder().network(Network::default().no_proxy()).resolver(dead)
}

/// What its circuit has counted.
fn counted(client: &Client) -> (u64, u32) {
    let seen = client.breakers().snapshot().remove(0);
    (seen.calls, seen.consecutive_failures)
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_ends_while_the_name_is_resolved_is_repeated_for_a_post_too_and_counts_for_nothing() {
    // The connect limit is the attempt's, the attempt's is shorter, or there is only a total.
    for limits in [
        Limits::default().attempt(2 * SEC),
        Limits::default().attempt(2 * SEC).connect(2 * SEC),
        Limits::default().total(6 * SEC),
    ] {
        let once_more = retry::Settings::default().max_retries(1);
        let client = unresolved().limits(limits).retry(once_more).build().unwrap();
        for _ in 0..3 {
            let error = client.post(URL).body("job").await.unwrap_err();
            assert_eq!((error.phase(), error.attempts()), (Some(Phase::Resolve), 2), "{error:?}");
            assert!(error.is_timeout() && error.to_string().contains("resol"), "{error}");
        }
        assert_eq!(counted(&client), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_while_its_name_is_resolved_counts_for_nothing() {
    let client = unresolved().build().unwrap();
    for n in 0..8 {
        let call = client.get(URL).send();
        match n % 2 {
            0 => assert!(within(2 * SEC, call).await.unwrap().unwrap_err().is_deadline()),
            _ => assert!(tokio::time::timeout(2 * SEC, call).await.is_err()),
        }
    }
    assert_eq!(counted(&client), (0, 0));
    let overdue = crate::breaker::Settings::default().overdue_after(SEC);
    let client = unresolved().breaker(overdue).retry(once()).build().unwrap();
    client.get(URL).await.unwrap_err();
    assert_eq!(counted(&client), (0, 0), "nobody was asked who could be late");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_ends_while_it_connects_is_repeated_for_a_post_too_and_counts() {
    let peer = Peer::new().then(Reply::connect_hang()).forever(Reply::ok("ok"));
    let client = piped(&peer).limits(Limits::default().attempt(2 * SEC)).build().unwrap();
    let response = client.post(URL).body("job").await.unwrap();
    assert_eq!((response.attempts().count, peer.request_count()), (2, 1));
    let dead = Peer::new().forever(Reply::connect_hang());
    let client = piped(&dead).limits(Limits::default().attempt(2 * SEC)).retry(once()).build().unwrap();
    for _ in 0..3 {
        client.post(URL).body("job").await.unwrap_err();
    }
    assert_eq!(counted(&client), (3, 3), "nobody answered");
    // A caller who waits no longer than that has waited for the server.
    assert!(within(1500 * MS, client.get(URL).send()).await.unwrap().is_err());
    assert_eq!(counted(&client).1, 4);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_ends_after_it_was_sent_is_not_repeated_for_a_post() {
    let peer = Peer::new().forever(Reply::hang());
    let client = piped(&peer).limits(Limits::default().attempt(2 * SEC)).build().unwrap();
    let error = client.post(URL).body("job").await.unwrap_err();
    assert_eq!((error.kind(), error.attempts(), peer.request_count()), (ErrorKind::Attempt, 1, 1), "{error}");
    assert_eq!(counted(&client), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_health_check_that_waits_for_a_name_says_nothing_about_the_server() {
    let stack = crate::StackLayer::builder().health("/health").retry(once());
    let client = unresolved().stack(stack).build().unwrap();
    for _ in 0..3 {
        let error = client.post(URL).body("job").await.unwrap_err();
        assert!(error.is_unhealthy() && !error.is_refused(), "{error:?}");
        assert!(error.to_string().contains("resolving the host name"), "{error}");
    }
    assert_eq!(counted(&client), (0, 0));
    let stack = crate::StackLayer::builder().health("/health").retry(once());
    let client = unresolved().stack(stack).build().unwrap();
    assert!(within(2 * SEC, client.get(URL).send()).await.unwrap().unwrap_err().is_deadline());
    assert_eq!(counted(&client), (0, 0));
    let settings = crate::health::Settings::new("/health").timeout(2 * SEC);
    let client = unresolved().health(settings.mode(crate::health::Mode::Background)).build().unwrap();
    for _ in 0..3 {
        assert!(within(SEC, client.get(URL).send()).await.unwrap().unwrap_err().is_deadline());
        tokio::time::sleep(10 * SEC).await;
    }
    assert_eq!(counted(&client), (0, 0), "nor does one beside the calls");
    // One that is sent and not answered does.
    let peer = Peer::new().forever(Reply::hang());
    let stack = crate::StackLayer::builder().health("/health").retry(once());
    let client = piped(&peer).stack(stack).build().unwrap();
    let error = client.get(URL).await.unwrap_err();
    assert!(error.to_string().contains("no answer within 5 s"), "{error}");
    assert_eq!(counted(&client).1, 1);
}
