//! Frames of HTTP/2 that say nothing: how many of them in a row a server may send.
//!
//! A ping has to be answered and a reset of a stream that is over to be passed over, each for a moment of the
//! processor. Nothing in HTTP/2 says how many there may be, and on an idle connection no call is there whose limits
//! would end them.

use std::time::Duration;
use tokio::time::Instant;

/// In a row, within [`SPAN`]. A server that is well sends a few; one that floods gets there in a fraction of a second.
const MOST: u32 = 100_000;
const SPAN: Duration = Duration::from_secs(60);
/// What is written pays for a frame: an upload is answered by many windows. An answer to a ping has 17 bytes.
const WRITTEN: u64 = 64;

const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;

/// Follows what is read from one connection and counts frames that bring neither a head nor a byte of a body.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; HEAD],
    /// So much of the head of a frame has come.
    have: usize,
    /// So much of its payload has not.
    left: usize,
    idle: u32,
    written: u64,
    since: Option<Instant>,
}

impl Frames {
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written += bytes as u64;
    }

    /// Whether this was one frame too many.
    pub(super) fn read(&mut self, mut bytes: &[u8], now: fn() -> Instant) -> bool {
        loop {
            let payload = self.left.min(bytes.len());
            self.left -= payload;
            bytes = &bytes[payload..];
            let head = (HEAD - self.have).min(bytes.len());
            self.head[self.have..self.have + head].copy_from_slice(&bytes[..head]);
            bytes = &bytes[head..];
            self.have += head;
            if self.have < HEAD {
                return false;
            }
            let [a, b, c, kind, ..] = self.head;
            (self.have, self.left) = (0, u32::from_be_bytes([0, a, b, c]) as usize);
            if self.frame(kind, now) {
                return true;
            }
        }
    }

    fn frame(&mut self, kind: u8, now: fn() -> Instant) -> bool {
        if kind == HEADERS || kind == DATA && self.left > 0 {
            self.idle = 0;
            return false;
        }
        if self.idle == 0 {
            (self.since, self.written) = (Some(now()), 0);
        }
        self.idle += 1;
        if self.idle <= MOST {
            return false;
        }
        let slow = self.since.is_some_and(|since| now().saturating_duration_since(since) > SPAN);
        let paid = self.written >= WRITTEN * u64::from(self.idle);
        self.idle = 0;
        !slow && !paid
    }
}

pub(super) fn too_many() -> std::io::Error {
    std::io::Error::other(format!("more than {MOST} frames of HTTP/2 in a row without a response"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 7, 7, 7, 7, 7, 7, 7, 7];
    const EMPTY: [u8; 9] = [0, 0, 0, DATA, 0, 0, 0, 0, 1];

    fn stands() -> Instant {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *START.get_or_init(Instant::now)
    }

    fn later() -> Instant {
        stands() + 2 * SPAN
    }

    #[test]
    fn frames_that_say_nothing_are_counted_however_they_are_cut() {
        for size in [1, 7, 9, 16, 17, 4096] {
            let mut frames = Frames::default();
            let most = PING.repeat(MOST as usize);
            assert!(!most.chunks(size).any(|part| frames.read(part, stands)), "{size}");
            assert!(frames.read(&EMPTY, stands), "{size}: one more");
        }
    }

    #[test]
    fn a_head_or_a_byte_of_a_body_begins_the_count_anew() {
        for said in [vec![0, 0, 1, HEADERS, 4, 0, 0, 0, 1, 0x88], vec![0, 0, 1, DATA, 0, 0, 0, 0, 1, b'x']] {
            let mut frames = Frames::default();
            let most = EMPTY.repeat(MOST as usize);
            for _ in 0..3 {
                assert!(!frames.read(&most, stands));
                assert!(!frames.read(&said, stands));
            }
        }
    }

    #[test]
    fn what_is_written_pays_and_what_takes_its_time_is_no_flood() {
        let most = PING.repeat(MOST as usize);
        let mut frames = Frames::default();
        assert!(!frames.read(&most, stands));
        frames.wrote(64 * (MOST as usize + 1));
        assert!(!frames.read(&PING, stands), "an upload");
        assert!(!frames.read(&most, stands));
        frames.wrote(17 * (MOST as usize + 1));
        assert!(frames.read(&PING, stands), "its pings were answered");
        assert!(!frames.read(&most, stands));
        assert!(!frames.read(&PING, later), "a ping now and then");
    }
}
