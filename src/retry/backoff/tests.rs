use super::*;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const NANO: Duration = Duration::from_nanos(1);
const DRAWS: usize = 10_000;

const EVERY_JITTER: [Jitter; 6] = [
    Jitter::None,
    Jitter::Full,
    Jitter::Equal,
    Jitter::Decorrelated,
    Jitter::Proportional(0.25),
    Jitter::Proportional(1.0),
];

fn seconds(backoff: &Backoff, count: usize) -> Vec<u64> {
    backoff.delays().map(|wait| wait.as_secs()).take(count).collect()
}

/// `DRAWS` draws of the n-th wait, all with the same wait before it.
fn draws(backoff: &Backoff, n: u32, previous: Option<Duration>) -> Vec<Duration> {
    let mut rng = Rng::seed_from_u64(0x5eed);
    (0..DRAWS).map(|_| backoff.draw(n, previous, &mut rng)).collect()
}

#[track_caller]
fn assert_mean(draws: &[Duration], expected: Duration) {
    let mean = draws.iter().map(Duration::as_secs_f64).sum::<f64>() / draws.len() as f64;
    let off = (mean / expected.as_secs_f64() - 1.0).abs();
    assert!(off < 0.02, "a mean of {mean} s, expected {expected:?}");
}

#[test]
fn the_default_doubles_from_half_a_second_to_ten_seconds_with_full_jitter() {
    let backoff = Backoff::default();
    assert_eq!(backoff.jitter, Jitter::Full);
    let ceilings: Vec<u128> = (0..7).map(|n| backoff.ceiling(n).as_millis()).collect();
    assert_eq!(ceilings, [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    assert!(backoff.check("retry back-off").is_ok());
}

#[test]
fn a_doubling_wait_stays_at_its_cap_for_any_number_of_tries() {
    let backoff = Backoff::exponential(2 * SECOND).cap(5 * MINUTE).jitter(Jitter::None);
    assert_eq!(seconds(&backoff, 10), [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    for n in [8, 63, 64, 128, 1_024, 1 << 31, u32::MAX - 1, u32::MAX] {
        assert_eq!(backoff.ceiling(n), 5 * MINUTE, "n = {n}");
        assert_eq!(backoff.draw(n, None, &mut backoff.rng()), 5 * MINUTE, "n = {n}");
    }
}

#[test]
fn the_check_in_settings_wait_5_s_doubling_to_5_min() {
    let backoff = Backoff::exponential(5 * SECOND).cap(5 * MINUTE).jitter(Jitter::None);
    assert_eq!(seconds(&backoff, 10), [5, 10, 20, 40, 80, 160, 300, 300, 300, 300]);
}

#[test]
fn full_jitter_stays_below_the_ceiling_and_averages_half_of_it() {
    let backoff = Backoff::exponential(SECOND).cap(MINUTE).jitter(Jitter::Full);
    let draws = draws(&backoff, 3, None);
    assert!(draws.iter().all(|wait| *wait < 8 * SECOND));
    assert!(draws.iter().any(|wait| *wait < 80 * MS) && draws.iter().any(|wait| *wait > 7_920 * MS));
    assert_mean(&draws, 4 * SECOND);
}

#[test]
fn equal_jitter_stays_in_the_upper_half_and_averages_three_quarters() {
    let backoff = Backoff::exponential(SECOND).cap(MINUTE).jitter(Jitter::Equal);
    let draws = draws(&backoff, 3, None);
    assert!(draws.iter().all(|wait| (4 * SECOND..8 * SECOND).contains(wait)));
    assert!(draws.iter().any(|wait| *wait < 4_040 * MS) && draws.iter().any(|wait| *wait > 7_960 * MS));
    assert_mean(&draws, 6 * SECOND);
}

#[test]
fn proportional_jitter_stays_within_its_share_and_averages_the_ceiling() {
    let backoff = Backoff::exponential(SECOND).cap(MINUTE).jitter(Jitter::Proportional(0.25));
    let draws = draws(&backoff, 3, None);
    assert!(draws.iter().all(|wait| (6 * SECOND..=10 * SECOND).contains(wait)));
    assert!(draws.iter().any(|wait| *wait < 6_040 * MS) && draws.iter().any(|wait| *wait > 9_960 * MS));
    assert_mean(&draws, 8 * SECOND);
}

#[test]
fn proportional_jitter_never_exceeds_the_cap_and_does_not_pile_up_at_it() {
    let backoff = Backoff::exponential(SECOND).cap(MINUTE).jitter(Jitter::Proportional(0.25));
    let draws = draws(&backoff, 40, None);
    assert!(draws.iter().all(|wait| (45 * SECOND..=MINUTE).contains(wait)));
    assert!(draws.iter().filter(|wait| **wait == MINUTE).count() < 10);
    assert_mean(&draws, Duration::from_millis(52_500));
}

#[test]
fn proportional_jitter_spreads_a_constant_wait_to_both_sides() {
    let backoff = Backoff::constant(20 * SECOND).jitter(Jitter::Proportional(0.25));
    let draws = draws(&backoff, 7, None);
    assert!(draws.iter().all(|wait| (15 * SECOND..=25 * SECOND).contains(wait)));
    assert_mean(&draws, 20 * SECOND);
}

#[test]
fn decorrelated_jitter_starts_between_base_and_three_times_base() {
    let backoff = Backoff::exponential(SECOND).cap(MINUTE).jitter(Jitter::Decorrelated);
    let draws = draws(&backoff, 0, None);
    assert!(draws.iter().all(|wait| (SECOND..=3 * SECOND).contains(wait)));
    assert_mean(&draws, 2 * SECOND);
}

#[test]
fn decorrelated_jitter_draws_up_to_three_times_the_wait_before_and_never_above_the_cap() {
    let backoff = Backoff::exponential(SECOND).cap(MINUTE).jitter(Jitter::Decorrelated);
    let after_five = draws(&backoff, 1, Some(5 * SECOND));
    assert!(after_five.iter().all(|wait| (SECOND..=15 * SECOND).contains(wait)));
    assert_mean(&after_five, 8 * SECOND);

    let after_fifty = draws(&backoff, 1, Some(50 * SECOND));
    assert!(after_fifty.iter().all(|wait| (SECOND..=MINUTE).contains(wait)));
    assert!(after_fifty.iter().filter(|wait| **wait == MINUTE).count() < 10);
    assert_mean(&after_fifty, Duration::from_millis(30_500));
}

#[test]
fn decorrelated_jitter_starts_from_the_base_after_a_retry_without_a_wait() {
    let backoff = Backoff::exponential(SECOND).cap(MINUTE).jitter(Jitter::Decorrelated);
    assert_mean(&draws(&backoff, 1, Some(Duration::ZERO)), 2 * SECOND);
}

#[test]
fn a_seed_gives_the_same_series_through_the_iterator_and_through_draw() {
    for jitter in EVERY_JITTER {
        let backoff = Backoff::exponential(SECOND).cap(MINUTE).jitter(jitter).seed(42);
        let series: Vec<Duration> = backoff.delays().take(50).collect();
        assert!(backoff.delays().take(50).eq(series.iter().copied()));

        let (mut rng, mut previous) = (backoff.rng(), None);
        for (n, expected) in series.iter().enumerate() {
            let wait = backoff.draw(n as u32, previous, &mut rng);
            assert_eq!(wait, *expected, "{jitter:?}, wait {n}");
            previous = Some(wait);
        }
    }
}

#[test]
fn another_seed_or_none_gives_another_series() {
    let backoff = Backoff::exponential(SECOND).cap(MINUTE);
    let series = |backoff: &Backoff| backoff.delays().take(20).collect::<Vec<_>>();
    assert_ne!(series(&backoff.clone().seed(1)), series(&backoff.clone().seed(2)));
    assert_ne!(series(&backoff), series(&backoff));
}

#[test]
fn a_base_of_zero_never_waits() {
    for jitter in EVERY_JITTER {
        for backoff in [Backoff::none(), Backoff::exponential(Duration::ZERO), Duration::ZERO.into()] {
            let backoff = backoff.jitter(jitter).multiplier(1e300);
            assert!(backoff.check("retry back-off").is_ok());
            assert!(backoff.delays().take(100).all(|wait| wait.is_zero()), "{jitter:?}");
            assert_eq!(backoff.draw(u32::MAX, Some(MINUTE), &mut backoff.rng()), Duration::ZERO);
        }
    }
}

#[test]
fn a_plain_duration_is_a_constant_wait_give_or_take_a_tenth() {
    let backoff = Backoff::from(7 * SECOND);
    assert_eq!(backoff, Backoff::constant(7 * SECOND).jitter(Jitter::Proportional(0.1)));
    let waits: Vec<_> = backoff.delays().take(1_000).collect();
    let (least, most) = (*waits.iter().min().unwrap(), *waits.iter().max().unwrap());
    assert!(least >= 7 * SECOND * 9 / 10 && least < 7 * SECOND * 92 / 100, "{least:?}");
    assert!(most <= 7 * SECOND * 11 / 10 && most > 7 * SECOND * 108 / 100, "{most:?}");
    assert!(Backoff::constant(7 * SECOND).delays().take(100).all(|wait| wait == 7 * SECOND));
    assert_eq!(backoff.ceiling(u32::MAX), 7 * SECOND);
}

#[test]
fn a_wait_of_one_nanosecond_can_be_jittered() {
    for jitter in EVERY_JITTER {
        let backoff = Backoff::constant(NANO).jitter(jitter);
        assert!(backoff.delays().take(100).all(|wait| wait <= 2 * NANO), "{jitter:?}");
    }
}

#[test]
fn ten_years_and_any_multiplier_are_accepted_and_nothing_overflows() {
    for jitter in EVERY_JITTER {
        for multiplier in [1.0, 1.0 + f64::EPSILON, 2.0, 1e18, f64::MAX] {
            // f64 rounds some of these down and some up.
            for base in [NANO, SECOND, LONGEST - 40 * NANO, LONGEST - 24 * NANO, LONGEST - NANO, LONGEST] {
                let backoff = Backoff::exponential(base).cap(LONGEST).multiplier(multiplier).jitter(jitter);
                assert!(backoff.check("retry back-off").is_ok());
                assert!(Backoff::constant(base).check("retry back-off").is_ok());
                for n in [0, 1, 2, 63, 64, 1_024, u32::MAX] {
                    assert!((base..=LONGEST).contains(&backoff.ceiling(n)));
                    assert!(backoff.draw(n, Some(LONGEST), &mut backoff.rng()) <= LONGEST);
                }
            }
        }
    }
}

#[test]
fn settings_that_a_stack_refuses_still_give_waits_below_the_cap() {
    for multiplier in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -2.0, 0.0, 0.5] {
        for jitter in [
            Jitter::None,
            Jitter::Decorrelated,
            Jitter::Proportional(f64::NAN),
            Jitter::Proportional(-1.0),
            Jitter::Proportional(f64::INFINITY),
        ] {
            for (base, cap) in
                [(MINUTE, SECOND), (SECOND, MINUTE), (Duration::MAX, Duration::MAX), (MINUTE, Duration::ZERO)]
            {
                let backoff = Backoff::exponential(base).cap(cap).multiplier(multiplier).jitter(jitter);
                assert!(backoff.check("retry back-off").is_err() || jitter == Jitter::None);
                assert!(backoff.delays().take(50).all(|wait| wait <= cap));
            }
        }
    }
}

#[test]
fn a_wait_beyond_64_bits_of_nanoseconds_does_not_wrap_to_a_short_one() {
    for wait in [Duration::from_secs(1 << 55), Duration::MAX] {
        assert!(Backoff::constant(wait).ceiling(0) > LONGEST);
    }
}

#[test]
fn proportional_jitter_of_zero_is_no_jitter() {
    let backoff = Backoff::exponential(SECOND).cap(MINUTE).jitter(Jitter::Proportional(0.0));
    assert_eq!(seconds(&backoff, 8), [1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn waits_have_no_end_and_say_so() {
    let delays = Backoff::constant(SECOND).delays();
    assert_eq!(delays.size_hint(), (usize::MAX, None));
}

#[test]
fn another_base_grows_alike_below_the_same_cap() {
    let backoff = Backoff::exponential(SECOND).multiplier(3.0).cap(MINUTE).jitter(Jitter::None);
    let range = |of: &Backoff| (of.get_base(), of.get_cap());
    assert_eq!(range(&backoff), (SECOND, MINUTE));
    assert_eq!(seconds(&backoff.with_base(2 * SECOND), 5), [2, 6, 18, 54, 60]);
    assert_eq!(range(&backoff.with_base(2 * MINUTE)), (MINUTE, MINUTE));
}

#[test]
fn a_seed_gives_these_waits_on_every_platform_and_in_every_release() {
    let waits: Vec<u128> = Backoff::default().seed(7).delays().take(4).map(|wait| wait.as_nanos()).collect();
    assert_eq!(waits, [27_680_218, 172_115_854, 1_435_152_256, 1_708_839_277]);
}
