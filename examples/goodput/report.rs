//! What came of it: a table for people, objects for programs.

use crate::Over;
use crate::clients::Client;
use crate::common::output::millis;
use crate::common::terminal::Paint;
use crate::common::{Object, Output, Stop};
use crate::score::Score;
use std::fmt::Write;
use std::io;
use std::time::Duration;

/// One object for each client on this day.
pub(crate) fn objects(output: Output, over: &Over) -> Result<(), Stop> {
    for (client, score) in &over.scores {
        let object = Object::new()
            .with("day", over.day.name)
            .with("client", client.as_str())
            .with("success", rounded(score.success(), 6))
            .with("sent_per_call", rounded(score.sent_per_call(), 4))
            .with("refused", score.refused)
            .with("recovered_ms", score.back.map(millis))
            .with("calls", score.calls)
            .with("sent_away", score.sent_away)
            .with("throttled", score.throttled);
        let object = match client {
            Client::Unwedge => object.with("worse", over.worse.clone()),
            _ => object,
        };
        output.object(&object)?;
    }
    Ok(())
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

/// A day in each row, then where the stack was worse.
pub(crate) fn table(over: &[Over], seed: u64, paint: Paint) -> String {
    let mut text = String::new();
    let head = format!(
        "{:<16} {:<47}   {:<17}   {:>15}",
        "", "calls that succeed, in %", "requests a call", "unwedge alone"
    );
    let _ = writeln!(text, "{}", paint.bold(head.trim_end()));
    let _ = writeln!(
        text,
        "{}",
        paint.bold(&format!(
            "{:<16} {:>7} {:>9} {:>9} {:>10} {:>8}   {:>8} {:>8}   {:>7} {:>7}",
            "day",
            "none",
            "retries",
            "no budget",
            "no breaker",
            "unwedge",
            "retries",
            "unwedge",
            "refused",
            "back in"
        ))
    );
    for over in over {
        let success = |client: Client| percent(over.of(client).map(Score::success));
        let sent = |client: Client| {
            over.of(client).map_or("-".to_owned(), |score| format!("{:.2}", score.sent_per_call()))
        };
        let own = over.of(Client::Unwedge);
        let share = format!("{:>8}", success(Client::Unwedge));
        let share = if over.worse.is_empty() { paint.good(&share) } else { paint.bad(&share) };
        let _ = writeln!(
            text,
            "{:<16} {:>7} {:>9} {:>9} {:>10} {share}   {:>8} {:>8}   {:>7} {:>7}{}",
            over.day.name,
            success(Client::None),
            success(Client::Retries),
            success(Client::RetriesNoBudget),
            success(Client::NoBreaker),
            sent(Client::Retries),
            sent(Client::Unwedge),
            own.map_or(0, |score| score.refused),
            own.map_or("-".to_owned(), |score| back(score.back)),
            if over.worse.is_empty() { String::new() } else { paint.bad("  WORSE") },
        );
    }
    text.push('\n');
    for over in over {
        for clause in &over.worse {
            let _ = writeln!(text, "{} {:<16} {clause}", paint.bad("WORSE"), over.day.name);
        }
    }
    let worse = over.iter().filter(|over| !over.worse.is_empty()).count();
    let calls: u64 = over.iter().flat_map(|over| &over.scores).map(|(_, score)| score.calls).sum();
    let days = if over.len() == 1 { "1 day".to_owned() } else { format!("{} days", over.len()) };
    let verdict = match worse {
        0 => paint.good("never worse than nothing"),
        n => paint.bad(&format!("worse than nothing on {n}")),
    };
    let _ = write!(
        text,
        "{days}, {verdict}: {calls} calls in virtual time, seed {seed}. back in: from the server's return to the next\n\
         answer, at worst. refused: calls for which nothing was sent. no budget: not compared with."
    );
    text
}

pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| format!("{:.2}", 100.0 * share))
}

fn back(took: Option<Duration>) -> String {
    match took {
        None => "-".to_owned(),
        Some(Duration::MAX) => "never".to_owned(),
        Some(took) => format!("{:.1} s", took.as_secs_f64()),
    }
}

impl Over {
    pub(crate) fn of(&self, client: Client) -> Option<&Score> {
        self.scores.iter().find(|(of, _)| *of == client).map(|(_, score)| score)
    }
}

/// Colours for where the table goes.
pub(crate) fn paint(output: Output) -> Paint {
    if output.is_json() { Paint::on(&io::stderr()) } else { Paint::on(&io::stdout()) }
}
