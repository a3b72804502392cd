//! Never worse than nothing: ordinary days, with the stack and without it (`goodput --help`).
//!
//! The real stack in virtual time: all calls of all days take seconds, and what becomes of attempt k of call n is the
//! same for every client.

mod clients;
#[path = "../common/mod.rs"]
mod common;
mod days;
mod luck;
mod picture;
mod play;
mod report;
mod score;
mod server;
mod verdict;

use clients::Client;
use common::args::{self, Arg};
use common::output::millis;
use common::signals::Signals;
use common::terminal::{Board, spinner};
use common::{Args, Object, Output, Stop, log};
use days::{DAYS, Day};
use score::Score;
use std::fs::File;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, interval};

const HELP: &str = "\
Plays ordinary days in virtual time, with the stack and without it: a server that fails now and then, an outage, a
restart, a quota. The stack must never be worse than nothing.

Usage: goodput [options]

  --only DAY    this day; may be repeated
  --list        the days and what is promised, a line each
  --svg FILE    writes a picture of the calls that were lost
  --seed N      other luck (1): arrivals, failures and jitter, the same for every client
  --calls N     at least so many calls for each client on each day, where the day is short enough (50000)
  --json        one JSON object a day and client on standard output, and one at the end
  --help, --version

The clients: none (one attempt), retries (with their budget), retries_no_budget (for honesty, nobody is compared with
it), no_breaker (the stack without its breaker), unwedge (the stack with all its defaults). All have the same limits:
10 s for an attempt, 30 s for a call.

Exit code: 0 when the stack is nowhere worse than the best of none, retries and no_breaker by more than its margin, 1
when it is, 2 for an argument that cannot work.
";

struct Options {
    days: Vec<&'static Day>,
    list: bool,
    svg: Option<(String, File)>,
    seed: u64,
    calls: u64,
    json: bool,
}

/// A day that all clients have seen.
struct Over {
    day: &'static Day,
    scores: Vec<(Client, Score)>,
    worse: Vec<String>,
}

fn main() -> ExitCode {
    args::run("goodput", || {
        let options = options(Args::new("goodput", HELP))?;
        log::where_asked_for()?;
        let output = Output::new(options.json);
        if options.list {
            return list(output, &options.days);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(goodput(options, output))
    })
}

fn options(mut args: Args) -> Result<Options, Stop> {
    let mut options =
        Options { days: Vec::new(), list: false, svg: None, seed: 1, calls: 50_000, json: false };
    let mut svg = None;
    while let Some(arg) = args.next()? {
        match &arg {
            Arg::Flag(flag) if flag == "only" => options.days.push(named(&args.text()?)?),
            Arg::Flag(flag) if flag == "list" => options.list = true,
            Arg::Flag(flag) if flag == "svg" => svg = Some(args.text()?),
            Arg::Flag(flag) if flag == "seed" => options.seed = args.number()?,
            Arg::Flag(flag) if flag == "calls" => options.calls = args.number()?,
            Arg::Flag(flag) if flag == "json" => options.json = true,
            _ => return Err(args.unknown(&arg)),
        }
    }
    if options.days.is_empty() {
        options.days = DAYS.iter().collect();
    }
    if let Some(path) = svg {
        // Found out now, not after the last day.
        let file = File::create(&path).map_err(|error| Stop::usage(format!("--svg: {path:?}: {error}")))?;
        options.svg = Some((path, file));
    }
    Ok(options)
}

fn named(name: &str) -> Result<&'static Day, Stop> {
    DAYS.iter().find(|day| day.name == name).ok_or_else(|| {
        let known: Vec<&str> = DAYS.iter().map(|day| day.name).collect();
        Stop::usage(format!("--only: no day {name:?}; there are: {}", known.join(", ")))
    })
}

fn list(output: Output, days: &[&Day]) -> Result<ExitCode, Stop> {
    for day in days {
        let promise = verdict::promise(day);
        output.object(
            &Object::new().with("day", day.name).with("about", day.about).with("promise", &*promise),
        )?;
        if !output.is_json() {
            output.text(&format!("{}\t{promise}", day.name))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn goodput(options: Options, output: Output) -> Result<ExitCode, Stop> {
    let began = Instant::now();
    let signals = Signals::install()?;
    let mut over = Vec::new();
    let signal = tokio::select! {
        asked = signals.asked() => Some(asked.name()),
        played = play(&options, output, &mut over) => {
            played?;
            None
        }
    };
    let worse = over.iter().filter(|over| !over.worse.is_empty()).count();
    let exit = u8::from(worse > 0);
    output.text(&report::table(&over, options.seed, report::paint(output)))?;
    if let Some((path, mut file)) = options.svg {
        let svg = picture::draw(&over).map_err(|error| Stop::Failed(format!("--svg: {error}")))?;
        file.write_all(svg.as_bytes()).map_err(|error| Stop::Failed(format!("--svg: {path:?}: {error}")))?;
    }
    output.object(
        &Object::event("done")
            .with("exit", exit)
            .with("days", over.len())
            .with("worse", worse)
            .with("seed", options.seed)
            .with("ms", millis(began.elapsed()))
            .with_known("ended_by", signal),
    )?;
    Ok(ExitCode::from(exit))
}

/// Plays the days, and tells of each as soon as all clients have seen it and the days before are told.
async fn play(options: &Options, output: Output, over: &mut Vec<Over>) -> Result<(), Stop> {
    let began = Instant::now();
    let mut board = Board::new(true);
    let mut tick = interval(Duration::from_millis(100));
    let mut scores: Vec<Vec<(Client, Score)>> = options.days.iter().map(|_| Vec::new()).collect();
    let mut played = play::all(&options.days, options.seed, options.calls);
    let jobs = options.days.len() * Client::ALL.len();
    let mut done = 0;
    loop {
        tokio::select! {
            next = played.recv() => {
                let Some(next) = next else { break };
                done += 1;
                scores[next.day].push((next.client, next.score.map_err(Stop::Failed)?));
            }
            _ = tick.tick(), if board.is_lively() => {
                let name = options.days.get(over.len()).map_or("", |day| day.name);
                board.show(&[format!("{} {done} of {jobs}  {name}", spinner(began.elapsed()))]);
            }
        }
        while let (Some(day), Some(mut all)) = (
            options.days.get(over.len()),
            scores.get_mut(over.len()).filter(|scores| scores.len() == Client::ALL.len()).map(std::mem::take),
        ) {
            all.sort_by_key(|(client, _)| *client);
            let worse = verdict::worse(day, &all);
            over.push(Over { day, scores: all, worse });
            board.wipe();
            over.last().map_or(Ok(()), |over| report::objects(output, over))?;
        }
    }
    // A thread that panicked has said so itself.
    if over.len() == options.days.len() {
        Ok(())
    } else {
        Err(Stop::Failed("a day was not played".to_owned()))
    }
}
