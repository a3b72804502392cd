//! Connects that hang, or break, and connections that died without a word.

use super::hostile::Hostile;
use super::hostile_two::{Wire, streams};
use super::slots::at;
use super::*;
use crate::testing::{Pipe, PipeStream};
use crate::{LongPoll, breaker, within};
use http::Uri;
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

type Dialled = Pin<Box<dyn Future<Output = io::Result<TokioIo<PipeStream>>> + Send>>;

/// A client that connects in this way, told the number of the connect, from 0. How many there were.
fn by(
    http2: bool,
    dial: impl Fn(u32, Uri) -> Dialled + Clone + Send + Sync + 'static,
) -> (ClientBuilder, Arc<AtomicU32>) {
    let dials = Arc::new(AtomicU32::new(0));
    let counting = Arc::clone(&dials);
    let connector = tower::service_fn(move |uri| dial(counting.fetch_add(1, Ordering::SeqCst), uri));
    let network = Network::default();
    let network = if http2 { network.http2_only() } else { network };
    (Client::builder().network(network).connector(connector), dials)
}

fn connect(pipe: &Pipe, uri: Uri) -> Dialled {
    pipe.clone().call(uri)
}

/// As many calls as succeed within this time each.
async fn successes(client: &Client, calls: u32, patience: Duration) -> u32 {
    let mut ok = 0;
    for _ in 0..calls {
        ok += u32::from(matches!(within(patience, client.get(URL).send()).await, Ok(Ok(_))));
    }
    ok
}

#[tokio::test(start_paused = true)]
async fn one_connect_that_hangs_costs_its_own_call_alone() {
    for http2 in [false, true] {
        let peer = Peer::new().forever(Reply::ok("ok"));
        let pipe = peer.pipe();
        let (client, dials) = by(http2, move |number, uri| match number {
            0 => Box::pin(std::future::pending()),
            _ => connect(&pipe, uri),
        });
        let client = client.build().unwrap();
        assert_eq!(successes(&client, 5, SEC).await, 4, "{http2}");
        assert_eq!(dials.load(Ordering::SeqCst), 2, "{http2}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_served_by_a_second_connect_where_streams_are_shared_and_the_first_hangs() {
    let peer = Peer::new().forever(Reply::ok("ok"));
    let pipe = peer.pipe();
    let (client, _) = by(true, move |number, uri| match number {
        0 => Box::pin(std::future::pending()),
        _ => connect(&pipe, uri),
    });
    let (client, start) = (client.build().unwrap(), Instant::now());
    assert_eq!(client.get(URL).await.unwrap().attempts().count, 1);
    assert_eq!(start.elapsed(), SEC);
}

#[tokio::test(start_paused = true)]
async fn a_slow_network_works_for_calls_that_are_given_up_sooner_than_it_connects() {
    for http2 in [false, true] {
        let peer = Peer::new().forever(Reply::ok("ok"));
        let pipe = peer.pipe().connect_takes(1500 * MS);
        let (client, dials) = by(http2, move |_, uri| connect(&pipe, uri));
        let client = client.build().unwrap();
        assert_eq!(successes(&client, 10, SEC).await, 9, "{http2}");
        sleep(10 * SEC).await;
        // The second call of HTTP/1 had begun one of its own, which is kept.
        let open = if http2 { 1 } else { 2 };
        assert_eq!((dials.load(Ordering::SeqCst), peer.open_connections()), (2, open), "{http2}");
    }
}

#[tokio::test(start_paused = true)]
async fn connects_that_nobody_waits_for_any_more_leave_their_sockets_after_a_second() {
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = alive();
    let (client, _) = by(false, |_, _| Box::pin(std::future::pending()));
    let client = client.build().unwrap();
    for host in 0..50 {
        let url = format!("http://host-{host}.example/");
        timeout(200 * MS, client.get(url).send()).await.unwrap_err();
    }
    // Of the last 1.2 s, and the one that closes what is idle.
    assert!(alive() - before <= 8, "{}", alive() - before);
}

#[test]
fn a_connect_in_a_runtime_that_nobody_drives_hinders_no_call_in_another() {
    for http2 in [false, true] {
        let peer = Peer::new().forever(Reply::ok("ok"));
        let pipe = peer.pipe();
        let (client, _) = by(http2, move |number, uri| match number {
            0 => Box::pin(std::future::pending()),
            _ => connect(&pipe, uri),
        });
        let client = client.build().unwrap();
        let runtime = || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().start_paused(true).build().unwrap()
        };
        let (undriven, driven) = (runtime(), runtime());
        undriven.block_on(async {
            timeout(MS, client.get(URL).send()).await.unwrap_err();
        });
        let answer = driven.block_on(async { client.get(URL).await }).unwrap();
        assert_eq!(answer.attempts().count, 1, "{http2}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_connect_that_timed_out_is_one_failure_however_many_calls_waited_for_it() {
    let (client, dials) = by(true, |_, _| Box::pin(std::future::pending()));
    let retry = crate::retry::Settings::default().max_retries(0);
    let client = client.retry(retry).build().unwrap();
    let calls: Vec<_> = (0..20).map(|_| Beside::new(client.get(URL).send())).collect();
    for call in calls {
        let error = call.ended().await.unwrap_err();
        assert!(error.is_connect() && error.is_timeout(), "{error}");
    }
    let circuit = client.breakers().snapshot().remove(0);
    assert_eq!((circuit.phase, circuit.consecutive_failures), (breaker::Phase::Closed, 1));
    // One after the other they are as many, each with its own time.
    for _ in 0..2 {
        client.get(URL).await.unwrap_err();
    }
    assert_eq!(client.breakers().snapshot().remove(0).consecutive_failures, 3);
    assert!(dials.load(Ordering::SeqCst) > 3);
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_panics_is_an_error_of_the_calls_that_waited_for_it() {
    for http2 in [false, true] {
        let (client, dials) = by(http2, |_, _| {
            Box::pin(async {
                tokio::task::yield_now().await;
                panic!("in a connector")
            })
        });
        let client = client.build().unwrap();
        let error = client.get(URL).await.unwrap_err();
        assert!(error.is_connect(), "{error}");
        let said = format!("{error}");
        assert!(said.contains("the connector panicked"), "{said}");
        assert_eq!((error.attempts(), dials.load(Ordering::SeqCst)), (4, 4), "{http2}: {error}");
    }
}

/// Three idle connections to a server, which then says nothing any more on these.
async fn three_that_die(client: &Client, dead: &AtomicBool) {
    let calls: Vec<_> = (0..3).map(|_| Beside::new(client.get(at("/jobs")).send())).collect();
    for call in calls {
        call.ended().await.unwrap();
    }
    sleep(SEC).await;
    dead.store(true, Ordering::SeqCst);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_that_died_without_a_word_cost_one_attempt_of_one_call() {
    let dead = Arc::new(AtomicBool::new(false));
    let died = Arc::clone(&dead);
    let peer = Peer::new().forever(Reply::by(move |request| {
        if died.load(Ordering::SeqCst) && request.connection <= 3 {
            return Reply::silent();
        }
        Reply::ok("ok").after(MS)
    }));
    let client = client(&peer);
    three_that_die(&client, &dead).await;
    let start = Instant::now();
    assert_eq!(client.get(URL).await.unwrap().attempts().count, 2);
    assert!(start.elapsed() < 11 * SEC, "{:?}", start.elapsed());
    // The others are not tried by later calls, one of which has to be new.
    let calls: Vec<_> = (0..3).map(|_| Beside::new(client.post(URL).body("job").send())).collect();
    for call in calls {
        assert_eq!(call.ended().await.unwrap().attempts().count, 1);
    }
    assert_eq!(peer.open_connections(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_path_that_hangs_beside_one_that_answers_leaves_no_idle_connection() {
    let peer = Peer::new().on("/hangs", Reply::silent()).forever(Reply::ok("ok").after(MS));
    let retry = crate::retry::Settings::default().max_retries(0);
    let client = piped(&peer).retry(retry).build().unwrap();
    three_that_die(&client, &AtomicBool::new(false)).await;
    let hangs = Beside::new(client.get(at("/hangs")).send());
    for _ in 0..20 {
        sleep(SEC).await;
        client.get(URL).await.unwrap();
    }
    assert!(hangs.ended().await.unwrap_err().is_timeout());
    assert_eq!((peer.connections(), peer.open_connections()), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_connecting_alone_is_none_of_calls_beyond_the_age_of_connections() {
    for http2 in [false, true] {
        for hangs in [false, true] {
            let peer = Peer::new().forever(Reply::ok("ok").after(MS));
            let (pipe, down) = (peer.pipe(), Arc::new(AtomicBool::new(false)));
            let is_down = Arc::clone(&down);
            let (client, _) = by(http2, move |_, uri| match is_down.load(Ordering::SeqCst) {
                true if hangs => Box::pin(std::future::pending()),
                true => Box::pin(std::future::ready(Err(io::ErrorKind::ConnectionRefused.into()))),
                false => connect(&pipe, uri),
            });
            let network = Network::default().connections(Connections::default().age(30 * SEC));
            let network = if http2 { network.http2_only() } else { network };
            let client = client.network(network).build().unwrap();
            client.get(URL).await.unwrap();
            down.store(true, Ordering::SeqCst);
            let (start, mut worst) = (Instant::now(), Duration::ZERO);
            while start.elapsed() < 50 * SEC {
                let began = Instant::now();
                assert_eq!(client.get(URL).await.unwrap().attempts().count, 1, "{http2}, {hangs}");
                worst = worst.max(began.elapsed());
                sleep(SEC).await;
            }
            assert!(worst <= SEC + 2 * MS, "{http2}, {hangs}: {worst:?}");
            assert_eq!(peer.connections(), 1);
            // And once there is another one it is left.
            down.store(false, Ordering::SeqCst);
            for _ in 0..12 {
                client.get(URL).await.unwrap();
                sleep(SEC).await;
            }
            assert_eq!((peer.connections(), peer.open_connections()), (2, 1), "{http2}, {hangs}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn parked_polls_leave_a_connection_to_calls_that_end_soon() {
    let peer = Peer::new().on("/poll", Reply::long_poll(50 * SEC)).forever(Reply::ok("ok"));
    let network = Network::default().connections(Connections::default().per_origin(4));
    let client = piped(&peer).network(network).build().unwrap();
    let poll = LongPoll::because("a test parks it");
    let polls: Vec<_> = (0..6)
        .map(|_| Beside::new(client.get(at("/poll")).extension(poll.clone().up_to(200 * SEC)).send()))
        .collect();
    sleep(SEC).await;
    let start = Instant::now();
    client.post(URL).body("job").await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    for poll in polls {
        poll.ended().await.unwrap();
    }
    assert_eq!(start.elapsed(), 99 * SEC, "three at a time");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_dropped_on_a_plain_thread_leaves_no_connection_to_a_server_that_reads_no_more() {
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let (client, _) = super::http2::dialled(Duration::ZERO, |_, mut io| async move {
        let _ = io.read_exact(&mut [0; 100]).await;
        let _ = io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        std::future::pending().await
    });
    let client = client.network(Network::default()).build().unwrap();
    let before = alive();
    let answer = client.post(URL).body(vec![b'x'; 1 << 20]).await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "ok");
    std::thread::spawn(move || drop(client)).join().unwrap();
    sleep(5 * SEC).await;
    assert_eq!(alive(), before + 3, "the server, the connection, and who waits for its end");
    sleep(6 * SEC).await;
    assert_eq!(alive(), before + 1, "the server");
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_given_up_before_it_is_out_leaves_no_idle_connection() {
    let peer = Peer::new().on("/upload", Reply::silent()).forever(Reply::ok("ok").after(MS));
    let client = client(&peer);
    three_that_die(&client, &AtomicBool::new(false)).await;
    let pieces = futures_util::stream::unfold((), |()| async {
        sleep(300 * MS).await;
        Some((Ok::<_, io::Error>(bytes::Bytes::from_static(b"piece")), ()))
    });
    let upload = client.post(at("/upload")).body(crate::Body::from_stream(pieces)).send();
    assert!(within(3 * SEC, upload).await.unwrap().unwrap_err().is_timeout());
    sleep(6 * SEC).await;
    assert_eq!((peer.connections(), peer.open_connections()), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_works_is_not_left_at_its_age_for_one_whose_peer_says_nothing() {
    let hangs = Arc::new(AtomicBool::new(false));
    let mute = Arc::clone(&hangs);
    let server = Hostile::new(true, move |_, mut io| {
        let mute = mute.load(Ordering::SeqCst);
        async move {
            if mute {
                return io.read_to_end(&mut Vec::new()).await.map(drop);
            }
            Wire::begin(io, &streams(100)).await?.serve().await
        }
    });
    let network = Network::default().http2_only().connections(Connections::default().age(30 * SEC));
    let client = server.builder().network(network).build().unwrap();
    client.get(URL).await.unwrap();
    hangs.store(true, Ordering::SeqCst);
    let (start, mut worst) = (Instant::now(), Duration::ZERO);
    while start.elapsed() < 50 * SEC {
        let began = Instant::now();
        assert_eq!(client.get(URL).await.unwrap().attempts().count, 1);
        worst = worst.max(began.elapsed());
        sleep(SEC).await;
    }
    assert!(worst <= SEC + 2 * MS, "{worst:?}");
    assert!(server.dials() > 2, "it is tried again");
    // And once there is one that works it is left.
    hangs.store(false, Ordering::SeqCst);
    for _ in 0..12 {
        client.get(URL).await.unwrap();
        sleep(SEC).await;
    }
    assert_eq!(server.open(), 1);
}
