//! Back-off against a slow, obvious reference.

use super::*;
use crate::retry::backoff::Rng;
use proptest::prelude::*;

/// base x (eighths / 8)^n in exact integers, rounded to the nearest nanosecond, and the cap.
fn exact(base: u64, eighths: u64, n: u32, cap: u64) -> u64 {
    let (mut over, mut under) = (u128::from(base), 1u128);
    for _ in 0..n {
        over *= u128::from(eighths);
        under *= 8;
        if over / under >= u128::from(cap) {
            return cap;
        }
    }
    u64::try_from((over + under / 2) / under).expect("below the cap").min(cap)
}

/// base x multiplier^n, one multiplication after the other.
fn step_by_step(base: u64, multiplier: f64, n: u32, cap: u64) -> f64 {
    let mut wait = base as f64;
    for _ in 0..n {
        wait = (wait * multiplier).min(cap as f64);
    }
    wait.min(cap as f64)
}

fn any_jitter() -> impl Strategy<Value = Jitter> {
    prop_oneof![
        Just(Jitter::None),
        Just(Jitter::Full),
        Just(Jitter::Equal),
        Just(Jitter::Decorrelated),
        (0.0..=1.0).prop_map(Jitter::Proportional),
    ]
}

/// Nanoseconds of every magnitude up to ten years.
fn any_wait() -> impl Strategy<Value = u64> {
    (0u32..59, any::<u64>()).prop_map(|(bits, value)| (value % (1 << bits)).min(nanos(LONGEST)))
}

fn any_multiplier() -> impl Strategy<Value = f64> {
    prop_oneof![Just(1.0), 1.0..3.0, 1.0..1e6, Just(f64::MAX)]
}

fn any_valid() -> impl Strategy<Value = Backoff> {
    (any_wait(), any_wait(), any_multiplier(), any_jitter()).prop_map(|(a, b, multiplier, jitter)| {
        Backoff::exponential(Duration::from_nanos(a.min(b)))
            .cap(Duration::from_nanos(a.max(b)))
            .multiplier(multiplier)
            .jitter(jitter)
    })
}

fn any_try() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..40, any::<u32>()]
}

proptest! {
    #[test]
    fn the_ceiling_is_the_exact_product_while_f64_is_exact(
        base in 0u64..1 << 40, eighths in 8u64..=64, n in 0u32..=2, cap in 0u64..1 << 51,
    ) {
        let cap = cap.max(base);
        let backoff = Backoff::exponential(Duration::from_nanos(base)).cap(Duration::from_nanos(cap)).multiplier(eighths as f64 / 8.0);
        prop_assert_eq!(nanos(backoff.ceiling(n)), exact(base, eighths, n, cap));
    }

    #[test]
    fn the_ceiling_is_the_exact_product_for_every_wait_up_to_ten_years(
        base in any_wait(), eighths in 8u64..=128, n in 0u32..=16, cap in any_wait(),
    ) {
        let cap = cap.max(base);
        let backoff = Backoff::exponential(Duration::from_nanos(base)).cap(Duration::from_nanos(cap)).multiplier(eighths as f64 / 8.0);
        let expected = exact(base, eighths, n, cap);
        // A tie may go the other way; above 53 bits each multiplication rounds as well.
        let tolerance = 1 + (expected >> 47);
        prop_assert!(nanos(backoff.ceiling(n)).abs_diff(expected) <= tolerance, "{:?}, expected {}", backoff.ceiling(n), expected);
    }

    #[test]
    fn the_ceiling_follows_repeated_multiplication(backoff in any_valid(), n in 0u32..2_000) {
        let expected = step_by_step(nanos(backoff.base), backoff.multiplier, n, nanos(backoff.cap));
        let got = nanos(backoff.ceiling(n)) as f64;
        prop_assert!((got - expected).abs() <= 1.0 + expected * 1e-12, "{got}, expected {expected}");
    }

    #[test]
    fn the_ceiling_never_shrinks_and_stays_between_base_and_cap(backoff in any_valid(), n in any_try()) {
        let (now, next) = (backoff.ceiling(n), backoff.ceiling(n.saturating_add(1)));
        if !backoff.base.is_zero() {
            prop_assert!(backoff.base <= now && now <= backoff.cap);
        }
        prop_assert!(now <= next);
    }

    #[test]
    fn every_draw_stays_in_the_range_of_its_jitter(backoff in any_valid(), n in any_try(), previous in any_wait(), seed: u64) {
        let d = nanos(backoff.ceiling(n));
        let (base, cap) = (nanos(backoff.base), nanos(backoff.cap));
        let previous = Duration::from_nanos(previous);
        let wait = nanos(backoff.draw(n, Some(previous), &mut Rng::seed_from_u64(seed)));
        if base == 0 {
            prop_assert_eq!(wait, 0);
            return Ok(());
        }
        match backoff.jitter {
            Jitter::None => prop_assert_eq!(wait, d),
            Jitter::Full => prop_assert!(wait < d),
            Jitter::Equal => prop_assert!(d / 2 <= wait && wait < d),
            Jitter::Decorrelated => prop_assert!(base <= wait && wait <= (3 * nanos(previous).max(base)).min(cap)),
            Jitter::Proportional(p) => {
                // One part in 2^50 for p and its product, which f64 rounds.
                let slack = 1.0 + d as f64 / (1u64 << 50) as f64;
                prop_assert!((1.0 - p) * d as f64 - slack <= wait as f64);
                prop_assert!(wait as f64 <= (1.0 + p) * d as f64 + slack && wait <= cap);
            }
        }
    }

    #[test]
    fn no_series_exceeds_the_longest_wait_foretold(backoff in any_valid(), seed: u64) {
        let backoff = backoff.seed(seed);
        for (n, wait) in backoff.delays().take(60).enumerate() {
            let longest = backoff.at_most(n as u32);
            prop_assert!(wait <= longest && longest <= backoff.cap, "wait {n}: {wait:?} above {longest:?}");
        }
    }

    #[test]
    fn no_settings_make_it_panic_or_exceed_the_cap(
        base: (u64, u32), cap: (u64, u32), multiplier: f64, p: f64, n: u32, previous: (u64, u32), seed: u64,
    ) {
        let duration = |(seconds, nanos)| Duration::new(seconds, nanos % 1_000_000_000);
        for jitter in [Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Decorrelated, Jitter::Proportional(p)] {
            let backoff = Backoff::exponential(duration(base)).cap(duration(cap)).multiplier(multiplier).jitter(jitter);
            let _ = (backoff.check("any"), backoff.at_most(n));
            prop_assert!(backoff.draw(n, Some(duration(previous)), &mut Rng::seed_from_u64(seed)) <= backoff.cap);
        }
    }
}
