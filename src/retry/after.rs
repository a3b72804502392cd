//! What a server says about when to come back: `Retry-After`, RFC 9110 section 10.2.3.

use http::HeaderMap;
use http::header::RETRY_AFTER;
use std::time::{Duration, SystemTime};

#[cfg(test)]
mod tests;

/// 2^31 s (68 years), where RFC 9111 section 1.2.2 lets a count of seconds end. What is longer is that long: a server
/// that wants a thousand years must not be asked again at once, nor make anybody's `now + wait` overflow.
const MOST: Duration = Duration::from_secs(1 << 31);

/// The wait that the first `Retry-After` asks for, counted from the wall-clock time `now`.
///
/// Seconds, or a date in one of the three forms of RFC 9110; a date that has passed asks for no wait. Anything else
/// (a sign, a fraction, words, a number that 64 bits cannot hold) is as if the header were absent, also when a second
/// header is better.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim_matches([' ', '\t']);
    let wait = if value.bytes().all(|byte| byte.is_ascii_digit()) {
        // The empty value ends here as well. Not str::parse alone: it would take "+5".
        Duration::from_secs(value.parse().ok()?)
    } else {
        let date = httpdate::parse_http_date(value).ok()?;
        date.duration_since(now).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(MOST))
}
