//! The time limits of a stack, and how those that were not set follow from those that were.

use crate::Error;
use crate::duration::{check, human};
use std::time::Duration;

/// The time limits of a call and its parts, and the size of the bodies that are read inside the attempt.
///
/// | limit | default | why |
/// | --- | --- | --- |
/// | [`total`](Limits::total) | 30 s | a control-plane call that takes longer will not be answered |
/// | [`attempt`](Limits::attempt) | 10 s, at most 2/3 of the total | a second attempt fits after a hung one |
/// | [`connect`](Limits::connect) | 5 s, at most the attempt | time for the first packet to be lost twice and sent a third time |
/// | [`idle`](Limits::idle) | 10 s, at most the attempt | a healthy server sends a byte well before that |
/// | [`stream`](Limits::stream) | 10 min | a body that is too large to collect has a limit too |
/// | [`long_poll`](Limits::long_poll) | 10 min | for a long poll without a hold of its own |
/// | [`collect`](Limits::collect) | 1 MiB | responses of an API fit; downloads stream |
/// | [`min_progress`](Limits::min_progress) | off | a slow link is not a hung one |
///
/// A *limit* is a setting: here, in [`CallOptions`](crate::CallOptions), or of a part. The *bounds* of a call are the longest
/// times that follow from all limits: `bounds()` of a stack shows them. A *deadline* is a moment. A *cap* is the maximum of a
/// single value: of a back-off, of the bytes of a body, of a `Retry-After`.
///
/// Durations must be above zero and at most ten years; anything else is an error of kind `Config` when the stack is
/// built. A connect limit above the attempt limit is lowered to it.
///
/// ```
/// use std::time::Duration;
/// use unwedge::Limits;
///
/// let limits = Limits::default().total(Duration::from_secs(6)).collect(64 << 10);
/// assert_eq!((limits.get_total(), limits.get_collect()), (Duration::from_secs(6), 64 << 10));
/// // What was not set follows from what was.
/// assert_eq!(limits.get_attempt(), Duration::from_secs(4));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[must_use]
pub struct Limits {
    #[cfg_attr(feature = "serde", serde(with = "crate::duration::written::maybe"))]
    total: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(with = "crate::duration::written::maybe"))]
    attempt: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(with = "crate::duration::written::maybe"))]
    connect: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(with = "crate::duration::written::maybe"))]
    idle: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(with = "crate::duration::written::maybe"))]
    stream: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(with = "crate::duration::written::maybe"))]
    long_poll: Option<Duration>,
    collect: Option<u64>,
    min_progress: Option<Progress>,
}

/// The minimum rate of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
struct Progress {
    bytes: u64,
    #[cfg_attr(feature = "serde", serde(with = "crate::duration::written"))]
    per: Duration,
}

const TOTAL: Duration = Duration::from_secs(30);
const ATTEMPT: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(10);
const STREAM: Duration = Duration::from_secs(600);
const LONG_POLL: Duration = Duration::from_secs(600);
const COLLECT: u64 = 1 << 20;

impl Limits {
    /// The whole call: every attempt and wait, up to the end of the collected body. Default 30 s.
    #[doc(alias("timeout", "request_timeout", "total_timeout"))]
    pub fn total(mut self, limit: Duration) -> Limits {
        self.total = Some(limit);
        self
    }

    /// One attempt, from the moment its request is sent to the last byte of a collected body. Default the lesser of 10 s and
    /// two thirds of the total. Must not exceed the total. A body that still arrives then is handed over as a stream, under
    /// the total, if the request cannot be repeated; see [`Collect`](crate::Collect).
    #[doc(alias("per_try_timeout", "response_timeout", "first_byte_timeout"))]
    pub fn attempt(mut self, limit: Duration) -> Limits {
        self.attempt = Some(limit);
        self
    }

    /// Resolution, TCP, proxy and TLS together. Default the lesser of 5 s and the attempt.
    #[doc(alias = "connect_timeout")]
    pub fn connect(mut self, limit: Duration) -> Limits {
        self.connect = Some(limit);
        self
    }

    /// The longest silence inside a body while its reader waits. Default the lesser of 10 s and the attempt.
    #[doc(alias("read_timeout", "idle_timeout", "body_timeout"))]
    pub fn idle(mut self, limit: Duration) -> Limits {
        self.idle = Some(limit);
        self
    }

    /// A body that streams, from the response head to its last byte, except that of a long poll. Default 10 min.
    pub fn stream(mut self, limit: Duration) -> Limits {
        self.stream = Some(limit);
        self
    }

    /// The wait for the head of a long poll without a hold, and each silence in its body. Default 10 min.
    pub fn long_poll(mut self, limit: Duration) -> Limits {
        self.long_poll = Some(limit);
        self
    }

    /// The largest body that is read inside the attempt, in bytes, so that it is retried if it breaks. Default 1 MiB; 0
    /// collects nothing.
    pub fn collect(mut self, bytes: u64) -> Limits {
        self.collect = Some(bytes);
        self
    }

    /// The minimum rate of a body: `bytes` in every period of `per`, while its reader waits. Default off.
    pub fn min_progress(mut self, bytes: u64, per: Duration) -> Limits {
        self.min_progress = Some(Progress { bytes, per });
        self
    }

    /// The whole call.
    pub fn get_total(&self) -> Duration {
        self.total.unwrap_or(TOTAL)
    }

    /// One attempt: as set, or derived from the total.
    pub fn get_attempt(&self) -> Duration {
        self.attempt.unwrap_or_else(|| ATTEMPT.min(self.get_total().saturating_mul(2) / 3))
    }

    /// Resolution, TCP, proxy and TLS together; never above the attempt.
    pub fn get_connect(&self) -> Duration {
        self.connect.unwrap_or(CONNECT).min(self.get_attempt())
    }

    /// The longest silence inside a body: as set, or derived from the attempt.
    pub fn get_idle(&self) -> Duration {
        self.idle.unwrap_or_else(|| IDLE.min(self.get_attempt()))
    }

    /// A body that streams.
    pub fn get_stream(&self) -> Duration {
        self.stream.unwrap_or(STREAM)
    }

    /// A long poll without a hold.
    pub fn get_long_poll(&self) -> Duration {
        self.long_poll.unwrap_or(LONG_POLL)
    }

    /// The largest body that is read inside the attempt.
    pub fn get_collect(&self) -> u64 {
        self.collect.unwrap_or(COLLECT)
    }

    /// The minimum rate of a body, in bytes and period; `None` if there is none.
    pub fn get_min_progress(&self) -> Option<(u64, Duration)> {
        self.min_progress.map(|least| (least.bytes, least.per))
    }

    /// All limits with the rules applied.
    pub(crate) fn resolve(&self) -> Result<Resolved, Error> {
        let set = |name: &str, limit: Option<Duration>| limit.map_or(Ok(()), |limit| check(name, limit));
        set("the total limit", self.total)?;
        set("the attempt limit", self.attempt)?;
        set("the connect limit", self.connect)?;
        set("the idle limit", self.idle)?;
        set("the stream limit", self.stream)?;
        set("the long-poll limit", self.long_poll)?;
        set("the span of the minimum progress", self.min_progress.map(|least| least.per))?;

        let (total, attempt) = (self.get_total(), self.get_attempt());
        if attempt > total {
            return Err(Error::config(format!(
                "the attempt limit of {:#} is above the total limit of {:#}: an attempt cannot outlast its call",
                human(attempt),
                human(total)
            )));
        }
        Ok(Resolved {
            total,
            attempt,
            connect: self.get_connect(),
            idle: self.get_idle(),
            stream: self.get_stream(),
            own_stream: false,
            long_poll: self.get_long_poll(),
            collect: self.get_collect(),
            min_progress: self.get_min_progress(),
        })
    }
}

/// [`Limits`] with every value settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) total: Duration,
    pub(crate) attempt: Duration,
    pub(crate) connect: Duration,
    pub(crate) idle: Duration,
    pub(crate) stream: Duration,
    /// The call itself said how long it may stream: that goes before its total.
    pub(crate) own_stream: bool,
    pub(crate) long_poll: Duration,
    pub(crate) collect: u64,
    pub(crate) min_progress: Option<(u64, Duration)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duration::LONGEST;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_defaults_leave_room_for_three_attempts() {
        let bounds = Limits::default().resolve().unwrap();
        assert_eq!((bounds.total, bounds.attempt), (30 * SECOND, 10 * SECOND));
        assert_eq!((bounds.connect, bounds.idle), (5 * SECOND, 10 * SECOND));
        assert_eq!((bounds.stream, bounds.long_poll), (600 * SECOND, 600 * SECOND));
        assert_eq!((bounds.collect, bounds.min_progress), (1 << 20, None));
    }

    #[test]
    fn a_short_total_alone_still_leaves_room_for_a_second_attempt() {
        let bounds = Limits::default().total(3 * SECOND).resolve().unwrap();
        assert_eq!((bounds.attempt, bounds.connect, bounds.idle), (2 * SECOND, 2 * SECOND, 2 * SECOND));
    }

    #[test]
    fn an_attempt_above_the_total_names_both() {
        let error = Limits::default().total(5 * SECOND).attempt(6 * SECOND).resolve().unwrap_err();
        assert!(error.is_config());
        let text = error.to_string();
        assert!(
            text.contains("6s") && text.contains("5s") || text.contains("6 s") && text.contains("5 s"),
            "{text}"
        );
    }

    #[test]
    fn zero_and_more_than_ten_years_are_errors_and_ten_years_are_not() {
        for limit in [Duration::ZERO, LONGEST + Duration::from_nanos(1), Duration::MAX] {
            for limits in [
                Limits::default().total(limit),
                Limits::default().attempt(limit),
                Limits::default().connect(limit),
                Limits::default().idle(limit),
                Limits::default().stream(limit),
                Limits::default().long_poll(limit),
                Limits::default().min_progress(1, limit),
            ] {
                assert!(limits.resolve().unwrap_err().is_config());
            }
        }
        assert!(Limits::default().total(LONGEST).attempt(LONGEST).idle(LONGEST).resolve().is_ok());
    }
}
