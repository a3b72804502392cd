//! What a connection knows about itself: whether it had served before the request that failed on it.

use hyper_util::client::legacy::connect::Connected;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts the turns of a connection: a write after a read begins a new turn.
///
/// A connector attaches it to its [`Connected`] as an extra and reports every read and write of plain bytes (above
/// TLS). An end of file on a connection that is past its first turn is the ordinary race of keep-alive and says
/// nothing about the server; on the first turn it does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Arc<AtomicU32>);

/// The lowest bit says that bytes were read since the last write; the others count turns.
const READ: u32 = 1;

impl Meter {
    #[cfg_attr(
        not(any(feature = "client", feature = "testing")),
        expect(dead_code, reason = "connectors count")
    )]
    pub(crate) fn read(&self) {
        if self.0.load(Ordering::Relaxed) & READ == 0 {
            self.0.fetch_or(READ, Ordering::Relaxed);
        }
    }

    #[cfg_attr(
        not(any(feature = "client", feature = "testing")),
        expect(dead_code, reason = "connectors count")
    )]
    pub(crate) fn wrote(&self) {
        if self.0.load(Ordering::Relaxed) & READ != 0 {
            // Clears the bit and carries into the count in one step.
            self.0.fetch_add(READ, Ordering::Relaxed);
        }
    }

    fn turns(&self) -> u32 {
        self.0.load(Ordering::Relaxed) >> 1
    }

    /// Whether the connection had answered an earlier request; false for connectors that attach no meter.
    pub(crate) fn was_reused(connected: &Connected) -> bool {
        let mut extras = http::Extensions::new();
        connected.get_extras(&mut extras);
        extras.get::<Meter>().is_some_and(|meter| meter.turns() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_counts_as_reused_from_its_second_request_on() {
        let meter = Meter::default();
        let connected = Connected::new().extra(meter.clone());
        meter.wrote();
        meter.wrote();
        meter.read();
        meter.read();
        assert!(!Meter::was_reused(&connected), "one request, one answer");
        meter.wrote();
        assert!(Meter::was_reused(&connected));
        assert!(!Meter::was_reused(&Connected::new()));
    }
}
