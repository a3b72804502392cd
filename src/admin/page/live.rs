//! What changed, every second, to each page that is open.

use super::sections::{IDS, current};
use crate::admin::rendered::Sections;
use crate::admin::state::State;
use crate::admin::{reply, text};
use crate::sync::Arc;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::response::Response;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use http_body::Frame;
use std::convert::Infallible;
use std::fmt::Write;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// The type of an answer that does not end.
pub(in crate::admin) const EVENTS: &str = "text/event-stream";
const EVERY: Duration = Duration::from_secs(1);

pub(in crate::admin) async fn live(Shared(state): Shared<Arc<State>>) -> Response {
    let Ok(place) = Arc::clone(&state.page.viewers).try_acquire_owned() else {
        let mut full = reply::line(StatusCode::SERVICE_UNAVAILABLE, "enough pages are live, reload this one");
        full.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
        return full;
    };
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let events = Events { state, ticks, sent: None, _place: place };
    reply::with(StatusCode::OK, EVENTS, Body::new(events))
}

/// Server-sent events, one for each part that changed, named by its id. One who reads slowly gets fewer.
struct Events {
    state: Arc<State>,
    ticks: Interval,
    sent: Option<Sections>,
    _place: OwnedSemaphorePermit,
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        ready!(self.ticks.poll_tick(cx));
        let now = current(&self.state);
        let mut news = if self.sent.is_none() { "retry: 1000\n".to_owned() } else { String::new() };
        for (at, (id, part)) in IDS.iter().zip(&now).enumerate() {
            let same = self.sent.as_ref().is_some_and(|sent| sent[at] == *part);
            if !same {
                // A part has no line breaks: see `Text`.
                let _ = write!(news, "event: {id}\ndata: {part}\n\n");
            }
        }
        let _ = write!(news, "event: up\ndata: {}\n\n", self.state.program.up());
        let _ = write!(news, "event: beat\ndata: {}\n\n", text::now());
        self.sent = Some(now);
        Poll::Ready(Some(Ok(Frame::data(news.into()))))
    }
}
