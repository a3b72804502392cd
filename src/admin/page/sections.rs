//! The parts of the page, each replaced as a whole when it changes.

use super::html::{badge, bar, none, row};
use super::summary::{Counts, Seen, summary};
use super::{timeline, work};
use crate::admin::rendered::{PARTS, Sections};
use crate::admin::state::State;
use crate::admin::text::{brief, circuit};
use crate::breaker::{Phase, Snapshot};
use crate::inflight::{Call, OpenConnections};
use crate::registry;
use crate::supervise::{State as Doing, Subsystem};
use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Arc;
use tokio::time::Instant;

/// Rows of a list. Those that matter come first, and all others are in the JSON.
const MOST: usize = 100;

/// The ids of the parts, in their order.
pub(super) const IDS: [&str; PARTS] =
    ["summary", "subsystems", "breakers", "calls", "polls", "queues", "streams", "processes", "hour"];

/// What is shown now.
pub(super) fn current(state: &State) -> Sections {
    state.page.sections(|| render(state))
}

fn render(state: &State) -> Sections {
    let now = Instant::now();
    let mut subsystems = state.subsystems();
    let mut breakers = state.breakers();
    let (polls, mut calls): (Vec<InFlight>, Vec<InFlight>) =
        hanging(state.in_flight(), &subsystems).into_iter().partition(|shown| shown.call.long_poll.is_some());
    let mut queues = registry::QUEUES.look(now);
    let mut streams = registry::STREAMS.look(now);
    let mut processes = registry::PROCESSES.look(now);
    // A sort that keeps the order of equals.
    subsystems.sort_by_key(|subsystem| !subsystem.stale);
    breakers.sort_by_key(work::is_closed);
    calls.sort_by_key(|shown| !shown.hangs);
    queues.sort_by_key(work::is_queue_well);
    streams.sort_by_key(work::is_stream_well);
    processes.sort_by_key(|process| !process.ending);
    let counts = Counts { calls: calls.len(), polls: polls.len(), processes: processes.len() };
    [
        summary(
            state,
            &Seen { subsystems: &subsystems, breakers: &breakers, queues: &queues, streams: &streams },
            counts,
        ),
        list(&subsystems, subsystem, "No subsystem is known.", "/admin/liveness"),
        list(&breakers, breaker, "No origin was called yet.", "/admin/breakers"),
        list(&calls, call, "Nothing is in flight.", "/admin/calls") + &connections(&state.connections()),
        list(&polls, poll, "Nobody waits in a long poll.", "/admin/calls"),
        list(&queues, work::queue, "There is no queue.", "/admin/queues"),
        list(&streams, work::stream, "There is no event stream.", "/admin/streams"),
        list(&processes, work::process, "No child process runs.", "/admin/processes"),
        timeline::render(&state.history.entries()),
    ]
    .map(Arc::from)
}

/// A call, and whether a stale loop hangs in it.
struct InFlight {
    call: Call,
    hangs: bool,
}

/// The oldest call of each stale loop is the one that it hangs in. `calls` has the oldest first.
fn hanging(calls: Vec<Call>, subsystems: &[Subsystem]) -> Vec<InFlight> {
    let stale = subsystems.iter().filter(|subsystem| subsystem.stale && subsystem.waits_for.is_some());
    let mut stale: HashSet<&str> = stale.map(|subsystem| subsystem.name.as_str()).collect();
    let hangs = |call: &Call, stale: &mut HashSet<&str>| {
        call.subsystem.as_deref().is_some_and(|name| stale.remove(name))
    };
    calls.into_iter().map(|call| InFlight { hangs: hangs(&call, &mut stale), call }).collect()
}

fn list<T>(all: &[T], show: fn(&T) -> String, nothing: &str, more: &str) -> String {
    let mut shown: String = all.iter().take(MOST).map(show).collect();
    if all.is_empty() {
        shown.push_str(&none(nothing));
    }
    if all.len() > MOST {
        shown.push_str(&none(&format!("{} more: see {more}", all.len() - MOST)));
    }
    shown
}

fn subsystem(shown: &Subsystem) -> String {
    let ago = shown.last_tick_ago.map(brief);
    let is_watched = shown.stale || shown.state == Doing::Working;
    let said = match (&ago, shown.stale_after) {
        (Some(ago), Some(limit)) if is_watched => format!("{ago} ago, stale from {}", brief(limit)),
        (Some(ago), _) => format!("{ago} ago"),
        (None, _) => "never seen".to_owned(),
    };
    let part = match (shown.last_tick_ago, shown.stale_after) {
        (Some(ago), Some(limit)) => Some(ago.as_secs_f64() / limit.as_secs_f64()),
        _ => None,
    };
    let (tone, word, part) = match &shown.state {
        _ if shown.stale => ("bad", "stale", part.or(Some(f64::MAX))),
        Doing::Working => ("good", "working", part),
        // Their age says nothing: it may be as high as it likes.
        Doing::Parked(_) => ("calm", "parked", None),
        Doing::Resting(_) => ("calm", "resting", None),
        Doing::BackOff(_) => ("warn", "restarting", None),
        Doing::Stopped => ("calm", "stopped", None),
    };
    let mut text = match &shown.state {
        _ if shown.stale => {
            let said = shown.to_string();
            let said = said.strip_prefix(&format!("{}: ", shown.name)).unwrap_or(&said);
            format!("{said}{}", in_no_call(shown))
        }
        Doing::Parked(reason) => reason.clone(),
        Doing::Resting(left) => format!("{} to go", brief(*left)),
        Doing::BackOff(left) => format!("starts again in {}", brief(*left)),
        Doing::Working | Doing::Stopped => String::new(),
    };
    if let (Doing::Working, false, Some(call)) = (&shown.state, shown.stale, &shown.waits_for) {
        let _ = write!(text, "in {call}");
    }
    if shown.restarts > 0 {
        let gap = if text.is_empty() { "" } else { " \u{b7} " };
        let times = if shown.restarts == 1 { "once" } else { "times" };
        let n = if shown.restarts == 1 { String::new() } else { format!("{} ", shown.restarts) };
        let _ = write!(text, "{gap}restarted {n}{times}");
    }
    row(tone, &shown.name, &bar(tone, part, &said), &badge(tone, word), &text)
}

/// What is left to think of where a stale loop waits for no call, and the text does not say yet.
fn in_no_call(shown: &Subsystem) -> &'static str {
    let is_said = shown.waits_for.is_some() || shown.to_string().contains("in no call");
    match (&shown.state, shown.is_polled) {
        (Doing::Working, _) if is_said || shown.last_tick_ago.is_none() && !shown.is_polled => "",
        // Its thread comes and goes.
        (Doing::Working, true) => "; in no call: a lock or a channel",
        (Doing::Working, false) => "; in no call: a blocked thread, a lock or a channel",
        _ => "",
    }
}

fn breaker(shown: &Snapshot) -> String {
    let (tone, word) = match shown.phase {
        Phase::Closed => ("good", "closed"),
        Phase::HalfOpen => ("warn", "half-open"),
        Phase::Open => ("bad", "open"),
        Phase::ForcedOpen => ("bad", "forced open"),
        Phase::Disabled => ("calm", "disabled"),
    };
    let (part, said) = match (shown.phase, shown.retry_in) {
        (Phase::Open, Some(left)) => {
            let gone = shown.in_phase_for.as_secs_f64();
            (Some(gone / (gone + left.as_secs_f64())), format!("next probe in {}", brief(left)))
        }
        _ => (None, format!("for {}", brief(shown.in_phase_for))),
    };
    let mut text = match shown.phase {
        Phase::HalfOpen => {
            format!("{} probes in flight, {} passed", shown.probes_in_flight, shown.probes_passed)
        }
        Phase::ForcedOpen => "refuses calls until it is released".to_owned(),
        Phase::Open => "refuses calls".to_owned(),
        Phase::Disabled => "admits everything".to_owned(),
        Phase::Closed => format!("{} of {} calls failed", shown.failures, shown.calls),
    };
    if let (Some(down), true) = (shown.opened_for, shown.phase != Phase::Closed) {
        let _ = write!(text, " \u{b7} not closed for {}", brief(down));
    }
    if let Some(opens) = shown.gate_opens_in {
        let _ =
            write!(text, " \u{b7} {} gates closed by a 429, the next opens in {}", shown.gates, brief(opens));
    }
    if shown.expired_leases > 0 {
        let _ = write!(text, " \u{b7} {} probes never returned", shown.expired_leases);
    }
    let name = circuit(&shown.origin, shown.group.as_ref(), shown.client.as_deref());
    row(tone, &name, &bar(tone, part, &said), &badge(tone, word), &text)
}

fn call(InFlight { call: shown, hangs }: &InFlight) -> String {
    let total = shown.deadline_in.map(|left| (shown.age + left).as_secs_f64());
    let part = total.map(|total| shown.age.as_secs_f64() / total);
    let tone = match (part, shown.deadline_in) {
        _ if *hangs => "bad",
        (_, None) => "bad",
        (Some(part), _) if part > 0.8 => "warn",
        _ => "good",
    };
    let until = shown.deadline_in.map_or("no deadline".to_owned(), |left| format!("{} left", brief(left)));
    let said = format!("{}, {until}", brief(shown.age));
    let mut text = format!("{} for {}", shown.phase, brief(shown.in_phase));
    if shown.attempt > 1 {
        let _ = write!(text, " \u{b7} attempt {} of {}", shown.attempt, shown.attempts_allowed);
    }
    by(&mut text, shown, *hangs);
    row(tone, &format!("{} {}", shown.method, shown.url), &bar(tone, part, &said), "", &text)
}

/// What the calls go out on.
fn connections(all: &[OpenConnections]) -> String {
    if all.is_empty() { String::new() } else { list(all, connection, "", "/admin/calls") }
}

fn connection(shown: &OpenConnections) -> String {
    let tone = if shown.waiting > 0 { "warn" } else { "calm" };
    let said = format!("{} of {} in use", shown.active, shown.open);
    let mut text = format!("{}, the oldest {} old", shown.protocol, brief(shown.oldest));
    if shown.parked > 0 {
        let _ = write!(text, " \u{b7} {} for parked calls", shown.parked);
    }
    if shown.waiting > 0 {
        let _ = write!(text, " \u{b7} {} calls wait for one", shown.waiting);
    }
    let _ = write!(text, " \u{b7} client {}", shown.client);
    let share = shown.active as f64 / shown.open.max(1) as f64;
    row(tone, &shown.origin, &bar(tone, Some(share), &said), &badge(tone, "connections"), &text)
}

fn poll(InFlight { call: shown, hangs }: &InFlight) -> String {
    let mut text = shown.long_poll.clone().unwrap_or_default();
    by(&mut text, shown, *hangs);
    let (tone, word) = match (hangs, shown.unbounded) {
        (true, _) => ("bad", "long poll"),
        (_, true) => ("warn", "unbounded"),
        _ => ("calm", "long poll"),
    };
    let said = format!("for {}", brief(shown.age));
    let name = format!("{} {}", shown.method, shown.url);
    row(tone, &name, &bar(tone, None, &said), &badge(tone, word), &text)
}

fn by(text: &mut String, call: &Call, hangs: bool) {
    let _ = write!(text, " \u{b7} client {}", call.client);
    if let Some(name) = &call.subsystem {
        let stale = if hangs { ", which is stale and hangs here" } else { "" };
        let _ = write!(text, " \u{b7} by {name}{stale}");
    }
}
