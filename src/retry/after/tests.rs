use super::*;
use http::HeaderValue;
use proptest::prelude::*;

/// Fri, 31 Dec 1999 23:59:57 GMT.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(946_684_797)
}

fn asked(values: &[&str]) -> Option<Duration> {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(RETRY_AFTER, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
    }
    retry_after(&headers, now())
}

const fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

#[test]
fn seconds_are_taken_as_they_are() {
    for (value, wait) in
        [("2", 2), ("0", 0), ("002", 2), ("120", 120), ("86400", 86_400), ("999999999", 999_999_999)]
    {
        assert_eq!(asked(&[value]), seconds(wait), "{value}");
    }
}

#[test]
fn a_date_is_counted_from_now_in_all_three_forms() {
    for value in
        ["Fri, 31 Dec 1999 23:59:59 GMT", "Friday, 31-Dec-99 23:59:59 GMT", "Fri Dec 31 23:59:59 1999"]
    {
        assert_eq!(asked(&[value]), seconds(2), "{value}");
    }
    for value in
        ["Sat, 01 Jan 2000 00:00:57 GMT", "Saturday, 01-Jan-00 00:00:57 GMT", "Sat Jan  1 00:00:57 2000"]
    {
        assert_eq!(asked(&[value]), seconds(60), "{value}");
    }
}

#[test]
fn the_wait_until_a_date_is_exact_below_the_second() {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("Fri, 31 Dec 1999 23:59:59 GMT"));
    let now = now() + Duration::from_millis(400);
    assert_eq!(retry_after(&headers, now), Some(Duration::from_millis(1_600)));
}

#[test]
fn a_date_that_has_passed_asks_for_no_wait() {
    for value in [
        "Fri, 31 Dec 1999 23:59:56 GMT",
        "Fri, 31 Dec 1999 23:59:57 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
    ] {
        assert_eq!(asked(&[value]), Some(Duration::ZERO), "{value}");
    }
}

/// What a response with these headers asks for, where the clock here shows `now`.
fn of_response(headers: &[(&str, &str)], now: SystemTime) -> Option<Duration> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(
            http::HeaderName::from_bytes(name.as_bytes()).expect("a name"),
            HeaderValue::from_str(value).expect("a header value"),
        );
    }
    retry_after(&map, now)
}

#[test]
fn a_date_counts_from_the_date_of_its_response_whatever_the_clock_here_shows() {
    let headers =
        [("date", "Fri, 31 Dec 1999 23:59:56 GMT"), ("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")];
    for minutes in [0, 10, 600] {
        let off = Duration::from_secs(60 * minutes);
        assert_eq!(of_response(&headers, now() + off), seconds(3), "{minutes} min ahead");
        assert_eq!(of_response(&headers, now() - off), seconds(3), "{minutes} min behind");
    }
    let seconds_stay = [("date", "Fri, 31 Dec 1999 23:00:00 GMT"), ("retry-after", "7")];
    assert_eq!(of_response(&seconds_stay, now()), seconds(7));
    let past = [("date", "Sat, 01 Jan 2000 00:00:00 GMT"), ("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")];
    assert_eq!(of_response(&past, now()), Some(Duration::ZERO));
}

#[test]
fn a_response_out_of_a_cache_or_without_a_date_counts_from_now() {
    let after = ("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT");
    let old = ("date", "Fri, 31 Dec 1999 22:00:00 GMT");
    assert_eq!(of_response(&[old, ("age", "7197"), after], now()), seconds(2));
    assert_eq!(of_response(&[("date", "yesterday"), after], now()), seconds(2));
    assert_eq!(of_response(&[after], now()), seconds(2));
}

#[test]
fn a_year_of_two_digits_is_at_most_fifty_years_ahead() {
    // It is the last second but three of 1999.
    for (value, ahead) in [
        // 50 years of 365 days, and the twelve or thirteen leap days in them.
        ("Thursday, 30-Dec-49 00:00:00 GMT", Some(18_261 * 86_400 + 3)),
        ("Sunday, 01-Jan-50 12:00:00 GMT", None),
        ("Saturday, 01-Jan-50 12:00:00 GMT", None),
        ("Tuesday, 31-Dec-69 00:00:00 GMT", None),
        ("Thursday, 01-Jan-70 00:00:00 GMT", None),
        ("Saturday, 01-Jan-00 00:00:57 GMT", Some(60)),
        ("Tuesday, 29-Feb-00 00:00:00 GMT", Some(59 * 86_400 + 3)),
    ] {
        let wait = asked(&[value]);
        assert_eq!(wait, Some(ahead.map_or(Duration::ZERO, Duration::from_secs)), "{value}");
    }
    // In 2026 the years up to 76 are to come.
    let later = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    for (value, to_come) in [
        ("Wednesday, 01-Jan-70 00:00:00 GMT", true),
        ("Wednesday, 01-Jan-76 00:00:00 GMT", true),
        ("Friday, 01-Jan-77 00:00:00 GMT", false),
        ("Sunday, 06-Nov-94 08:49:37 GMT", false),
    ] {
        let wait = of_response(&[("retry-after", value)], later).expect(value);
        assert_eq!(wait > Duration::ZERO, to_come, "{value}");
    }
}

#[test]
fn no_header_asks_for_nothing() {
    assert_eq!(asked(&[]), None);
}

#[test]
fn garbage_signs_fractions_and_overflow_are_as_absent() {
    for value in [
        "",
        " ",
        "-2",
        "-0",
        "+2",
        "abc",
        "1.5",
        "1e3",
        "0x10",
        "2s",
        "2 s",
        "2,3",
        "2;3",
        "\"2\"",
        "1_000",
        "inf",
        "99999999999999999999",
        "18446744073709551616",
        "٢",
        "Fri, 31 Dec 1999 23:59:59",
        "Fri, 31 Dec 1999 23:59:59 CET",
        "Fri, 32 Dec 1999 23:59:59 GMT",
        "Mon, 31 Dec 1999 23:59:59 GMT",
        "Someday, 31-Dec-99 23:59:59 GMT",
        "Friday, 32-Dec-99 23:59:59 GMT",
        "Friday, 31-Dec-99 24:00:00 GMT",
        "Friday, 31-Dec-99",
        "Friday, 31-Dec-9x 23:59:59 GMT",
        "Friday, -99 23:59:59 GMT",
        "Fri, 31 Dec 1999 24:00:00 GMT",
        "Fri, 31 Dec 10000 23:59:59 GMT",
        "fri, 31 dec 1999 23:59:59 gmt",
        "1999-12-31T23:59:59Z",
    ] {
        assert_eq!(asked(&[value]), None, "{value:?}");
    }
}

#[test]
fn bytes_that_are_no_text_are_as_absent() {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_bytes(b"2\xff").expect("a header value"));
    assert_eq!(retry_after(&headers, now()), None);
}

#[test]
fn blanks_around_the_value_do_not_matter() {
    assert_eq!(asked(&[" \t2\t "]), seconds(2));
    assert_eq!(asked(&[" Fri, 31 Dec 1999 23:59:59 GMT "]), seconds(2));
}

#[test]
fn of_two_headers_the_first_counts() {
    assert_eq!(asked(&["2", "3"]), seconds(2));
    assert_eq!(asked(&["3", "2"]), seconds(3));
    assert_eq!(asked(&["abc", "3"]), None);
}

#[test]
fn a_wait_of_centuries_ends_at_the_longest_count_of_seconds() {
    for value in ["2147483648", "2147483649", "18446744073709551615", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        assert_eq!(asked(&[value]), seconds(1 << 31), "{value}");
    }
    assert_eq!(asked(&["2147483647"]), seconds((1 << 31) - 1));
}

#[test]
fn a_clock_before_the_epoch_is_no_trouble() {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"));
    assert_eq!(retry_after(&headers, SystemTime::UNIX_EPOCH - Duration::from_secs(5)), seconds(5));
}

proptest! {
    #[test]
    fn every_count_of_seconds_reads_back(count in 0u64..1 << 31) {
        prop_assert_eq!(asked(&[&count.to_string()]), seconds(count));
    }

    #[test]
    fn every_date_reads_back(ahead in 0u64..1 << 31) {
        let date = httpdate::fmt_http_date(now() + Duration::from_secs(ahead));
        prop_assert_eq!(asked(&[&date]), seconds(ahead));
    }

    #[test]
    fn no_value_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value);
            prop_assert!(retry_after(&headers, now()).is_none_or(|wait| wait <= MOST));
        }
    }

    #[test]
    fn no_damaged_date_makes_it_panic(
        form in 0usize..3, at in 0usize..32, with in "[ -~]{0,3}", cut in 0usize..4,
    ) {
        let mut value = ["Fri, 31 Dec 1999 23:59:59 GMT", "Friday, 31-Dec-99 23:59:59 GMT", "Fri Dec 31 23:59:59 1999"][form].to_owned();
        let at = at.min(value.len());
        let end = (at + cut).min(value.len());
        value.replace_range(at..end, &with);
        let _ = asked(&[&value]);
    }
}
