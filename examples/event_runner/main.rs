//! Runs an agent for every incident that its clusters report, for months: `event_runner --help`.
//!
//! Event streams that connect again by themselves, a queue in which nothing grows old unseen, agents with a limit, a
//! breaker over them, probes, metrics, and an end in order. What once happened: agents hung, queues went stale, streams
//! stayed lost until a person came, nothing was counted, and a restart killed what was under way.

mod agents;
mod book;
#[path = "../common/mod.rs"]
mod common;
mod events;
mod feed;
mod incident;
mod listen;
mod meters;
mod options;
mod probes;
mod runner;
mod settings;

use common::args;
use common::daemon::{self, Daemon, Done, Own};
use common::{Args, Stop, log};
use events::{CLUSTERS, EventServer, Script};
use options::Options;
use runner::{Runner, Server};
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing::Level;

const HELP: &str = "\
Runs an agent for every incident that clusters report by their event streams.

Usage: event_runner --server NAME=URL ... [options] -- COMMAND [ARGS]
       event_runner --demo

  --server NAME=URL   the event stream of a cluster; once for each
  --demo              an event server of its own and everything that can go wrong, in half a minute
  --min-severity S    info, warning or critical: what is below it is left out (info; with --demo warning)
  --agents N          how many agents run at once (one for each server)
  --bind ADDRESS      where probes and metrics listen (0.0.0.0: they are asked from outside of a pod)
  --print-config      shows what holds and where it came from, and ends

Settings; a flag wins over its variable, a plain number is in seconds:

  --agent-timeout                AGENT_TIMEOUT_SECONDS                 300   then SIGTERM, 5 s later SIGKILL
  --max-queue-age                MAX_QUEUE_AGE_SECONDS                 600   older events are not handled any more
  --queue-sweep-interval         QUEUE_SWEEP_INTERVAL_SECONDS           60   so often they are looked for
  --shutdown-timeout             SHUTDOWN_TIMEOUT_SECONDS               30   for agents that run, at the end
  --metrics-port                 METRICS_PORT                         9090   /metrics; 0 takes a free port
  --health-port                  HEALTH_PORT                          8080   /healthz, /readyz; 0 takes a free port
  --sse-reconnect-initial-delay  SSE_RECONNECT_INITIAL_DELAY_SECONDS     1   before a lost stream is tried again
  --sse-reconnect-max-delay      SSE_RECONNECT_MAX_DELAY_SECONDS        60   to which that delay grows

  AGENT_TIMEOUT is read where AGENT_TIMEOUT_SECONDS is not set.

The command reads the event's data from standard input and finds INCIDENT_ID, CLUSTER and SEVERITY in its environment.

  --admin ADDR|none   where the status page listens, on this machine alone (127.0.0.1:0)
  --for DURATION      ends after this time, as by SIGTERM
  --seed N            fixes all that is drawn at random
  --json              one JSON object an event on standard output; the log goes to standard error
  --help, --version

To see it fail, and to try it out:

  --break sweeper|scrape   the sweeper panics once; the first scrape fails
  --events ADDRESS         is an event server and nothing else: any cluster under /events/NAME
  --event-count N          so many events for each (100)
  --event-every DURATION   so often (100ms)

Exit code: 0 for a clean end by SIGTERM, SIGINT or --for, also where agents had to be killed; 1 when it cannot work or its
counts do not add up; 2 for an argument or a setting that cannot work.
";

/// How long a demonstration may take.
const DEMO: Duration = Duration::from_secs(50);

fn main() -> ExitCode {
    args::run("event_runner", || {
        let mut options = Options::read(Args::new("event_runner", HELP))?;
        if options.print()? {
            return Ok(ExitCode::SUCCESS);
        }
        let events = options.events.take();
        daemon::run_told(&options.common, own(), |daemon| async {
            match events {
                Some((at, script)) => serve(at, script, daemon).await,
                None if options.demo => demo(&options, daemon).await,
                None => runner::run(&options, options.servers.clone(), daemon, pending(), |_| {}).await,
            }
        })
    })
}

/// How each agent ended is said with its incident, and what became of an event that is too large with the others that
/// are dropped.
fn own() -> Own {
    let twice: log::Twice = |of| {
        let has = |name| of.fields().field(name).is_some();
        let is_of = |module| *of.level() == Level::WARN && of.target().ends_with(module);
        is_of("::log::child") || (is_of("::log::stream") && !has("wait") && !has("why"))
    };
    Own { twice, ..Own::default() }
}

async fn serve(at: SocketAddr, script: Script, daemon: Daemon) -> Result<Done, Stop> {
    let server = EventServer::start(at, Arc::new(script)).await;
    let server = server.map_err(|error| Stop::listen("--events", at, error))?;
    daemon.ready(None, Some(&server.url()));
    daemon.asked_to_end().await;
    Ok(Done::new(true))
}

/// Everything that can go wrong, on a server of its own. It ends when all of it has happened.
async fn demo(options: &Options, daemon: Daemon) -> Result<Done, Stop> {
    let script = Arc::new(Script::demo());
    let server = EventServer::start((Ipv4Addr::LOCALHOST, 0).into(), Arc::clone(&script)).await?;
    let servers = CLUSTERS.map(|name| Arc::new(Server::new(name, server.stream(name)))).to_vec();
    let runner = OnceLock::<Arc<Runner>>::new();
    let over = async {
        let ends = Instant::now() + DEMO;
        while Instant::now() < ends
            && !runner.get().is_some_and(|runner| has_all(runner, script.demo_length()))
        {
            sleep(Duration::from_millis(100)).await;
        }
    };
    runner::run(options, servers, daemon, over, |begun| drop(runner.set(Arc::clone(begun)))).await
}

/// Whether all events came, and nothing is left to do for any.
fn has_all(runner: &Runner, events: u64) -> bool {
    let counts = runner.queue.counts();
    runner.book.received_so_far() >= events && counts.waiting == 0 && runner.book.active() == 0
}
