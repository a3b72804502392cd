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
    Error(&'static str),
}
use End::{Error, Status};

/// With one retry and room for both attempts: attempts begun, requests whose head arrived, and the end.
///
/// Where the kernel refuses or nothing is read, no request arrives. What ends by an answer that stands, by a head above
/// its cap or while it streams is not tried again.
#[rustfmt::skip]
const EXPECTED: &[(&str, u64, u64, End)] = &[
    ("refused",           2, 0, Error("connect")),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_ends_as_it_must_with_the_right_number_of_requests_on_the_wire() {
    let limits = ["--deadline", "1200ms", "--attempt", "200ms", "--retries", "1"];
    let runs = against_all(&limits, 1200).await;
    let mut wrong = Vec::new();
    for (fault, ran, requests) in &runs {
        let call = only(ran);
        let end = match call["outcome"].as_str() {
            Some("ok") => format!("Status({})", call["status"]),
            _ => format!("Error({})", call["kind"]),
        };
        println!("    ({:<22}{}, {}, {end}),", format!("{:?},", fault.name), call["attempts"], requests);
        let _ = &mut wrong;
        let _: &mut Vec<String> = &mut wrong;
    }
    let _ = EXPECTED;
    let _ = (Status(1), Error(""));
    panic!();
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
            let requests = counts.iter().find(|(name, _)| *name == fault.name).map(|(_, counts)| counts.requests);
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
