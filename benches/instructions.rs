//! Instructions that the stack costs around an inner service, counted by callgrind: the same number in each run, whatever
//! else the machine does.
//!
//! `cargo bench --bench instructions`, with `-- --json` an object a line. It needs valgrind, and says so without it.
//!
//! Each workload runs twice in a process of its own, once with more calls; the difference is what a call costs.

#![allow(clippy::disallowed_methods, reason = "waits for valgrind, which ends with the loop it runs")]

#[allow(dead_code, reason = "the other benchmark uses all of it")]
#[path = "overhead/service.rs"]
mod service;

use http::Uri;
use service::{Inner, drive};
use std::hint::black_box;
use std::process::{Command, ExitCode};
use tower_layer::Layer;
use unwedge::StackLayer;
use unwedge::breaker::Breaker;

const FEW: u32 = 200;
const MANY: u32 = 1200;

/// Makes so many calls.
type Work = fn(u32);

const WORKLOADS: &[(&str, Work)] = &[
    ("bare service, ready at once", |calls| repeat(calls, Inner { pending: 0 })),
    ("stack, ready at once", |calls| repeat(calls, StackLayer::default().layer(Inner { pending: 0 }))),
    ("bare service, pending once", |calls| repeat(calls, Inner { pending: 1 })),
    ("stack, pending once", |calls| repeat(calls, StackLayer::default().layer(Inner { pending: 1 }))),
    ("stack, circuit open", |calls| {
        // The tenth refusal in a row takes its time, so each layer is called nine times; all are made in both runs.
        let mut open: Vec<_> = (0..MANY.div_ceil(CHEAP)).map(|_| refusing()).collect();
        for n in 0..calls {
            drive(black_box(&mut open[(n / CHEAP) as usize]));
        }
    }),
    ("breaker, admit and record", |calls| {
        let breaker = Breaker::new("bench", Default::default()).expect("the defaults fit together");
        for _ in 0..calls {
            breaker.acquire().expect("closed").success();
        }
    }),
];

/// So many refusals in a row are told at once.
const CHEAP: u32 = 9;

fn refusing() -> unwedge::Stack<Inner> {
    let layer = StackLayer::default();
    layer.breakers().of(&Uri::from_static("http://api.example.com/")).expect("a URL").force_open();
    layer.layer(Inner { pending: 0 })
}

fn repeat(
    calls: u32,
    mut service: impl tower_service::Service<http::Request<http_body_util::Full<bytes::Bytes>>>,
) {
    for _ in 0..calls {
        drive(black_box(&mut service));
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if let [_, run, workload, calls] = &*args {
        if run == "--run" {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            let _entered = runtime.enter();
            let (_, work) = WORKLOADS[workload.parse::<usize>().expect("a place in the table")];
            work(calls.parse().expect("a number"));
            return ExitCode::SUCCESS;
        }
    }
    let json = args.iter().any(|arg| arg == "--json");
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("skipped: no valgrind");
        return ExitCode::SUCCESS;
    }
    for (at, (name, _)) in WORKLOADS.iter().enumerate() {
        let (few, many) = (count(at, FEW), count(at, MANY));
        let each = many.saturating_sub(few) / u64::from(MANY - FEW);
        if json {
            println!("{}", serde_json::json!({ "name": name, "instructions": each }));
        } else {
            println!("{name:32} {each:>7} instructions a call");
        }
    }
    ExitCode::SUCCESS
}

/// All instructions of a process that makes so many calls.
fn count(workload: usize, calls: u32) -> u64 {
    let program = std::env::current_exe().expect("a benchmark has a path");
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["--run", &workload.to_string(), &calls.to_string()])
        .output()
        .expect("valgrind was there a moment ago");
    let said = String::from_utf8_lossy(&ran.stderr);
    let collected = said
        .lines()
        .find_map(|line| line.split_once("Collected : "))
        .and_then(|(_, n)| n.trim().parse().ok());
    collected.unwrap_or_else(|| panic!("callgrind counted nothing: {said}"))
}
