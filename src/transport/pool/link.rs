//! What a connection of the pool is spoken to through, and what is known of it.

use super::connection::Link;
use super::unread::Unread;
use crate::body::Body;
use crate::reuse::{Lost, Meter, Streams};
use hyper::client::conn::{http1, http2};
use hyper_util::client::legacy::connect::Connected;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// hyper's handle of a connection.
pub(super) struct Hyper {
    pub(super) sender: Sender,
    pub(super) card: Arc<Card>,
}

pub(super) enum Sender {
    One(http1::SendRequest<Body>),
    Many(http2::SendRequest<Body>),
}

/// What is known of a connection, wherever it is.
pub(super) struct Card {
    pub(super) connected: Connected,
    pub(super) meter: Meter,
    pub(super) unread: Unread,
    /// It came back before its task had done with the call before: the task says so when it has had its turn.
    pub(super) turning: AtomicBool,
    /// The task that it lives in; on HTTP/2 the one that hands requests over.
    pub(super) task: Arc<OnceLock<AbortHandle>>,
    /// On HTTP/2 hyper's own task, which reads and writes.
    pub(super) carrier: Option<Arc<OnceLock<AbortHandle>>>,
}

impl Card {
    pub(super) fn streams(&self) -> Option<&Streams> {
        self.meter.streams()
    }

    /// What became of a request on it.
    pub(super) fn lost(&self, cause: hyper::Error, unsent: bool) -> Lost {
        Lost { meter: self.meter.clone(), unsent, cause }
    }
}

impl Hyper {
    /// Whether it carries many calls at a time.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.sender, Sender::Many(_))
    }
}

impl Link for Hyper {
    fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::One(one) => one.is_closed(),
            Sender::Many(many) => many.is_closed(),
        }
    }

    fn is_ready(&self) -> bool {
        match &self.sender {
            Sender::One(one) => one.is_ready(),
            Sender::Many(many) => many.is_ready(),
        }
    }

    fn is_clogged(&self, now: Instant) -> bool {
        self.card.streams().is_some_and(|streams| self.card.unread.is_clogged(streams.arrived(), now))
    }

    fn share(&self) -> Hyper {
        match &self.sender {
            Sender::Many(many) => Hyper { sender: Sender::Many(many.clone()), card: Arc::clone(&self.card) },
            Sender::One(_) => unreachable!("it carries one request at a time and is lent, not shared"),
        }
    }
}

impl fmt::Debug for Hyper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hyper")
    }
}
