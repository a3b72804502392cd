//! A command-line call that always comes back: `fetch --help`, or `cargo unwedge fetch`.

#[path = "common/mod.rs"]
mod common;
#[path = "../src/bin/cargo-unwedge/fetch/mod.rs"]
mod fetch;

use common::args::{self, Args};
use std::process::ExitCode;

fn main() -> ExitCode {
    args::run("fetch", || fetch::run(Args::new("fetch", fetch::HELP)))
}
