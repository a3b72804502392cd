//! Frames of HTTP/2 that say nothing: how many of them a server may send.
//!
//! A ping has to be answered, a reset of a stream that is over to be passed over, a 1xx response to be kept until
//! somebody asks for it, each for a moment of the processor. Nothing in HTTP/2 says how many there may be, and on an
//! idle connection no call is there whose limits would end them.

use crate::reuse::{Meter, Streams};
use std::time::Duration;
use tokio::time::Instant;

/// In a row without the end of a response or a byte of its body, within [`SPAN`]. A server that is well sends a few; one
/// that floods gets there in a fraction of a second.
const MOST: u32 = 100_000;
const SPAN: Duration = Duration::from_secs(60);
/// What is written pays for a frame: an upload is answered by many windows. An answer to a ping has 17 bytes.
const WRITTEN: u64 = 64;
/// Heads after which something has to follow, on one connection, beyond what is paid for by requests. hyper passes
/// 1xx responses over, so that nobody counts them for one request; a request has 14 bytes at least, and pays for three.
const HEADS: u64 = 100;
const WRITTEN_PER_HEAD: u64 = 4;

pub(super) const TOO_MANY: &str = "more than 100000 frames of HTTP/2 in a row without a response";
pub(super) const TOO_MANY_HEADS: &str = "more heads than responses were asked for (1xx on HTTP/2)";

const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
/// One setting: its number and its value.
const SETTING: usize = 6;
const MAX_CONCURRENT_STREAMS: u16 = 3;

/// Follows what is read from one connection: counts frames that get nobody on, and tells its [`Streams`] what the others
/// say.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; HEAD],
    /// So much of the head of a frame has come.
    have: usize,
    /// So much of its payload has not.
    left: usize,
    heads: u64,
    written: u64,
    idle: u32,
    written_before: u64,
    since: Option<Instant>,
    /// Of the settings that are being read: the one that is not whole, and the limit on streams.
    setting: Option<Setting>,
    meter: Option<Meter>,
}

#[derive(Debug, Default)]
struct Setting {
    bytes: [u8; SETTING],
    have: usize,
    limit: Option<u32>,
}

impl Setting {
    fn read(&mut self, payload: &[u8]) {
        for byte in payload {
            self.bytes[self.have] = *byte;
            self.have += 1;
            if self.have == SETTING {
                self.have = 0;
                let [a, b, value @ ..] = self.bytes;
                if u16::from_be_bytes([a, b]) == MAX_CONCURRENT_STREAMS {
                    self.limit = Some(u32::from_be_bytes(value));
                }
            }
        }
    }
}

impl Frames {
    /// Of the connection of this meter.
    pub(super) fn of(meter: Meter) -> Frames {
        Frames { meter: Some(meter), ..Frames::default() }
    }

    fn streams(&self) -> Option<&Streams> {
        self.meter.as_ref()?.streams()
    }

    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written += bytes as u64;
    }

    /// Fails when this was one frame too many, and says of what.
    pub(super) fn read(&mut self, mut bytes: &[u8], now: fn() -> Instant) -> Result<(), &'static str> {
        loop {
            let payload = self.left.min(bytes.len());
            self.left -= payload;
            if let Some(setting) = &mut self.setting {
                setting.read(&bytes[..payload]);
                if self.left == 0 {
                    let limit = setting.limit;
                    self.setting = None;
                    if let Some(streams) = self.streams() {
                        streams.settings(limit);
                    }
                }
            }
            bytes = &bytes[payload..];
            let head = (HEAD - self.have).min(bytes.len());
            self.head[self.have..self.have + head].copy_from_slice(&bytes[..head]);
            bytes = &bytes[head..];
            self.have += head;
            if self.have < HEAD {
                return Ok(());
            }
            let [a, b, c, kind, flags, ..] = self.head;
            (self.have, self.left) = (0, u32::from_be_bytes([0, a, b, c]) as usize);
            self.frame(kind, flags, now)?;
        }
    }

    fn tell(&mut self, kind: u8, flags: u8) {
        let Some(streams) = self.streams() else { return };
        match kind {
            DATA => streams.heard(self.left),
            HEADERS => streams.heard(0),
            GOAWAY => streams.goodbye(),
            SETTINGS if flags & ACK == 0 => self.setting = Some(Setting::default()),
            _ => {}
        }
    }

    fn frame(&mut self, kind: u8, flags: u8, now: fn() -> Instant) -> Result<(), &'static str> {
        let ends = flags & END_STREAM != 0;
        self.tell(kind, flags);
        if kind == HEADERS && !ends {
            self.heads += 1;
            if self.heads > HEADS + self.written / WRITTEN_PER_HEAD {
                return Err(TOO_MANY_HEADS);
            }
        }
        if kind == DATA && (ends || self.left > 0) || kind == HEADERS && ends {
            self.idle = 0;
            return Ok(());
        }
        if self.idle == 0 {
            (self.since, self.written_before) = (Some(now()), self.written);
        }
        self.idle += 1;
        if self.idle <= MOST {
            return Ok(());
        }
        let slow = self.since.is_some_and(|since| now().saturating_duration_since(since) > SPAN);
        let paid = self.written - self.written_before >= WRITTEN * u64::from(self.idle);
        self.idle = 0;
        if slow || paid { Ok(()) } else { Err(TOO_MANY) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 7, 7, 7, 7, 7, 7, 7, 7];
    const EMPTY: [u8; 9] = [0, 0, 0, DATA, 0, 0, 0, 0, 1];
    const EARLY_HINTS: [u8; 10] = [0, 0, 1, HEADERS, 4, 0, 0, 0, 1, 0xbe];

    fn stands() -> Instant {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *START.get_or_init(Instant::now)
    }

    fn later() -> Instant {
        stands() + 2 * SPAN
    }

    #[test]
    fn frames_that_say_nothing_are_counted_however_they_are_cut() {
        assert!(TOO_MANY.contains(&MOST.to_string()));
        for size in [1, 7, 9, 16, 17, 4096] {
            let mut frames = Frames::default();
            let most = PING.repeat(MOST as usize);
            assert!(most.chunks(size).all(|part| frames.read(part, stands).is_ok()), "{size}");
            assert_eq!(frames.read(&EMPTY, stands), Err(TOO_MANY), "{size}: one more");
        }
    }

    #[test]
    fn the_end_of_a_response_or_a_byte_of_a_body_begins_the_count_anew() {
        for said in [
            vec![0, 0, 1, HEADERS, 4 | END_STREAM, 0, 0, 0, 1, 0x88],
            vec![0, 0, 0, DATA, END_STREAM, 0, 0, 0, 1],
            vec![0, 0, 1, DATA, 0, 0, 0, 0, 1, b'x'],
        ] {
            let mut frames = Frames::default();
            let most = EMPTY.repeat(MOST as usize);
            for _ in 0..3 {
                assert!(frames.read(&most, stands).is_ok());
                assert!(frames.read(&said, stands).is_ok());
            }
        }
    }

    #[test]
    fn a_head_that_is_no_end_and_an_acknowledgement_say_nothing() {
        let ack = [0, 0, 8, 6, ACK, 0, 0, 0, 0, 7, 7, 7, 7, 7, 7, 7, 7];
        let mut frames = Frames::default();
        assert!(frames.read(&EMPTY.repeat(MOST as usize - 2), stands).is_ok());
        assert!(frames.read(&[&ack[..], &EARLY_HINTS].concat(), stands).is_ok());
        assert_eq!(frames.read(&EMPTY, stands), Err(TOO_MANY));
    }

    #[test]
    fn what_is_written_pays_and_what_takes_its_time_is_no_flood() {
        let most = PING.repeat(MOST as usize);
        let mut frames = Frames::default();
        assert!(frames.read(&most, stands).is_ok());
        frames.wrote(64 * (MOST as usize + 1));
        assert!(frames.read(&PING, stands).is_ok(), "an upload");
        assert!(frames.read(&most, stands).is_ok());
        frames.wrote(17 * (MOST as usize + 1));
        assert_eq!(frames.read(&PING, stands), Err(TOO_MANY), "its pings were answered");
        assert!(frames.read(&most, stands).is_ok());
        assert!(frames.read(&PING, later).is_ok(), "a ping now and then");
    }

    #[test]
    fn what_the_peer_says_of_its_streams_is_read_however_it_is_cut() {
        let settings = [0, 0, 12, SETTINGS, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0, 3, 0, 0, 0, 7];
        let ack = [0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0];
        let data = [0, 0, 1, DATA, 0, 0, 0, 0, 1, b'x'];
        let goaway = [0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for size in [1, 2, 5, 9, 13, 4096] {
            let meter = Meter::of_streams();
            let mut frames = Frames::of(meter.clone());
            let streams = meter.streams().unwrap();
            let mut read =
                |bytes: &[u8]| bytes.chunks(size).for_each(|part| frames.read(part, stands).unwrap());
            read(&ack);
            read(&PING);
            assert_eq!((streams.limit(), streams.frames()), (None, 0), "{size}");
            read(&settings);
            assert_eq!(streams.limit(), Some(7), "{size}");
            read(&[&EARLY_HINTS[..], &data, &PING].concat());
            assert_eq!((streams.frames(), streams.arrived(), streams.is_leaving()), (2, 1, false), "{size}");
            read(&goaway);
            assert!(streams.is_leaving(), "{size}");
        }
        let meter = Meter::of_streams();
        Frames::of(meter.clone()).read(&[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0], stands).unwrap();
        assert!(meter.streams().unwrap().limit().is_some_and(|limit| limit > 1_000_000), "none is named");
    }

    #[test]
    fn heads_are_paid_for_by_requests_and_a_hundred_are_free() {
        let mut frames = Frames::default();
        assert!(frames.read(&EARLY_HINTS.repeat(100), stands).is_ok());
        for _ in 0..10_000 {
            frames.wrote(14);
            assert!(frames.read(&EARLY_HINTS.repeat(3), stands).is_ok(), "hints with each response");
        }
        // What was paid for and not used: two bytes of each request.
        let rest = frames.read(&EARLY_HINTS.repeat(5_000), stands);
        assert!(rest.is_ok());
        assert_eq!(frames.read(&EARLY_HINTS, stands), Err(TOO_MANY_HEADS));
    }
}
