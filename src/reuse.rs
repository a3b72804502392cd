//! What a connection knows about itself: whether it had served before the request that failed on it, and on HTTP/2 what
//! its frames tell.

#[cfg(feature = "client")]
mod streams;

#[cfg(feature = "client")]
pub(crate) use streams::Streams;

use hyper_util::client::legacy::connect::Connected;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts the turns of a connection: a write after a read begins a new turn. On HTTP/2, where requests share a
/// connection and its two ends talk of themselves as well, a turn is a response head that arrived.
///
/// A connector attaches it to its [`Connected`] as an extra and reports every read and write of plain bytes (above
/// TLS). An end of file on a connection that is past its first turn is the ordinary race of keep-alive and says
/// nothing about the server; on the first turn it does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    turns: AtomicU32,
    #[cfg(feature = "client")]
    streams: Option<Streams>,
    /// Requests that were handed to the connection, where a pool tells.
    #[cfg(feature = "client")]
    requests: AtomicU32,
}

/// The lowest bit says that bytes were read since the last write; the others count turns.
const READ: u32 = 1;
/// The highest bit says that the connection carries streams; then neither reads nor writes are looked at.
const STREAMS: u32 = 1 << 31;

impl Meter {
    /// For a connection of HTTP/2.
    #[cfg(feature = "client")]
    pub(crate) fn of_streams() -> Meter {
        let (turns, streams) = (AtomicU32::new(STREAMS), Some(Streams::default()));
        Meter(Arc::new(Inner { turns, streams, requests: AtomicU32::new(0) }))
    }

    /// A request is handed over.
    #[cfg(feature = "client")]
    pub(crate) fn begins(&self) {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were.
    #[cfg(feature = "client")]
    pub(crate) fn requests(&self) -> u32 {
        self.0.requests.load(Ordering::Relaxed)
    }

    /// What its frames tell, where they are looked at.
    #[cfg(feature = "client")]
    pub(crate) fn streams(&self) -> Option<&Streams> {
        self.0.streams.as_ref()
    }

    /// A response head arrived.
    #[cfg(feature = "client")]
    pub(crate) fn served(&self) {
        let now = self.0.turns.load(Ordering::Relaxed);
        if now == STREAMS {
            self.0.turns.store(STREAMS | (2 * READ), Ordering::Relaxed);
        }
    }

    #[cfg_attr(
        not(any(feature = "client", feature = "testing")),
        expect(dead_code, reason = "connectors count")
    )]
    pub(crate) fn read(&self) {
        if self.0.turns.load(Ordering::Relaxed) & (READ | STREAMS) == 0 {
            self.0.turns.fetch_or(READ, Ordering::Relaxed);
        }
    }

    #[cfg_attr(
        not(any(feature = "client", feature = "testing")),
        expect(dead_code, reason = "connectors count")
    )]
    pub(crate) fn wrote(&self) {
        if self.0.turns.load(Ordering::Relaxed) & (READ | STREAMS) == READ {
            // Clears the bit and carries into the count in one step.
            self.0.turns.fetch_add(READ, Ordering::Relaxed);
        }
    }

    fn turns(&self) -> u32 {
        (self.0.turns.load(Ordering::Relaxed) & !STREAMS) >> 1
    }

    /// The meter of a connection; none for connectors that attach none.
    pub(crate) fn of(connected: &Connected) -> Option<Meter> {
        let mut extras = http::Extensions::new();
        connected.get_extras(&mut extras);
        extras.remove()
    }

    /// Whether the connection had answered an earlier request.
    pub(crate) fn was_reused(&self) -> bool {
        self.turns() > 0
    }

    /// Whether the connection, one that carries one request at a time, had answered an earlier one, and has brought nothing
    /// since the last was written.
    #[cfg(feature = "client")]
    pub(crate) fn was_silent(&self) -> bool {
        self.was_reused() && self.0.turns.load(Ordering::Relaxed) & (READ | STREAMS) == 0
    }

    /// Whether requests share the connection (HTTP/2).
    pub(crate) fn is_shared(&self) -> bool {
        self.0.turns.load(Ordering::Relaxed) & STREAMS != 0
    }
}

/// A request extension: no connection may carry this one that was idle when the attempt before it failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fresh;

/// A request extension: its answer may take long, or never end. It shares no connection with what ends soon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parked;

/// What became of a request on its connection.
pub(crate) struct Lost {
    pub(crate) meter: Meter,
    /// Not a byte of the request was written.
    pub(crate) unsent: bool,
    pub(crate) cause: hyper::Error,
}

impl fmt::Debug for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lost").field("unsent", &self.unsent).field("cause", &self.cause).finish()
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.unsent {
            "the connection ended before the request was sent"
        } else {
            "the request was lost"
        })
    }
}

impl std::error::Error for Lost {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_counts_as_reused_from_its_second_request_on() {
        let meter = Meter::default();
        let known = Meter::of(&Connected::new().extra(meter.clone())).unwrap();
        meter.wrote();
        meter.wrote();
        meter.read();
        meter.read();
        assert!(!known.was_reused(), "one request, one answer");
        assert!(!known.was_silent());
        meter.wrote();
        assert!(known.was_reused() && !known.is_shared());
        assert!(known.was_silent(), "the second request is not answered");
        meter.read();
        assert!(known.was_reused() && !known.was_silent());
        assert!(Meter::of(&Connected::new()).is_none());
    }

    #[test]
    fn a_connection_of_streams_counts_as_reused_once_a_response_arrived_on_it() {
        let meter = Meter::of_streams();
        for _ in 0..3 {
            meter.wrote();
            meter.read();
        }
        assert!(meter.is_shared() && !meter.was_reused(), "its settings are no request");
        meter.served();
        meter.served();
        assert!(meter.was_reused());
    }
}
