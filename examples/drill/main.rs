//! The incidents, played for real: `drill --help`.
//!
//! A control plane on real sockets of this machine fails in the ways of the incidents, and has ordinary days. The same
//! agent meets each of them with two plain clients that are used with care, and with unwedge. Everything that is printed
//! was measured.

mod agent;
mod clients;
#[path = "../common/mod.rs"]
mod common;
#[cfg(unix)]
mod few_files;
mod live;
mod picture;
mod promise;
mod record;
mod report;
mod scenarios;
mod site;

use agent::Agent;
use clients::Which;
use common::args::{self, Arg};
use common::output::millis;
use common::{Args, Object, Output, Stop, log};
use record::Run;
use scenarios::{FACTOR, SCENARIOS, Scenario};
use std::fs::File;
use std::io::Write;
use std::process::ExitCode;
use tokio::time::Instant;

const HELP: &str = "\
Plays the incidents and ordinary days for real, on sockets of this machine: the same agent with two plain clients and
with unwedge.

Usage: drill [options]

  --only NAME   this scenario; may be repeated
  --list        the scenarios and what is promised, a line each
  --svg FILE    writes a picture of all calls of all clients
  --json        one JSON object a scenario and client on standard output, and one at the end
  --help, --version

plain is hyper-util's client, with a limit on the wait for the response head and three tries; plain_retry is reqwest
with a timeout and reqwest-retry. All times are scaled 1:20, so that a deadline of 30 s is 1.5 s here.

Exit code: 0 when unwedge kept every promise, 1 when not, 2 for an argument that cannot work.
";

struct Options {
    scenarios: Vec<&'static Scenario>,
    list: bool,
    svg: Option<(String, File)>,
    json: bool,
}

fn main() -> ExitCode {
    args::run("drill", || {
        #[cfg(unix)]
        if let Some(ended) = few_files::agent() {
            return ended;
        }
        let options = options(Args::new("drill", HELP))?;
        log::where_asked_for()?;
        let output = Output::new(options.json);
        if options.list {
            return list(output, &options.scenarios);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(drill(options, output))
    })
}

fn options(mut args: Args) -> Result<Options, Stop> {
    let mut options = Options { scenarios: Vec::new(), list: false, svg: None, json: false };
    let mut svg = None;
    while let Some(arg) = args.next()? {
        match &arg {
            Arg::Flag(flag) if flag == "only" => options.scenarios.push(named(&args.text()?)?),
            Arg::Flag(flag) if flag == "list" => options.list = true,
            Arg::Flag(flag) if flag == "svg" => svg = Some(args.text()?),
            Arg::Flag(flag) if flag == "json" => options.json = true,
            _ => return Err(args.unknown(&arg)),
        }
    }
    if options.scenarios.is_empty() {
        options.scenarios = SCENARIOS.iter().collect();
    }
    if let Some(path) = svg {
        // Found out now, not after the drill.
        let file = File::create(&path).map_err(|error| Stop::usage(format!("--svg: {path:?}: {error}")))?;
        options.svg = Some((path, file));
    }
    Ok(options)
}

fn named(name: &str) -> Result<&'static Scenario, Stop> {
    SCENARIOS.iter().find(|scenario| scenario.name == name).ok_or_else(|| {
        let known: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        Stop::usage(format!("--only: no scenario {name:?}; there are: {}", known.join(", ")))
    })
}

fn list(output: Output, scenarios: &[&Scenario]) -> Result<ExitCode, Stop> {
    for scenario in scenarios {
        if output.is_json() {
            let object = Object::new().with("scenario", scenario.name).with("about", scenario.about);
            output.object(&object.with("promise", scenario.promise()))?;
        } else {
            output.text(&format!("{}\t{}", scenario.name, scenario.promise()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn drill(options: Options, output: Output) -> Result<ExitCode, Stop> {
    let began = Instant::now();
    let mut agents = Vec::new();
    for scenario in &options.scenarios {
        for client in Which::ALL {
            agents.push(Agent::start(scenario, client)?);
        }
    }
    let runs = live::play(agents).await;
    let scenarios = options.scenarios.len();
    let kept = runs.iter().filter(|run| run.client == Which::Unwedge && run.broken().is_empty()).count();
    report::objects(output, &runs)?;
    output.text(&report::table(&runs, report::paint()))?;
    if let Some((path, file)) = options.svg {
        save(&runs, &path, file)?;
    }
    let exit = u8::from(kept < scenarios);
    output.object(
        &Object::event("done")
            .with("exit", exit)
            .with("scenarios", scenarios)
            .with("kept", kept)
            .with("ms", millis(began.elapsed()))
            .with("factor", FACTOR),
    )?;
    Ok(ExitCode::from(exit))
}

fn save(runs: &[Run], path: &str, mut file: File) -> Result<(), Stop> {
    let svg = picture::draw(runs).map_err(|error| Stop::Failed(format!("--svg: {error}")))?;
    file.write_all(svg.as_bytes()).map_err(|error| Stop::Failed(format!("--svg: {path:?}: {error}")))
}
