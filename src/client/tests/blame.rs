//! Whom the wait of a call is held against: connects that hang beside others, names, our own pool.

use super::slots::{at, limited};
use super::*;
use crate::breaker::{self, Phase as Circuit};
use crate::health::{self, Mode};
use crate::inflight::report;
use crate::retry::Backoff;
use crate::{CallOptions, Collect, Limits, Phase, retry};
use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::DuplexStream;
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt;

/// In a row, hangs with them.
fn failures(client: &Client) -> u32 {
    client.breakers().snapshot().first().map_or(0, |circuit| circuit.consecutive_failures)
}

/// What a connector does before it connects.
async fn look_up(takes: Duration) {
    let mut wait = pin!(sleep(takes));
    poll_fn(|cx| {
        let polled = wait.as_mut().poll(cx);
        if polled.is_pending() {
            report(Phase::Resolve);
        }
        polled
    })
    .await
}

/// A name that is found within a moment, and nobody at its address.
fn dead(network: Network) -> ClientBuilder {
    let dial = tower::service_fn(|_: http::Uri| async {
        look_up(MS).await;
        pending::<io::Result<TokioStream<DuplexStream>>>().await
    });
    Client::builder().network(network).connector(dial)
}

fn at_most(connections: usize) -> Network {
    Network::default().connections(Connections::default().per_origin(connections))
}

#[tokio::test(start_paused = true)]
async fn each_call_that_is_given_up_at_a_dead_server_is_a_hang_however_many_connects_are_begun_beside_its_own()
 {
    let client = dead(Network::default().http2_only()).build().unwrap();
    for n in 1..=4 {
        assert!(timeout(2 * SEC, client.get(URL).send()).await.is_err());
        assert_eq!(failures(&client), n);
    }
    let client = dead(Network::default()).build().unwrap();
    let mut calls = JoinSet::new();
    for _ in 0..4 {
        let client = client.clone();
        calls.spawn(async move { timeout(2 * SEC, client.get(URL).send()).await.is_err() });
        sleep(700 * MS).await;
    }
    assert!(calls.join_all().await.into_iter().all(|given_up| given_up));
    assert_eq!(failures(&client), 4);
}

#[tokio::test(start_paused = true)]
async fn a_call_at_a_dead_server_is_overdue_however_many_connects_are_begun_beside_its_own() {
    let settings = breaker::Settings::default().overdue_after(1500 * MS);
    let client = dead(Network::default().http2_only()).breaker(settings).build().unwrap();
    let call = Beside::new(client.get(URL).send());
    sleep(1400 * MS).await;
    assert_eq!(failures(&client), 0);
    sleep(200 * MS).await;
    assert_eq!(failures(&client), 1);
    drop(call);
}

#[tokio::test(start_paused = true)]
async fn the_time_in_which_a_name_is_looked_up_is_held_against_nobody_also_after_other_connects() {
    let peer = Peer::new().forever(Reply::ok("ok").header("connection", "close"));
    let (pipe, dials) = (peer.pipe(), Arc::new(AtomicU32::new(0)));
    let dial = tower::service_fn(move |uri: http::Uri| {
        let (pipe, number) = (pipe.clone(), dials.fetch_add(1, Ordering::Relaxed));
        async move {
            look_up(if number < 2 { 100 * MS } else { 4 * SEC }).await;
            sleep(500 * MS).await;
            pipe.oneshot(uri).await
        }
    });
    let settings = breaker::Settings::default().overdue_after(2 * SEC);
    let client = Client::builder().connector(dial).breaker(settings).build().unwrap();
    for _ in 0..2 {
        assert_eq!(client.get(URL).await.unwrap().status(), 200);
    }
    for wait in [3 * SEC, 4400 * MS] {
        assert!(timeout(wait, client.get(URL).send()).await.is_err());
        assert_eq!(failures(&client), 0, "{wait:?}");
        // Its connect has ended.
        sleep(10 * SEC).await;
    }
    assert_eq!(client.get(URL).await.unwrap().attempts().count, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_its_own_pool_is_neither_overdue_nor_hung_while_a_connect_beside_that_hangs() {
    let number = Arc::new(AtomicU32::new(0));
    let dial = tower::service_fn(move |_: http::Uri| {
        let number = number.fetch_add(1, Ordering::Relaxed);
        async move {
            sleep(10 * MS).await;
            match number {
                0 => {
                    let (near, far) = tokio::io::duplex(64 * 1024);
                    #[expect(clippy::disallowed_methods, reason = "its owner is the runtime of the test")]
                    tokio::task::spawn(limited(far, 1));
                    Ok(TokioStream::new(near))
                }
                1 => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
                _ => pending().await,
            }
        }
    });
    let client = Client::builder().network(Network::default().http2_only()).connector(dial);
    let settings = breaker::Settings::default().overdue_after(2 * SEC);
    let client = client.breaker(settings).limits(Limits::default().attempt(8 * SEC).total(60 * SEC));
    let client = client.retry(retry::Settings::default().max_retries(0)).build().unwrap();
    let parked = client.get(at("/poll")).options(CallOptions::new().attempt(50 * SEC));
    let parked = Beside::new(parked.send());
    sleep(SEC).await;
    let waits = || client.post(at("/poll")).body("job").send();
    let (one, start) = (Beside::new(waits()), Instant::now());
    while client.in_flight().snapshot().iter().all(|call| call.phase != Phase::Ready) {
        assert!(start.elapsed() < SEC, "{:?}", client.in_flight().snapshot());
        sleep(MS).await;
    }
    sleep(3 * SEC).await;
    assert_eq!(client.in_flight().snapshot()[1].phase, Phase::Connect);
    assert_eq!(failures(&client), 1, "the one that is parked is overdue, and it is not");
    drop(one);
    assert_eq!(failures(&client), 1, "given up");
    drop(parked);
}

/// An answer that holds its connection for as long as it is kept.
async fn held_by(client: &Client) -> Response {
    client.get("http://api.example/held").collect(Collect::never()).send().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_probe_of_the_circuit_that_waited_for_our_own_pool_has_its_whole_lease_from_the_hand_over_on() {
    let (broken, held) = (Reply::status(503).after(SEC), Reply::headers_then_hang());
    let peer = Peer::new().on("/down", broken).on("/held", held).forever(Reply::ok("ok").after(8 * SEC));
    let settings = breaker::Settings::default().failures(1).open(Backoff::constant(SEC)).half_open(1, 1);
    let once = retry::Settings::default().max_retries(0);
    let client = Client::builder().pipe(peer.pipe()).network(at_most(1)).breaker(settings).retry(once);
    let client = client.build().unwrap();
    let down = Beside::new(client.get("http://api.example/down").send());
    sleep(MS).await;
    // Admitted before the circuit opens, and sent afterwards.
    let answer = held_by(&client).await;
    assert_eq!(down.ended().await.unwrap().status(), 503);
    assert_eq!(client.breakers().snapshot()[0].phase, Circuit::Open);
    sleep(2 * SEC).await;
    let probe = Beside::new(client.get(URL).send());
    sleep(4 * SEC).await;
    assert_eq!(client.in_flight().snapshot().last().unwrap().phase, Phase::Ready);
    drop(answer);
    assert_eq!(probe.ended().await.unwrap().status(), 200);
    assert_eq!(client.breakers().snapshot()[0].phase, Circuit::Closed);
}

#[tokio::test(start_paused = true)]
async fn nobody_makes_a_check_beside_one_that_waited_for_our_own_pool_and_has_its_time_from_then_on() {
    let check = crate::testing::Script::new().then(Reply::ok("")).forever(Reply::ok("").after(4 * SEC));
    let peer =
        Peer::new().on("/health", check).on("/held", Reply::headers_then_hang()).forever(Reply::ok("ok"));
    let client = Client::builder().pipe(peer.pipe()).network(at_most(1)).health("/health").build().unwrap();
    let answer = held_by(&client).await;
    sleep(31 * SEC).await;
    let leads = Beside::new(client.get(URL).send());
    sleep(4 * SEC).await;
    let waits = Beside::new(client.get(URL).send());
    drop(answer);
    for call in [leads, waits] {
        assert_eq!(call.ended().await.unwrap().status(), 200);
    }
    let checks = peer.requests().iter().filter(|request| request.path() == "/health").count();
    assert_eq!(checks, 2, "one before everything, and one for both");
}

#[tokio::test(start_paused = true)]
async fn a_check_in_the_background_has_its_time_from_the_hand_over_on_and_its_verdict_counts() {
    let script = crate::testing::Script::new().until(2 * SEC, Reply::ok(""));
    let slow = script.forever(Reply::status(503).after(4 * SEC));
    let peer =
        Peer::new().on("/health", slow).on("/held", Reply::headers_then_hang()).forever(Reply::ok("ok"));
    let health = health::Settings::new("/health").mode(Mode::Background);
    let client = Client::builder().pipe(peer.pipe()).network(at_most(1)).health(health).build().unwrap();
    client.get(URL).await.unwrap();
    let answer = held_by(&client).await;
    // The next check begins after 30 s, waits until 34 s, and is answered at 38 s.
    sleep(34 * SEC).await;
    drop(answer);
    sleep(3 * SEC).await;
    assert_eq!(peer.requests().last().unwrap().path(), "/health");
    let goes = Beside::new(client.get(URL).send());
    sleep(1500 * MS).await;
    let checks = peer.requests().iter().filter(|request| request.path() == "/health").count();
    assert_eq!(checks, 2, "no call begins another");
    assert_eq!(goes.ended().await.unwrap().status(), 200);
    assert!(client.get(URL).await.unwrap_err().is_unhealthy());
}

#[tokio::test(start_paused = true)]
async fn a_check_in_the_background_has_its_limit_once_also_where_its_name_had_to_be_looked_up() {
    let script = crate::testing::Script::new().until(2 * SEC, Reply::ok("")).forever(Reply::hang());
    let peer = Peer::new().on("/health", script).forever(Reply::ok("ok").header("connection", "close"));
    let pipe = peer.pipe();
    let dial = tower::service_fn(move |uri: http::Uri| {
        let pipe = pipe.clone();
        async move {
            look_up(MS).await;
            pipe.oneshot(uri).await
        }
    });
    let health = health::Settings::new("/health").mode(Mode::Background);
    let once = retry::Settings::default().max_retries(0);
    let client = Client::builder().connector(dial).health(health).retry(once).build().unwrap();
    client.get(URL).await.unwrap();
    // The check begins after 30 s, on a connection of its own.
    sleep(29 * SEC).await;
    let own = CallOptions::new().total(SEC);
    assert_eq!(client.get(URL).options(own).await.unwrap().status(), 200);
    sleep(6500 * MS).await;
    let refused = client.get(URL).await.unwrap_err();
    assert!(refused.is_unhealthy() && refused.to_string().contains("no answer in time"), "{refused}");
}
