//! Finds what waits without a limit.
//!
//! It reads Rust and compiles nothing, so it sees what clippy cannot name, such as `Client::default()`, in every
//! feature and platform at once; and it knows no types, so a client behind a name that it cannot follow goes unseen.

mod accepted;
mod advice;
mod chain;
mod check;
mod defaults;
mod judge;
mod known;
mod limits;
mod macros;
mod manifest;
mod names;
mod options;
mod predicates;
mod read;
mod reasons;
mod report;
mod scope;
mod select;
mod templates;
mod visit;
mod walk;

use crate::common::output::counted;
use crate::common::{Args, Output, Stop, log};
use options::{Options, Print};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use tokio::time::Instant;

pub(crate) const HELP: &str = "\
Finds HTTP clients and calls that can wait forever, and lists each opt-out with its reason.

Usage: lint [DIR] [options]

  DIR             a directory with Rust in it, at any depth; by default the current one
  --tests         also what is compiled into tests and benchmarks alone
  --exclude GLOB  leaves out files and directories that match, as in vendor or crates/*/generated; may be repeated
  --json          one JSON object a place on standard output: file line column rule what reason,
                  and advice where there is no reason
  --sarif FILE    writes a SARIF report as well
  --print WHAT    prints a configuration and does nothing else: clippy (clippy.toml), strict (that, and the types),
                  deny (for the deny.toml of cargo-deny). It is for you to put it where it belongs
  --help, --version

Rules: unbounded-client, unbounded-call, long-poll, vouch, never-true, syntax. The reason of a place is the text of its long
poll or of vouch, that of an attribute around it, #[expect(clippy::disallowed_methods, reason = \"..\")], or of a comment on
its line or above it: // unwedge: bounded by .. A place without a reason is a finding.

Exit code: 0 where every place has a reason, 1 where one has none, 2 for an argument that cannot work.
";

const CLIPPY: &str = include_str!("../../../manual/lints/clippy.toml");
const STRICT: &str = include_str!("../../../manual/lints/strict.toml");
const DENY: &str = include_str!("../../../manual/lints/deny.toml");

pub(crate) fn run(args: Args) -> Result<ExitCode, Stop> {
    let options = Options::read(args)?;
    log::where_asked_for()?;
    match options.print {
        Some(what) => print(what, &options.dir),
        None => lint(options),
    }
}

/// Nothing is ever written into a configuration that is there: people merge better.
fn print(what: Print, dir: &str) -> Result<ExitCode, Stop> {
    let dir = walk::directory(dir)?;
    let (names, text) = match what {
        Print::Clippy => (["clippy.toml", ".clippy.toml"], CLIPPY.to_owned()),
        Print::Strict => (["clippy.toml", ".clippy.toml"], format!("{CLIPPY}{STRICT}")),
        Print::Deny => (["deny.toml", ".deny.toml"], DENY.to_owned()),
    };
    // An empty one was made by `> clippy.toml` a moment ago.
    let is_there = |name: &&&str| std::fs::metadata(dir.join(name)).is_ok_and(|found| found.len() > 0);
    for name in names.iter().filter(is_there) {
        let there = Path::new(&dir).join(name);
        let there = there.display();
        let _ = writeln!(io::stderr(), "lint: {there} is there and stays as it is: merge this into it");
    }
    io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn lint(options: Options) -> Result<ExitCode, Stop> {
    let began = Instant::now();
    let output = Output::new(options.json);
    let top = walk::directory(&options.dir)?;
    let walk = walk::Walk::read(&top, &options.exclude)?;
    let files = walk.sources.len();
    let findings = read::findings(walk, options.tests)?;
    if let Some(file) = &options.sarif {
        let written = std::fs::write(file, report::sarif(&findings));
        written.map_err(|error| Stop::usage(format!("--sarif: {file:?}: {error}")))?;
    }
    match report::print(&findings, output) {
        // Whoever reads no further is told by the exit code all the same.
        Err(Stop::Closed) => {}
        printed => printed?,
    }
    let open = findings.iter().filter(|finding| finding.reason.is_none()).count();
    let (with, took) = (findings.len() - open, began.elapsed().as_secs_f64());
    // Nobody counts on it: what is lost there is lost, and the exit code is not.
    let [files, found, with] =
        [(files, "file"), (open, "finding"), (with, "place")].map(|(n, one)| counted(n as u64, one));
    let _ = writeln!(io::stderr(), "{files}, {found}, {with} with a reason, {took:.1} s");
    Ok(if open == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
