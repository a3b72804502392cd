//! What a connection knows about itself: whether it had served before the request that failed on it.

use hyper_util::client::legacy::connect::Connected;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts the turns of a connection: a write after a read begins a new turn. On HTTP/2, where requests share a
/// connection and its two ends talk of themselves as well, a turn is a response head that arrived.
///
/// A connector attaches it to its [`Connected`] as an extra and reports every read and write of plain bytes (above
/// TLS). An end of file on a connection that is past its first turn is the ordinary race of keep-alive and says
/// nothing about the server; on the first turn it does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Arc<AtomicU32>);

/// The lowest bit says that bytes were read since the last write; the others count turns.
const READ: u32 = 1;
/// The highest bit says that the connection carries streams; then neither reads nor writes are looked at.
const STREAMS: u32 = 1 << 31;

impl Meter {
    /// For a connection of HTTP/2.
    #[cfg(feature = "client")]
    pub(crate) fn of_streams() -> Meter {
        Meter(Arc::new(AtomicU32::new(STREAMS)))
    }

    /// A response head arrived.
    #[cfg(feature = "client")]
    pub(crate) fn served(&self) {
        let now = self.0.load(Ordering::Relaxed);
        if now == STREAMS {
            self.0.store(STREAMS | (2 * READ), Ordering::Relaxed);
        }
    }

    #[cfg_attr(
        not(any(feature = "client", feature = "testing")),
        expect(dead_code, reason = "connectors count")
    )]
    pub(crate) fn read(&self) {
        if self.0.load(Ordering::Relaxed) & (READ | STREAMS) == 0 {
            self.0.fetch_or(READ, Ordering::Relaxed);
        }
    }

    #[cfg_attr(
        not(any(feature = "client", feature = "testing")),
        expect(dead_code, reason = "connectors count")
    )]
    pub(crate) fn wrote(&self) {
        if self.0.load(Ordering::Relaxed) & (READ | STREAMS) == READ {
            // Clears the bit and carries into the count in one step.
            self.0.fetch_add(READ, Ordering::Relaxed);
        }
    }

    fn turns(&self) -> u32 {
        (self.0.load(Ordering::Relaxed) & !STREAMS) >> 1
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

    /// Whether requests share the connection (HTTP/2).
    pub(crate) fn is_shared(&self) -> bool {
        self.0.load(Ordering::Relaxed) & STREAMS != 0
    }
}

/// A request extension: no connection that was idle may carry this one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fresh;

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
        meter.wrote();
        assert!(known.was_reused() && !known.is_shared());
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
