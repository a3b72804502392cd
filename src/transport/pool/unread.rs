//! Bodies of one HTTP/2 connection that were handed over and that nobody reads.
//!
//! What they leave in the window of the connection is missing there for all others. hyper tells nobody how full a window
//! is; what is known is how many bytes of bodies have come, and how many of them somebody took.

use crate::sync::{Mutex, lock};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// A reader that was away for longer may stay away.
const AWAY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Unread {
    /// Half of the window; none where it grows and shrinks.
    half: Option<u64>,
    read: AtomicU64,
    bodies: Mutex<Vec<Reader>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// A free place.
    None,
    /// It waits for more.
    Waits,
    /// It has had what there was, or nothing yet, and has not asked since then.
    Away(Instant),
}

impl Unread {
    pub(super) fn new(window: Option<u32>) -> Unread {
        let half = window.map(|window| u64::from(window) / 2);
        Unread { half, read: AtomicU64::new(0), bodies: Mutex::default() }
    }

    /// A body was handed over, of a connection on which `arrived` bytes of bodies have come.
    pub(super) fn enter(&self, arrived: u64, now: Instant) -> usize {
        let mut bodies = lock(&self.bodies);
        if bodies.iter().all(|body| *body == Reader::None) {
            // What came for streams that were reset is not there any more.
            self.read.store(arrived, Ordering::Relaxed);
        }
        let at = bodies.iter().position(|body| *body == Reader::None).unwrap_or_else(|| {
            bodies.push(Reader::None);
            bodies.len() - 1
        });
        bodies[at] = Reader::Away(now);
        at
    }

    /// So many bytes were taken.
    pub(super) fn took(&self, at: usize, bytes: usize, now: Instant) {
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
        lock(&self.bodies)[at] = Reader::Away(now);
    }

    /// There is nothing, and the reader waits.
    pub(super) fn waits(&self, at: usize) {
        lock(&self.bodies)[at] = Reader::Waits;
    }

    /// It has come to its end, or was given up: `arrived` then, since what was left of it is not there any more, and how
    /// much that was nobody knows.
    pub(super) fn leave(&self, at: usize, arrived: Option<u64>) {
        lock(&self.bodies)[at] = Reader::None;
        if let Some(arrived) = arrived {
            self.read.store(arrived, Ordering::Relaxed);
        }
    }

    /// Whether another response might wait behind these.
    pub(super) fn is_clogged(&self, arrived: u64, now: Instant) -> bool {
        let unread = arrived.saturating_sub(self.read.load(Ordering::Relaxed));
        let much = self.half.is_some_and(|half| unread > half);
        lock(&self.bodies).iter().any(|body| match body {
            Reader::Away(since) => much || now.saturating_duration_since(*since) > AWAY,
            Reader::None | Reader::Waits => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_body_that_nobody_has_read_for_a_second_is_in_the_way_and_one_that_is_waited_for_is_not() {
        let (unread, start) = (Unread::new(Some(1000)), Instant::now());
        assert!(!unread.is_clogged(0, start));
        let body = unread.enter(0, start);
        assert!(!unread.is_clogged(0, start + SECOND));
        assert!(unread.is_clogged(0, start + SECOND + SECOND / 1000));
        unread.waits(body);
        assert!(!unread.is_clogged(0, start + 60 * SECOND));
        unread.took(body, 10, start + 60 * SECOND);
        assert!(!unread.is_clogged(10, start + 61 * SECOND));
        assert!(unread.is_clogged(10, start + 62 * SECOND));
        unread.leave(body, None);
        assert!(!unread.is_clogged(10, start + 62 * SECOND));
    }

    #[test]
    fn more_than_half_of_the_window_is_in_the_way_until_it_is_read_or_given_up() {
        let (unread, start) = (Unread::new(Some(1000)), Instant::now());
        let (one, two) = (unread.enter(0, start), unread.enter(0, start));
        assert!(!unread.is_clogged(500, start));
        assert!(unread.is_clogged(501, start));
        unread.took(one, 1, start);
        assert!(!unread.is_clogged(501, start));
        unread.leave(two, Some(900));
        assert!(!unread.is_clogged(1400, start));
        unread.leave(one, Some(1400));
        // What was on its way for those arrives, and is nobody's.
        let three = unread.enter(9000, start);
        assert!(!unread.is_clogged(9500, start) && unread.is_clogged(9501, start));
        unread.leave(three, None);
        let adaptive = Unread::new(None);
        adaptive.enter(0, start);
        assert!(!adaptive.is_clogged(u64::MAX, start));
    }
}
