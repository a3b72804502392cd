//! What a server says of a quota: `RateLimit` and its elder relatives. Pure.

use http::HeaderMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is at least this many seconds is no wait but a time since 1970: 2001, or a wait of 31 years.
const EPOCH: u64 = 1_000_000_000;

/// When the quota of a response that was refused begins anew: `RateLimit` (`"default";r=0;t=30`, or the draft before:
/// `limit=10, remaining=0, reset=30`), or `RateLimit-Reset`.
pub(crate) fn reset(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let now = date(headers).unwrap_or(now);
    of_list(headers, now, true).or_else(|| wait(headers, "ratelimit-reset", now))
}

/// When a quota of which nothing remains begins anew: as above where it says so, or `X-RateLimit-Remaining` and
/// `X-RateLimit-Reset`.
pub(crate) fn exhausted(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let now = date(headers).unwrap_or(now);
    let pair = |remaining: &str, reset: &str| {
        (number(text(headers, remaining)?)? == 0).then(|| wait(headers, reset, now)).flatten()
    };
    of_list(headers, now, false)
        .or_else(|| pair("ratelimit-remaining", "ratelimit-reset"))
        .or_else(|| pair("x-ratelimit-remaining", "x-ratelimit-reset"))
}

/// The longest wait of the quotas in `RateLimit` of which nothing remains, or, where the answer says so itself, of which
/// it is not said what remains.
fn of_list(headers: &HeaderMap, now: SystemTime, refused: bool) -> Option<Duration> {
    let mut longest = None;
    for line in headers.get_all("ratelimit") {
        let Ok(line) = line.to_str() else { continue };
        let fields = || line.split([';', ',']).filter_map(|field| field.trim().split_once('='));
        let of = |fields: &mut dyn Iterator<Item = (&str, &str)>| {
            let (mut remaining, mut reset) = (None, None);
            for (name, value) in fields {
                match name.trim() {
                    "r" | "remaining" => remaining = number(value.trim()),
                    "t" | "reset" => reset = number(value.trim()),
                    _ => {}
                }
            }
            let empty = remaining.map_or(refused, |remaining| remaining == 0);
            reset.filter(|_| empty).map(|reset| since(reset, now))
        };
        let elder = fields().any(|(name, _)| name == "reset");
        let found = match elder {
            true => of(&mut fields()),
            false => line
                .split(',')
                .filter_map(|item| of(&mut item.split(';').filter_map(|field| field.trim().split_once('='))))
                .max(),
        };
        longest = longest.max(found);
    }
    longest
}

/// The time of the server's own clock, unless a cache has kept the response.
fn date(headers: &HeaderMap) -> Option<SystemTime> {
    let date = text(headers, "date").filter(|_| !headers.contains_key("age"))?;
    httpdate::parse_http_date(date).ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn wait(headers: &HeaderMap, name: &str, now: SystemTime) -> Option<Duration> {
    Some(since(number(text(headers, name)?)?, now))
}

/// Digits alone: not str::parse, which would take "+5".
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// A number of seconds, from now or from 1970.
fn since(seconds: u64, now: SystemTime) -> Duration {
    if seconds < EPOCH {
        return Duration::from_secs(seconds);
    }
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(seconds).saturating_sub(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        headers
    }

    /// 2 000 000 000 s after 1970.
    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(2_000_000_000)
    }

    fn seconds(wait: Option<Duration>) -> Option<u64> {
        wait.map(|wait| wait.as_secs())
    }

    #[test]
    fn each_way_of_saying_that_nothing_remains_is_read() {
        for (lines, expected) in [
            (&[("ratelimit", "\"default\";r=0;t=30")][..], Some(30)),
            (&[("ratelimit", "\"burst\";r=0;t=2, \"daily\";r=0;t=90")], Some(90)),
            (&[("ratelimit", "\"burst\";r=0;t=2, \"daily\";r=7;t=90")], Some(2)),
            (&[("ratelimit", "\"a\";r=0;t=2"), ("ratelimit", "\"b\";r=0;t=5")], Some(5)),
            (&[("ratelimit", "limit=10, remaining=0, reset=30")], Some(30)),
            (&[("ratelimit", "limit=10, remaining=1, reset=30")], None),
            (&[("ratelimit-remaining", "0"), ("ratelimit-reset", "12")], Some(12)),
            (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "12")], Some(12)),
            (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "2000000042")], Some(42)),
            (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1999999999")], Some(0)),
            // From here on it is a date.
            (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1000000000")], Some(0)),
            (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "999999999")], Some(999_999_999)),
            // By its own clock, which is 7 min behind.
            (
                &[
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", "1999999590"),
                    ("date", "Wed, 18 May 2033 03:26:20 GMT"),
                ],
                Some(10),
            ),
            (&[("x-ratelimit-remaining", "5"), ("x-ratelimit-reset", "12")], None),
            (&[("x-ratelimit-remaining", "0")], None),
            (&[], None),
        ] {
            assert_eq!(seconds(exhausted(&headers(lines), now())), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_is_no_number_is_as_if_it_were_not_there() {
        for value in ["", "-1", "+5", "1.5", "soon", "0x10", "99999999999999999999999", "Fri, 31 Dec 1999"] {
            let reset = headers(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", value)]);
            assert_eq!(exhausted(&reset, now()), None, "{value}");
            let remaining = headers(&[("x-ratelimit-remaining", value), ("x-ratelimit-reset", "5")]);
            assert_eq!(exhausted(&remaining, now()), None, "{value}");
        }
        for line in ["", ";;;===,,,", "\"a\"", "\"a\";r=0", "\"a\";t=5", "r=0;t=-5", "\"a\";r=zero;t=5"] {
            assert_eq!(exhausted(&headers(&[("ratelimit", line)]), now()), None, "{line}");
        }
    }

    #[test]
    fn a_refusal_needs_not_say_what_remains() {
        let reset = |lines: &[(&'static str, &'static str)]| seconds(reset(&headers(lines), now()));
        assert_eq!(reset(&[("ratelimit", "\"a\";t=5")]), Some(5));
        assert_eq!(reset(&[("ratelimit", "\"a\";r=3;t=5")]), None);
        assert_eq!(reset(&[("ratelimit-reset", "9")]), Some(9));
        assert_eq!(reset(&[("x-ratelimit-reset", "9")]), None);
    }
}
