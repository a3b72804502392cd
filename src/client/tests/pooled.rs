//! Connections of the pool that are not to be trusted any more.

use super::slots::{at, limited};
use super::*;
use crate::suspend::WallClock;
use rand::{RngExt, SeedableRng};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::time::SystemTime;
use tokio::time::{Instant, sleep, timeout};

/// A client whose wall clock is ahead of the monotonic one by so many seconds.
fn with_wall_clock(peer: &Peer) -> (Client, Arc<AtomicU32>) {
    let ahead = Arc::new(AtomicU32::new(0));
    let (offset, start) = (Arc::clone(&ahead), Instant::now());
    let wall = WallClock::new(move || {
        SystemTime::UNIX_EPOCH + 1_000_000 * SEC + start.elapsed() + offset.load(Ordering::Relaxed) * SEC
    });
    (piped(peer).build_by(wall).unwrap(), ahead)
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_not_reused_after_the_machine_slept_for_more_than_30_seconds() {
    let peer = Peer::new().forever(Reply::ok("ok"));
    let (client, ahead) = with_wall_clock(&peer);
    let mut expected = 1;
    // A step of 30 s, a sleep of 31 s, nothing new, and a night.
    for (by, connections) in [(0, 1), (30, 1), (61, 2), (61, 2), (8 * 3600, 3)] {
        ahead.store(by, Ordering::Relaxed);
        sleep(SEC).await;
        client.get(URL).await.unwrap();
        client.get(URL).await.unwrap();
        assert_eq!(peer.connections(), connections, "{by}");
        expected = connections;
    }
    sleep(SEC).await;
    assert_eq!((peer.open_connections(), expected), (1, 3), "those left behind are closed");
}

#[tokio::test(start_paused = true)]
async fn a_call_in_flight_while_the_machine_sleeps_keeps_its_connection() {
    let peer = Peer::new().then(Reply::ok("slow").after(5 * SEC)).forever(Reply::ok("ok"));
    let (client, ahead) = with_wall_clock(&peer);
    let slow = Beside::new(client.get(URL).send());
    sleep(2 * SEC).await;
    ahead.store(3600, Ordering::Relaxed);
    client.get(URL).await.unwrap();
    assert_eq!(slow.ended().await.unwrap().text().await.unwrap(), "slow");
    assert_eq!((peer.connections(), peer.request_count()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_closes_as_a_request_is_written_costs_no_wait_and_no_evidence() {
    let peer = Peer::new().then(Reply::ok("1").stale_on_next()).forever(Reply::ok("2"));
    let client = client(&peer);
    client.get(URL).await.unwrap();
    let start = Instant::now();
    let response = client.get(URL).await.unwrap();
    assert_eq!((response.attempts().count, start.elapsed()), (2, Duration::ZERO));
    assert_eq!(client.breakers().snapshot()[0].consecutive_failures, 0);
}

#[tokio::test(start_paused = true)]
async fn twelve_stale_connections_cost_a_health_check_nothing_but_a_repetition() {
    let well = || Reply::ok("ok").after(MS).stale_on_next();
    let peer = Peer::new().on("/health", well()).forever(well());
    let client = piped(&peer).health("/health").build().unwrap();
    client.get(URL).await.unwrap();
    let calls: Vec<_> = (0..12).map(|_| Beside::new(client.get(URL).send())).collect();
    for call in calls {
        call.ended().await.unwrap();
    }
    for _ in 0..3 {
        // The verdict is old, the connections are not.
        sleep(31 * SEC).await;
        assert_eq!(client.get(URL).await.unwrap().status(), 200);
    }
    assert_eq!(client.breakers().snapshot()[0].failures, 0);
}

#[tokio::test(start_paused = true)]
async fn what_leads_elsewhere_is_never_used_again_and_the_good_connection_is() {
    for http2 in [false, true] {
        let wrong = Reply::by(|request| match request.connection {
            1 => Reply::status(421),
            _ => Reply::ok("ok"),
        });
        let peer = Peer::new().forever(wrong);
        let client = if http2 { http2::two(&peer) } else { piped(&peer) }.build().unwrap();
        for (n, attempts) in [2, 1, 1].into_iter().enumerate() {
            let answer = client.post(URL).body("job").await.unwrap();
            assert_eq!((answer.status().as_u16(), answer.attempts().count), (200, attempts), "{http2}, {n}");
        }
        assert_eq!(peer.connections(), 2, "{http2}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_at_its_age_under_traffic_between_requests() {
    for http2 in [false, true] {
        let peer = Peer::new().forever(Reply::ok("ok").after(700 * MS));
        let connections = Connections::default().age(10 * SEC).seed(7);
        let network = Network::default().connections(connections);
        let network = if http2 { network.http2_only() } else { network };
        let client = piped(&peer).network(network).build().unwrap();
        for _ in 0..100 {
            assert_eq!(client.get(URL).await.unwrap().attempts().count, 1);
        }
        // 70 s, of 9 to 11 s each.
        assert!((6..=8).contains(&peer.connections()), "{http2}: {}", peer.connections());
        assert!(peer.open_connections() <= 1, "{http2}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_post_meets_the_close_of_a_server_that_says_how_long_it_waits() {
    for (said, every, connections) in
        [("timeout=1", 1, 20), ("timeout=5, max=100", 3, 1), ("timeout=4", 3, 20), ("timeout=-1", 3, 1)]
    {
        let peer = Peer::new().forever(Reply::ok("ok").header("keep-alive", said));
        let client = client(&peer);
        for _ in 0..20 {
            client.post(URL).body("job").await.unwrap();
            sleep(every * SEC).await;
        }
        assert_eq!(peer.connections(), connections, "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_room_where_there_may_be_no_further_connection() {
    let peer = Peer::new().forever(Reply::ok("ok").after(SEC));
    let network = Network::default().connections(Connections::default().per_origin(2));
    let client = piped(&peer).network(network).build().unwrap();
    let start = Instant::now();
    let calls: Vec<_> = (0..6).map(|_| Beside::new(client.post(URL).body("job").send())).collect();
    sleep(MS).await;
    let waiting = client.in_flight().snapshot();
    assert_eq!(waiting.iter().filter(|call| call.phase == crate::Phase::Ready).count(), 4, "{waiting:?}");
    for call in calls {
        assert_eq!(call.ended().await.unwrap().attempts().count, 1);
    }
    assert_eq!((start.elapsed(), peer.connections()), (3 * SEC, 2));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_calls_given_up_at_any_moment_leave_no_connection_slot_or_task() {
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = alive();
    for http2 in [false, true] {
        let peer =
            Peer::new().on("/body", Reply::ok("12345678").drip(1, MS)).forever(Reply::ok("ok").after(2 * MS));
        let network = Network::default().connections(Connections::default().per_origin(8));
        let network = if http2 { network.http2_only() } else { network };
        let pipe = peer.pipe().connect_takes(MS);
        let client = Client::builder().network(network).pipe(pipe);
        let client = client.breaker(crate::breaker::Settings::default().disabled(true)).build().unwrap();
        let mut rng = crate::retry::backoff::Rng::seed_from_u64(u64::from(http2));
        let mut calls = JoinSet::new();
        for n in 0..5000_u64 {
            let path = if n % 3 == 0 { "http://api.example/body" } else { URL };
            let collect = if n % 2 == 0 { crate::Collect::never() } else { crate::Collect::up_to(1 << 20) };
            let call = client.get(path).collect(collect).send();
            let patience = Duration::from_micros(rng.random_range(0..12_000));
            calls.spawn(async move { drop(timeout(patience, async { call.await?.bytes().await }).await) });
            if n % 16 == 0 {
                sleep(MS).await;
            }
        }
        calls.join_all().await;
        assert!(client.in_flight().is_empty() && peer.open_connections() <= 8, "{http2}");
        for _ in 0..20 {
            assert_eq!(client.get(URL).await.unwrap().text().await.unwrap(), "ok", "{http2}");
        }
        sleep(120 * SEC).await;
        assert_eq!(peer.open_connections(), 0, "{http2}: idle ones are closed");
        drop(client);
        sleep(SEC).await;
        assert_eq!(alive(), before, "{http2}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_connections_of_a_client_are_shown_by_origin_with_what_is_on_them() {
    let peer = Peer::new().on("/slow", Reply::ok("ok").after(5 * SEC)).forever(Reply::ok("ok"));
    for http2 in [false, true] {
        let client = if http2 { http2::two(&peer) } else { piped(&peer) }.name("relay").build().unwrap();
        let slow: Vec<_> =
            (0..3).map(|_| Beside::new(client.get("http://api.example/slow").send())).collect();
        sleep(MS).await;
        client.get(URL).await.unwrap();
        let poll = client.get("http://api.example/slow").collect(crate::Collect::never());
        let poll = Beside::new(poll.send());
        sleep(SEC).await;
        let shown = client.in_flight().connections();
        let [shown] = &shown[..] else { panic!("{shown:?}") };
        assert_eq!((&*shown.client, shown.origin.as_str()), ("relay", "http://api.example"));
        let counts = (shown.protocol, shown.open, shown.active, shown.idle, shown.parked, shown.calls);
        let expected = if http2 { ("HTTP/2", 2, 2, 0, 1, 4) } else { ("HTTP/1.1", 4, 4, 0, 0, 4) };
        assert_eq!((counts, shown.waiting), (expected, 0));
        assert_eq!(shown.oldest.as_secs(), 1);
        for call in slow.into_iter().chain([poll]) {
            call.ended().await.unwrap().text().await.unwrap();
        }
        let shown = client.in_flight().connections().remove(0);
        assert_eq!((shown.active, shown.idle, shown.calls), (0, shown.open, 0));
        sleep(120 * SEC).await;
        assert!(client.in_flight().connections().is_empty());
    }
}

/// Gives up another call when its own is woken, once it may.
#[derive(Default)]
struct GivesUp {
    call: Mutex<Option<Pin<Box<Sending>>>>,
    may: AtomicBool,
}

impl Wake for GivesUp {
    fn wake(self: Arc<Self>) {
        let given_up = self.may.load(Ordering::Relaxed).then(|| self.call.lock().unwrap().take());
        drop(given_up);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_on_its_way_to_a_call_that_is_given_up_at_that_moment_is_free_again() {
    let gives_up = Arc::new(GivesUp::default());
    let soon = Arc::clone(&gives_up);
    let (client, dials) = http2::dialled(Duration::ZERO, move |_, io| {
        let soon = Arc::clone(&soon);
        async move {
            sleep(SEC).await;
            soon.may.store(true, Ordering::Relaxed);
            limited(io, 2).await;
        }
    });
    let client = client.build().unwrap();
    let mut first = Box::pin(client.get(at("/jobs")).send());
    *gives_up.call.lock().unwrap() = Some(Box::pin(client.get(at("/jobs")).send()));
    // They are looked at again after the connect. The first word of the server is for both at once.
    for _ in 0..2 {
        let waker = Waker::from(Arc::clone(&gives_up));
        assert!(first.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        if let Some(second) = &mut *gives_up.call.lock().unwrap() {
            assert!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        sleep(600 * MS).await;
    }
    assert!(gives_up.call.lock().unwrap().is_none());
    assert_eq!(first.await.unwrap().status(), 200);
    let held: Vec<_> = (0..2).map(|_| Beside::new(client.get(at("/poll")).send())).collect();
    sleep(SEC / 10).await;
    assert_eq!(dials.load(Ordering::Relaxed), 1, "both streams of the one connection");
    drop(held);
}

#[test]
fn a_connect_that_ended_with_its_runtime_is_begun_again_in_the_next_one() {
    let peer = Peer::new().then(Reply::connect_hang()).forever(Reply::ok("ok"));
    let client = client(&peer);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true);
    let first = runtime.build().unwrap();
    first.block_on(async { timeout(SEC, client.get(URL).send()).await }).unwrap_err();
    drop(first);
    let answer = runtime.build().unwrap().block_on(async { client.get(URL).await }).unwrap();
    assert_eq!((answer.status().as_u16(), answer.attempts().count), (200, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_while_it_connects_leaves_its_connect_to_the_next() {
    let peer = Peer::new().forever(Reply::ok("ok"));
    let client = Client::builder().pipe(peer.pipe().connect_takes(900 * MS)).build().unwrap();
    timeout(SEC / 2, client.get(URL).send()).await.unwrap_err();
    let start = Instant::now();
    client.get(URL).await.unwrap();
    assert_eq!(start.elapsed(), 400 * MS);
    sleep(5 * SEC).await;
    assert_eq!(peer.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_call_was_given_and_never_looked_at_goes_to_the_next() {
    let one = Peer::new().forever(Reply::ok("ok"));
    let (two, dials) = http2::dialled(Duration::ZERO, |_, io| limited(io, 1));
    for client in [client(&one), two.build().unwrap()] {
        let mut call = Box::pin(client.get(URL).send());
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        sleep(SEC).await;
        drop(call);
        client.get(URL).await.unwrap();
    }
    assert_eq!((one.connections(), dials.load(Ordering::Relaxed)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_refused_a_stream_takes_none_any_more() {
    let script = crate::testing::Script::new().then(Reply::refuse()).forever(Reply::ok("ok"));
    let peer = Peer::new().on("/jobs", script);
    let answer = http2::two(&peer).build().unwrap().post(URL).body("job").await.unwrap();
    assert_eq!((answer.attempts().count, peer.connections()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_two_fresh_connections_sent_back_is_an_error() {
    let dials = Arc::new(AtomicU32::new(0));
    let counting = Arc::clone(&dials);
    let dial = tower::service_fn(move |_: http::Uri| {
        counting.fetch_add(1, Ordering::Relaxed);
        let (near, _) = tokio::io::duplex(64);
        std::future::ready(Ok::<_, std::io::Error>(TokioStream::new(near)))
    });
    let retry = crate::retry::Settings::default().max_retries(0);
    let client = Client::builder().connector(dial).retry(retry).build().unwrap();
    client.post(URL).body("job").await.unwrap_err();
    assert_eq!(dials.load(Ordering::Relaxed), 2);
}
