//! What comes over a connection that stands: events for the reader, and its end.

use super::{EventStream, Link};
use crate::error::{Error, ErrorKind};
use crate::sse::parser::{Event, Item};
use crate::sse::state::Cause;
use crate::telemetry;
use bytes::Bytes;
use tokio::time::Instant;

impl EventStream {
    /// What the parser made of the bytes: an event or an error for the reader.
    pub(super) fn said(&mut self, item: Item) -> Option<Result<Event, Error>> {
        match item {
            Item::Event { event, named } => {
                (self.event_at, self.events_grace) = (Instant::now(), None);
                self.shown.event(self.event_at);
                if self.settings.end_at.as_deref().is_some_and(|end| *end == *event.data) {
                    self.is_over();
                    return None;
                }
                if named && self.seen.is_repeated(&event.id) {
                    self.status.send_modify(|status| status.duplicates += 1);
                    return None;
                }
                Some(Ok(event))
            }
            Item::Comment => {
                // Nobody comes back from a rhythm that was learnt wrongly where nothing is repeated.
                if self.connect.again {
                    self.cadence.beat(Instant::now());
                }
                None
            }
            Item::Retry(base) => {
                let backoff = &self.settings.reconnect.backoff;
                let (least, cap) = (backoff.get_base(), backoff.get_cap());
                self.backoff = self.settings.reconnect.backoff.with_base(base.clamp(least, cap));
                None
            }
            Item::TooLarge => {
                let sizes = self.settings.sizes;
                let error = self.connect.named(Error::new(
                    ErrorKind::TooLarge,
                    format!(
                        "an event was skipped: above {} bytes, or a line of it above {}",
                        sizes.event, sizes.line
                    ),
                ));
                telemetry::log::stream::too_large(&self.name, &error);
                self.status.send_modify(|status| status.too_large += 1);
                Some(Err(error))
            }
            Item::Endless => {
                let error = Error::new(ErrorKind::Transport, "an event above its size limit did not end");
                if self.connect.again {
                    self.again(error, Some(Cause::Server))
                } else {
                    Some(self.fail(error))
                }
                .map(Err)
            }
        }
    }

    /// A frame of the body, its end, or what it broke of.
    pub(super) fn read(&mut self, frame: Option<Result<http_body::Frame<Bytes>, Error>>) -> Option<Error> {
        match frame {
            Some(Ok(frame)) => {
                (self.silent_since, self.grace) = (None, None);
                if let (Link::Open(_, chunk), Ok(data)) = (&mut self.link, frame.into_data()) {
                    *chunk = data;
                }
                self.without_event()
            }
            Some(Err(error)) => self.broke(error),
            None => self.ended(),
        }
    }

    /// The response is over.
    fn ended(&mut self) -> Option<Error> {
        match (&self.settings.end_at, self.connect.again) {
            (_, true) => {
                let error = Error::new(ErrorKind::Transport, "the server ended the event stream");
                self.again(error, Some(Cause::Server))
            }
            (None, false) => {
                self.is_over();
                None
            }
            (Some(end), false) => {
                let detail = format!("the server ended the event stream before {end:?}");
                let error = Error::new(ErrorKind::Transport, detail).at(crate::error::Phase::Body);
                Some(self.fail(error))
            }
        }
    }

    /// The server has said that nothing more is to come.
    pub(super) fn is_over(&mut self) {
        telemetry::log::stream::ended(&self.name, None);
        self.end(None);
    }
}
