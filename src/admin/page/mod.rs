//! The status page: one document, complete without scripts, kept up to date by events where there are some.

mod html;
mod live;
mod sections;
mod timeline;

pub(super) use live::live;
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
const POLICY: &str = "default-src 'none'; style-src 'sha256-MUyU74/MYhzQhVA1MYkkL9kJGUbUBReamegnWazgxu0='; script-src 'sha256-q8i9CEzcca6GOf9+HIyY8SNkmvfYbtdSJPqY6bUWfFI='; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) async fn page(Shared(state): Shared<Arc<State>>) -> Response {
    state.keep();
    let parts = sections::current(&state);
    let lists = [
        ("s", "Subsystems", "age of the last sign of life, against the mark from where on it is stale"),
        ("b", "Circuits", "one for each origin, and each group of one"),
        ("c", "Calls in flight", "oldest first, age against deadline"),
        ("p", "Long polls", "calls that may wait, and why"),
        ("h", "Last hour", "times are UTC"),
    ];
    let mut body = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Status</title>\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">\
         <noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript><style>{STYLE}</style></head><body>\
         <header><h1>Status</h1><p id=\"link\">as of <time id=\"beat\">{}</time> UTC <b id=\"news\"></b></p>\
         <div id=\"summary\" role=\"status\">{}</div></header><main>",
        text::now(),
        parts[0]
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
