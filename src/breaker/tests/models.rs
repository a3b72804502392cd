//! Machine and window against what is slow and obvious.

use crate::breaker::reference;
use crate::breaker::window::{Totals, Window};
use proptest::prelude::*;
use std::time::Duration;
use tokio::time::Instant;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_machine_does_what_the_reference_does(history in prop::collection::vec(any::<u8>(), 11..400)) {
        reference::check(&history);
    }

    #[test]
    fn the_window_counts_nothing_older_than_its_span_and_all_that_is_a_step_younger(
        length in 1u64..5_000,
        buckets in 1usize..20,
        events in prop::collection::vec((0u64..3_000, any::<bool>(), any::<bool>()), 0..100),
    ) {
        let start = Instant::now();
        let mut window = Window::new(Duration::from_nanos(length), buckets);
        let step = length.div_ceil(buckets as u64);
        let span = step * buckets as u64;
        prop_assert!(span >= length && span < length + buckets as u64);
        let mut seen: Vec<(u64, bool, bool)> = Vec::new();
        let mut now = 0;
        for (gap, failed, slow) in events {
            now += gap;
            seen.push((now, failed, slow));
            let count = |max_age: u64| {
                let mut totals = Totals::default();
                let young = seen.iter().filter(|(at, ..)| now - at < max_age);
                young.for_each(|(_, failed, slow)| totals.add(*failed, *slow));
                totals
            };
            let (least, most) = (count(span - step + 1), count(span));
            let totals = window.record(start + Duration::from_nanos(now), failed, slow);
            prop_assert_eq!(totals, window.totals(start + Duration::from_nanos(now)));
            prop_assert!(least.calls <= totals.calls && totals.calls <= most.calls);
            prop_assert!(least.failures <= totals.failures && totals.failures <= most.failures);
            prop_assert!(least.slow <= totals.slow && totals.slow <= most.slow);
        }
        prop_assert_eq!(window.totals(start + Duration::from_nanos(now + span)), Totals::default());
    }
}
