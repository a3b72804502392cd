//! A subsystem as programs read it.

use super::snapshot::{State, Subsystem};
use crate::duration::written::maybe_seconds;
use serde::{Serialize, Serializer};
use std::time::{Duration, SystemTime};

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    last_tick_at: Option<String>,
    #[serde(serialize_with = "maybe_seconds")]
    seconds_ago: Option<Duration>,
    #[serde(serialize_with = "maybe_seconds")]
    expected_every_seconds: Option<Duration>,
    #[serde(serialize_with = "maybe_seconds")]
    stale_after_seconds: Option<Duration>,
    stale: bool,
    verdict: &'static str,
    state: &'static str,
    /// Of one that is parked.
    reason: Option<&'a str>,
    /// Of a rest, or of the wait for a restart.
    #[serde(serialize_with = "maybe_seconds")]
    left_seconds: Option<Duration>,
    restarts: u64,
    waits_for: Option<&'a str>,
    #[serde(serialize_with = "maybe_seconds")]
    in_poll_seconds: Option<Duration>,
}

impl Serialize for Subsystem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (reason, left) = match &self.state {
            State::Parked(reason) => (Some(reason.as_str()), None),
            State::Resting(left) | State::BackOff(left) => (None, Some(*left)),
            State::Working | State::Stopped => (None, None),
        };
        let shown = Shown {
            name: &self.name,
            last_tick_at: self.last_tick_at.and_then(rfc3339),
            seconds_ago: self.last_tick_ago,
            expected_every_seconds: self.expected_every,
            stale_after_seconds: self.stale_after,
            stale: self.stale,
            verdict: self.verdict.as_str(),
            state: self.state.as_str(),
            reason,
            left_seconds: left,
            restarts: self.restarts,
            waits_for: self.waits_for.as_deref(),
            in_poll_seconds: self.in_poll_for,
        };
        shown.serialize(serializer)
    }
}

/// `2026-01-31T12:04:59.250Z`. A clock that was never set may stand before 1970, and is not worth a panic.
pub(crate) fn rfc3339(at: SystemTime) -> Option<String> {
    at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(humantime::format_rfc3339_millis(at).to_string())
}
