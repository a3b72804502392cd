//! What is shown while the scenarios are played.

use crate::agent::Agent;
use crate::clients::Which;
use crate::common::terminal::{Board, Paint};
use crate::record::{End, Notes, Run};
use crate::scenarios::{LENGTH, ms};
use std::io::{self, Write};
use tokio::task::JoinSet;
use tokio::time::interval;

/// Plays all scenarios at once, each with all clients, and shows how they fare.
pub(crate) async fn play(agents: Vec<Agent>) -> Vec<Run> {
    let mut board = Board::new(true);
    let mut playing: JoinSet<Run> = agents.iter().cloned().map(Agent::run).collect();
    let mut runs = Vec::new();
    let mut tick = interval(ms(100));
    if !board.is_lively() {
        let _ = writeln!(
            io::stderr(),
            "playing {} scenarios for {:.0} s, each with all clients",
            agents.len() / Which::ALL.len(),
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
        (place, Which::ALL.iter().position(|client| *client == run.client))
    });
    runs
}

/// Nobody may be there to read it.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn lines(agents: &[Agent]) -> Vec<String> {
    let paint = Paint::on(&io::stderr());
    let head =
        format!("{:<15} {:<4} {:<16}{:<16}{:<16}{}", "", "", "plain", "plain_retry", "unwedge", "circuit");
    let mut lines = vec![paint.dim(&head)];
    for all in agents.chunks(Which::ALL.len()) {
        let Some(unwedge) = all.last() else { continue };
        let elapsed = unwedge.record.elapsed().min(LENGTH);
        let full = (4.0 * elapsed.as_secs_f64() / LENGTH.as_secs_f64()) as usize;
        let out = unwedge.scenario.outages().iter().any(|(from, to)| (*from..*to).contains(&elapsed));
        let bar = format!("{}{}", "█".repeat(full), "░".repeat(4 - full));
        let bar = if out { paint.bad(&bar) } else { paint.good(&bar) };
        let phase = unwedge.record.notes().breaker.last().map_or("closed", |(_, phase)| phase.as_str());
        let phase = if phase == "closed" { paint.dim(phase) } else { paint.warn(phase) };
        let states: String = all.iter().map(|agent| state(agent, paint)).collect();
        lines.push(format!("{:<15} {bar} {states}{phase}", unwedge.scenario.name));
    }
    lines
}

/// How an agent fares, in 16 columns: `12 of 13  1.4s` while a call is waiting.
fn state(agent: &Agent, paint: Paint) -> String {
    let Notes { calls, .. } = agent.record.notes().clone();
    let work = || calls.iter().filter(|call| !call.poll);
    let ok = work().filter(|call| call.end == End::Answered).count();
    let waiting = work().find(|call| call.end == End::Running);
    let waiting =
        waiting.map(|call| agent.record.elapsed().saturating_sub(call.began)).filter(|age| *age > ms(100));
    let told = format!("{ok} of {} ", work().count());
    match waiting {
        None => format!("{told:<16}"),
        Some(age) => {
            let gap = 16usize.saturating_sub(told.len());
            format!("{told}{}", paint.warn(&format!("{:<gap$.gap$}", format!("{:.1}s", age.as_secs_f64()))))
        }
    }
}
