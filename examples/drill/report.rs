//! What came of it: a table for people, objects for programs.

use crate::clients::Which;
use crate::common::output::millis;
use crate::common::terminal::Paint;
use crate::common::{Object, Output, Stop};
use crate::record::{Outcome, Run};
use crate::scenarios::FACTOR;
use std::fmt::Write;
use std::io;
use std::time::Duration;
use unwedge::breaker::Phase;

/// One object for each run.
pub(crate) fn objects(output: Output, runs: &[Run]) -> Result<(), Stop> {
    for run in runs {
        let phases: Vec<&str> = run.breaker.iter().map(|(_, phase)| phase.as_str()).collect();
        let broken = run.broken();
        output.object(
            &Object::new()
                .with("scenario", run.scenario.name)
                .with("client", run.client.as_str())
                .with("outcome", run.outcome().as_str())
                .with("first_error_ms", run.first_error().map(millis))
                .with("recovered_ms", run.back().map(millis))
                .with("calls", run.calls.len())
                .with("requests", run.requests)
                .with("breaker", phases)
                .with("promise", run.scenario.promise())
                .with("kept", broken.is_empty())
                .with("wasted", run.wasted())
                .with("broken", broken),
        )?;
    }
    Ok(())
}

/// A row for each run, then the promises.
pub(crate) fn table(runs: &[Run], paint: Paint) -> String {
    let mut text = String::new();
    let head = format!(
        "{:<16} {:<12} {:<11} {:>8} {:>8} {:>7} {:>8}  circuit",
        "scenario", "client", "outcome", "error in", "back in", "lost", "requests"
    );
    let _ = writeln!(text, "{}", paint.bold(&head));
    for run in runs {
        let first = run.client == Which::ALL[0];
        let name = if first { run.scenario.name } else { "" };
        let circuit = if run.client == Which::Unwedge { circuit(run) } else { String::new() };
        let line = format!("{name:<16} {:<12} {}  {circuit}", run.client.as_str(), figures(run, paint));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push('\n');
    for run in runs.iter().filter(|run| run.client == Which::Unwedge) {
        let broken = run.broken();
        let word = if broken.is_empty() { paint.good("kept  ") } else { paint.bad("BROKEN") };
        let _ = writeln!(text, "{word} {:<16} {}", run.scenario.name, run.scenario.promise());
        for clause in broken {
            let _ = writeln!(text, "{:<23} {}", "", paint.bad(&format!("not: {clause}")));
        }
    }
    let _ = write!(
        text,
        "\nEverything is measured, on a clock of 1:{FACTOR}: 1.5 s here are {} s outside. error in: how long the\n\
         first call that failed took to say so. back in: from the server's return to the next answer, at worst.\n\
         lost: calls that ended without an answer. requests: what arrived at the server.",
        FACTOR * 3 / 2
    );
    text
}

fn figures(run: &Run, paint: Paint) -> String {
    let outcome = run.outcome();
    let word = format!("{:<11}", outcome.as_str().replace('_', " "));
    let word = match outcome {
        Outcome::Recovered | Outcome::FailedFast if run.broken().is_empty() => paint.good(&word),
        Outcome::Recovered | Outcome::FailedFast => paint.warn(&word),
        Outcome::Hung | Outcome::Lost => paint.bad(&word),
    };
    let error = match run.first_error() {
        None if outcome == Outcome::Hung => "never".to_owned(),
        error => seconds(error),
    };
    let back = match run.back() {
        None if outcome == Outcome::Hung => "never".to_owned(),
        back => seconds(back),
    };
    let lost = run.failed();
    format!("{word} {error:>8} {back:>8} {lost:>7} {:>8}", run.requests)
}

pub(crate) fn seconds(time: Option<Duration>) -> String {
    time.map_or("-".to_owned(), |time| format!("{:.2} s", time.as_secs_f64()))
}

/// What the breaker did, in few words.
pub(crate) fn circuit(run: &Run) -> String {
    let opened = run.breaker.iter().filter(|(_, phase)| *phase == Phase::Open).count();
    let times = match opened {
        0 => return "stayed closed".to_owned(),
        1 => "opened once".to_owned(),
        n => format!("opened {n} times"),
    };
    match run.breaker.last() {
        Some((_, Phase::Closed)) => format!("{times}, closed again"),
        Some((_, Phase::HalfOpen)) => format!("{times}, now half-open"),
        _ => format!("{times}, still open"),
    }
}

/// Colours for standard output.
pub(crate) fn paint() -> Paint {
    Paint::on(&io::stdout())
}
