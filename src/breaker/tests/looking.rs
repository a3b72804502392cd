//! Who looks at a breaker changes nothing.

use super::*;

/// Each way to look.
fn look(breaker: &Breaker) -> Phase {
    let (phase, shown) = (breaker.phase(), format!("{breaker:?}"));
    assert_eq!(breaker.snapshot().phase, phase);
    assert!(shown.contains(&format!("{phase:?}")), "{shown}");
    phase
}

#[tokio::test(start_paused = true)]
async fn an_open_wait_that_is_over_is_seen_by_whoever_looks_and_told_by_the_next_call() {
    let b = breaker(steady());
    open(&b).await;
    let mut events = b.subscribe();
    advance(secs(4)).await;
    assert_eq!((look(&b), b.snapshot().retry_in), (Phase::Open, Some(secs(1))));
    advance(secs(1)).await;
    let seen = b.snapshot();
    assert_eq!((look(&b), seen.retry_in, seen.in_phase_for), (Phase::HalfOpen, None, secs(0)));
    advance(secs(3_600)).await;
    assert_eq!((look(&b), b.snapshot().in_phase_for), (Phase::HalfOpen, secs(3_600)));
    assert_eq!(drain(&mut events), [], "to look is no event");

    let probe = permit(&b);
    let told = events.try_recv().expect("the call is told");
    assert_eq!((told.from, told.to, told.generation), (Phase::Open, Phase::HalfOpen, seen.generation));
    assert_eq!(b.snapshot().in_phase_for, secs(3_600), "as of the moment at which it was due");
    probe.success();
    assert_eq!((look(&b), drain(&mut events)), (Phase::Closed, vec![(Phase::HalfOpen, Phase::Closed)]));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_over_is_seen_by_whoever_looks_and_ends_with_the_next_call() {
    let b = breaker(steady());
    half_open(&b).await;
    let mut events = b.subscribe();
    let probe = permit(&b);
    assert_eq!(drain(&mut events), [(Phase::Open, Phase::HalfOpen)]);
    let seen = b.snapshot();
    assert_eq!((seen.probes_in_flight, seen.expired_leases), (1, 0));
    while look(&b) == Phase::HalfOpen {
        advance(secs(1)).await;
    }
    let seen = b.snapshot();
    assert_eq!((seen.phase, seen.probes_in_flight, seen.expired_leases), (Phase::Open, 0, 1));
    assert_eq!(drain(&mut events), [], "to look is no event");
    assert_eq!(Some(refused(&b)), seen.retry_in);
    assert_eq!(drain(&mut events), [(Phase::HalfOpen, Phase::Open)]);
    assert_eq!(b.snapshot().generation, seen.generation);
    // Late, and of a generation that is over.
    probe.success();
    assert_eq!(look(&b), Phase::Open);
}

#[tokio::test(start_paused = true)]
async fn a_ratio_forgets_for_whoever_looks_what_has_left_its_window() {
    let ratio = crate::breaker::Ratio::default().window(secs(10));
    let b = breaker(steady().failures(50).ratio(ratio));
    play(&b, "SF");
    advance(secs(5)).await;
    play(&b, "S");
    let counted = || (b.snapshot().calls, b.snapshot().failures);
    assert_eq!(counted(), (3, 1));
    advance(secs(5)).await;
    assert_eq!((counted(), counted()), ((1, 0), (1, 0)));
    play(&b, "F");
    assert_eq!(counted(), (2, 1));
}
