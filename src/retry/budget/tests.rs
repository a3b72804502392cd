use super::*;
use proptest::prelude::*;
use std::sync::atomic::AtomicUsize;
use std::thread;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A bucket of these settings, and the moment of its start.
fn full(budget: &Budget) -> (Bucket, Instant) {
    let now = Instant::now();
    (Bucket::new(budget, now), now)
}

#[test]
fn the_default_holds_500_tokens_and_costs_4_and_1() {
    let budget = Budget::default();
    assert_eq!((budget.tokens, budget.retry_cost, budget.refund), (500, 4, 1));
    assert_eq!(full(&budget).0.left(), 500);
}

#[test]
fn retries_cost_4_each_until_the_one_that_finds_too_few_tokens_is_not_made() {
    let budget = Budget::default().tokens(499);
    let (bucket, now) = full(&budget);
    let left: Vec<u32> =
        (0..1_000).take_while(|_| bucket.withdraw(budget.retry_cost, now)).map(|_| bucket.left()).collect();
    assert_eq!(left[..4], [495, 491, 487, 483]);
    assert_eq!(left.len(), 124);
    assert_eq!(bucket.left(), 3, "a refused retry takes nothing");
    assert!(!bucket.withdraw(budget.retry_cost, now));
    bucket.deposit(1);
    assert!(bucket.withdraw(budget.retry_cost, now));
    assert_eq!(bucket.left(), 0);
}

#[test]
fn a_first_try_success_gives_one_token_back_and_never_more_than_the_bucket_holds() {
    let budget = Budget::default();
    let (bucket, now) = full(&budget);
    bucket.deposit(budget.refund);
    assert_eq!(bucket.left(), 500);

    assert!(bucket.withdraw(budget.retry_cost, now));
    let left: Vec<u32> = (0..6).map(|_| (bucket.deposit(budget.refund), bucket.left()).1).collect();
    assert_eq!(left, [497, 498, 499, 500, 500, 500]);
}

#[test]
fn a_success_after_a_retry_gives_the_cost_of_that_retry_back() {
    let budget = Budget::default();
    let (bucket, now) = full(&budget);
    assert!(bucket.withdraw(budget.retry_cost, now) && bucket.withdraw(budget.retry_cost, now));
    bucket.deposit(budget.retry_cost);
    assert_eq!(bucket.left(), 496);
    bucket.deposit(budget.retry_cost);
    bucket.deposit(budget.retry_cost);
    assert_eq!(bucket.left(), 500);
}

#[test]
fn one_token_comes_back_with_every_whole_second_up_to_the_capacity() {
    let (bucket, start) = full(&Budget::default().tokens(8));
    assert!(bucket.withdraw(8, start));
    for (ms, there) in
        [(0, false), (999, false), (3_999, false), (4_000, true), (4_000, false), (7_999, false)]
    {
        assert_eq!(bucket.withdraw(4, start + Duration::from_millis(ms)), there, "{ms} ms");
    }
    assert!(bucket.withdraw(4, start + 8 * SECOND));
    let later = start + 3_600 * SECOND;
    assert!(bucket.withdraw(8, later), "an hour fills it");
    assert!(!bucket.withdraw(1, later), "and no more than that");
}

#[test]
fn a_full_bucket_saves_nothing_up() {
    let (bucket, start) = full(&Budget::default().tokens(8));
    let later = start + 3_600 * SECOND;
    assert!(bucket.withdraw(8, later));
    assert!(!bucket.withdraw(1, later + Duration::from_millis(999)));
    assert!(bucket.withdraw(1, later + SECOND));
}

#[test]
fn a_clock_that_was_read_earlier_pays_nothing_out_twice() {
    let (bucket, start) = full(&Budget::default().tokens(4));
    assert!(bucket.withdraw(4, start));
    assert!(bucket.withdraw(2, start + 2 * SECOND));
    assert!(!bucket.withdraw(1, start + SECOND), "its token is spent");
    assert!(!bucket.withdraw(1, start + 2 * SECOND));
    assert!(bucket.withdraw(1, start + 3 * SECOND));
    assert!(!bucket.withdraw(1, start.checked_sub(SECOND).unwrap_or(start)), "before the start");
}

#[test]
fn a_retry_that_needs_exactly_what_is_left_is_made() {
    let (bucket, now) = full(&Budget::default().tokens(4));
    assert!(bucket.withdraw(4, now));
    assert_eq!(bucket.left(), 0);
    assert!(!bucket.withdraw(1, now));
}

#[test]
fn a_cost_of_zero_is_free_and_no_tokens_forbid_every_other_retry() {
    let (bucket, now) = full(&Budget::default().tokens(0));
    assert!(!bucket.withdraw(1, now));
    assert!(bucket.withdraw(0, now));
    bucket.deposit(u32::MAX);
    assert_eq!(bucket.left(), 0);
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let (bucket, now) = full(&Budget::default().tokens(u32::MAX));
    assert!(bucket.withdraw(1, now));
    bucket.deposit(u32::MAX);
    assert_eq!(bucket.left(), u32::MAX);
    assert!(bucket.withdraw(u32::MAX, now));
    assert!(!bucket.withdraw(u32::MAX, now));
    assert_eq!(bucket.left(), 0);
}

#[test]
fn threads_that_withdraw_at_once_share_exactly_what_is_there() {
    let (bucket, now) = full(&Budget::default().tokens(100_000));
    let made = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mine = (0..10_000).filter(|_| bucket.withdraw(3, now)).count();
                made.fetch_add(mine, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(made.into_inner(), 33_333);
    assert_eq!(bucket.left(), 1);
}

#[test]
fn threads_that_withdraw_and_deposit_at_once_neither_lose_nor_make_a_token() {
    // Large enough that nobody meets an end, so that the sum is known; and it never leaves the range meanwhile.
    let (bucket, now) = full(&Budget::default().tokens(1_000_000));
    assert!(bucket.withdraw(500_000, now));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..20_000).for_each(|_| assert!(bucket.withdraw(5, now))));
            scope.spawn(|| (0..20_000).for_each(|_| bucket.deposit(3)));
        }
    });
    assert_eq!(bucket.left(), 500_000 - 4 * 20_000 * 5 + 4 * 20_000 * 3);
}

#[test]
fn threads_that_overfill_the_bucket_end_at_its_capacity_and_never_pass_it() {
    let (bucket, now) = full(&Budget::default());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    let cost = if bucket.withdraw(4, now) { 4 } else { 0 };
                    bucket.deposit(cost + 1);
                    assert!(bucket.left() <= 500);
                }
            });
        }
    });
    assert_eq!(bucket.left(), 500);
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Withdraw(u32),
    Deposit(u32),
    Pass(u64),
}

fn any_move() -> impl Strategy<Value = Move> {
    let amount = || prop_oneof![8 => 0u32..40, 1 => any::<u32>()];
    let ms = prop_oneof![8 => 0u64..5_000, 1 => 0u64..1 << 34];
    prop_oneof![amount().prop_map(Move::Withdraw), amount().prop_map(Move::Deposit), ms.prop_map(Move::Pass)]
}

proptest! {
    #[test]
    fn the_bucket_is_a_number_between_zero_and_its_capacity(
        capacity in prop_oneof![0u32..600, any::<u32>()],
        moves in proptest::collection::vec(any_move(), 0..200),
    ) {
        let (bucket, start) = full(&Budget::default().tokens(capacity));
        let mut model = i128::from(capacity);
        let mut ms = 0;
        for step in moves {
            match step {
                Move::Withdraw(cost) => {
                    let affordable = i128::from(cost) <= model;
                    if affordable {
                        model -= i128::from(cost);
                    }
                    prop_assert_eq!(bucket.withdraw(cost, start + Duration::from_millis(ms)), affordable);
                    if affordable {
                        prop_assert_eq!(i128::from(bucket.left()), model);
                    }
                }
                Move::Deposit(tokens) => {
                    model = (model + i128::from(tokens)).min(i128::from(capacity));
                    bucket.deposit(tokens);
                }
                // The model puts every token in when its second is over, the bucket when somebody asks.
                Move::Pass(by) => {
                    let seconds = (ms + by) / 1_000 - ms / 1_000;
                    ms += by;
                    model = (model + i128::from(seconds)).min(i128::from(capacity));
                }
            }
            prop_assert!(i128::from(bucket.left()) <= model);
        }
    }
}

#[test]
fn each_setting_sets_itself_and_leaves_the_others() {
    let budget = Budget::default().tokens(9).retry_cost(3).refund(4);
    let Budget { tokens, retry_cost, refund } = budget;
    assert_eq!([tokens, retry_cost, refund], [9, 3, 4]);
}
