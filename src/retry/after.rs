//! What a server says about when to come back: `Retry-After`, RFC 9110 section 10.2.3.

use http::HeaderMap;
use http::header::{AGE, DATE, RETRY_AFTER};
use std::time::{Duration, SystemTime};

#[cfg(test)]
mod tests;

/// 2^31 s (68 years), where RFC 9111 section 1.2.2 lets a count of seconds end. What is longer is that long: a server
/// that wants a thousand years must not be asked again at once, nor make anybody's `now + wait` overflow.
const MOST: Duration = Duration::from_secs(1 << 31);

/// The wait that the first `Retry-After` asks for.
///
/// Seconds, or a date in one of the three forms of RFC 9110; a date that has passed asks for no wait. A date counts from
/// that of the response, which is of the same clock, where there is one and no cache has kept the response (`Age`);
/// else from the wall-clock time `now`. Anything else
/// (a sign, a fraction, words, a number that 64 bits cannot hold) is as if the header were absent, also when a second
/// header is better.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim_matches([' ', '\t']);
    let wait = if value.bytes().all(|byte| byte.is_ascii_digit()) {
        // The empty value ends here as well. Not str::parse alone: it would take "+5".
        Duration::from_secs(value.parse().ok()?)
    } else {
        let said = headers.get(DATE).filter(|_| !headers.contains_key(AGE));
        let said = said.and_then(|date| date_of(date.to_str().ok()?.trim_matches([' ', '\t']), now));
        date_of(value, now)?.duration_since(said.unwrap_or(now)).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(MOST))
}

/// How far ahead a year of two digits may be (RFC 9110, 5.6.7): years of 365.2425 days.
const FIFTY_YEARS: Duration = Duration::from_secs(50 * 31_556_952);
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// A date in one of the three forms.
fn date_of(value: &str, now: SystemTime) -> Option<SystemTime> {
    match short_year(value) {
        Some((date, year, time)) => in_its_century(date, year, time, now),
        None => httpdate::parse_http_date(value).ok(),
    }
}

/// Day with month, year and time of the form with two digits for the year: `Sunday, 06-Nov-94 08:49:37 GMT`.
fn short_year(value: &str) -> Option<(&str, u32, &str)> {
    let (weekday, rest) = value.split_once(", ")?;
    let (date, time) = rest.split_once(' ')?;
    let (day_and_month, year) = date.rsplit_once('-')?;
    let two_digits = year.len() == 2 && year.bytes().all(|byte| byte.is_ascii_digit());
    // Which day of the week it was is not looked at: that depends on the century.
    (two_digits && WEEKDAYS.contains(&weekday)).then_some((day_and_month, year.parse().ok()?, time))
}

/// The last year with these digits that is not too far ahead.
fn in_its_century(date: &str, year: u32, time: &str, now: SystemTime) -> Option<SystemTime> {
    let limit = now.checked_add(FIFTY_YEARS)?;
    // A date that can be written has four digits of year at this place.
    let this_year: u32 =
        httpdate::fmt_http_date(now.max(SystemTime::UNIX_EPOCH)).get(12..16)?.parse().ok()?;
    let century = this_year / 100 + 1;
    let in_century = |century: u32| {
        let date = date.replace('-', " ");
        WEEKDAYS.iter().find_map(|weekday| {
            let date = format!("{}, {date} {:04} {time}", &weekday[..3], century * 100 + year);
            httpdate::parse_http_date(&date).ok()
        })
    };
    // 29 February is not in every century. What can be no date but one too far ahead is from before 1970.
    let mut dates = (century.saturating_sub(3)..=century).rev().filter_map(in_century).peekable();
    dates.peek()?;
    Some(dates.find(|date| *date <= limit).unwrap_or(SystemTime::UNIX_EPOCH))
}
