//! What `check` refuses, and what it does not.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[track_caller]
fn assert_refused(backoff: &Backoff, words: &[&str]) {
    let text = backoff.check("retry back-off").expect_err("a rule is broken").to_string();
    for word in words.iter().chain(&["retry back-off"]) {
        assert!(text.contains(word), "{word:?} is missing in {text:?}");
    }
}

#[test]
fn a_cap_below_the_base_is_refused_with_both_values() {
    assert_refused(&Backoff::exponential(5 * SECOND).cap(SECOND), &["cap 1 s", "base 5 s"]);
    assert_refused(&Backoff::constant(5 * SECOND).cap(SECOND), &["cap 1 s", "base 5 s"]);
    assert!(Backoff::exponential(5 * SECOND).cap(5 * SECOND).check("retry back-off").is_ok());
}

#[test]
fn a_base_above_the_usual_cap_needs_no_cap_of_its_own() {
    let backoff = Backoff::exponential(60 * SECOND).jitter(Jitter::None);
    assert!(backoff.check("retry back-off").is_ok());
    assert!(backoff.delays().take(3).all(|wait| wait == 60 * SECOND));
}

#[test]
fn a_multiplier_below_one_or_not_finite_is_refused_with_its_value() {
    for (multiplier, text) in
        [(0.99, "0.99"), (0.0, "0"), (-2.0, "-2"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")]
    {
        assert_refused(&Backoff::default().multiplier(multiplier), &["multiplier", text, "at least 1"]);
    }
    assert!(Backoff::default().multiplier(1.0).check("retry back-off").is_ok());
}

#[test]
fn a_proportional_jitter_outside_zero_to_one_is_refused_with_its_value() {
    for (p, text) in [(-0.1, "-0.1"), (1.5, "1.5"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        assert_refused(
            &Backoff::default().jitter(Jitter::Proportional(p)),
            &["jitter", text, "between 0 and 1"],
        );
    }
    for p in [0.0, 0.5, 1.0] {
        assert!(Backoff::default().jitter(Jitter::Proportional(p)).check("retry back-off").is_ok());
    }
}

#[test]
fn more_than_ten_years_is_refused() {
    assert_refused(&Backoff::exponential(LONGEST + SECOND), &["base", "87600 h 1 s", "10 years"]);
    assert_refused(&Backoff::default().cap(LONGEST + SECOND), &["cap", "87600 h 1 s", "10 years"]);
    assert_refused(&Backoff::constant(Duration::MAX), &["base", "10 years"]);
}
