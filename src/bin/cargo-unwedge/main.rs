//! `cargo unwedge`: the tools of this crate as a command of cargo.
//!
//! Each command is the example of the same name, with the same arguments, output and exit codes.

// What all of these programs share. It stands with the examples, most of which use more of it.
#[path = "../../../examples/common/mod.rs"]
mod common;
mod faults;
mod fetch;
mod lint;

use common::args::{self, Args, Stop};
use std::ffi::OsString;
use std::process::ExitCode;

const HELP: &str = "\
Finds calls that can wait forever, and plays what they wait for.

Usage: cargo unwedge COMMAND [options]

  lint     lists every unbounded client and call of a code base, and each opt-out with its reason
  faults   plays faults of servers and networks, one port each, for clients in any language
  fetch    makes an HTTP call that always comes back

  --help, --version    of all, or behind a command of that one

Exit code: that of the command; 2 for a command that there is not.
";

/// A command: its name, its help, and what it does.
struct Command(&'static str, &'static str, fn(Args) -> Result<ExitCode, Stop>);

const COMMANDS: [Command; 3] = [
    Command("faults", faults::HELP, faults::run),
    Command("fetch", fetch::HELP, fetch::run),
    Command("lint", lint::HELP, lint::run),
];

/// What needs the source tree of this crate: it is measured there, against clients that nobody installs with a tool.
const IN_THE_TREE: [&str; 2] = ["drill", "goodput"];

fn main() -> ExitCode {
    let mut given: Vec<OsString> = std::env::args_os().skip(1).collect();
    // Cargo passes on the name by which it was asked for this.
    if given.first().is_some_and(|first| first == "unwedge") {
        given.remove(0);
    }
    let Some(command) = COMMANDS.iter().find(|command| given.first().is_some_and(|first| first == command.0))
    else {
        return args::run("cargo unwedge", || Err(none(given)));
    };
    given.remove(0);
    let Command(name, help, run) = command;
    let called = format!("cargo unwedge {name}");
    args::run(&called, || run(Args::within(called.clone(), name, help, given)))
}

/// What to say where no command is named.
fn none(given: Vec<OsString>) -> Stop {
    let mut args = Args::within("cargo unwedge".to_owned(), "cargo unwedge", HELP, given);
    match args.next() {
        Err(stop) => stop,
        Ok(None) => Stop::usage("which command: lint, faults or fetch?"),
        Ok(Some(args::Arg::Value(name))) if IN_THE_TREE.contains(&&*name) => Stop::usage(format!(
            "{name} is run in the source tree of unwedge: cargo run --release --example {name}"
        )),
        Ok(Some(args::Arg::Value(name))) => {
            Stop::usage(format!("{name:?} is no command: lint, faults or fetch"))
        }
        Ok(Some(flag)) => args.unknown(&flag),
    }
}
