//! Five loops of a platform, three of which go wrong, each in its own way, while the others serve:
//! `supervised_platform --help`.
//!
//! What once happened: a loop panicked on the data of one tenant, another waited in an await that nobody would ever end,
//! a third held its thread; the process was up, and the probe that only asked whether it was stayed green.

#[path = "../common/mod.rs"]
mod common;
mod platform;
mod subsystems;

use common::args::{self, Arg};
use common::daemon::{self, Daemon, Done};
use common::{Args, Stop};
use platform::Platform;
use std::process::ExitCode;
use std::time::Duration;
use subsystems::Parts;
use unwedge::admin::Admin;
use unwedge::supervise::{Policy, Supervisor};
use unwedge::{Client, Limits, retry};

/// How long the loops may take to end: one that does not is named.
const GRACE: Duration = Duration::from_secs(2);
/// Far above what a probe, or a person, would wait: whoever calls with it has no bound.
const NO_BOUND: Duration = Duration::from_secs(24 * 3600);

const HELP: &str = concat!(
    "\
Runs event-relay, liveness-monitor, health-sweep, scheduler and channel-manager under one supervisor.

Usage: supervised_platform [options]

  --tick 1s           how often each of them works, and means to show a sign of life
",
    daemon::help!(),
    "
The server of its own sends the health sweep the data of a bad tenant, on which it panics; leaves the scheduler waiting in
a call that has no bound; and lets the channel manager compute on its thread for ever. What the admin page and its
/admin/liveness say then: one was restarted, one is stale and waits for a call, one is stale and waits for none.

Events: tick with name; panic with name and message; restart, recovered, stale, breaker.

Exit code: 0 for an end by SIGTERM, SIGINT or --for, with those named that had to be left; 1 when it cannot work, 2 for an
argument that cannot work.
"
);

/// The command line.
#[derive(Debug)]
struct Options {
    common: daemon::Options,
    tick: Duration,
}

fn main() -> ExitCode {
    args::run("supervised_platform", || {
        let options = Options::read(Args::new("supervised_platform", HELP))?;
        daemon::run(&options.common, |daemon| supervise(&options, daemon))
    })
}

async fn supervise(options: &Options, daemon: Daemon) -> Result<Done, Stop> {
    let mut own = None;
    let server = match &options.common.server {
        Some(server) => server.clone(),
        None => own.insert(Platform::start()?).url().to_owned(),
    };
    let retries = || options.common.seeded(retry::Settings::default());
    let bounded = Client::builder().name("loops").retry(retries()).build().map_err(Stop::usage)?;
    // One that blocks its thread holds up the connections that it woke last: they are nobody else's.
    let apart = Client::builder().name("blocking loop").retry(retries()).build().map_err(Stop::usage)?;
    let unbounded = Client::builder()
        .name("unbounded")
        .limits(Limits::default().total(NO_BOUND).attempt(NO_BOUND))
        .retry(retries().max_retries(0))
        .build()
        .map_err(Stop::usage)?;
    let mut crew = Supervisor::new();
    if let Some(seed) = options.common.seed {
        crew.seed(seed);
    }
    let mut admin = Admin::new(&crew);
    for client in [&bounded, &apart, &unbounded] {
        daemon.watch(client.breakers().subscribe());
        admin = admin.breakers(client.breakers()).calls(client.in_flight());
    }
    let liveness = crew.liveness();
    let parts = Parts {
        daemon: daemon.clone(),
        server: server.clone(),
        tick: options.tick,
        bounded,
        apart,
        unbounded,
    };
    let tick = options.tick;
    // Some ticks that went well are a new start.
    let policy = || Policy::default().healthy_after(10 * tick);
    let of = parts.clone();
    crew.spawn("event-relay", tick, move |heart| of.clone().relay(heart)).policy(policy());
    let of = parts.clone();
    crew.spawn("liveness-monitor", tick, move |heart| of.clone().monitor(heart, liveness.clone()))
        .policy(policy());
    let of = parts.clone();
    crew.spawn("health-sweep", tick, move |heart| of.clone().sweep(heart)).policy(policy());
    let of = parts.clone();
    crew.spawn("scheduler", tick, move |heart| of.clone().schedule(heart)).policy(policy());
    crew.spawn("channel-manager", tick, move |heart| parts.clone().channels(heart)).policy(policy());
    let report = daemon.crew(crew, GRACE, admin, Some(&server)).await?;
    Ok(Done::of(&report))
}

impl Options {
    fn read(mut args: Args) -> Result<Options, Stop> {
        let mut options = Options { common: daemon::Options::default(), tick: Duration::from_secs(1) };
        while let Some(arg) = args.next()? {
            let Arg::Flag(flag) = &arg else { return Err(args.unknown(&arg)) };
            match flag.as_str() {
                "tick" => options.tick = args.limit()?,
                other if options.common.take(other, &mut args)? => {}
                _ => return Err(args.unknown(&arg)),
            }
        }
        Ok(options)
    }
}
