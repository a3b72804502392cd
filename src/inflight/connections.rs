//! The connections of a client, in words.

use crate::origin::Origin;
use crate::sync::Arc;
use std::fmt;
use std::time::Duration;

/// The connections of a client to one origin, as seen by an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct OpenConnections {
    /// The client: its name, or its number.
    pub client: Arc<str>,
    /// Where they lead.
    pub origin: String,
    /// `HTTP/1.1` or `HTTP/2`.
    pub protocol: &'static str,
    /// How many there are.
    pub open: usize,
    /// Those with a call on them.
    pub active: usize,
    /// Those without.
    pub idle: usize,
    /// Those of HTTP/2 that are kept for calls which may park: long polls and streams.
    pub parked: usize,
    /// Calls that are on them: on HTTP/2 many on one.
    pub calls: usize,
    /// Calls that wait for one.
    pub waiting: usize,
    /// The age of the oldest.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "oldest_seconds", serialize_with = "crate::duration::written::seconds")
    )]
    pub oldest: Duration,
}

impl fmt::Display for OpenConnections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} of {}, {} in use", self.origin, self.open, self.protocol, self.active)?;
        if self.parked > 0 {
            write!(f, ", {} for parked calls", self.parked)?;
        }
        if self.waiting > 0 {
            write!(f, ", {} calls wait", self.waiting)?;
        }
        write!(f, ", the oldest {:#} old", crate::duration::brief(self.oldest))
    }
}

/// What a pool tells of its connections to one origin.
#[derive(Clone, Debug)]
pub(crate) struct Pooled {
    pub(crate) origin: Origin,
    pub(crate) http2: bool,
    pub(crate) open: usize,
    pub(crate) active: usize,
    pub(crate) parked: usize,
    pub(crate) calls: usize,
    pub(crate) waiting: usize,
    pub(crate) oldest: Duration,
}

impl Pooled {
    /// In words.
    pub(super) fn of(&self, client: &Arc<str>) -> OpenConnections {
        OpenConnections {
            client: Arc::clone(client),
            origin: self.origin.to_string(),
            protocol: if self.http2 { "HTTP/2" } else { "HTTP/1.1" },
            open: self.open,
            active: self.active,
            idle: self.open - self.active,
            parked: self.parked,
            calls: self.calls,
            waiting: self.waiting,
            oldest: self.oldest,
        }
    }
}

/// Asks the pool beneath.
pub(crate) type AskPool = Box<dyn Fn() -> Vec<Pooled> + Send + Sync>;
