//! Patrols that sweep every so often, and a sweep that never ends ends none of them: `patrol_loop --help`.
//!
//! What once happened: the collector of one patrol read from a connection that was established and then silent. The loop
//! waited in that one await for days, its process was up, its probes were green, and nothing was patrolled.

#[path = "../common/mod.rs"]
mod common;
mod patrols;
mod reporter;
mod site;

use common::args::{self, Arg};
use common::daemon::{self, Daemon, Done};
use common::{Args, Stop};
use patrols::Patrol;
use reporter::Reporter;
use site::Site;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::mpsc;
use unwedge::admin::Admin;
use unwedge::supervise::Supervisor;
use unwedge::{Client, retry};

/// How long a sweep may go on after the program was asked to end.
const GRACE: Duration = Duration::from_secs(5);
/// Findings that wait to be reported.
const FINDINGS: usize = 256;

const HELP: &str = concat!(
    "\
Two patrols, alerts and disks, each of which collects, analyzes and executes under one limit, and a reporter of what they
find. Whatever one of them runs into, all go on.

Usage: patrol_loop [options]

  --every 1h          a sweep is due this often
  --limit 5m          bounds all three phases of a sweep together
",
    daemon::help!(),
    "
The server of its own plays all of it to the alerts patrol, one sweep each: data on which the analysis panics, a
connection that is silent, an analysis that blocks its thread. Try --every 2s --limit 1s.

Events: sweep with name, n, outcome, phase and ms; skipped with ticks; panic, restart, stale, recovered, breaker.

Exit code: 0 for a clean end by SIGTERM, SIGINT or --for, 1 when it cannot work, 2 for an argument that cannot work.
"
);

/// The command line.
#[derive(Debug)]
struct Options {
    common: daemon::Options,
    every: Duration,
    limit: Duration,
}

fn main() -> ExitCode {
    args::run("patrol_loop", || {
        let options = Options::read(Args::new("patrol_loop", HELP))?;
        daemon::run(&options.common, |daemon| patrol(&options, daemon))
    })
}

async fn patrol(options: &Options, daemon: Daemon) -> Result<Done, Stop> {
    let mut own = None;
    let server = match &options.common.server {
        Some(server) => server.clone(),
        None => own.insert(Site::start(options.limit)?).url().to_owned(),
    };
    let (findings, found) = mpsc::channel(FINDINGS);
    let mut crew = Supervisor::new();
    if let Some(seed) = options.common.seed {
        crew.seed(seed);
    }
    let mut clients = Vec::new();
    // Each loop has a client of its own: one that blocks its thread holds up the connections that it woke last.
    let mut client = || {
        let retries = options.common.seeded(retry::Settings::default());
        let client = Client::builder().retry(retries).build().map_err(Stop::usage)?;
        daemon.watch(client.breakers().subscribe());
        clients.push(client.clone());
        Ok::<_, Stop>(client)
    };
    for name in ["alerts", "disks"] {
        let patrol = Patrol::new(name, &server, client()?, findings.clone());
        crew.patrol(name, options.every, options.limit, move |sweep| patrol.clone().sweep(sweep));
    }
    let reporter = Reporter::new(&server, client()?, found);
    crew.spawn("reporter", reporter::EVERY, move |heart| reporter.clone().run(heart));
    let admin = clients
        .iter()
        .fold(Admin::new(&crew), |admin, client| admin.breakers(client.breakers()).calls(client.in_flight()));
    let report = daemon.crew(crew, GRACE, admin, Some(&server)).await?;
    Ok(Done::of(&report))
}

impl Options {
    fn read(mut args: Args) -> Result<Options, Stop> {
        let mut options = Options {
            common: daemon::Options::default(),
            every: Duration::from_secs(3600),
            limit: Duration::from_secs(300),
        };
        while let Some(arg) = args.next()? {
            let Arg::Flag(flag) = &arg else { return Err(args.unknown(&arg)) };
            match flag.as_str() {
                "every" => options.every = args.limit()?,
                "limit" => options.limit = args.limit()?,
                other if options.common.take(other, &mut args)? => {}
                _ => return Err(args.unknown(&arg)),
            }
        }
        Ok(options)
    }
}
