//! An agent in a process of its own, because what runs out in this scenario belongs to a process: file descriptors.
//!
//! The process is this program, started again with a task in its environment. It tells each event in a line, and the
//! one that started it writes down what it is told.

use crate::agent::Worker;
use crate::clients::Which;
use crate::common::Stop;
use crate::record::{End, Record};
use crate::scenarios::{SCENARIOS, Scenario, ms};
use std::fs::File;
use std::io::{self, Write};
use std::process::{ExitCode, Stdio};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::{sleep, timeout_at};
use unwedge::breaker::Phase;

/// Scenario, client and server, with blanks between them.
const TASK: &str = "UNWEDGE_DRILL_AGENT";
/// Enough for a runtime, a client and a connection or two.
const FILES: u32 = 48;

/// Plays this agent elsewhere, and writes down what it tells.
pub(crate) async fn play(scenario: &Scenario, client: Which, base: &str, record: &Record) {
    if let Err(error) = told(scenario, client, base, record).await {
        let _ = writeln!(io::stderr(), "{}: {}: {error}", scenario.name, client.as_str());
    }
}

async fn told(scenario: &Scenario, client: Which, base: &str, record: &Record) -> io::Result<()> {
    let mut agent = Command::new("sh")
        .args(["-c", &format!("ulimit -n {FILES} && exec \"$0\"")])
        .arg(std::env::current_exe()?)
        .env(TASK, format!("{} {} {base}", scenario.name, client.as_str()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let Some(said) = agent.stdout.take() else { return Ok(()) };
    let mut lines = BufReader::new(said).lines();
    while let Some(line) = lines.next_line().await? {
        write_down(&line, record);
    }
    Ok(())
}

/// A line of the agent: `began POLL`, `ended NUMBER HOW`, `circuit PHASE`.
fn write_down(line: &str, record: &Record) {
    match line.split(' ').collect::<Vec<_>>()[..] {
        ["began", poll] => {
            record.began(poll == "true");
        }
        ["ended", number, how] => {
            let end = match how {
                "answered" => End::Answered,
                how => End::Failed { refused: how == "refused" },
            };
            if let Ok(number) = number.parse() {
                record.ended(number, end);
            }
        }
        ["circuit", phase] => {
            let phases = [Phase::Open, Phase::HalfOpen, Phase::Closed];
            if let Some(phase) = phases.into_iter().find(|known| known.as_str() == phase) {
                record.breaker(phase);
            }
        }
        _ => {}
    }
}

/// Whether this process is such an agent; then it works until the scenario is over.
pub(crate) fn agent() -> Option<Result<ExitCode, Stop>> {
    let task = std::env::var(TASK).ok()?;
    Some(work(&task).map(|()| ExitCode::SUCCESS))
}

fn work(task: &str) -> Result<(), Stop> {
    let words: Vec<&str> = task.split(' ').collect();
    let unknown = || Stop::usage(format!("{TASK}: {task:?}: it must be a scenario, a client and a server"));
    let [name, client, base] = words[..] else { return Err(unknown()) };
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).ok_or_else(unknown)?;
    let client = Which::ALL.into_iter().find(|known| known.as_str() == client).ok_or_else(unknown)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let record = Record::told();
        let worker = Worker::new(scenario, client, record.clone(), base)?;
        let all = async { tokio::join!(worker.run(), hoard(scenario, &record)) };
        let _ = timeout_at(record.end(), all).await;
        Ok(())
    })
}

/// Takes every descriptor there is while the scenario says so, also those that others give back.
async fn hoard(scenario: &Scenario, record: &Record) {
    for (from, to) in scenario.outages() {
        sleep(from.saturating_sub(record.elapsed())).await;
        let mut files = Vec::new();
        while record.elapsed() < to {
            while let Ok(file) = File::open("/dev/null") {
                files.push(file);
            }
            sleep(ms(5)).await;
        }
    }
}
