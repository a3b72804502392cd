use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);

fn arrived(values: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(REMAINING, HeaderValue::from_bytes(value).expect("a header value"));
    }
    headers
}

fn left(values: &[&str]) -> Option<Duration> {
    let values: Vec<&[u8]> = values.iter().map(|v| v.as_bytes()).collect();
    Headers::default().left(&arrived(&values))
}

#[test]
fn whole_milliseconds_are_read_and_anything_else_is_as_if_absent() {
    assert_eq!(left(&["1500"]), Some(1500 * MS));
    assert_eq!(left(&[" 0015\t"]), Some(15 * MS));
    assert_eq!(left(&["0"]), Some(Duration::ZERO), "late is an answer, not garbage");
    for garbage in [
        "", " ", "-1", "+1", "1.5", "1e3", "0x10", "1_000", "1 000", "100m", "5s", "inf", "NaN", "1,2",
        "soon",
    ] {
        assert_eq!(left(&[garbage]), None, "{garbage:?}");
    }
    assert_eq!(Headers::default().left(&arrived(&[b"12\xff"])), None, "not even text");
}

#[test]
fn more_than_ten_years_are_ten_years_and_more_than_a_number_can_hold_is_nothing() {
    assert_eq!(left(&["315360000001"]), Some(LONGEST));
    assert_eq!(left(&["18446744073709551615"]), Some(LONGEST));
    assert_eq!(left(&["18446744073709551616"]), None);
    assert_eq!(left(&["9".repeat(4000).as_str()]), None);
}

#[test]
fn of_several_values_the_least_counts_and_garbage_takes_nothing_away() {
    assert_eq!(left(&["700", "500", "900"]), Some(500 * MS));
    assert_eq!(left(&["soon", "500", "-3"]), Some(500 * MS));
}

#[test]
fn what_is_written_is_cut_off_to_the_millisecond_below() {
    let mut headers = HeaderMap::new();
    Headers::default().write(&mut headers, Some(Duration::from_micros(1999)), 3);
    assert_eq!(headers["x-request-timeout-ms"], "1");
    assert_eq!(headers["x-request-attempt"], "3");
    Headers::default().write(&mut headers, Some(Duration::from_micros(999)), 4);
    assert_eq!(headers["x-request-timeout-ms"], "0");
    assert_eq!(headers["x-request-attempt"], "4");
}

#[test]
fn a_shorter_wish_of_the_request_stays_and_a_longer_one_or_garbage_does_not() {
    for (own, written) in [("200", "200"), ("900", "500"), ("soon", "500"), ("-1", "500")] {
        let mut headers = arrived(&[own.as_bytes()]);
        Headers::default().write(&mut headers, Some(500 * MS), 1);
        assert_eq!(headers.get_all(REMAINING).iter().collect::<Vec<_>>(), [written], "{own}");
    }
    let mut two = arrived(&[b"900", b"800"]);
    Headers::default().write(&mut two, Some(500 * MS), 1);
    assert_eq!(two.get_all(REMAINING).iter().collect::<Vec<_>>(), ["500"]);
}

#[test]
fn without_a_bound_no_time_is_written_and_the_attempt_is() {
    let mut headers = HeaderMap::new();
    Headers::default().write(&mut headers, None, 2);
    assert!(!headers.contains_key(REMAINING));
    assert_eq!(headers[ATTEMPT], "2");
}

#[test]
fn the_attempt_is_a_number_from_one_or_nothing() {
    let read = |value: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(ATTEMPT, HeaderValue::from_static(value));
        Headers::default().number(&headers)
    };
    assert_eq!((read("1"), read("4294967295")), (Some(1), Some(u32::MAX)));
    for garbage in ["0", "-1", "4294967296", "first", ""] {
        assert_eq!(read(garbage), None, "{garbage:?}");
    }
    let silent = Headers::default().attempt(None);
    let mut headers = HeaderMap::new();
    silent.write(&mut headers, Some(MS), 7);
    assert_eq!((headers.len(), silent.number(&headers)), (1, None));
}

#[test]
fn names_that_cannot_work_are_configuration_errors_that_say_so() {
    let same = Headers::default().attempt(REMAINING).check().unwrap_err();
    assert!(same.is_config() && same.to_string().contains("x-request-timeout-ms"), "{same}");
    let grpc = Headers::default().remaining(HeaderName::from_static("grpc-timeout")).check().unwrap_err();
    assert!(grpc.is_config() && grpc.to_string().contains("grpc-timeout"), "{grpc}");
    assert!(Headers::default().check().is_ok() && Headers::envoy().check().is_ok());
}

#[test]
fn a_map_that_is_full_goes_without_and_nothing_panics() {
    let mut full = HeaderMap::new();
    for n in 0u32.. {
        let name = HeaderName::try_from(format!("h{n}")).expect("a name");
        if full.try_insert(name, HeaderValue::from_static("")).is_err() {
            break;
        }
    }
    let before = full.len();
    Headers::default().write(&mut full, Some(MS), 1);
    assert_eq!(full.len(), before);
}

#[test]
fn only_a_refusal_says_that_nothing_was_done() {
    let answer = |late: Late| {
        let mut headers = HeaderMap::new();
        headers.insert(LATE, late.value());
        headers
    };
    let refused = answer(Late::Refused { left: 3 * MS, least: 20 * MS });
    assert_eq!(refused[LATE], "refused; left-ms=3; least-ms=20");
    let cut_off = answer(Late::CutOff { limit: 500 * MS });
    assert_eq!(cut_off[LATE], "cut-off; limit-ms=500");
    assert!(Late::refused(&refused) && !Late::refused(&cut_off) && !Late::refused(&HeaderMap::new()));
}

/// Slow and obvious: what one value means.
fn meaning(text: &str) -> Option<u128> {
    let digits = text.trim_matches(|c| c == ' ' || c == '\t');
    if digits.is_empty() {
        return None;
    }
    let mut sum: u128 = 0;
    for digit in digits.chars() {
        sum = sum.checked_mul(10)?.checked_add(u128::from(digit.to_digit(10)?))?;
    }
    (sum <= u128::from(u64::MAX)).then(|| sum.min(LONGEST.as_millis()))
}

#[test]
fn the_headers_of_envoy_are_written_and_read_under_its_names() {
    let mut headers = HeaderMap::new();
    Headers::envoy().write(&mut headers, Some(5 * MS), 3);
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    assert_eq!(value("x-envoy-expected-rq-timeout-ms"), Some("5"));
    assert_eq!(value("x-envoy-attempt-count"), Some("3"));
    assert_eq!(Headers::envoy().left(&headers), Some(5 * MS));
    assert_eq!(Headers::default().left(&headers), None);
}

proptest! {
    #[test]
    fn reading_agrees_with_the_slow_reference(values in vec("[ \\t]{0,2}[0-9+.,ms-]{0,24}[ \\t]{0,2}", 0..4)) {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let least = values.iter().filter_map(|text| meaning(text)).min();
        prop_assert_eq!(left(&values).map(|left| left.as_millis()), least);
    }

    #[test]
    fn no_bytes_make_it_panic_or_give_more_than_ten_years(values in vec(vec(any::<u8>(), 0..40), 0..4)) {
        let mut headers = HeaderMap::new();
        for value in values.iter().filter_map(|bytes| HeaderValue::from_bytes(bytes).ok()) {
            headers.append(REMAINING, value.clone());
            headers.append(ATTEMPT, value);
        }
        prop_assert!(Headers::default().left(&headers).is_none_or(|left| left <= LONGEST));
        prop_assert!(Headers::default().number(&headers).is_none_or(|number| number > 0));
    }

    #[test]
    fn a_header_that_is_added_on_the_way_can_only_shorten(time: u64, attempt: u32, added in "[0-9a-z .-]{0,24}") {
        let time = Duration::from_millis(time).min(LONGEST);
        let mut headers = HeaderMap::new();
        Headers::default().write(&mut headers, Some(time), attempt);
        prop_assert_eq!(Headers::default().left(&headers), Some(time));
        headers.append(REMAINING, HeaderValue::from_str(&added).expect("a header value"));
        prop_assert!(Headers::default().left(&headers).is_some_and(|left| left <= time));
    }

    #[test]
    fn what_arrives_is_never_more_than_what_was_left(nanos: u64) {
        let time = Duration::from_nanos(nanos);
        let mut headers = HeaderMap::new();
        Headers::default().write(&mut headers, Some(time), 1);
        let read = Headers::default().left(&headers).expect("just written");
        prop_assert!(read <= time && time - read < MS || time > LONGEST);
    }
}

#[test]
fn the_time_of_grpc_is_digits_and_a_letter_and_anything_else_is_as_if_absent() {
    let left = |value: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", HeaderValue::from_static(value));
        Headers::grpc().left(&headers)
    };
    for (value, read) in [
        ("2H", Duration::from_secs(7200)),
        ("3M", Duration::from_secs(180)),
        ("5S", Duration::from_secs(5)),
        ("100m", 100 * MS),
        ("00000015u", Duration::from_micros(15)),
        ("99999999n", Duration::from_nanos(99_999_999)),
        ("0m", Duration::ZERO),
        ("99999999H", LONGEST),
    ] {
        assert_eq!(left(value), Some(read), "{value}");
    }
    for garbage in ["", "m", "5", "-5S", "+5S", "5s", "5 S", "1.5S", "123456789m", "5mS", " 5S"] {
        assert_eq!(left(garbage), None, "{garbage:?}");
    }
}

#[test]
fn the_time_of_grpc_is_written_longer_by_a_millisecond_or_two_and_never_with_nine_digits() {
    for (left, written) in [
        (Duration::ZERO, "1m"),
        (Duration::from_micros(1), "2m"),
        (5 * MS, "6m"),
        (Duration::from_micros(5001), "7m"),
        (Duration::from_millis(99_999_998), "99999999m"),
        (Duration::from_millis(99_999_999), "100000S"),
        (LONGEST, "5256001M"),
        (Duration::MAX, "99999999H"),
    ] {
        let mut headers = HeaderMap::new();
        Headers::grpc().write(&mut headers, Some(left), 2);
        assert_eq!((headers["grpc-timeout"].to_str().expect("text"), headers.len()), (written, 1));
        assert!(Headers::grpc().left(&headers).expect("what was written") >= left.min(LONGEST));
    }
    assert!(Headers::grpc().check().is_ok());
}
