//! What the stack and the clients cost, beside what one would take in their place, in the same run: time and allocations
//! of a call. All contestants take turns round by round, and medians of pairs are taken, because wall time on a shared
//! machine is noisy.
//!
//! `cargo bench --bench overhead`, some two minutes; `-- --quick` for a look, `-- --json` for an object a line, and
//! `-- stacks`, `breaker`, `many` or `loopback` for a part.
#![allow(clippy::disallowed_methods, reason = "waits for the server, which ends with its standard input")]

mod breaker;
mod get;
mod loopback;
mod many;
mod measure;
mod peers;
mod server;
mod service;
mod stacks;

use measure::{Pace, Row};

type Part = (&'static str, fn(Pace) -> Vec<Row>);

const PARTS: [Part; 4] = [
    ("stacks", stacks::rows),
    ("breaker", breaker::rows),
    ("many", many::rows),
    ("loopback", loopback::rows),
];

fn main() {
    let said = |what: &str| std::env::args().any(|arg| arg == what);
    if said(server::SERVE) {
        return server::serve();
    }
    let pace = Pace { quick: said("--quick") };
    let all = !PARTS.iter().any(|(name, _)| said(name));
    let mut rows = Vec::new();
    for (name, part) in PARTS {
        if all || said(name) {
            rows.extend(if name == "loopback" { part(pace) } else { with_clock(|| part(pace)) });
        }
    }
    measure::print(&rows, said("--json"));
}

/// Where calls are polled by hand, timers need the clock of a runtime.
fn with_clock<T>(work: impl FnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _entered = runtime.enter();
    work()
}
