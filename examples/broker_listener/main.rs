//! A listener that takes jobs from a broker by long poll, and is wedged by no call: `broker_listener --help`.
//!
//! Token, session, message, acquire: three of these calls must be answered in seconds and are bound by them, and one
//! alone may wait for long and says why. What once happened: the three went through a client without a limit, a broker
//! stalled, and the listener waited for six hours with every probe green.

mod api;
mod broker;
#[path = "../common/mod.rs"]
mod common;
mod jobs;
mod listener;

use broker::Broker;
use common::args::{self, Arg};
use common::daemon::{self, Daemon, Done, Own};
use common::{Args, Stop, log};
use listener::Listener;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use unwedge::admin::Admin;
use unwedge::supervise::Supervisor;

/// How long the listener may take to leave off when the program is asked to end: it does so at its next await.
const GRACE: Duration = Duration::from_secs(2);

const HELP: &str = concat!(
    "\
Takes jobs from a broker by long poll. No call of it waits for ever, whatever the broker does, and a listener that ended
is started again.

Usage: broker_listener [options]

  --control-plane-timeout 30s   bounds token, session and acquire, each with its retries
  --hold 50s                    how long the broker parks a poll; 5 s more are granted
",
    daemon::help!(),
    "
The broker of its own:

  --job-every 1s      so often there is a job
  --jobs N            so many in all; by default they never end
  --stall N           it reads every Nth token, session or acquire request and never answers; by default none. Try
                      --control-plane-timeout 2s --stall 3
  --broker ADDR       is the broker and nothing else: a process that can be killed under its listeners
  --journal FILE      jobs and who took them are kept there, for the broker that is started next

Durations read 250ms, 30s, 5m, 1h. Events: token, session, poll and acquire, each with ok, ms, kind, status and
retriable; job with its id; restart, panic, stale, recovered, breaker; of a broker parked and acquired.

Exit code: 0 for a clean end by SIGTERM, SIGINT or --for, 1 when it cannot work, 2 for an argument that cannot work.
"
);

/// The command line.
#[derive(Debug)]
pub(crate) struct Options {
    common: daemon::Options,
    control_plane: Duration,
    hold: Duration,
    job_every: Duration,
    jobs: Option<u64>,
    stall: Option<NonZeroU64>,
    broker: Option<SocketAddr>,
    journal: Option<PathBuf>,
}

fn main() -> ExitCode {
    args::run("broker_listener", || {
        let options = Options::read(Args::new("broker_listener", HELP))?;
        // How a call failed is said with its step.
        let twice: log::Twice = |of| of.fields().field("suppressed").is_some();
        daemon::run_told(&options.common, Own { twice, ..Own::default() }, |daemon| async {
            match options.broker {
                Some(at) => serve(at, &options, daemon).await,
                None => listen(&options, daemon).await,
            }
        })
    })
}

async fn listen(options: &Options, daemon: Daemon) -> Result<Done, Stop> {
    let mut own = None;
    let server = match &options.common.server {
        Some(server) => server.clone(),
        None => {
            let broker = Broker::start((Ipv4Addr::LOCALHOST, 0).into(), options, None)?;
            own.insert(broker).url().to_owned()
        }
    };
    let listener = Listener::new(&server, options, daemon.clone())?;
    let mut crew = Supervisor::new();
    if let Some(seed) = options.common.seed {
        crew.seed(seed);
    }
    let admin = listener.shown(Admin::new(&crew));
    // What it had begun outlives each run of it.
    let listener = Arc::new(Mutex::new(listener));
    let shared = Arc::clone(&listener);
    crew.spawn("listener", options.control_plane.max(Duration::from_secs(1)), move |heart| {
        let shared = Arc::clone(&shared);
        async move { shared.lock().await.run(&heart).await }
    });
    let report = daemon.crew(crew, GRACE, admin, Some(&server)).await?;
    // Outside of the crew, in which calls are cut short by now.
    Ok(match listener.try_lock() {
        Ok(mut listener) => listener.leave(Done::of(&report)).await,
        Err(_) => Done::of(&report),
    })
}

async fn serve(at: SocketAddr, options: &Options, daemon: Daemon) -> Result<Done, Stop> {
    let broker = Broker::start(at, options, Some(daemon.clone()))?;
    daemon.ready(None, Some(broker.url()));
    daemon.asked_to_end().await;
    Ok(broker.done())
}

impl Options {
    fn read(mut args: Args) -> Result<Options, Stop> {
        let mut options = Options {
            common: daemon::Options::default(),
            control_plane: Duration::from_secs(30),
            hold: Duration::from_secs(50),
            job_every: Duration::from_secs(1),
            jobs: None,
            stall: None,
            broker: None,
            journal: None,
        };
        let mut brokers_own = None;
        while let Some(arg) = args.next()? {
            let Arg::Flag(flag) = &arg else { return Err(args.unknown(&arg)) };
            match flag.as_str() {
                "control-plane-timeout" => options.control_plane = args.limit()?,
                "hold" => options.hold = args.limit()?,
                "job-every" => options.job_every = args.limit()?,
                "jobs" => options.jobs = Some(args.number()?),
                "stall" => options.stall = Some(args.number()?),
                "broker" => options.broker = Some(args.address()?),
                "journal" => options.journal = Some(args.text()?.into()),
                other if options.common.take(other, &mut args)? => continue,
                _ => return Err(args.unknown(&arg)),
            }
            if matches!(flag.as_str(), "job-every" | "jobs" | "stall" | "broker" | "journal") {
                brokers_own = Some(flag.clone());
            }
        }
        match (brokers_own, &options.common.server) {
            (Some(flag), Some(server)) => Err(Stop::usage(format!(
                "--{flag}: it is for a broker of its own, and --server {server} names another"
            ))),
            _ => Ok(options),
        }
    }
}
