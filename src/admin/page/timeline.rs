//! The last hour: a strip for each that had something happen to it, and the news in words.

use super::html::{Text, badge, none};
use crate::admin::history::{Entry, HOUR};
use crate::admin::text::clock;
use std::fmt::Write;
use tokio::time::Instant;

const STRIPS: usize = 10;
const LINES: usize = 25;

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
        // The oldest first, so that the newest lies on top.
        for entry in entries.iter().rev().filter(|entry| entry.name == **name) {
            let ago = now.saturating_duration_since(entry.at).as_secs_f64() / HOUR.as_secs_f64();
            // In steps of ten seconds, so that the strip does not change with every second.
            let x = ((1.0 - ago) * 360.0).floor() / 360.0 * 594.0;
            let tone = entry.tone.as_str();
            let _ = write!(shown, "<rect class=\"{tone}\" x=\"{x:.0}\" y=\"1\" width=\"5\" height=\"12\"/>");
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
