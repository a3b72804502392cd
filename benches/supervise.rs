//! What supervision costs: a heartbeat, ten thousand supervised tasks, and a watchdog with nothing to report.
//!
//! `cargo bench --bench supervise`, with `-- --json` an object a line. Memory is what the allocator was asked for, and
//! on Linux what is resident; processor time is read from Linux.

use allocation_counter::measure;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use unwedge::supervise::{Heartbeat, OnReturn, Supervisor};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const MANY: usize = 10_000;
/// How long the watchdog is left alone.
const IDLE: Duration = Duration::from_secs(5);

struct Row {
    name: &'static str,
    value: Option<f64>,
    unit: &'static str,
    wanted: &'static str,
}

fn main() {
    let json = std::env::args().any(|arg| arg == "--json");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut rows = runtime.block_on(heartbeats());
    rows.extend(memory(&runtime));
    for (name, subsystems) in
        [("idle watchdog of 10 subsystems", 10), ("idle watchdog of 10 000 subsystems", MANY)]
    {
        let value = runtime.block_on(idle(subsystems));
        rows.push(Row { name, value, unit: "% of a core", wanted: "under 1" });
    }
    if !json {
        println!("{:44} {:>10} {:12}  wanted", "", "", "");
    }
    for Row { name, value, unit, wanted } in rows {
        if json {
            println!("{}", serde_json::json!({"name": name, "value": value, "unit": unit, "wanted": wanted}));
        } else {
            let value = value.map_or("not here".to_owned(), |value| format!("{value:.3}"));
            println!("{name:44} {value:>10} {unit:12}  {wanted}");
        }
    }
}

/// Measured by a supervised loop, as it is used.
async fn heartbeats() -> Vec<Row> {
    let rows = Arc::new(Mutex::new(Vec::new()));
    let results = Arc::clone(&rows);
    let mut crew = Supervisor::new();
    crew.spawn("measured", HOUR, move |heart: Heartbeat| {
        let beat =
            Row { name: "beat", value: Some(median_of(|| heart.beat())), unit: "ns", wanted: "under 50" };
        let progress = Row {
            name: "progress",
            value: Some(median_of(|| heart.progress())),
            unit: "ns",
            wanted: "under 50",
        };
        let allocated = measure(|| (0..100).for_each(|_| (heart.beat(), heart.progress()).1)).count_total;
        let allocations = Row {
            name: "beat and progress",
            value: Some(allocated as f64),
            unit: "allocations",
            wanted: "none",
        };
        *results.lock().expect("no panic") = vec![beat, progress, allocations];
        async {}
    })
    .on_return(OnReturn::Stop);
    crew.run_until(pending::<()>(), SECOND).await.expect("settings that fit together");
    std::mem::take(&mut *rows.lock().expect("no panic"))
}

/// Nanoseconds, by short rounds, so that most of them are not interrupted.
fn median_of(work: impl Fn()) -> f64 {
    const CALLS: u32 = 1000;
    let round = |_| {
        let start = Instant::now();
        (0..CALLS).for_each(|_| work());
        start.elapsed().as_nanos() as f64 / f64::from(CALLS)
    };
    let mut rounds: Vec<f64> = (0..1001).map(round).collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

fn crew_of(subsystems: usize) -> Supervisor {
    let mut crew = Supervisor::new();
    for n in 0..subsystems {
        crew.spawn(format!("subsystem-{n}"), HOUR, |heart| async move {
            heart.beat();
            heart.rest(HOUR).await;
        });
    }
    crew
}

/// While all of them run.
fn memory(runtime: &tokio::runtime::Runtime) -> Vec<Row> {
    let before = resident();
    let mut after = None;
    let used = measure(|| {
        runtime.block_on(async {
            let looked = async {
                sleep(SECOND).await;
                after = resident();
            };
            crew_of(MANY).run_until(looked, 10 * SECOND).await.expect("settings that fit together");
        });
    });
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let grown = before.zip(after).map(|(before, after)| mib(after.saturating_sub(before)));
    vec![
        Row {
            name: "10 000 supervised tasks, allocated at most",
            value: Some(mib(used.bytes_max)),
            unit: "MiB",
            wanted: "under 50",
        },
        Row { name: "10 000 supervised tasks, resident", value: grown, unit: "MiB", wanted: "under 50" },
    ]
}

/// Bytes in memory; none where the system does not say.
fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split(' ').nth(1)?.parse::<u64>().ok()? * 4096)
}

/// Share of a core, in percent.
async fn idle(subsystems: usize) -> Option<f64> {
    let mut used = None;
    let looked = async {
        sleep(SECOND).await;
        let before = busy();
        let start = Instant::now();
        sleep(IDLE).await;
        let share =
            |before: u64, after: u64| (after - before) as f64 / start.elapsed().as_nanos() as f64 * 100.0;
        used = before.zip(busy()).map(|(before, after)| share(before, after));
    };
    crew_of(subsystems).run_until(looked, 10 * SECOND).await.expect("settings that fit together");
    used
}

/// Nanoseconds on a processor, of all threads; none where the system does not say.
fn busy() -> Option<u64> {
    let threads = std::fs::read_dir("/proc/self/task").ok()?;
    let of = |thread: std::fs::DirEntry| {
        let line = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        line.split(' ').next()?.parse::<u64>().ok()
    };
    Some(threads.filter_map(|thread| of(thread.ok()?)).sum())
}
