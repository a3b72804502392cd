//! What cannot work is said before anything is called.

use super::*;
use crate::breaker::{Ratio, Rules};
use crate::retry::Backoff;

const ATTEMPT: Duration = Duration::from_secs(10);

fn complaint(settings: Settings) -> String {
    let error = settings.check(ATTEMPT).expect_err("cannot work");
    error.to_string()
}

#[test]
fn the_defaults_fit_the_default_attempt() {
    Settings::default().check(ATTEMPT).expect("the defaults");
    Settings::default().ratio(Ratio::default()).check(ATTEMPT).expect("the ratio rule without numbers");
}

#[test]
fn each_relation_that_does_not_hold_names_both_values() {
    let window = Ratio::default().window(secs(19));
    for (settings, expected) in [
        (
            Settings::default().lease(secs(10)),
            "breaker lease is 10 s: it must be longer than the attempt limit (10 s)",
        ),
        (
            Settings::default().overdue_after(secs(10)),
            "breaker overdue_after is 10 s: it must be shorter than the attempt limit (10 s)",
        ),
        (
            Settings::default().ratio(window),
            "breaker ratio window is 19 s: it must be at least twice the attempt limit, that is (20 s)",
        ),
    ] {
        assert_eq!(complaint(settings.clone()), expected);
        assert!(Breaker::new("alone", settings).is_ok(), "a breaker alone has no attempt limit: {expected}");
    }
    Settings::default().lease(millis(10_001)).overdue_after(millis(9_999)).check(ATTEMPT).expect("just fits");
    Settings::default().ratio(Ratio::default().window(secs(20))).check(ATTEMPT).expect("just fits");
    let alone =
        Breaker::new("alone", Settings::default().lease(secs(5)).overdue_after(secs(5))).expect_err("never");
    assert_eq!(alone.to_string(), "breaker overdue_after is 5 s: it must be shorter than the lease (5 s)");
}

#[test]
fn zero_and_more_than_ten_years_are_refused_by_name() {
    let years = secs(10 * 365 * 24 * 60 * 60);
    let duration = |name: &str, set: &dyn Fn(Duration) -> Settings| {
        for bad in [Duration::ZERO, years + millis(1), Duration::MAX] {
            let error = Breaker::new("x", set(bad)).expect_err(name).to_string();
            assert!(error.contains(name) && error.contains("10 years"), "{error}");
        }
        set(years).check_alone().expect(name);
        set(Duration::from_nanos(1)).check_alone().expect(name);
    };
    duration("hang_after", &|d| Settings::default().hang_after(d));
    duration("lease", &|d| Settings::default().lease(d));
    duration("overdue_after", &|d| Settings::default().overdue_after(d));
    duration("ratio window", &|d| Settings::default().ratio(Ratio::default().window(d)));
    duration("ratio slow_after", &|d| Settings::default().ratio(Ratio::default().slow_after(d)));
    for bad in [Backoff::none(), Backoff::constant(Duration::ZERO), Backoff::constant(years + millis(1))] {
        let error = Breaker::new("x", Settings::default().open(bad)).expect_err("open").to_string();
        assert!(error.contains("open"), "{error}");
    }
    for (settings, name) in [
        (Settings::default().failures(0), "failures is 0"),
        (Settings::default().half_open(0, 1), "half_open max_calls is 0"),
        (Settings::default().half_open(1, 0), "half_open close_after is 0"),
        (Settings::default().ratio(Ratio::default().min_calls(0)), "ratio min_calls is 0"),
        (Settings::default().ratio(Ratio::default().buckets(0)), "ratio buckets is 0"),
        (Settings::default().ratio(Ratio::default().buckets(3_601)), "ratio buckets is 3601"),
    ] {
        let error = complaint(settings);
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn a_ratio_is_above_zero_and_at_most_one() {
    for bad in [0.0, -0.1, 1.000_001, f64::NAN, f64::INFINITY] {
        for (ratio, name) in [
            (Ratio::default().failure_ratio(bad), "failure_ratio"),
            (Ratio::default().slow_ratio(bad), "slow_ratio"),
        ] {
            let error = complaint(Settings::default().ratio(ratio));
            assert!(error.contains(name) && error.contains(&bad.to_string()), "{error}");
        }
    }
    for good in [f64::MIN_POSITIVE, 1.0] {
        complaint_free(Ratio::default().failure_ratio(good).slow_ratio(good));
    }
}

fn complaint_free(ratio: Ratio) {
    Settings::default().ratio(ratio).check(ATTEMPT).expect("within bounds");
}

#[test]
fn what_was_not_set_follows_from_the_other_limits() {
    let Rules { lease, open_max, .. } = Settings::default().rules(secs(10));
    assert_eq!((lease, open_max), (secs(11), secs(15)));
    assert_eq!(Settings::default().rules(secs(30)).lease, secs(31));
    assert_eq!(Settings::default().lease(secs(12)).rules(secs(10)).lease, secs(12));
    let ratio = Settings::default().ratio(Ratio::default()).rules(secs(30)).ratio.expect("on");
    assert_eq!((ratio.slow_after, ratio.window, ratio.min_calls), (secs(15), secs(30), 10));
}
