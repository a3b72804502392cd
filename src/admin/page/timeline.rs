//! The last hour: a strip of intervals for each that had something happen to it, and the news in words.

use super::html::{Text, badge, none};
use crate::admin::history::{Entry, HOUR, Span, Tone};
use crate::admin::text::clock;
use std::fmt::Write;
use std::time::Duration;
use tokio::time::Instant;

const STRIPS: usize = 10;
const LINES: usize = 25;
/// A strip is so wide, and an interval at the least so much of it: as narrow as can be seen.
const WIDE: u64 = 600;
const NARROWEST: u64 = 5;
/// In steps of ten seconds, so that a strip does not change with every second.
const STEP: Duration = Duration::from_secs(10);

/// `entries` has the newest first.
pub(super) fn render(entries: &[Entry]) -> String {
    if entries.is_empty() {
        return none("No restart, panic, stale subsystem or change of a circuit in the last hour.");
    }
    let now = Instant::now();
    let mut names: Vec<&str> = Vec::new();
    for entry in entries {
        if !names.contains(&entry.name.as_str()) {
            names.push(&entry.name);
        }
    }
    let mut shown = String::from("<li class=\"strips\">");
    for name in names.iter().take(STRIPS) {
        let _ = write!(shown, "<span class=\"name\">{}</span>", Text(name));
        shown.push_str(
            "<svg class=\"strip\" viewBox=\"0 0 600 14\" preserveAspectRatio=\"none\" aria-hidden=\"true\">",
        );
        shown.push_str("<rect class=\"track\" y=\"6\" width=\"600\" height=\"2\"/>");
        for ten in 1..6 {
            let _ =
                write!(shown, "<rect class=\"track\" x=\"{}\" y=\"3\" width=\"1\" height=\"8\"/>", ten * 100);
        }
        let own = entries.iter().rev().filter(|entry| entry.name == **name);
        for Interval { from, to, tone } in intervals(own, now) {
            let (x, width, tone) = (from, to - from, tone.as_str());
            let _ =
                write!(shown, "<rect class=\"{tone}\" x=\"{x}\" y=\"1\" width=\"{width}\" height=\"12\"/>");
        }
        shown.push_str("</svg>");
    }
    shown.push_str("<span class=\"name\"></span><span class=\"scale\"><small>1 h ago</small><small>30 m</small><small>now</small></span></li>");
    for entry in entries.iter().take(LINES) {
        let _ = write!(
            shown,
            "<li class=\"news\"><time>{}</time>{}<span class=\"name\">{}</span><span class=\"text\">{}</span></li>",
            clock(entry.wall),
            badge(entry.tone.as_str(), entry.word),
            Text(&entry.name),
            Text(&entry.text)
        );
    }
    shown
}

/// A part of a strip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interval {
    from: u64,
    to: u64,
    tone: Tone,
}

/// What one name went through, in the order in which it is drawn: what is worse lies on top. Its entries come the oldest
/// first.
fn intervals<'a>(entries: impl Iterator<Item = &'a Entry>, now: Instant) -> Vec<Interval> {
    let mut all = Vec::new();
    let mut under_way: Option<(Instant, Tone)> = None;
    for entry in entries {
        let moment = Interval { from: place(entry.at, now), to: 0, tone: entry.tone };
        if entry.span == Span::Moment {
            all.push(moment);
            continue;
        }
        let began = match (under_way.take(), entry.span) {
            // It began before what is still known.
            (None, Span::Ends(Some(after))) => entry.at.checked_sub(after).map(|at| (at, Tone::Bad)),
            (began, _) => began,
        };
        if let Some((at, tone)) = began {
            all.push(Interval { from: place(at, now), to: place(entry.at, now), tone });
        }
        match entry.span {
            Span::Begins => under_way = Some((entry.at, entry.tone)),
            _ => all.push(moment),
        }
    }
    if let Some((at, tone)) = under_way {
        all.push(Interval { from: place(at, now), to: WIDE, tone });
    }
    for interval in &mut all {
        interval.from = interval.from.min(WIDE - NARROWEST);
        interval.to = interval.to.clamp(interval.from + NARROWEST, WIDE);
    }
    all.sort_by_key(|interval| interval.tone);
    all
}

/// Where on a strip a moment is.
fn place(at: Instant, now: Instant) -> u64 {
    let steps = HOUR.as_secs() / STEP.as_secs();
    let ago = now.saturating_duration_since(at).as_secs() / STEP.as_secs();
    steps.saturating_sub(ago) * WIDE / steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    const MINUTE: Duration = Duration::from_secs(60);

    fn entry(now: Instant, minutes_ago: u32, tone: Tone, span: Span) -> Entry {
        let wall = SystemTime::UNIX_EPOCH;
        let (name, text) = ("relay".to_owned(), String::new());
        Entry { at: now - minutes_ago * MINUTE, wall, name, text, word: "", tone, span }
    }

    fn of(entries: &[Entry], now: Instant) -> Vec<(u64, u64, Tone)> {
        intervals(entries.iter(), now).iter().map(|i| (i.from, i.to, i.tone)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_interval_reaches_from_its_beginning_to_its_end_and_the_worse_lies_above() {
        let now = Instant::now() + HOUR;
        let stale = entry(now, 30, Tone::Bad, Span::Begins);
        let recovered = entry(now, 20, Tone::Good, Span::Ends(Some(11 * MINUTE)));
        assert_eq!(of(&[stale.clone(), recovered], now), [(400, 405, Tone::Good), (300, 400, Tone::Bad)]);
        assert_eq!(of(std::slice::from_ref(&stale), now), [(300, 600, Tone::Bad)], "it lasts still");
        let half_open = entry(now, 10, Tone::Warn, Span::Begins);
        let closed = entry(now, 9, Tone::Good, Span::Ends(None));
        assert_eq!(
            of(&[stale, half_open, closed], now),
            [(510, 515, Tone::Good), (500, 510, Tone::Warn), (300, 500, Tone::Bad)]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_began_before_all_that_is_known_is_an_interval_and_a_moment_ends_none() {
        let now = Instant::now() + 2 * HOUR;
        let recovered = entry(now, 54, Tone::Good, Span::Ends(Some(90 * MINUTE)));
        assert_eq!(of(&[recovered], now), [(60, 65, Tone::Good), (0, 60, Tone::Bad)]);
        let restart = entry(now, 12, Tone::Warn, Span::Begins);
        let panic = entry(now, 6, Tone::Bad, Span::Moment);
        assert_eq!(of(&[restart, panic], now), [(480, 600, Tone::Warn), (540, 545, Tone::Bad)]);
        let stopped = entry(now, 0, Tone::Good, Span::Ends(None));
        assert_eq!(of(&[stopped], now), [(595, 600, Tone::Good)], "nothing leaves the strip");
    }
}
