//! Between and beside the calls: queues, event streams, child processes; and what of all that is well.

use super::html::{badge, bar, row};
use crate::admin::text::brief;
use crate::breaker::{Phase, Snapshot};
use crate::registry::{ProcessView, QueueView, StreamView};
use std::fmt::Write;
use std::time::Duration;

/// How much of a limit is used up.
fn part(of: Duration, limit: Duration) -> Option<f64> {
    (!limit.is_zero()).then(|| of.as_secs_f64() / limit.as_secs_f64())
}

pub(super) fn is_closed(breaker: &Snapshot) -> bool {
    matches!(breaker.phase, Phase::Closed | Phase::Disabled)
}

/// What is in trouble comes first in the list.
pub(super) fn is_queue_well(shown: &QueueView) -> bool {
    shown.held_for.is_none() && shown.oldest.is_none_or(|oldest| oldest <= shown.max_age)
}

pub(super) fn queue(shown: &QueueView) -> String {
    let oldest = shown.oldest;
    let late = oldest.is_some_and(|oldest| oldest > shown.max_age);
    let slow = oldest.and_then(|oldest| part(oldest, shown.max_age)).is_some_and(|part| part > 0.8);
    let (tone, word) = match (shown.held_for, oldest) {
        (Some(_), _) => ("bad", "valve holds"),
        _ if late => ("bad", "too old"),
        _ if slow => ("warn", "waiting"),
        (None, Some(_)) => ("good", "waiting"),
        (None, None) if shown.closed => ("calm", "closed"),
        (None, None) => ("calm", "empty"),
    };
    let said = match oldest {
        Some(oldest) => format!("oldest {}, expires at {}", brief(oldest), brief(shown.max_age)),
        None => format!("expires at {}", brief(shown.max_age)),
    };
    let mut text = format!("{} of {} places taken", shown.waiting, shown.capacity);
    match shown.held_for {
        Some(held) => {
            let _ = write!(text, " \u{b7} its valve has held back what is too old for {}", brief(held));
        }
        None if late => text.push_str(" \u{b7} what is too old waits for a sweep"),
        None if shown.has_valve => text.push_str(" \u{b7} valve open"),
        None => {}
    }
    for (n, word) in [(shown.expired, "expired"), (shown.refused, "refused")] {
        if n > 0 {
            let _ = write!(text, " \u{b7} {n} {word}");
        }
    }
    if shown.closed && shown.waiting > 0 {
        text.push_str(" \u{b7} closed");
    }
    let part = oldest.and_then(|oldest| part(oldest, shown.max_age));
    row(tone, shown.name, &bar(tone, part, &said), &badge(tone, word), &text)
}

pub(super) fn is_stream_well(shown: &StreamView) -> bool {
    matches!(shown.state, "connected" | "idle") || (shown.state == "ended" && shown.error.is_none())
}

pub(super) fn stream(shown: &StreamView) -> String {
    let well = is_stream_well(shown);
    let tone = match shown.state {
        "connected" => "good",
        "connecting" if shown.lost == 0 => "calm",
        "connecting" => "warn",
        _ if well => "calm",
        _ => "bad",
    };
    let last = match shown.last_event {
        Some(ago) => format!("last event {} ago", brief(ago)),
        None => "no event yet".to_owned(),
    };
    let (elapsed, said) = match shown.next_try {
        Some(left) => {
            let gone = part(shown.wait.saturating_sub(left), shown.wait);
            (gone, format!("next try in {}; {last}", brief(left)))
        }
        None => (None, last),
    };
    let mut text = String::new();
    let mut say = |words: &str| {
        let gap = if text.is_empty() { "" } else { " \u{b7} " };
        let _ = write!(text, "{gap}{words}");
    };
    if !well {
        if let Some(error) = &shown.error {
            say(error);
        }
        if shown.attempt > 1 {
            say(&format!("attempt {}", shown.attempt));
        }
    }
    if shown.lost > 0 {
        say(&format!("lost {}", times(shown.lost)));
    }
    if shown.name != shown.origin {
        say(&shown.origin);
    }
    row(tone, &shown.name, &bar(tone, elapsed, &said), &badge(tone, shown.state), &text)
}

fn times(n: u64) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}

pub(super) fn process(shown: &ProcessView) -> String {
    let used = part(shown.age, shown.limit);
    let (tone, word) = match used {
        _ if shown.ending => ("bad", "ending"),
        Some(used) if used > 0.8 => ("warn", "running"),
        _ => ("good", "running"),
    };
    let left = shown.limit.saturating_sub(shown.age);
    let said = format!("{} of {}", brief(shown.age), brief(shown.limit));
    let text = match shown.ending {
        true => format!("pid {}, asked to end, killed after its grace", shown.pid),
        false => format!("pid {}, {} left", shown.pid, brief(left)),
    };
    row(tone, &shown.command, &bar(tone, used, &said), &badge(tone, word), &text)
}
