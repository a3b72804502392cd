//! The parts of the page, each replaced as a whole when it changes.

use super::html::{Text, badge, bar, none, row};
use super::timeline;
use crate::admin::rendered::Sections;
use crate::admin::state::State;
use crate::admin::text::{brief, circuit};
use crate::breaker::{Phase, Snapshot};
use crate::inflight::{Call, OpenConnections};
use crate::supervise::{State as Doing, Subsystem};
use std::fmt::Write;
use std::sync::Arc;

/// Rows of a list. Those that matter come first, and all others are in the JSON.
const MOST: usize = 100;

/// The ids of the parts, in their order.
pub(super) const IDS: [&str; 6] = ["summary", "subsystems", "breakers", "calls", "polls", "hour"];

/// What is shown now.
pub(super) fn current(state: &State) -> Sections {
    state.page.sections(|| render(state))
}

fn render(state: &State) -> Sections {
    let mut subsystems = state.subsystems();
    let mut breakers = state.breakers();
    let (polls, calls): (Vec<Call>, Vec<Call>) =
        state.in_flight().into_iter().partition(|call| call.long_poll.is_some());
    // A sort that keeps the order of equals.
    subsystems.sort_by_key(|subsystem| !subsystem.stale);
    breakers.sort_by_key(|breaker| matches!(breaker.phase, Phase::Closed | Phase::Disabled));
    [
        summary(state, &subsystems, &breakers, calls.len(), polls.len()),
        list(&subsystems, subsystem, "No subsystem is known.", "/admin/liveness"),
        list(&breakers, breaker, "No origin was called yet.", "/admin/breakers"),
        list(&calls, call, "Nothing is in flight.", "/admin/calls") + &connections(&state.connections()),
        list(&polls, poll, "Nobody waits in a long poll.", "/admin/calls"),
        timeline::render(&state.history.entries()),
    ]
    .map(Arc::from)
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

/// What an operator reads first. It has no ages in it, so that it changes, and is read out, only with the news.
fn summary(
    state: &State,
    subsystems: &[Subsystem],
    breakers: &[Snapshot],
    calls: usize,
    polls: usize,
) -> String {
    let stale = subsystems.iter().filter(|subsystem| subsystem.stale).count();
    let not_closed =
        breakers.iter().filter(|breaker| !matches!(breaker.phase, Phase::Closed | Phase::Disabled)).count();
    let lacks = state.lacks();
    let (tone, word) = match (state.readiness.is_shutting_down(), lacks.is_empty()) {
        (true, _) => ("warn", "Shutting down"),
        (false, false) => ("bad", "Not ready"),
        // An open circuit is the other side's trouble, and still what one came to see.
        (false, true) if stale + not_closed > 0 => ("warn", "Ready, with trouble"),
        (false, true) => ("good", "Ready"),
    };
    let count = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    let mut shown = format!(
        "<p class=\"verdict {tone}\" data-title=\"{word}\">{word}</p><ul class=\"counts\"><li{}><a href=\"#s\">{} of {} stale</a></li>\
         <li{}><a href=\"#b\">{} of {} not closed</a></li><li><a href=\"#c\">{}</a></li><li><a href=\"#p\">{}</a></li></ul>",
        if stale > 0 { " class=\"bad\"" } else { "" },
        stale,
        count(subsystems.len(), "subsystem", "subsystems"),
        if not_closed > 0 { " class=\"bad\"" } else { "" },
        not_closed,
        count(breakers.len(), "circuit", "circuits"),
        count(calls, "call in flight", "calls in flight"),
        count(polls, "long poll", "long polls"),
    );
    if !lacks.is_empty() {
        shown.push_str("<ul class=\"lacks\">");
        for lack in lacks.iter().take(10) {
            // The rest of it has ages in it, and stands with the subsystem.
            let reason = match lack.kind {
                "subsystem" => "is stale",
                _ => lack.reason.as_str(),
            };
            let _ = write!(shown, "<li>{} {} {}</li>", lack.kind, Text(&lack.name), Text(reason));
        }
        shown.push_str("</ul>");
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
            said.strip_prefix(&format!("{}: ", shown.name)).unwrap_or(&said).to_owned()
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

fn call(shown: &Call) -> String {
    let total = shown.deadline_in.map(|left| (shown.age + left).as_secs_f64());
    let part = total.map(|total| shown.age.as_secs_f64() / total);
    let tone = match (part, shown.deadline_in) {
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
    by(&mut text, shown);
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

fn poll(shown: &Call) -> String {
    let mut text = shown.long_poll.clone().unwrap_or_default();
    by(&mut text, shown);
    let (tone, word) = if shown.unbounded { ("warn", "unbounded") } else { ("calm", "long poll") };
    let said = format!("for {}", brief(shown.age));
    let name = format!("{} {}", shown.method, shown.url);
    row(tone, &name, &bar(tone, None, &said), &badge(tone, word), &text)
}

fn by(text: &mut String, call: &Call) {
    let _ = write!(text, " \u{b7} client {}", call.client);
    if let Some(name) = &call.subsystem {
        let _ = write!(text, " \u{b7} by {name}");
    }
}
