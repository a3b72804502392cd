//! The status page: one document, complete without scripts, kept up to date by events where there are some.

mod html;
mod live;
mod sections;
mod summary;
mod timeline;
mod work;

use html::Text;
pub(super) use live::{EVENTS, live};
use sections::IDS;

use super::state::State;
use super::{reply, text};
use crate::sync::Arc;
use axum::extract::State as Shared;
use axum::response::Response;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use http::{HeaderValue, StatusCode};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Nothing but the style and the script above, by their hashes, and events from where the page came from.
const POLICY: &str = "default-src 'none'; style-src 'sha256-qtzDdbtCtLvj3Kvlu0Hs25Y3uhKl2UW3v2rNEx3wYt8='; script-src 'sha256-T404ORUHkWWSK2a6zK3AMcQxWYTAcnaM+8WbwyfY9V8='; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) async fn page(Shared(state): Shared<Arc<State>>) -> Response {
    state.keep();
    let parts = sections::current(&state);
    let lists = [
        ("s", "Subsystems", "age of the last sign of life, against the mark from where on it is stale"),
        ("b", "Circuits", "one for each origin, and each group of one"),
        ("c", "Calls in flight", "oldest first, age against deadline"),
        ("l", "Long polls", "calls that may wait, and why"),
        ("q", "Queues", "age of the oldest item, against the age at which it expires"),
        ("e", "Event streams", "state, last event and next try"),
        ("x", "Processes", "age against limit"),
        ("h", "Last hour", "stale until recovered, open until closed; times are UTC"),
    ];
    let program = Text(&state.program.name).to_string();
    let name = format!("{program} on {}, pid {}", Text(&state.program.host), std::process::id());
    // As the verdict is now: without scripts it stands so until the page is loaded again.
    let verdict = parts[0].split("data-title=\"").nth(1).and_then(|rest| rest.split('"').next());
    let title = format!("{} \u{b7} {name}", verdict.unwrap_or("Status"));
    let mut body = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">\
         <noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript><style>{STYLE}</style></head><body data-page=\"{name}\">\
         <header><h1>{program}</h1> <span class=\"of\">host {host}, pid {pid}, up <span id=\"up\">{up}</span></span>\
         <p id=\"link\">as of <time id=\"beat\">{now}</time> UTC <b id=\"news\" aria-hidden=\"true\"></b></p>\
         <p id=\"old\" class=\"heard\" role=\"status\"></p>\
         <div id=\"summary\" role=\"status\">{summary}</div></header><main>",
        now = text::now(),
        summary = parts[0],
        up = state.program.up(),
        pid = std::process::id(),
        host = Text(&state.program.host),
    );
    for ((anchor, title, about), (id, part)) in lists.iter().zip(IDS.iter().zip(&parts).skip(1)) {
        body.push_str(&format!(
            "<section aria-labelledby=\"{anchor}\"><h2 id=\"{anchor}\" tabindex=\"-1\">{title} <small>{about}</small></h2><ul id=\"{id}\">{part}</ul></section>"
        ));
    }
    body.push_str(&format!("</main><script>{SCRIPT}</script></body></html>\n"));
    let mut response = reply::with(StatusCode::OK, "text/html; charset=utf-8", body);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

#[cfg(test)]
mod tests;
