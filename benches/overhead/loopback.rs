//! Requests over loopback on kept connections: hyper-util and reqwest as they come, in what one would build around them,
//! and in ours. Then the same with two workers, and what a first call costs that has to make everything.

use crate::get::{Get, Place, Served, Timed, bare, client, over_reqwest, retrying};
use crate::measure::{Pace, Row, Series, allocations, progress};
use crate::peers::{by_hand, of_resilience};
use crate::server::Server;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower_layer::Layer;
use unwedge::StackLayer;

const ROUNDS: usize = 27;
const REQUESTS: usize = 1500;
const AT_ONCE: usize = 64;
/// With two workers.
const TASKS: usize = 256;

pub(crate) fn rows(pace: Pace) -> Vec<Row> {
    let server = Server::start();
    let place = Place::of(&server.url);
    let one = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut rows = one_worker(pace, &one, &place, 1, "sequential", ["1.05", "1.12", "1.15"]);
    rows.extend(one_worker(pace, &one, &place, AT_ONCE, "64 at once", ["1.08", "1.18", "1.20"]));
    rows.extend(two_workers(pace, &place));
    rows.extend(cold(pace, &one, &place));
    rows
}

fn one_worker(
    pace: Pace,
    runtime: &Runtime,
    place: &Place,
    at_once: usize,
    how: &str,
    [stack_wanted, client_wanted, reqwest_wanted]: [&'static str; 3],
) -> Vec<Row> {
    let what = format!("loopback, {how}");
    progress(&what);
    let hyper = Served(bare());
    let (timed, stack) = (Timed(hyper.clone()), Served(StackLayer::default().layer(hyper.0.clone())));
    let (hand, resilience) = (Served(by_hand(hyper.0.clone())), Served(of_resilience(hyper.0.clone())));
    let (ours, reqwest, retry, over) = (client(), reqwest::Client::new(), retrying(), over_reqwest());
    let mut all = [
        "hyper-util",
        "in a timeout",
        "by hand",
        "tower-resilience",
        "stack over hyper-util",
        "Client",
        "reqwest",
        "reqwest-retry",
        "unwedge::reqwest",
    ]
    .map(Series::new);
    runtime.block_on(async {
        for _ in 0..pace.rounds(ROUNDS) {
            all[0].rounds.push(round(at_once, REQUESTS, &hyper, place).await);
            all[1].rounds.push(round(at_once, REQUESTS, &timed, place).await);
            all[2].rounds.push(round(at_once, REQUESTS, &hand, place).await);
            all[3].rounds.push(round(at_once, REQUESTS, &resilience, place).await);
            all[4].rounds.push(round(at_once, REQUESTS, &stack, place).await);
            all[5].rounds.push(round(at_once, REQUESTS, &ours, place).await);
            all[6].rounds.push(round(at_once, REQUESTS, &reqwest, place).await);
            all[7].rounds.push(round(at_once, REQUESTS, &retry, place).await);
            all[8].rounds.push(round(at_once, REQUESTS, &over, place).await);
        }
    });
    all[0].allocations = Some(of_one(runtime, &hyper, place));
    all[4].allocations = Some(of_one(runtime, &stack, place));
    all[5].allocations = Some(of_one(runtime, &ours, place));
    all[6].allocations = Some(of_one(runtime, &reqwest, place));
    all[7].allocations = Some(of_one(runtime, &retry, place));
    all[8].allocations = Some(of_one(runtime, &over, place));
    let [hyper, timed, hand, resilience, stack, ours, reqwest, retry, over] = &all;
    [
        (timed, hyper, ""),
        (hand, hyper, ""),
        (resilience, hyper, ""),
        (stack, hyper, stack_wanted),
        (stack, hand, "at most 1"),
        (ours, hyper, client_wanted),
        (ours, reqwest, "0.80"),
        (retry, reqwest, ""),
        (over, reqwest, reqwest_wanted),
        (over, retry, ""),
    ]
    .map(|(ours, theirs, wanted)| Row::pair(&*what, ours, theirs, wanted))
    .into()
}

/// Nanoseconds for a request, with so many callers at once.
async fn round(at_once: usize, requests: usize, client: &impl Get, place: &Place) -> f64 {
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..at_once {
        let (mut client, place) = (client.clone(), place.clone());
        callers.spawn(async move {
            for _ in 0..requests / at_once {
                client.get(&place).await;
            }
        });
    }
    callers.join_all().await;
    start.elapsed().as_nanos() as f64 / (requests / at_once * at_once) as f64
}

/// Allocations of a request, those of its connection's task included.
fn of_one(runtime: &Runtime, client: &impl Get, place: &Place) -> f64 {
    let mut client = client.clone();
    allocations(&mut || runtime.block_on(client.get(place)))
}

/// Two workers, 256 tasks: the time of a request, and how long the processors of this process worked for it.
fn two_workers(pace: Pace, place: &Place) -> Vec<Row> {
    let what = "two workers, 256 tasks";
    progress(what);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let hyper = Served(bare());
    let (ours, reqwest, retry, over) = (client(), reqwest::Client::new(), retrying(), over_reqwest());
    let names = ["hyper-util", "Client", "reqwest", "reqwest-retry", "unwedge::reqwest"];
    let (mut time, mut work) = (names.map(Series::new), names.map(Series::new));
    let requests = TASKS * 40;
    runtime.block_on(async {
        for _ in 0..pace.rounds(ROUNDS) {
            let mut note = |n: usize, nanos: f64, before: Duration| {
                time[n].rounds.push(nanos);
                work[n].rounds.push((worked() - before).as_nanos() as f64 / requests as f64);
            };
            let before = worked();
            note(0, round(TASKS, requests, &hyper, place).await, before);
            let before = worked();
            note(1, round(TASKS, requests, &ours, place).await, before);
            let before = worked();
            note(2, round(TASKS, requests, &reqwest, place).await, before);
            let before = worked();
            note(3, round(TASKS, requests, &retry, place).await, before);
            let before = worked();
            note(4, round(TASKS, requests, &over, place).await, before);
        }
    });
    let rows = |what: &str, all: &[Series; 5], wanted| {
        let [hyper, ours, reqwest, retry, over] = all;
        vec![
            Row::pair(what, ours, hyper, ""),
            Row::pair(what, ours, reqwest, ""),
            Row::pair(what, retry, reqwest, ""),
            Row::pair(what, over, reqwest, wanted),
        ]
    };
    let mut all = rows(what, &time, "");
    if work[0].rounds.iter().any(|nanos| *nanos > 0.0) {
        all.extend(rows("the same, processor time", &work, "1.20"));
    }
    all
}

/// How long the threads of this process have worked, where the system tells.
fn worked() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanos = tasks.filter_map(|task| {
        let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// A client is made, and makes its first call.
fn cold(pace: Pace, runtime: &Runtime, place: &Place) -> Vec<Row> {
    let what = "a new client and its first call";
    progress(what);
    let mut all = ["hyper-util", "Client", "reqwest", "unwedge::reqwest"].map(Series::new);
    runtime.block_on(async {
        for _ in 0..pace.rounds(ROUNDS) {
            all[0].rounds.push(first(|| Served(bare()), place).await);
            all[1].rounds.push(first(client, place).await);
            all[2].rounds.push(first(reqwest::Client::new, place).await);
            all[3].rounds.push(first(over_reqwest, place).await);
        }
    });
    let [hyper, ours, reqwest, over] = &all;
    vec![
        Row::pair(what, ours, hyper, ""),
        Row::pair(what, ours, reqwest, ""),
        Row::pair(what, over, reqwest, ""),
    ]
}

async fn first<C: Get>(make: impl FnOnce() -> C, place: &Place) -> f64 {
    let start = Instant::now();
    make().get(place).await;
    start.elapsed().as_nanos() as f64
}
