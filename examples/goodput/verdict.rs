//! How far the stack may be from the best of the others, and what else it promises.

use crate::clients::Client;
use crate::days::Day;
use crate::score::Score;
use std::fmt;

/// How many points of success the stack may lose against the best of: no resilience, retries alone with their budget,
/// the stack without its breaker.
#[derive(Debug)]
pub(crate) struct Margin {
    pub(crate) points: f64,
    pub(crate) why: &'static str,
}

pub(crate) const ORDINARY: Margin =
    Margin { points: 0.2, why: "one call in 500: what the luck of the jitter makes of two runs" };
pub(crate) const THIRD: Margin =
    Margin { points: 1.0, why: "a third of failures, where runs of them are no rarity" };
pub(crate) const HALF: Margin =
    Margin { points: 2.0, why: "half of all attempts fail: one that looks dead now and then" };
pub(crate) const OPEN_WAIT: Margin =
    Margin { points: 2.9, why: "17 s of the 10 min: the longest open wait, and the next call" };
/// A limiter has nothing left over for those who waited for the end of an open wait.
pub(crate) const LIMITED: Margin = Margin {
    points: 2.7,
    why: "a third of the 20 s away may pass before it is asked again, at the share that the limiter lets pass",
};

/// A promise about one client alone.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clause {
    /// So many seconds from the server's return to the next answer.
    BackWithin(u64),
    /// So many requests while the server is away.
    SentInOutage(u64),
    /// At most this share of the calls that are made meanwhile.
    ShareInOutage(f64),
    /// At most this share of requests is answered by 429.
    Throttled(f64),
}

impl Clause {
    fn kept(self, score: &Score) -> bool {
        match self {
            Clause::BackWithin(seconds) => {
                score.back.is_some_and(|back| back.as_secs_f64() <= seconds as f64)
            }
            Clause::SentInOutage(requests) => score.sent_away <= requests,
            Clause::ShareInOutage(share) => score.sent_away as f64 <= share * score.offered_away,
            Clause::Throttled(share) => score.throttled as f64 <= share * score.sent as f64,
        }
    }

    /// What was measured instead.
    fn found(self, score: &Score) -> String {
        match self {
            Clause::BackWithin(_) => match score.back {
                Some(back) => format!("after {:.1} s", back.as_secs_f64()),
                None => "never".to_owned(),
            },
            Clause::SentInOutage(_) => format!("{} requests", score.sent_away),
            Clause::ShareInOutage(_) => format!("{:.3}", score.sent_away as f64 / score.offered_away),
            Clause::Throttled(_) => format!("{:.1} %", 100.0 * score.throttled as f64 / score.sent as f64),
        }
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Clause::BackWithin(seconds) => {
                write!(f, "served again within {seconds} s of the server's return")
            }
            Clause::SentInOutage(requests) => write!(f, "at most {requests} requests while it is away"),
            Clause::ShareInOutage(share) => write!(f, "at most {share} requests a call while it is away"),
            Clause::Throttled(share) => {
                write!(f, "at most {:.0} % of requests are answered by 429", share * 100.0)
            }
        }
    }
}

/// What is promised of the stack on this day, in words.
pub(crate) fn promise(day: &Day) -> String {
    let mut text = format!("at most {} points below the best of the others", day.margin.points);
    for clause in day.clauses {
        text.push_str("; ");
        text.push_str(&clause.to_string());
    }
    text
}

/// Where the stack was worse than it may be on this day, in words; empty where it was not. `scores` has one for each
/// client.
pub(crate) fn worse(day: &Day, scores: &[(Client, Score)]) -> Vec<String> {
    let Some((_, unwedge)) = scores.iter().find(|(client, _)| *client == Client::Unwedge) else {
        return vec!["the stack was not played".to_owned()];
    };
    let best = scores
        .iter()
        .filter(|(client, _)| client.is_rival())
        .max_by(|(_, a), (_, b)| a.success().total_cmp(&b.success()));
    let mut worse = Vec::new();
    if let Some((client, best)) = best {
        let points = 100.0 * (best.success() - unwedge.success());
        // Ten more calls lost than the margin in a thousand times as many are no reason, and no float is exact.
        if points > day.margin.points + 1e-9 {
            worse.push(format!(
                "{:.2} % of calls succeed, {points:.2} points below {} (at most {}: {})",
                100.0 * unwedge.success(),
                client.as_str(),
                day.margin.points,
                day.margin.why
            ));
        }
    }
    for clause in day.clauses.iter().filter(|clause| !clause.kept(unwedge)) {
        worse.push(format!("{clause}: {}", clause.found(unwedge)));
    }
    worse
}
