//! What follows a refusal: the hook of the caller's is asked, and the stream comes back or ends.

use super::refused::Refused;
use super::{EventStream, Link};
use crate::body::Body;
use crate::error::Error;
use crate::sse::refusal::Reconnection;
use crate::sse::state::Cause;
use crate::telemetry;
use http::{HeaderMap, StatusCode};
use std::task::{Context, Poll, ready};
use std::time::Duration;

impl EventStream {
    /// The response, or what stood in its place, is to be the end of the stream.
    pub(super) fn refused(
        &mut self,
        error: Error,
        head: (StatusCode, HeaderMap),
        asked: Option<Duration>,
        body: Body,
    ) -> Option<Error> {
        self.refusals = self.refusals.saturating_add(1);
        let (in_a_row, ends) = (self.refusals, self.connect.ends);
        self.link = Link::Refused(Box::new(Refused::new(error, head, asked, in_a_row, ends, body)));
        None
    }

    pub(super) fn poll_refused(&mut self, cx: &mut Context<'_>) -> Poll<Option<Error>> {
        let Link::Refused(refused) = &mut self.link else { return Poll::Ready(None) };
        // Whoever cannot come back is not asked.
        let hook = self.settings.reconnect.hook.as_ref().filter(|_| self.connect.repeats);
        let answer = ready!(refused.poll(hook, self.timer.as_mut(), cx));
        let Link::Refused(refused) = std::mem::replace(&mut self.link, Link::Ended) else {
            return Poll::Ready(None);
        };
        let error = refused.error;
        Poll::Ready(match answer {
            Ok(Some(back)) => {
                self.comes_back(error, back);
                None
            }
            Ok(None) => Some(self.fail(error)),
            Err(why) => {
                telemetry::log::stream::hook_failed(&self.name, &why);
                Some(self.fail(error))
            }
        })
    }

    /// As the hook says; from the second refusal in a row on no sooner than the back-off.
    fn comes_back(&mut self, error: Error, back: Reconnection) {
        for (name, value) in &back.headers {
            self.renewed.insert(name, value.clone());
        }
        let drawn = self.draw();
        let wait = if self.refusals > 1 { back.after.max(drawn) } else { back.after };
        let error = self.connect.named(error);
        self.waits(&error, Cause::Server, wait);
    }
}
