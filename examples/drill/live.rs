//! What is shown while the scenarios are played.

use crate::agent::Agent;
use crate::clients::Which;
use crate::common::terminal::{Board, Paint};
use crate::record::{End, Notes, Run};
use crate::scenarios::{LENGTH, ms};
use std::io::{self, Write};
use tokio::task::JoinSet;
use tokio::time::interval;

/// Plays all scenarios at once, each with both clients, and shows how they fare.
pub(crate) async fn play(agents: Vec<Agent>) -> Vec<Run> {
    let mut board = Board::new(true);
    let mut playing: JoinSet<Run> = agents.iter().cloned().map(Agent::run).collect();
    let mut runs = Vec::new();
    let mut tick = interval(ms(100));
    if !board.is_lively() {
        eprintln!(
            "playing {} scenarios for {:.0} s, each with both clients",
            agents.len() / 2,
            LENGTH.as_secs_f64()
        );
    }
    loop {
        tokio::select! {
            run = playing.join_next() => match run {
                None => break,
                // A run that panicked has said so itself, and is missed in the end.
                Some(Err(_)) => {}
                Some(Ok(run)) => {
                    if !board.is_lively() {
                        let (name, client) = (run.scenario.name, run.client.as_str());
                        say(&format!("{name}: {client} {}", run.outcome().as_str()));
                    }
                    runs.push(run);
                }
            },
            _ = tick.tick(), if board.is_lively() => board.show(&lines(&agents)),
        }
    }
    runs.sort_by_key(|run| {
        let place = agents.iter().position(|agent| agent.scenario.name == run.scenario.name);
        (place, run.client == Which::Unwedge)
    });
    runs
}

/// Nobody may be there to read it.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn lines(agents: &[Agent]) -> Vec<String> {
    let paint = Paint::on(&io::stderr());
    let head = format!("{:<14} {:<6} {:<23} {:<23} {}", "", "", "plain", "unwedge", "circuit");
    let mut lines = vec![paint.dim(&head)];
    for pair in agents.chunks(2) {
        let [plain, unwedge] = pair else { continue };
        let elapsed = unwedge.record.elapsed().min(LENGTH);
        let full = (6.0 * elapsed.as_secs_f64() / LENGTH.as_secs_f64()) as usize;
        let out = unwedge.scenario.outages().iter().any(|(from, to)| (*from..*to).contains(&elapsed));
        let bar = format!("{}{}", "█".repeat(full), "░".repeat(6 - full));
        let bar = if out { paint.bad(&bar) } else { paint.good(&bar) };
        let phase = unwedge.record.notes().breaker.last().map_or("closed", |(_, phase)| phase.as_str());
        let phase = if phase == "closed" { paint.dim(phase) } else { paint.warn(phase) };
        let name = unwedge.scenario.name;
        lines.push(format!("{name:<14} {bar} {} {} {phase}", state(plain, paint), state(unwedge, paint)));
    }
    lines
}

/// How an agent fares, in 23 columns: `12 ok 3 err try 2 1.4s` while a call is waiting.
fn state(agent: &Agent, paint: Paint) -> String {
    let Notes { calls, .. } = agent.record.notes().clone();
    let count = |wanted: fn(End) -> bool| calls.iter().filter(|call| !call.poll && wanted(call.end)).count();
    let ok = count(|end| end == End::Answered);
    let errors = count(|end| matches!(end, End::Failed { .. }));
    let waiting = calls.iter().find(|call| !call.poll && call.end == End::Running);
    let waiting =
        waiting.map(|call| agent.record.elapsed().saturating_sub(call.began)).filter(|age| *age > ms(100));
    let told = format!("{ok} ok {errors} err");
    match waiting {
        None => format!("{told:<23}"),
        Some(age) => {
            let tried = agent.caller.attempt().map_or(String::new(), |n| format!("try {n} "));
            let wait = format!("{tried}{:.1}s", age.as_secs_f64());
            let gap = 23usize.saturating_sub(told.len() + 1);
            format!("{told} {}", paint.warn(&format!("{wait:<gap$.gap$}")))
        }
    }
}
