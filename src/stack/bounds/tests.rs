use super::*;
use crate::deadline::Limits;
use crate::retry::{Backoff, Jitter};
use crate::stack::StackLayer;
use crate::stack::builder::StackBuilder;

const SECOND: Duration = Duration::from_secs(1);

fn worst(stack: StackBuilder, parts: Parts) -> Bounds {
    Bounds::of(&stack.build_parts(parts).expect("settings that fit together").shared.context)
}

fn retries(n: u32, backoff: Backoff) -> StackBuilder {
    let settings = retry::Settings::default().max_retries(n).backoff(backoff).retry_after_cap(SECOND);
    StackLayer::builder().retry(settings)
}

#[test]
fn the_defaults_add_up() {
    let worst = worst(StackLayer::builder(), Parts::ALL);
    assert_eq!((worst.total, worst.with_stream()), (Some(30 * SECOND), Some(630 * SECOND)));
    assert_eq!((worst.waits, worst.longest_wait), (198 * SECOND, 66 * SECOND));
    assert_eq!(worst.schedule(), Some(238 * SECOND));
    assert_eq!((worst.retries_that_fit, worst.retries_when_hung), (3, 2));
    assert!(worst.unbounded().is_empty() && worst.check().is_ok());
}

#[test]
fn a_wait_is_the_longest_back_off_or_the_longest_retry_after_with_a_tenth_on_top() {
    let growing = Backoff::exponential(2 * SECOND).cap(10 * SECOND).jitter(Jitter::Proportional(0.5));
    let worst = worst(retries(4, growing), Parts::ALL);
    // 3, 6, then 12 and 24 that the cap holds at 10; each with a tenth.
    assert_eq!(worst.waits, Duration::from_millis(3300 + 6600 + 11_000 + 11_000));
    let none = worst_waits(retries(4, Backoff::none()));
    assert_eq!(none, 4 * Duration::from_millis(1100), "a Retry-After of a second");
}

fn worst_waits(stack: StackBuilder) -> Duration {
    worst(stack, Parts::ALL).waits
}

#[test]
fn a_health_check_counts_in_every_mode_as_any_call_may_have_to_wait_for_it() {
    let health = |mode| StackLayer::builder().health(health::Settings::new("/health").mode(mode));
    let counted = |mode| worst(health(mode), Parts::ALL).health;
    assert_eq!(counted(health::Mode::AfterFailure), Some(Duration::from_millis(5100)));
    assert_eq!(counted(health::Mode::Background), counted(health::Mode::OnDemand));
    let short = health(health::Mode::OnDemand).limits(Limits::default().total(3 * SECOND));
    assert_eq!(worst(short, Parts::ALL).health, Some(Duration::from_millis(2100)), "an attempt is the most");
}

#[test]
fn no_number_of_retries_and_no_growth_takes_long_to_add_up_or_overflows() {
    let slow =
        Backoff::exponential(Duration::from_nanos(1)).multiplier(1.000_000_1).cap(crate::duration::LONGEST);
    let settings = retry::Settings::default().max_retries(u32::MAX).backoff(slow);
    let limits = Limits::default().total(crate::duration::LONGEST).attempt(crate::duration::LONGEST);
    let worst = worst(StackLayer::builder().retry(settings).limits(limits).health("/health"), Parts::ALL);
    assert!(worst.schedule() >= Some(worst.waits) && worst.waits > crate::duration::LONGEST);
    assert!(worst.to_string().contains("4294967295 configured"), "{worst}");
}

#[test]
fn a_stack_that_nothing_bounds_is_not_built_and_a_part_says_what_it_leaves_open() {
    let open = worst(StackLayer::builder(), Parts { total: false, ..Parts::ALL });
    let error = open.check().unwrap_err();
    assert!(error.is_config(), "{error}");
    assert_eq!(
        error.to_string(),
        "nothing may wait forever, and nothing bounds a call: this layer has no deadline, put a DeadlineLayer around it"
    );
    let part = worst(retries(2, Backoff::none()), Parts { retry: true, ..Parts::default() });
    assert_eq!((part.total, part.attempt, part.schedule(), part.unbounded().len()), (None, None, None, 3));
    assert_eq!(
        part.to_string(),
        "\
a call has no bound of its own:
  waits          2, up to 1.1 s each                2.2 s
  long poll      for its head, and in each silence  10 m, or what it says; no stream limit
  no bound for   a call: this layer has no deadline, put a DeadlineLayer around it
  no bound for   an attempt: this layer has no attempt limit, put an AttemptLayer inside of it
  no bound for   a body that streams: put a DeadlineLayer or a StallLayer around or inside of this layer"
    );
}

#[test]
fn a_deadline_alone_bounds_a_body_that_streams_and_so_does_a_stall_guard() {
    let bounded = || StackLayer::builder().limits(Limits::default().stream(120 * SECOND));
    for part in [Parts { total: true, ..Parts::default() }, Parts { stall: true, ..Parts::default() }] {
        assert_eq!(worst(bounded(), part).stream, Some(120 * SECOND));
    }
    let neither = Parts { attempt: true, ..Parts::default() };
    assert_eq!(worst(bounded(), neither).stream, None);
}

#[test]
fn how_many_retries_begin_is_what_a_slow_count_says() {
    for (wait, attempt, total) in [(2, 10, 30), (5, 0, 30), (0, 10, 30), (1, 1, 10), (3, 7, 100), (40, 1, 30)]
    {
        let settings = retry::Settings::default().backoff(Backoff::constant(wait * SECOND));
        for retries in 0..12 {
            let (mut now, mut begun) = (attempt, 0);
            while begun < retries && now + wait < total {
                begun += 1;
                now += wait + attempt;
            }
            let counted = fit(total * SECOND, attempt * SECOND, &settings, retries);
            assert_eq!(counted, begun, "{wait} {attempt} {total} {retries}");
        }
    }
}
