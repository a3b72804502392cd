//! Servers that fail, each in its own way, for clients in any language: `faults --help`, or `cargo unwedge faults`.

#[path = "common/mod.rs"]
mod common;
#[path = "../src/bin/cargo-unwedge/faults.rs"]
mod faults;

use common::args::{self, Args};
use std::process::ExitCode;

fn main() -> ExitCode {
    args::run("faults", || faults::run(Args::new("faults", faults::HELP)))
}
