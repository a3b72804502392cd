//! The built `fetch` against every fault of the fault server, on real sockets: time, requests on the wire, memory.

use crate::program::{Ran, run};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use unwedge::testing::{Fault, FaultServer};

/// What is granted on top of a deadline.
const GRACE: u64 = 100;
/// What a process may take to start and to end on a busy machine.
const PROCESS: Duration = Duration::from_secs(5);
/// 64 MiB in KiB.
const MEMORY: u64 = 64 * 1024;
/// More at once would measure the machine, not the client.
const AT_ONCE: usize = 8;

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Status(u64),
    /// The kind, or those that a race decides between.
    Error(&'static str),
}
use End::{Error, Status};

impl End {
    fn is(self, call: &Value) -> bool {
        match self {
            Status(status) => call["outcome"] == "ok" && call["status"] == status,
            Error(kinds) => {
                call["outcome"] == "error" && kinds.split(" or ").any(|kind| call["kind"] == kind)
            }
        }
    }
}

/// With one retry and room for both attempts: attempts begun, requests whose head arrived, and the end.
///
/// Where the kernel refuses or nothing is read, no request arrives. What ends by an answer that stands, by a head above
/// its cap or while it streams is not tried again; nor is a redirect beyond the tenth, whose attempts are those of the last hop.
#[rustfmt::skip]
const EXPECTED: &[(&str, u64, u64, End)] = &[
    ("refused",            2, 0, Error("connect")),
    ("black-hole",         2, 0, Error("connect")),
    ("accept-silence",     2, 0, Error("attempt")),
    ("reset-on-accept",    2, 0, Error("connect or transport")),
    ("tls-stall",          2, 0, Error("connect")),
    ("tls-plain",          2, 0, Error("connect")),
    ("no-answer",          2, 2, Error("attempt")),
    ("close-before-head",  2, 2, Error("transport")),
    ("reset-before-head",  2, 2, Error("transport")),
    ("garbage",            2, 2, Error("transport")),
    ("half-head",          2, 2, Error("attempt")),
    ("reset-mid-head",     2, 2, Error("transport")),
    ("slow-headers",       2, 2, Error("attempt")),
    ("endless-headers",    1, 1, Error("too_large")),
    ("huge-head",          1, 1, Error("too_large")),
    ("endless-1xx",        1, 1, Error("too_large")),
    ("slow-1xx",           2, 2, Error("attempt")),
    ("headers-stall",      2, 2, Error("stall")),
    ("body-stall",         2, 2, Error("stall")),
    ("drip",               2, 2, Error("stall")),
    ("drip-chunked",       2, 2, Error("stall")),
    ("endless-body",       1, 1, Error("deadline")),
    ("truncated",          2, 2, Error("transport")),
    ("truncated-chunked",  2, 2, Error("transport")),
    ("reset-mid-body",     2, 2, Error("transport")),
    ("lying-length",       1, 1, Error("transport")),
    ("excess-body",        1, 1, Status(200)),
    ("gzip-bomb",          1, 1, Status(200)),
    ("h2-dead",            2, 2, Error("attempt")),
    ("h2-refused-stream",  2, 2, Error("transport")),
    ("h2-goaway",          2, 2, Error("transport")),
    ("status-503",         2, 2, Status(503)),
    ("retry-after-day",    1, 1, Status(503)),
    ("redirect-loop",      1, 11, Error("redirect")),
    ("stale-keep-alive",   1, 1, Status(200)),
    ("stale-at-once",      1, 1, Status(200)),
];
/// What depends on the clock of the server, not on the client.
const VARIES: &[&str] = &["flapping"];

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_ends_as_it_must_with_the_right_number_of_requests_on_the_wire() {
    let limits = ["--deadline", "1200ms", "--attempt", "200ms", "--connect", "100ms", "--retries", "1"];
    let mut wrong = Vec::new();
    for (fault, ran, requests) in against_all(&limits, 1200).await {
        if VARIES.contains(&fault.name) {
            continue;
        }
        let call = only(&ran);
        let attempts = call["attempts"].as_u64().expect("a number");
        let expected = EXPECTED.iter().find(|(name, ..)| *name == fault.name);
        let &(_, begun, sent, end) =
            expected.unwrap_or_else(|| panic!("{} has no line in the table", fault.name));
        if (attempts, requests) != (begun, sent) || !end.is(&call) {
            wrong.push(format!("{}: {requests} requests arrived, expected {sent}; {call}", fault.name));
        }
        let good = matches!(end, Status(status) if status < 400);
        assert_eq!(ran.code, Some(i32::from(!good)), "{}: {ran:?}", fault.name);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_ends_within_the_deadline_with_nothing_else_set() {
    for (fault, ran, requests) in against_all(&["--deadline", "600ms"], 600).await {
        let attempts = only(&ran)["attempts"].as_u64().expect("a number");
        assert!((1..=4).contains(&attempts), "{}: {ran:?}", fault.name);
        // Each hop of a redirect is a call of its own, with attempts of its own.
        let hops = if fault.name == "redirect-loop" { 11 } else { 1 };
        assert!(requests <= attempts * hops, "{}: {requests} requests arrived: {ran:?}", fault.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_a_dead_server_sends_no_more_than_its_breaker_lets_through() {
    let server = FaultServer::start(&["no-answer"]).expect("a port");
    let url = server.url("no-answer").expect("it was started");
    // Five attempts of 100 ms open the circuit. It stays open for longer than the rest of the calls takes, and than a
    // call has time to wait for.
    let limits =
        ["--attempt", "100ms", "--deadline", "500ms", "--retries", "0", "--repeat", "12", "--every", "0s"];
    let ran = run("fetch", &[&[url, "--json"], &limits[..]].concat()).await;
    let calls = ran.objects();
    assert_eq!((calls.len(), ran.code), (12, Some(1)), "{ran:?}");
    assert_eq!(server.counts()[0].1.requests, 5);
    for refused in &calls[5..] {
        assert_eq!((&refused["kind"], &refused["breaker"]), (&"open".into(), &"open".into()), "{refused}");
        assert_eq!(refused["attempts"], 0, "{refused}");
        assert!(refused["retry_in_ms"].as_u64().is_some_and(|wait| wait <= 5_500), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_the_server_asks_for_and_nobody_can_give_is_told_at_once() {
    let server = FaultServer::start(&["retry-after-day"]).expect("a port");
    let ran = run("fetch", &[server.url("retry-after-day").expect("it was started"), "--json"]).await;
    let call = only(&ran);
    assert_eq!((&call["outcome"], &call["status"]), (&"ok".into(), &503.into()));
    assert_eq!(call["retry_in_ms"], 86_400_000);
    assert!(call["ms"].as_u64().is_some_and(|took| took < 1000), "{call}");
}

async fn against_all(limits: &[&'static str], deadline: u64) -> Vec<(&'static Fault, Ran, u64)> {
    let server = Arc::new(FaultServer::start_all().expect("ports for all faults"));
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let mut playing = JoinSet::new();
    for fault in Fault::all() {
        let (server, at_once, limits) = (Arc::clone(&server), Arc::clone(&at_once), limits.to_vec());
        playing.spawn(async move {
            let _turn = at_once.acquire().await.expect("nobody closes it");
            let url = server.url(fault.name).expect("all were started").to_owned();
            let mut args = vec![url.as_str(), "--json"];
            args.extend(limits);
            let ran = run("fetch", &args).await;
            let counts = server.counts();
            let requests =
                counts.iter().find(|(name, _)| *name == fault.name).map(|(_, counts)| counts.requests);
            (fault, ran, requests.unwrap_or_default())
        });
    }
    let runs = playing.join_all().await;
    for (fault, ran, _) in &runs {
        let name = fault.name;
        let took = only(ran)["ms"].as_u64().expect("a number");
        assert!(took <= deadline + GRACE, "{name}: {took} ms with a deadline of {deadline} ms: {ran:?}");
        let wall = Duration::from_millis(deadline) + PROCESS;
        assert!(ran.took <= wall, "{name}: the process took {:?}: {ran:?}", ran.took);
        assert!(ran.peak < MEMORY, "{name}: {} KiB resident", ran.peak);
    }
    runs
}

fn only(ran: &Ran) -> Value {
    let mut objects = ran.objects();
    assert_eq!(objects.len(), 1, "one object for one call: {ran:?}");
    objects.remove(0)
}
