//! What arrived at a peer.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Version};

/// Requests kept with their content; later ones are still counted.
const MAX_REQUESTS: usize = 10_000;
/// Bytes of one request body that are kept.
pub(super) const MAX_BODY: usize = 1024 * 1024;
/// Bytes of all request bodies of a peer that are kept.
const MAX_BODIES: usize = 32 * 1024 * 1024;

/// One request as it arrived.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Received {
    /// The method.
    pub method: Method,
    /// HTTP/1.0, 1.1 or 2.
    pub version: Version,
    /// The request target as it was sent, with its query.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as far as it arrived and was kept: at most 1 MiB of one request and 32 MiB of all.
    pub body: Bytes,
    /// How many bytes of the body arrived.
    pub body_len: u64,
    /// Whether the request arrived to its end.
    pub complete: bool,
    /// The connection it came on, counted from 1.
    pub connection: u64,
    /// When its head was complete, since the peer's start.
    pub at: Duration,
    /// Whether the script had nothing left to say to it.
    pub ran_out: bool,
}

impl Received {
    /// The request target without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }

    /// The query, if there is one.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The first value of a header, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The bounded record of a peer.
#[derive(Debug, Default)]
pub(super) struct Log {
    kept: Vec<Received>,
    /// Requests before the last reset, so that a late body finds no stranger's entry.
    base: u64,
    count: u64,
    bodies: usize,
    ran_out: bool,
}

impl Log {
    /// Keeps a request and returns its number, under which the body follows.
    pub(super) fn push(&mut self, received: Received) -> u64 {
        self.ran_out |= received.ran_out;
        if self.kept.len() < MAX_REQUESTS {
            self.kept.push(received);
        }
        self.count += 1;
        self.base + self.count - 1
    }

    /// The body of request `id`, as far as it came and as far as there is room for it.
    pub(super) fn body(&mut self, id: u64, received: &Received) {
        let index = id.checked_sub(self.base).and_then(|i| usize::try_from(i).ok());
        let Some(entry) = index.and_then(|i| self.kept.get_mut(i)) else {
            return;
        };
        let room = MAX_BODIES.saturating_sub(self.bodies);
        // A slice would keep the whole body alive.
        let fits = received.body.len() <= room;
        entry.body =
            if fits { received.body.clone() } else { Bytes::copy_from_slice(&received.body[..room]) };
        entry.body_len = received.body_len;
        entry.complete = received.complete;
        self.bodies += entry.body.len();
    }

    pub(super) fn clear(&mut self) {
        *self = Log { base: self.base + self.count, ..Log::default() };
    }

    pub(super) fn kept(&self) -> &[Received] {
        &self.kept
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn ran_out(&self) -> bool {
        self.ran_out
    }
}
