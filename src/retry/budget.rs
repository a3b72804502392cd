//! How many retries an origin is worth: a bucket of tokens that retries empty and successes fill.
//!
//! Integers only and no clock: an origin that nobody calls neither gains nor loses.

use crate::sync::atomic::{AtomicU32, Ordering};

#[cfg(all(test, unwedge_loom))]
mod loom_models;
#[cfg(test)]
mod tests;

/// Bounds the retries to one origin, so that an outage is not answered with a multiple of the usual load.
///
/// Each origin has a bucket of tokens, full at first. A retry takes its cost out before it is made, and is not made when
/// the bucket holds less; then the last outcome is returned as it is. A success at the first try puts the refund back,
/// a success after a retry puts back what that retry cost.
///
/// | setting | default | why |
/// | --- | --- | --- |
/// | [`tokens`](Budget::tokens) | 500 | 35 retries in a row to an origin that answers nothing |
/// | [`retry_cost`](Budget::retry_cost) | 14 | in the long run at most one retry to 14 successes: 7 % more load |
/// | [`throttled_cost`](Budget::throttled_cost) | 5 | 429, or 503 with `Retry-After`: the server is alive and says when |
/// | [`refund`](Budget::refund) | 1 | what a success at the first try earns |
///
/// A cost of 0 makes these retries free; a cost above the tokens means that none is ever made.
///
/// ```
/// use unwedge::retry::Budget;
///
/// // A job with few calls: 100 retries in a row, and one more for every ten successes.
/// let budget = Budget::default().tokens(1_000).retry_cost(10);
/// # let _ = budget;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Budget {
    pub(crate) tokens: u32,
    pub(crate) retry_cost: u32,
    pub(crate) throttled_cost: u32,
    pub(crate) refund: u32,
}

impl Default for Budget {
    /// 500 tokens; a retry costs 14, a throttled one 5; a success at the first try gives back 1.
    fn default() -> Self {
        Budget { tokens: 500, retry_cost: 14, throttled_cost: 5, refund: 1 }
    }
}

impl Budget {
    /// How many tokens the bucket of an origin holds at the start and at most. Default 500; 0 forbids every retry that
    /// costs anything.
    pub fn tokens(mut self, tokens: u32) -> Self {
        self.tokens = tokens;
        self
    }

    /// What a retry costs. Default 14.
    pub fn retry_cost(mut self, cost: u32) -> Self {
        self.retry_cost = cost;
        self
    }

    /// What a retry costs after the server asked for patience: 429, or 503 with `Retry-After`. Default 5.
    pub fn throttled_cost(mut self, cost: u32) -> Self {
        self.throttled_cost = cost;
        self
    }

    /// What a success at the first try gives back. Default 1.
    pub fn refund(mut self, tokens: u32) -> Self {
        self.refund = tokens;
        self
    }
}

/// The tokens of one origin, shared by all its calls.
///
/// The number is all that is shared, so relaxed ordering is enough; every change is one compare-and-swap, so no token is
/// lost or made however many calls move them at once.
#[derive(Debug)]
pub(crate) struct Bucket {
    left: AtomicU32,
    capacity: u32,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(budget: &Budget) -> Bucket {
        Bucket { left: AtomicU32::new(budget.tokens), capacity: budget.tokens }
    }

    /// Takes `cost` tokens, or none and says `false` when there are fewer.
    #[must_use = "false means that the retry must not be made"]
    pub(crate) fn withdraw(&self, cost: u32) -> bool {
        self.change(|left| left.checked_sub(cost)).is_some()
    }

    /// Puts `tokens` back, up to the capacity. One load when the bucket is full, as it is while nothing goes wrong.
    pub(crate) fn deposit(&self, tokens: u32) {
        self.change(|left| (left < self.capacity).then(|| left.saturating_add(tokens).min(self.capacity)));
    }

    /// How many tokens there are at this moment.
    pub(crate) fn left(&self) -> u32 {
        self.left.load(Ordering::Relaxed)
    }

    /// Stores what `next` makes of the tokens, once no other call came between. `None` leaves them alone.
    fn change(&self, next: impl Fn(u32) -> Option<u32>) -> Option<u32> {
        let mut left = self.left.load(Ordering::Relaxed);
        loop {
            let wanted = next(left)?;
            match self.left.compare_exchange_weak(left, wanted, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(wanted),
                Err(actual) => left = actual,
            }
        }
    }
}
