use super::*;
use proptest::prelude::*;
use std::sync::atomic::AtomicUsize;
use std::thread;

#[test]
fn the_default_holds_500_tokens_and_costs_14_5_and_1() {
    let budget = Budget::default();
    assert_eq!((budget.tokens, budget.retry_cost, budget.throttled_cost, budget.refund), (500, 14, 5, 1));
    assert_eq!(Bucket::new(&budget).left(), 500);
}

#[test]
fn retries_cost_14_each_until_the_one_that_finds_too_few_tokens_is_not_made() {
    let budget = Budget::default();
    let bucket = Bucket::new(&budget);
    let left: Vec<u32> =
        (0..1_000).take_while(|_| bucket.withdraw(budget.retry_cost)).map(|_| bucket.left()).collect();
    assert_eq!(left[..4], [486, 472, 458, 444]);
    assert_eq!(left.len(), 35);
    assert_eq!(bucket.left(), 10, "a refused retry takes nothing");
    assert!(!bucket.withdraw(budget.retry_cost));
    assert!(bucket.withdraw(budget.throttled_cost), "10 tokens are enough for a throttled retry");
    assert_eq!(bucket.left(), 5);
}

#[test]
fn throttled_retries_cost_5_each_down_to_the_last_token() {
    let budget = Budget::default();
    let bucket = Bucket::new(&budget);
    assert_eq!((0..1_000).filter(|_| bucket.withdraw(budget.throttled_cost)).count(), 100);
    assert_eq!(bucket.left(), 0);
}

#[test]
fn a_first_try_success_gives_one_token_back_and_never_more_than_the_bucket_holds() {
    let budget = Budget::default();
    let bucket = Bucket::new(&budget);
    bucket.deposit(budget.refund);
    assert_eq!(bucket.left(), 500);

    assert!(bucket.withdraw(budget.retry_cost));
    let left: Vec<u32> = (0..16).map(|_| (bucket.deposit(budget.refund), bucket.left()).1).collect();
    assert_eq!(left, [487, 488, 489, 490, 491, 492, 493, 494, 495, 496, 497, 498, 499, 500, 500, 500]);
}

#[test]
fn a_success_after_a_retry_gives_the_cost_of_that_retry_back() {
    let budget = Budget::default();
    let bucket = Bucket::new(&budget);
    assert!(bucket.withdraw(budget.retry_cost) && bucket.withdraw(budget.retry_cost));
    bucket.deposit(budget.retry_cost);
    assert_eq!(bucket.left(), 486);
    bucket.deposit(budget.retry_cost);
    bucket.deposit(budget.retry_cost);
    assert_eq!(bucket.left(), 500);
}

#[test]
fn a_retry_that_needs_exactly_what_is_left_is_made() {
    let bucket = Bucket::new(&Budget::default().tokens(14));
    assert!(bucket.withdraw(14));
    assert_eq!(bucket.left(), 0);
    assert!(!bucket.withdraw(1));
}

#[test]
fn a_cost_of_zero_is_free_and_no_tokens_forbid_every_other_retry() {
    let bucket = Bucket::new(&Budget::default().tokens(0));
    assert!(!bucket.withdraw(1));
    assert!(bucket.withdraw(0));
    bucket.deposit(u32::MAX);
    assert_eq!(bucket.left(), 0);
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let bucket = Bucket::new(&Budget::default().tokens(u32::MAX));
    assert!(bucket.withdraw(1));
    bucket.deposit(u32::MAX);
    assert_eq!(bucket.left(), u32::MAX);
    assert!(bucket.withdraw(u32::MAX));
    assert!(!bucket.withdraw(u32::MAX));
    assert_eq!(bucket.left(), 0);
}

#[test]
fn threads_that_withdraw_at_once_share_exactly_what_is_there() {
    let bucket = Bucket::new(&Budget::default().tokens(100_000));
    let made = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mine = (0..10_000).filter(|_| bucket.withdraw(3)).count();
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
    let bucket = Bucket::new(&Budget::default().tokens(1_000_000));
    assert!(bucket.withdraw(500_000));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..20_000).for_each(|_| assert!(bucket.withdraw(5))));
            scope.spawn(|| (0..20_000).for_each(|_| bucket.deposit(3)));
        }
    });
    assert_eq!(bucket.left(), 500_000 - 4 * 20_000 * 5 + 4 * 20_000 * 3);
}

#[test]
fn threads_that_overfill_the_bucket_end_at_its_capacity_and_never_pass_it() {
    let bucket = Bucket::new(&Budget::default());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    let cost = if bucket.withdraw(14) { 14 } else { 0 };
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
}

fn any_move() -> impl Strategy<Value = Move> {
    let amount = || prop_oneof![8 => 0u32..40, 1 => any::<u32>()];
    prop_oneof![amount().prop_map(Move::Withdraw), amount().prop_map(Move::Deposit)]
}

proptest! {
    #[test]
    fn the_bucket_is_a_number_between_zero_and_its_capacity(
        capacity in prop_oneof![0u32..600, any::<u32>()],
        moves in proptest::collection::vec(any_move(), 0..200),
    ) {
        let bucket = Bucket::new(&Budget::default().tokens(capacity));
        let mut model = i128::from(capacity);
        for step in moves {
            match step {
                Move::Withdraw(cost) => {
                    let affordable = i128::from(cost) <= model;
                    if affordable {
                        model -= i128::from(cost);
                    }
                    prop_assert_eq!(bucket.withdraw(cost), affordable);
                }
                Move::Deposit(tokens) => {
                    model = (model + i128::from(tokens)).min(i128::from(capacity));
                    bucket.deposit(tokens);
                }
            }
            prop_assert_eq!(i128::from(bucket.left()), model);
        }
    }
}

#[test]
fn each_setting_sets_itself_and_leaves_the_others() {
    let budget = Budget::default().tokens(9).retry_cost(3).throttled_cost(2).refund(4);
    let Budget { tokens, retry_cost, throttled_cost, refund } = budget;
    assert_eq!([tokens, retry_cost, throttled_cost, refund], [9, 3, 2, 4]);
}
