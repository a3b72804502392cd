//! Which addresses had not answered of late: they are tried last.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// So long an address that failed stands behind all others of its name (RFC 8305, 4 leaves it open): an outage is mostly
/// over by then, and to be wrong costs 250 ms of one connect.
const REMEMBERED: Duration = Duration::from_secs(600);
/// So many are remembered by a client. One more takes the place of the oldest.
const MOST: usize = 1024;

/// When each address failed that is not forgotten yet.
#[derive(Debug, Default)]
pub(super) struct Memory(HashMap<SocketAddr, Instant>);

impl Memory {
    /// It refused, was silent to its end, or was beaten by one that began later.
    pub(super) fn failed(&mut self, address: SocketAddr, now: Instant) {
        if self.0.len() >= MOST && !self.0.contains_key(&address) {
            self.0.retain(|_, since| is_fresh(*since, now));
            if self.0.len() >= MOST {
                let oldest = self.0.iter().min_by_key(|(_, since)| **since).map(|(address, _)| *address);
                oldest.map(|address| self.0.remove(&address));
            }
        }
        self.0.insert(address, now);
    }

    /// It has answered.
    pub(super) fn works(&mut self, address: &SocketAddr) {
        self.0.remove(address);
    }

    /// Since when it is known to be dead.
    pub(super) fn dead_since(&self, address: &SocketAddr, now: Instant) -> Option<Instant> {
        self.0.get(address).copied().filter(|since| is_fresh(*since, now))
    }
}

fn is_fresh(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < REMEMBERED
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> SocketAddr {
        SocketAddr::from((n.to_be_bytes(), 443))
    }

    #[test]
    fn what_failed_is_remembered_for_ten_minutes_or_until_it_answers() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        memory.failed(address(1), now);
        memory.failed(address(2), now);
        let later = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(memory.dead_since(&address(1), later(599)), Some(now));
        assert_eq!(memory.dead_since(&address(1), later(600)), None);
        memory.works(&address(2));
        assert_eq!(memory.dead_since(&address(2), now), None);
        assert_eq!(memory.dead_since(&SocketAddr::from((address(1).ip(), 80)), now), None, "another service");
    }

    #[test]
    fn no_more_than_1024_are_remembered_and_the_oldest_goes_first() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        for n in 0..10_000 {
            memory.failed(address(n), start + Duration::from_millis(n.into()));
        }
        let now = start + Duration::from_secs(10);
        assert_eq!(memory.0.len(), 1024);
        assert!((10_000 - 1024..10_000).all(|n| memory.dead_since(&address(n), now).is_some()));
        memory.failed(address(9_000), now);
        assert_eq!(memory.0.len(), 1024, "known already");
        memory.failed(address(1), start + Duration::from_secs(3600));
        assert_eq!(memory.0.len(), 1, "what is too old goes before what is not");
    }
}
