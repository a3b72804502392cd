//! An agent that checks in with its server every few minutes, and whom no outage of that server ends:
//! `checkin_agent --help`.
//!
//! What once happened: the server was rebuilt, the check-in failed, the loop of the agent ended with it, and the agent
//! stayed away until somebody restarted it by hand.

mod agent;
#[path = "../common/mod.rs"]
mod common;
mod health;
mod server;
mod settings;
mod words;

use agent::{Agent, Counts};
use common::args::{self, Arg};
use common::daemon::{self, Daemon, Done};
use common::{Args, Stop};
use health::Health;
use http::StatusCode;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use server::Server;
use settings::Settings;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use unwedge::Client;
use unwedge::admin::Admin;
use unwedge::supervise::Supervisor;

/// How long the loops may take to end: none of them waits for more than an answer.
const GRACE: Duration = Duration::from_secs(5);
/// The longest duration that the crate takes.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

const HELP: &str = concat!(
    "\
Checks in with a server for commands. After the last retry a check-in is given up, and the next comes at its time.

Usage: checkin_agent [options]

  --every 5m          between two check-ins
  --config FILE       settings, .toml or .yaml; by default agent.yaml beside the source of this example, and demo.yaml,
                      which is quicker, for the server of its own
  --agent-id ID       who checks in (agent-1)
",
    daemon::help!(),
    "
  --serve ADDR        is the server and nothing else: a process that can be killed under its agents
  --rebuild 10s       that server answers 502 for so long at first

The server of its own is rebuilt too, from its second to its eighth second. Try --every 1s.

The variables CHECKIN_AGENT_RESILIENCE__RETRY__MAX_RETRIES and so on win over the file. Events: retry with n, of, in_ms
and error; health with ok and ms; checkin with ok, status, attempts and ms; breaker, recovered, restart, panic, stale; of a
server checked_in. The log has [RETRY], [CIRCUIT_BREAKER], [HEALTH], [RECOVERY] and [CHECKIN].

Exit code: 0 for a clean end by SIGTERM, SIGINT or --for, 1 when it cannot work, 2 for an argument or a setting that
cannot work.
"
);

/// The command line.
#[derive(Debug)]
struct Options {
    common: daemon::Options,
    every: Duration,
    config: Option<PathBuf>,
    id: String,
    serve: Option<SocketAddr>,
    rebuild: Duration,
}

fn main() -> ExitCode {
    args::run("checkin_agent", || {
        let options = Options::read(Args::new("checkin_agent", HELP))?;
        if let Some(at) = options.serve {
            return daemon::run(&options.common, |daemon| serve(at, options.rebuild, daemon));
        }
        let settings = Settings::read(options.config.as_deref(), options.common.server.is_none())?;
        let (reader, retries) = words::retries();
        daemon::run_told(&options.common, words::own(reader), |daemon| {
            check_in(&options, settings, retries, daemon)
        })
    })
}

async fn check_in(
    options: &Options,
    settings: Settings,
    retries: mpsc::Receiver<words::Retry>,
    daemon: Daemon,
) -> Result<Done, Stop> {
    let mut own = None;
    let server = match &options.common.server {
        Some(server) => server.clone(),
        None => {
            let rebuilt = (Duration::from_secs(2), Duration::from_secs(8));
            own.insert(Server::start((Ipv4Addr::LOCALHOST, 0).into(), rebuilt, None)?).url().to_owned()
        }
    };
    let mut resilience = settings.resilience;
    resilience.retry = options.common.seeded(resilience.retry);
    let mut stack = resilience.builder();
    if let Some(health) = resilience.health_check.clone() {
        stack = stack.health(health.accept(|status| status == StatusCode::OK));
    }
    let client = Client::builder().stack(stack.name("check-in")).build().map_err(Stop::usage)?;
    let opened = Arc::new(AtomicBool::new(false));
    daemon.watch(client.breakers().subscribe());
    daemon.spawn(words::tell_breaker(client.breakers().subscribe(), Arc::clone(&opened)));
    daemon.spawn(words::tell_retries(retries, daemon.clone()));

    let mut crew = Supervisor::new();
    if let Some(seed) = options.common.seed {
        crew.seed(seed);
    }
    let admin = Admin::new(&crew).breakers(client.breakers()).calls(client.in_flight());
    let counts = Arc::new(Counts::default());
    let agent = Agent {
        url: format!("{server}/api/v1/agents/{}/commands", options.id),
        client: client.clone(),
        id: options.id.clone(),
        every: options.every,
        splay: settings.check_in.splay,
        rng: options.common.seed.map_or_else(rand::make_rng, SmallRng::seed_from_u64),
        daemon: daemon.clone(),
        counts: Arc::clone(&counts),
    };
    // A check-in may take all of its time, and is silent meanwhile.
    let total = resilience.limits.get_total();
    crew.spawn("check-in", options.every, move |heart| agent.clone().run(heart))
        .stale_after(options.every.saturating_mul(2).saturating_add(total).min(LONGEST));
    if let Some(settings) = &resilience.health_check {
        let health = Health::new(&server, settings, daemon.clone(), opened)?;
        let silent = health.interval().saturating_mul(2).saturating_add(settings.get_timeout());
        crew.spawn("health", health.interval(), move |heart| health.clone().run(heart))
            .stale_after(silent.min(LONGEST));
    }
    let report = daemon.crew(crew, GRACE, admin, Some(&server)).await?;
    Ok(Done::of(&report)
        .count("checked_in", counts.well.load(Ordering::Relaxed))
        .count("given_up", counts.given_up.load(Ordering::Relaxed)))
}

async fn serve(at: SocketAddr, rebuild: Duration, daemon: Daemon) -> Result<Done, Stop> {
    let server = Server::start(at, (Duration::ZERO, rebuild), Some(daemon.clone()))?;
    daemon.ready(None, Some(server.url()));
    daemon.asked_to_end().await;
    Ok(Done::new(true).count("checked_in", server.check_ins()))
}

impl Options {
    fn read(mut args: Args) -> Result<Options, Stop> {
        let mut options = Options {
            common: daemon::Options::default(),
            every: Duration::from_secs(300),
            config: None,
            id: "agent-1".to_owned(),
            serve: None,
            rebuild: Duration::ZERO,
        };
        while let Some(arg) = args.next()? {
            let Arg::Flag(flag) = &arg else { return Err(args.unknown(&arg)) };
            match flag.as_str() {
                "every" => options.every = args.limit()?,
                "config" => options.config = Some(args.text()?.into()),
                "agent-id" => options.id = id(&mut args)?,
                "serve" => options.serve = Some(args.address()?),
                "rebuild" => options.rebuild = args.duration()?,
                other if options.common.take(other, &mut args)? => {}
                _ => return Err(args.unknown(&arg)),
            }
        }
        Ok(options)
    }
}

/// A name that goes into a path as it is.
fn id(args: &mut Args) -> Result<String, Stop> {
    let id = args.text()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if id.is_empty() || !id.chars().all(plain) {
        return Err(args.wrong(format!("{id:?}: letters, digits, - _ and . alone, and at least one")));
    }
    Ok(id)
}
