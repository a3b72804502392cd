//! Names and addresses: a resolver that is dead, and names with addresses that are.

use super::*;
use crate::transport::connect::resolve::Resolver;
use crate::{ErrorKind, Limits, Phase, retry};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use tokio::time::Instant;

pub(super) fn resolving(
    look_up: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
) -> ClientBuilder {
    let client = Client::builder().network(Network::default().no_proxy()).resolver(Resolver::new(look_up));
    client.retry(retry::Settings::default().max_retries(0))
}

pub(super) fn addresses(list: &[&str]) -> io::Result<Vec<SocketAddr>> {
    Ok(list.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect())
}

/// Holds look-ups until it is opened.
#[derive(Clone, Default)]
pub(super) struct Gate {
    state: Arc<(Mutex<bool>, Condvar)>,
    inside: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
}

impl Gate {
    pub(super) fn pass(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.inside.fetch_add(1, Ordering::SeqCst);
        let mut open = self.state.0.lock().unwrap();
        while !*open {
            open = self.state.1.wait_timeout(open, 10 * SEC).unwrap().0;
        }
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }

    fn open(&self) {
        *self.state.0.lock().unwrap() = true;
        self.state.1.notify_all();
    }

    pub(super) fn inside(&self) -> usize {
        self.inside.load(Ordering::SeqCst)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // A test that fails leaves no thread behind.
        self.open();
    }
}

#[tokio::test]
async fn the_next_address_is_taken_when_one_refuses() {
    let peer = Peer::new().forever(Reply::ok("ok"));
    let at = peer.listen().unwrap();
    let client = resolving(|_| addresses(&["127.0.0.9", "127.0.0.8", "127.0.0.1"])).build().unwrap();
    assert_eq!(client.get(format!("http://api.example:{}/", at.port())).await.unwrap().status(), 200);
    let nobody = resolving(|_| addresses(&["127.0.0.9", "127.0.0.8"])).build().unwrap();
    let error = nobody.get(format!("http://api.example:{}/", at.port())).await.unwrap_err();
    assert!(error.is_connect());
    assert!(error.to_string().ends_with("connection refused (127.0.0.9, 127.0.0.8)"), "{error}");
}

/// 127.0.0.9 answers no connect to this port: its backlog is full, and nobody accepts.
#[cfg(target_os = "linux")]
fn black_hole(port: u16) -> Vec<socket2::Socket> {
    let at = socket2::SockAddr::from(SocketAddr::from(([127, 0, 0, 9], port)));
    let socket = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let listener = socket();
    listener.bind(&at).unwrap();
    listener.listen(0).unwrap();
    let mut sockets = vec![listener];
    for _ in 0..4 {
        let filler = socket();
        filler.set_nonblocking(true).unwrap();
        let _ = filler.connect(&at);
        sockets.push(filler);
    }
    sockets
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_other_family_is_tried_when_the_first_has_not_connected_within_its_head_start() {
    let peer = Peer::new().forever(Reply::ok("ok"));
    let Ok(at) = peer.listen_on("[::1]:0".parse().unwrap()) else { return };
    let _dead = black_hole(at.port());
    let client = resolving(|_| addresses(&["127.0.0.9", "::1"])).build().unwrap();
    let start = Instant::now();
    assert_eq!(client.get(format!("http://api.example:{}/", at.port())).await.unwrap().status(), 200);
    let took = start.elapsed();
    assert!(took >= 250 * MS && took < SEC, "{took:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_dead_address_costs_a_connection_250_ms_also_within_its_family_and_is_tried_last_after_that() {
    let peer = Peer::new().forever(Reply::ok("ok").header("connection", "close"));
    let at = peer.listen().unwrap();
    let _dead = black_hole(at.port());
    let client = resolving(|_| addresses(&["127.0.0.9", "127.0.0.1"])).build().unwrap();
    let url = format!("http://api.example:{}/", at.port());
    for within in [250 * MS..SEC, Duration::ZERO..200 * MS, Duration::ZERO..200 * MS] {
        let start = Instant::now();
        assert_eq!(client.get(&url).await.unwrap().text().await.unwrap(), "ok");
        assert!(within.contains(&start.elapsed()), "{:?}: {within:?}", start.elapsed());
    }
    assert_eq!(peer.connections(), 3);
    // With nothing but dead ones the connect bound says what happened.
    let limits = Limits::default().connect(SEC);
    let nobody = resolving(|_| addresses(&["127.0.0.9"])).limits(limits.clone()).build().unwrap();
    let error = nobody.get(&url).await.unwrap_err();
    assert!(error.to_string().ends_with("no connection after 1 s"), "{error}");
    let nobody = resolving(|_| addresses(&["127.0.0.9", "127.0.0.8"])).limits(limits).build().unwrap();
    let error = nobody.get(&url).await.unwrap_err();
    let said = "no connection after 1 s (127.0.0.9: no answer, 127.0.0.8: connection refused)";
    assert!(error.to_string().ends_with(said), "{error}");
    assert!(error.is_timeout() && error.is_connect());
}

/// The names of this client have no address but one that this machine has no route to, and those that follow.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_that_refuses_counts_also_where_this_machine_has_no_way_to_its_other_address() {
    // Of IPv6 there is no route from the loopback interface alone; a port of this machine that nobody listens on refuses.
    let client = resolving(|_| addresses(&["255.255.255.255", "127.0.0.8"])).build().unwrap();
    let error = client.get("http://api.example:1/").await.unwrap_err();
    assert!(
        error.to_string().contains("connection refused (127.0.0.8: connection refused, 255.255.255.255: "),
        "{error}"
    );
    assert_eq!(client.breakers().snapshot()[0].consecutive_failures, 1);
    let alone = resolving(|_| addresses(&["255.255.255.255"])).build().unwrap();
    let error = alone.get("http://api.example:1/").await.unwrap_err();
    assert_eq!(alone.breakers().snapshot()[0].consecutive_failures, 0, "{error}");
}

#[tokio::test]
async fn of_ten_thousand_addresses_of_a_name_a_few_are_tried() {
    let many = || (0..10_000u32).map(|n| SocketAddr::from(((0x7f01_0000 + n).to_be_bytes(), 0))).collect();
    let client = resolving(move |_| Ok(many())).build().unwrap();
    let start = Instant::now();
    let error = client.get("http://api.example:1/").await.unwrap_err();
    let said = "connection refused (127.1.0.0, 127.1.0.1, 127.1.0.2, 127.1.0.3 and 16 more)";
    assert!(error.to_string().ends_with(said), "{error}");
    let error = client.get("http://api.example:1/").await.unwrap_err();
    assert!(error.to_string().contains("(127.1.0.20, "), "others: {error}");
    assert!(start.elapsed() < SEC, "{:?}", start.elapsed());
    // An answer without an end.
    let endless = tower::service_fn(|_| async {
        Ok::<_, io::Error>(std::iter::repeat(SocketAddr::from(([127, 0, 0, 9], 1))))
    });
    let client = Client::builder().network(Network::default().no_proxy()).resolver(endless);
    let error =
        client.retry(retry::Settings::default().max_retries(0)).build().unwrap().get("http://api.example/");
    assert!(error.await.unwrap_err().to_string().ends_with("connection refused"));
}

#[tokio::test]
async fn a_resolver_that_hangs_is_bounded_by_the_connect_limit_and_the_error_says_so() {
    let gate = Gate::default();
    let hanging = gate.clone();
    let client = resolving(move |_| {
        hanging.pass();
        addresses(&["127.0.0.1"])
    });
    let client = client.limits(Limits::default().connect(300 * MS)).build().unwrap();
    let start = Instant::now();
    let error = client.get("http://api.example/").await.unwrap_err();
    assert!(start.elapsed() < 400 * MS, "{:?}", start.elapsed());
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Connect, Some(Phase::Resolve)), "{error:?}");
    assert!(error.to_string().ends_with("no connection after 300 ms (resolving the host name)"), "{error}");
    gate.open();
}

#[tokio::test]
async fn callers_of_one_name_share_one_look_up() {
    let peer = Peer::new().forever(Reply::ok("ok"));
    let url = format!("http://api.example:{}/", peer.listen().unwrap().port());
    let gate = Gate::default();
    let hanging = gate.clone();
    let client = resolving(move |_| {
        hanging.pass();
        addresses(&["127.0.0.1"])
    })
    .build()
    .unwrap();
    let calls: Vec<_> = (0..10).map(|_| Beside::new(client.get(&url).send())).collect();
    tokio::time::sleep(100 * MS).await;
    assert_eq!(client.in_flight().snapshot()[9].phase, Phase::Resolve);
    gate.open();
    for call in calls {
        assert_eq!(call.ended().await.unwrap().status(), 200);
    }
    assert_eq!(gate.calls.load(Ordering::SeqCst), 1);
}

/// 330 names that are asked for at once, each for so long: how many are looked up when all have been given up, and how many
/// were refused.
async fn asked_of_a_dead_resolver(limit: Duration) -> (Gate, Client, (usize, u32)) {
    let gate = Gate::default();
    let hanging = gate.clone();
    let client = resolving(move |_| {
        hanging.pass();
        addresses(&["127.0.0.9"])
    });
    let client = client.limits(Limits::default().connect(limit)).build().unwrap();
    let calls: Vec<_> =
        (0..330).map(|n| Beside::new(client.get(format!("http://h{n}.example:1/")).send())).collect();
    let mut refused = 0;
    for call in calls {
        let error = call.ended().await.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Connect, Some(Phase::Resolve)), "{error:?}");
        refused += u32::from(error.to_string().contains("the resolver is dead or slow"));
    }
    let seen = (gate.inside(), refused);
    (gate, client, seen)
}

#[tokio::test]
async fn a_dead_resolver_holds_64_threads_at_most_and_what_nobody_waits_for_any_more_is_not_looked_up() {
    const ALL: (usize, u32) = (64, 10);
    let (mut gate, mut client, mut seen) = asked_of_a_dead_resolver(300 * MS).await;
    // A busy machine may need longer than that to begin 64 threads; more than those there are never.
    for limit in [2 * SEC, 9 * SEC] {
        if seen == ALL {
            break;
        }
        assert!(seen.0 <= ALL.0, "{seen:?}");
        gate.open();
        (gate, client, seen) = asked_of_a_dead_resolver(limit).await;
    }
    assert_eq!(seen, ALL, "64 are looked up, 256 wait, the rest is refused");
    gate.open();
    // One more, which is served by a thread that has come back, before or after those that were given up.
    let error = client.get("http://last.example:1/").await.unwrap_err();
    assert!(error.to_string().ends_with("connection refused"), "{error}");
    assert_eq!(gate.calls.load(Ordering::SeqCst), 65);
}

#[tokio::test]
async fn look_ups_of_a_healthy_name_beside_dead_ones_take_under_half_a_second_and_nothing_counts_against_it()
{
    let peer = Peer::new().forever(Reply::ok("ok").header("connection", "close"));
    let at = peer.listen().unwrap().port();
    let gate = Gate::default();
    let hanging = gate.clone();
    let client = resolving(move |name| {
        if name != "well.example" {
            hanging.pass();
        }
        addresses(&["127.0.0.1"])
    });
    let client = client.limits(Limits::default().connect(400 * MS)).build().unwrap();
    let (mut dead, began) = (JoinSet::new(), Instant::now());
    for n in 0..8 {
        let client = client.clone();
        dead.spawn(async move {
            loop {
                client.get(format!("http://dead{n}.example:1/")).await.unwrap_err();
            }
        });
    }
    // Once before all of them hang, and then again and again.
    for n in 0..20 {
        let start = Instant::now();
        let answer = client.get(format!("http://well.example:{at}/")).await;
        assert_eq!(answer.unwrap().text().await.unwrap(), "ok", "{n}");
        assert!(start.elapsed() < 500 * MS, "{n}: {:?}", start.elapsed());
        tokio::time::sleep(20 * MS).await;
    }
    let held = gate.inside();
    // One a second more for each, and four of each at most.
    let most = 8 * (1 + began.elapsed().as_secs().min(3)) as usize;
    assert!(
        (1..=most).contains(&held),
        "one thread for each dead name, however often it is asked for: {held}"
    );
    for circuit in client.breakers().snapshot() {
        assert_eq!(circuit.consecutive_failures, 0, "{}", circuit.origin);
    }
}

#[tokio::test]
async fn a_look_up_that_panics_is_an_error_and_the_next_one_works() {
    let first = AtomicUsize::new(0);
    let peer = Peer::new().forever(Reply::ok("ok"));
    let url = format!("http://api.example:{}/", peer.listen().unwrap().port());
    let client = resolving(move |_| {
        assert!(first.fetch_add(1, Ordering::SeqCst) > 0, "the first look-up panics");
        addresses(&["127.0.0.1"])
    })
    .build()
    .unwrap();
    let error = client.get(&url).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Connect, Some(Phase::Resolve)), "{error:?}");
    assert_eq!(client.get(&url).await.unwrap().status(), 200);
}

#[test]
fn a_dead_resolver_does_not_hold_up_the_end_of_a_runtime() {
    let gate = Gate::default();
    let hanging = gate.clone();
    let client = resolving(move |_| {
        hanging.pass();
        addresses(&["127.0.0.1"])
    });
    let client = client.limits(Limits::default().connect(100 * MS)).build().unwrap();
    let start = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(runtime.block_on(async { client.get("http://api.example/").await }).is_err());
    drop(runtime);
    assert!(start.elapsed() < SEC, "{:?}", start.elapsed());
    assert_eq!(gate.inside(), 1);
}
