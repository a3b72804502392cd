//! A connection in the hands of a call: its own on HTTP/1, a slot of it on HTTP/2.

use super::connection::Link;
use super::dial::go_on;
use super::hint::keeps;
use super::link::{Card, Hyper, Sender};
use super::origin::{Id, Taken};
use super::site::Site;
use crate::body::Body;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::TrySendError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A call that was given up while it waited for head or body takes its HTTP/2 connection out of use if nothing came on
/// that for as long; sooner, the caller changed its mind. (On HTTP/1 giving up always closes the connection.)
const RETIRED_AFTER: Duration = Duration::from_secs(1);
/// A request body of no more bytes is out at once. Of a larger one, or one that comes in pieces, it is not known when it is,
/// and a server that reads it need not say a word until then.
const AT_ONCE: u64 = 16 * 1024;

/// Given back when it is dropped, whatever became of the call.
pub(in crate::transport) struct Lease {
    site: Arc<Site>,
    id: Id,
    /// None once it was given back.
    link: Option<Hyper>,
    /// Since when the call waits for something to come, and how many frames had come before.
    waits: Option<(Instant, u64)>,
    /// The request went out at once, so that whatever time passes is the server's.
    sent: bool,
    /// HTTP/1: the head is there, so that the connection may be of use once the body has been read.
    answered: bool,
    /// HTTP/2: the body that was handed over, among those of its connection.
    body: Option<usize>,
    /// HTTP/1: the body was handed over, and has not come to its end.
    cut: bool,
}

impl Lease {
    pub(super) fn new(site: Arc<Site>, taken: Taken<Hyper>, now: Instant) -> Lease {
        let Taken { id, link } = taken;
        let frames = link.card.streams().map_or(0, |streams| streams.frames());
        Lease {
            site,
            id,
            link: Some(link),
            waits: Some((now, frames)),
            sent: false,
            answered: false,
            body: None,
            cut: false,
        }
    }

    pub(super) fn card(&self) -> Option<&Arc<Card>> {
        self.link.as_ref().map(|link| &link.card)
    }

    fn is_shared(&self) -> bool {
        self.link.as_ref().is_some_and(Hyper::is_shared)
    }

    /// Hands the request to the connection.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        let Some(link) = &mut self.link else { unreachable!("it is given back when it is dropped") };
        link.card.meter.begins();
        self.sent = request.body().size_hint().exact().is_some_and(|bytes| bytes <= AT_ONCE);
        match &mut link.sender {
            Sender::One(one) => one.try_send_request(request).await,
            Sender::Many(many) => many.try_send_request(request).await,
        }
    }

    /// The head has come. What is to be kept until the end of the body.
    pub(super) fn answered(mut self, head: (&StatusCode, Version, &HeaderMap), ended: bool) -> Option<Lease> {
        let (status, version, headers) = head;
        self.waits = None;
        self.answered = true;
        let Some(link) = &self.link else { return None };
        link.card.meter.served();
        if self.is_shared() {
            if *status == StatusCode::MISDIRECTED_REQUEST {
                self.leave();
            }
            return (!ended).then_some(self);
        }
        let (ready, now) = (link.is_ready(), Instant::now());
        let keeps = if version < Version::HTTP_2 { keeps(headers) } else { None };
        if *status == StatusCode::MISDIRECTED_REQUEST {
            self.leave();
        } else if keeps.is_some() {
            let id = self.id;
            self.site.with(now, |origin| {
                if let Some(entry) = origin.entry(id) {
                    entry.keeps = keeps;
                }
            });
        }
        // What is left of the body has been read from the connection.
        (!ready && !ended).then_some(self)
    }

    /// No further call uses the connection, nor, where this one was refused by it, those that are idle now to repeat it.
    pub(in crate::transport) fn leave(&self) {
        let id = self.id;
        self.site.with(Instant::now(), |origin| {
            origin.retire(id);
            origin.doubt();
        });
        go_on(&self.site);
    }

    /// It was idle, and turned out to be stale.
    pub(super) fn was_stale(&self) {
        self.site.with(Instant::now(), |origin| origin.doubt());
    }

    /// The body is handed over.
    pub(in crate::transport) fn body_begins(&mut self) {
        self.cut = !self.is_shared();
        if let (true, Some(card)) = (self.is_shared(), self.card()) {
            let arrived = card.streams().map_or(0, |streams| streams.arrived());
            self.body = Some(card.unread.enter(arrived, Instant::now()));
        }
    }

    /// The reader of the body waits for more.
    pub(in crate::transport) fn wait_begins(&mut self) {
        if let (Some(body), Some(card)) = (self.body, self.card()) {
            card.unread.waits(body);
            let frames = card.streams().map_or(0, |streams| streams.frames());
            self.waits = Some((Instant::now(), frames));
        }
    }

    /// It got so many bytes.
    pub(in crate::transport) fn took(&mut self, bytes: usize) {
        self.waits = None;
        if let (Some(body), Some(card)) = (self.body, self.card()) {
            card.unread.took(body, bytes, Instant::now());
        }
    }

    /// The body has come to its end.
    pub(in crate::transport) fn ended(mut self) {
        self.waits = None;
        self.cut = false;
        if let (Some(body), Some(card)) = (self.body.take(), self.card()) {
            card.unread.leave(body, None);
        }
    }

    /// Nothing came since the call began to wait, for long enough.
    fn was_in_vain(&self, now: Instant) -> bool {
        let Some((since, frames)) = self.waits else { return false };
        let streams = self.card().and_then(|card| card.streams());
        now.saturating_duration_since(since) >= RETIRED_AFTER
            && streams.is_some_and(|streams| streams.frames() == frames)
    }
}

impl Lease {
    /// HTTP/1: since when, with the request out, not a byte came on a connection that had served before, which did not end either.
    fn was_silent(&self, now: Instant) -> Option<Instant> {
        let since = self.waits.filter(|_| self.sent)?.0;
        let link = self.link.as_ref()?;
        let long = now.saturating_duration_since(since) >= RETIRED_AFTER;
        (long && !link.is_closed() && link.card.meter.was_silent()).then_some(since)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let now = Instant::now();
        if let (Some(body), Some(card)) = (self.body, self.card()) {
            card.unread.leave(body, card.streams().map(|streams| streams.arrived()));
        }
        let (in_vain, silent) = (self.was_in_vain(now), self.was_silent(now));
        let Some(link) = self.link.take() else { return };
        if in_vain {
            self.site.with(now, |origin| origin.retire(self.id));
        } else if self.cut && !link.is_ready() {
            // The rest of its body is still to come, and the task of the connection would wait for that.
            if let Some(task) = link.card.task.get() {
                task.abort();
            }
        }
        if let Some(since) = silent {
            self.site.with(now, |origin| origin.doubt_silent(self.id, since));
        }
        self.site.put_back(self.id, link, self.answered, now);
        if in_vain {
            go_on(&self.site);
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.id).finish()
    }
}
