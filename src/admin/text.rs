//! How names, times and durations are shown to people.

use crate::options::Group;
use crate::supervise::shown::rfc3339;
use std::borrow::Cow;
use std::time::{Duration, SystemTime};

/// An origin, with its group where it has one.
fn named<'a>(origin: &'a str, group: Option<&Group>) -> Cow<'a, str> {
    match group {
        None => Cow::Borrowed(origin),
        Some(group) => Cow::Owned(format!("{origin} \u{b7} {group}")),
    }
}

/// The same, and the client whose circuit it is.
pub(super) fn circuit(origin: &str, group: Option<&Group>, client: Option<&str>) -> String {
    match client {
        None => named(origin, group).into_owned(),
        Some(client) => format!("{} (client {client})", named(origin, group)),
    }
}

/// A part of a second where there is no whole one: what changes faster cannot be read.
pub(super) fn brief(duration: Duration) -> String {
    format!("{:#}", crate::duration::brief(duration))
}

/// `12:04:59`, in UTC.
pub(super) fn clock(at: SystemTime) -> String {
    rfc3339(at).and_then(|at| Some(at.get(11..19)?.to_owned())).unwrap_or_default()
}

/// The same, now.
#[expect(clippy::disallowed_methods, reason = "shown to people")]
pub(super) fn now() -> String {
    clock(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!(brief(Duration::from_micros(61_234_567)), "1 m 1 s");
        assert_eq!(brief(Duration::from_micros(120_567)), "120 ms");
        assert_eq!(clock(SystemTime::UNIX_EPOCH + Duration::from_secs(3661)), "01:01:01");
    }
}
