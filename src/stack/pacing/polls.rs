//! Keeps a loop of long polls from spinning: how long after a poll the next one of its path may leave. Pure.

use http::StatusCode;
use std::time::Duration;
use tokio::time::Instant;

/// A poll that is over with nothing in less than this was not parked; and how long the next one waits then.
const AT_ONCE: Duration = Duration::from_millis(100);
/// The longest gap: a loop of polls is what waits for the origin to come back.
const LONGEST: Duration = Duration::from_secs(1);
/// As many bytes are still nothing: `[]`, `{}`.
const NOTHING: u8 = 2;
/// More paths than this at once are not those of long polls.
const PATHS: usize = 1024;

/// What is known of the attempt of a long poll that is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Polled {
    /// None is.
    #[default]
    Idle,
    /// It was sent.
    Sent,
    /// A 2xx, with so many bytes that are no blanks; one more than [`NOTHING`] is as good as any number.
    Good(u8),
}

/// How an attempt of a long poll ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With an error, or with a status of 400 and above.
    Bad,
    /// Otherwise: with the last byte, with another status, or because its caller left.
    Over,
}

impl Polled {
    pub(crate) fn is_idle(self) -> bool {
        self == Polled::Idle
    }

    /// A response head came: whether that is the end already, for what counts here.
    pub(crate) fn head(&mut self, status: StatusCode) -> Option<End> {
        if status.is_success() {
            *self = Polled::Good(0);
            return None;
        }
        Some(if status.as_u16() >= 400 { End::Bad } else { End::Over })
    }

    /// Some of the body came. What it says counts, not its length: an empty list with a line break is still empty.
    pub(crate) fn data(&mut self, data: &[u8]) {
        if let Polled::Good(bytes) = self {
            let more = data.iter().filter(|b| !b.is_ascii_whitespace()).take(usize::from(NOTHING) + 1);
            *bytes = more.fold(*bytes, |sum, _| sum.saturating_add(1));
        }
    }

    /// It is over after `took`: for how long the next poll of its path has to wait. `base`: the first step of the
    /// back-off.
    pub(crate) fn end(&mut self, end: End, took: Duration, base: Duration) -> Option<Duration> {
        match std::mem::take(self) {
            Polled::Idle => None,
            _ if end == End::Bad => Some(base.clamp(AT_ONCE, LONGEST)),
            Polled::Good(bytes) if bytes > NOTHING => None,
            _ => (took < AT_ONCE).then_some(AT_ONCE),
        }
    }
}

/// When the next poll of a path may leave. Paths are told apart by their hashes.
#[derive(Debug, Default)]
pub(crate) struct Gaps(Vec<(u64, Instant)>);

impl Gaps {
    /// No poll of this path before `until`. Where there are too many, the one that is over first makes room.
    pub(crate) fn set(&mut self, path: u64, until: Instant, now: Instant) {
        self.0.retain(|(_, at)| *at > now);
        if let Some(known) = self.0.iter_mut().find(|(known, _)| *known == path) {
            known.1 = until.max(known.1);
            return;
        }
        if self.0.len() >= PATHS {
            let first = self.0.iter().enumerate().min_by_key(|(_, (_, at))| *at).map(|(place, _)| place);
            first.map(|place| self.0.swap_remove(place));
        }
        self.0.push((path, until));
    }

    /// Until when this path has to wait, if it has to.
    pub(crate) fn until(&mut self, path: u64, now: Instant) -> Option<Instant> {
        if self.0.is_empty() {
            return None;
        }
        self.0.retain(|(_, at)| *at > now);
        if self.0.is_empty() {
            // A crowd of paths that is gone leaves no memory behind.
            self.0 = Vec::new();
        }
        self.0.iter().find(|(known, _)| *known == path).map(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn answered(status: u16, body: &[&[u8]], took: Duration) -> Option<Duration> {
        let mut polled = Polled::Sent;
        let end = polled.head(StatusCode::from_u16(status).unwrap());
        for data in body {
            polled.data(data);
        }
        polled.end(end.unwrap_or(End::Over), took, 500 * MS)
    }

    #[test]
    fn what_brings_nothing_within_100_ms_is_followed_by_100_ms() {
        let gap = Some(100 * MS);
        let nothing: [&[&[u8]]; 7] =
            [&[], &[b""], &[b"[]"], &[b"{", b"}"], &[b"[]\n"], &[b" [ \r\n ] "], &[b"\n\n\n"]];
        for body in nothing {
            assert_eq!(answered(200, body, 99 * MS), gap, "{body:?}");
            assert_eq!(answered(200, body, 100 * MS), None, "{body:?} that was parked");
        }
        for status in [101, 202, 204, 301, 304] {
            assert_eq!(answered(status, &[], Duration::ZERO), gap, "{status}");
        }
        assert_eq!(answered(304, &[b"data"], Duration::ZERO), gap, "only a 2xx brings something");
    }

    #[test]
    fn data_is_not_slowed_down() {
        let something: [&[&[u8]]; 4] =
            [&[b"job"], &[b"[", b"1", b"]"], &[&[b'x'; 1000]], &[b"[]", b"\n", b"1"]];
        for body in something {
            assert_eq!(answered(200, body, Duration::ZERO), None, "{body:?}");
        }
    }

    #[test]
    fn an_error_is_followed_by_the_first_back_off_between_100_ms_and_a_second() {
        for (base, gap) in [(0, 100), (500, 500), (5000, 1000)] {
            for took in [Duration::ZERO, 60_000 * MS] {
                assert_eq!(Polled::Sent.end(End::Bad, took, base * MS), Some(gap * MS));
            }
        }
        for status in [400, 404, 410, 429, 500, 599, 999] {
            assert_eq!(answered(status, &[b"why"], 60_000 * MS), Some(500 * MS), "{status}");
        }
    }

    #[test]
    fn an_end_counts_once_and_only_of_what_was_sent() {
        let mut polled = Polled::Sent;
        assert_eq!(polled.end(End::Over, Duration::ZERO, MS), Some(100 * MS));
        assert_eq!(polled.end(End::Bad, Duration::ZERO, MS), None);
        polled.data(b"late");
        assert!(polled.is_idle());
    }

    #[test]
    fn a_gap_holds_for_its_path_until_it_is_over_and_is_never_shortened() {
        let now = Instant::now();
        let mut gaps = Gaps::default();
        gaps.set(1, now + 100 * MS, now);
        gaps.set(1, now + 50 * MS, now);
        assert_eq!(gaps.until(1, now + 99 * MS), Some(now + 100 * MS));
        assert_eq!(gaps.until(2, now), None);
        assert_eq!(gaps.until(1, now + 100 * MS), None);
    }

    #[test]
    fn more_paths_than_there_is_room_for_push_out_the_soonest_and_are_forgotten_when_over() {
        let now = Instant::now();
        let mut gaps = Gaps::default();
        for path in 0..3000 {
            gaps.set(path, now + MS + u32::try_from(path).unwrap() * MS, now);
        }
        assert_eq!(gaps.0.len(), PATHS);
        assert_eq!(gaps.until(2999, now), Some(now + 3000 * MS));
        assert_eq!(gaps.until(0, now), None);
        gaps.set(7, now + 4000 * MS, now + 2999 * MS);
        assert_eq!(gaps.0.len(), 2, "what is over is purged");
        assert_eq!(gaps.until(1, now + 5000 * MS), None);
        assert_eq!(gaps.0.capacity(), 0);
    }
}
