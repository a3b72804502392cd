//! What an operator reads first. It has no ages in it, so that it changes, and is read out, only with the news.

use super::html::Text;
use super::work::{is_closed, is_queue_well, is_stream_well};
use crate::admin::expect::NotReady;
use crate::admin::state::State;
use crate::admin::text::circuit;
use crate::breaker::Snapshot;
use crate::registry::{QueueView, StreamView};
use crate::supervise::{Subsystem, Verdict};
use std::fmt::Write;

/// Causes that are written out.
const MOST: usize = 10;

/// What the page shows, as far as it can be in trouble.
pub(super) struct Seen<'a> {
    pub(super) subsystems: &'a [Subsystem],
    pub(super) breakers: &'a [Snapshot],
    pub(super) queues: &'a [QueueView],
    pub(super) streams: &'a [StreamView],
}

/// How much there is of what cannot.
pub(super) struct Counts {
    pub(super) calls: usize,
    pub(super) polls: usize,
    pub(super) processes: usize,
}

pub(super) fn summary(state: &State, seen: &Seen<'_>, counts: Counts) -> String {
    let lacks = state.lacks();
    let troubles = troubles(seen);
    let (tone, word) = match (state.readiness.is_shutting_down(), lacks.is_empty()) {
        (true, _) => ("warn", "Shutting down"),
        (false, false) => ("bad", "Not ready"),
        // An open circuit is the other side's trouble, and still what one came to see.
        (false, true) if !troubles.is_empty() => ("warn", "Ready, with trouble"),
        (false, true) => ("good", "Ready"),
    };
    let mut causes: Vec<String> = lacks.iter().filter_map(|lack| cause(lack, seen)).collect();
    for trouble in troubles {
        if !causes.contains(&trouble) {
            causes.push(trouble);
        }
    }
    let mut causes = causes.into_iter();
    let first = causes.next().map(|cause| format!(": {}", Text(&cause))).unwrap_or_default();
    let mut shown = format!("<p class=\"verdict {tone}\" data-title=\"{word}\">{word}{first}</p>");
    let more = causes.len();
    if more > 0 {
        shown.push_str("<ul class=\"lacks\">");
        for cause in causes.take(MOST) {
            let _ = write!(shown, "<li>{}</li>", Text(&cause));
        }
        if more > MOST {
            let _ = write!(shown, "<li>and {} more</li>", more - MOST);
        }
        shown.push_str("</ul>");
    }
    shown.push_str(&counted(seen, &counts));
    shown
}

/// What is in no good state, although the program may be ready.
fn troubles(seen: &Seen<'_>) -> Vec<String> {
    let stale = seen.subsystems.iter().filter(|subsystem| subsystem.stale).map(silence);
    let open = seen.breakers.iter().filter(|breaker| !is_closed(breaker)).map(|breaker| {
        let name = circuit(&breaker.origin, breaker.group.as_ref(), breaker.client.as_deref());
        not_closed(&name, breaker.phase.as_str())
    });
    let queues = seen.queues.iter().filter(|queue| !is_queue_well(queue)).map(|queue| match queue.held_for {
        Some(_) => format!("queue {}: its valve holds back what is too old", queue.name),
        None => format!("queue {}: items are too old and wait for a sweep", queue.name),
    });
    let streams = seen.streams.iter().filter(|stream| is_lost(stream)).map(|stream| match stream.cause {
        Some(cause) => format!("event stream {} is lost ({cause})", stream.name),
        None => format!("event stream {} is lost", stream.name),
    });
    stale.chain(open).chain(queues).chain(streams).collect()
}

/// A stream that connects for the first time is in no trouble.
fn is_lost(stream: &StreamView) -> bool {
    !(is_stream_well(stream) || stream.state == "connecting" && stream.lost == 0)
}

fn not_closed(name: &str, phase: &str) -> String {
    format!("circuit {name} is {}", phase.replace('_', "-"))
}

/// Why it is not ready, in a sentence; `None` where the headline says it already.
fn cause(lack: &NotReady, seen: &Seen<'_>) -> Option<String> {
    let NotReady { kind, name, reason } = lack;
    Some(match *kind {
        "crew" if reason == "is being ended" => return None,
        "crew" => format!("the crew {reason}"),
        "subsystem" => match seen.subsystems.iter().find(|subsystem| subsystem.name == *name) {
            Some(subsystem) => silence(subsystem),
            None => format!("{name} is stale"),
        },
        "breaker" => not_closed(name, reason.strip_prefix("is ").unwrap_or(reason)),
        _ => format!("{kind} {name}: {reason}"),
    })
}

/// What is wrong with a stale subsystem, and where it waits.
fn silence(subsystem: &Subsystem) -> String {
    let name = &subsystem.name;
    let what = match subsystem.verdict {
        Verdict::NeverSeen => "was never seen",
        Verdict::NotProgressing(_) => "is alive and makes no progress",
        Verdict::Overslept(_) => "did not come back from its rest",
        Verdict::Silent(_) | Verdict::Fresh => "makes no progress",
    };
    // Method and URL; what follows are ages.
    let call = subsystem.waits_for.as_deref().and_then(|call| call.split(", ").next());
    match (call, subsystem.in_poll_for) {
        (Some(call), _) => format!("{name} {what}, in {call}"),
        (None, Some(_)) => format!("{name} {what}, its thread is inside poll"),
        (None, None) => format!("{name} {what}"),
    }
}

fn counted(seen: &Seen<'_>, counts: &Counts) -> String {
    let count = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    let class = |bad: usize| if bad > 0 { " class=\"bad\"" } else { "" };
    let mut shown = String::from("<ul class=\"counts\">");
    let mut of = |anchor: &str, bad: usize, all: String, word: &str| {
        let _ = write!(shown, "<li{}><a href=\"#{anchor}\">{bad} of {all} {word}</a></li>", class(bad));
    };
    let stale = seen.subsystems.iter().filter(|subsystem| subsystem.stale).count();
    of("s", stale, count(seen.subsystems.len(), "subsystem", "subsystems"), "stale");
    let open = seen.breakers.iter().filter(|breaker| !is_closed(breaker)).count();
    of("b", open, count(seen.breakers.len(), "circuit", "circuits"), "not closed");
    // What a program does not have is no news.
    if !seen.queues.is_empty() {
        let late = seen.queues.iter().filter(|queue| !is_queue_well(queue)).count();
        of("q", late, count(seen.queues.len(), "queue", "queues"), "too old");
    }
    if !seen.streams.is_empty() {
        let lost = seen.streams.iter().filter(|stream| is_lost(stream)).count();
        of("e", lost, count(seen.streams.len(), "event stream", "event streams"), "lost");
    }
    for (anchor, all) in [
        ("c", count(counts.calls, "call in flight", "calls in flight")),
        ("l", count(counts.polls, "long poll", "long polls")),
        ("x", count(counts.processes, "process", "processes")),
    ] {
        if anchor != "x" || counts.processes > 0 {
            let _ = write!(shown, "<li><a href=\"#{anchor}\">{all}</a></li>");
        }
    }
    shown + "</ul>"
}
