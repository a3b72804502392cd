//! Finds what waits without a limit: `lint --help`, or `cargo unwedge lint`.

#[path = "common/mod.rs"]
mod common;
#[path = "../src/bin/cargo-unwedge/lint/mod.rs"]
mod lint;

use common::args::{self, Args};
use std::process::ExitCode;

fn main() -> ExitCode {
    args::run("lint", || lint::run(Args::new("lint", lint::HELP)))
}
