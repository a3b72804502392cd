//! How many retries an origin is worth: a bucket of tokens that retries empty and successes and time fill.
//!
//! Integers only, and `now` is an argument.

use crate::sync::atomic::{AtomicU64, Ordering};
use tokio::time::Instant;

#[cfg(all(test, unwedge_loom))]
mod loom_models;
#[cfg(feature = "serde")]
pub(crate) mod maybe;
#[cfg(test)]
mod tests;

/// Limits the retries to one origin, so that retries do not multiply the load of an outage.
///
/// Each origin has a bucket of tokens, full at first. A retry takes its cost from the bucket before it is made. If the
/// bucket holds less, no retry is made, and the last outcome is returned as it is. A success at the first attempt puts the
/// refund back, a success after a retry puts back the cost of that retry, and one token comes back each second, so that a
/// program with few calls does not stay without retries for hours. A retry that was sent and did not succeed has spent its
/// cost, even if its caller dropped it; a retry that was never sent has not.
///
/// | setting | default | why |
/// | --- | --- | --- |
/// | [`tokens`](Budget::tokens) | 500 | 125 retries in a row to an origin that answers nothing |
/// | [`retry_cost`](Budget::retry_cost) | 4 | the highest cost at which nearly all calls survive one failure in three; an origin that is down gets at most a quarter more requests in the long run |
/// | [`refund`](Budget::refund) | 1 | the tokens that a success at the first attempt gives back |
///
/// A cost of 0 makes retries free; a cost above the tokens forbids them. An immediate repetition, because a connection was
/// stale or the server had not processed the request, costs nothing.
///
/// ```
/// use unwedge::retry::Budget;
///
/// // A job with few calls: 100 retries in a row, and one more for every ten successes.
/// let budget = Budget::default().tokens(1_000).retry_cost(10);
/// assert_eq!(budget.get_tokens() / budget.get_retry_cost(), 100);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[must_use]
#[doc(alias("retry_budget", "token_bucket"))]
pub struct Budget {
    pub(crate) tokens: u32,
    pub(crate) retry_cost: u32,
    pub(crate) refund: u32,
}

impl Default for Budget {
    /// 500 tokens; a retry costs 4; a success at the first try gives back 1.
    fn default() -> Self {
        Budget { tokens: 500, retry_cost: 4, refund: 1 }
    }
}

impl Budget {
    /// The size of the bucket of an origin, which is full at the start. Default 500; 0 forbids every retry with a cost.
    pub fn tokens(mut self, tokens: u32) -> Self {
        self.tokens = tokens;
        self
    }

    /// The cost of a retry, in tokens. Default 4.
    pub fn retry_cost(mut self, cost: u32) -> Self {
        self.retry_cost = cost;
        self
    }

    /// The tokens that a success at the first attempt gives back. Default 1.
    pub fn refund(mut self, tokens: u32) -> Self {
        self.refund = tokens;
        self
    }

    /// The size of the bucket of an origin.
    pub fn get_tokens(&self) -> u32 {
        self.tokens
    }

    /// The cost of a retry, in tokens.
    pub fn get_retry_cost(&self) -> u32 {
        self.retry_cost
    }

    /// The tokens that a success at the first attempt gives back.
    pub fn get_refund(&self) -> u32 {
        self.refund
    }
}

/// The tokens of one origin, shared by all its calls.
///
/// Tokens and the seconds that were paid out are one number and all that is shared, so relaxed ordering is enough; every
/// change is one compare-and-swap, so no token is lost or made however many calls move them at once.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// The tokens in the lower half; in the upper half the whole seconds since the start whose tokens are among them.
    state: AtomicU64,
    capacity: u32,
    start: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(budget: &Budget, now: Instant) -> Bucket {
        Bucket { state: AtomicU64::new(u64::from(budget.tokens)), capacity: budget.tokens, start: now }
    }

    /// Takes `cost` tokens, or none and says `false` when there are fewer. What time has brought is put in first.
    #[must_use = "false means that the retry must not be made"]
    pub(crate) fn withdraw(&self, cost: u32, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.start).as_secs();
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        self.change(|left, paid| {
            // Whoever read the clock earlier may come later.
            let left = left.saturating_add(seconds.saturating_sub(paid)).min(self.capacity);
            Some((left.checked_sub(cost)?, paid.max(seconds)))
        })
    }

    /// Puts `tokens` back, up to the capacity. One load when the bucket is full, as it is while nothing goes wrong.
    #[inline]
    pub(crate) fn deposit(&self, tokens: u32) {
        // Those of time may follow: no order of additions changes what there is in the end.
        self.change(|left, paid| {
            (left < self.capacity).then(|| (left.saturating_add(tokens).min(self.capacity), paid))
        });
    }

    /// How many tokens there were when they were last moved.
    pub(crate) fn left(&self) -> u32 {
        self.state.load(Ordering::Relaxed) as u32
    }

    /// Stores what `next` makes of tokens and seconds, once no other call came between. `None` leaves them alone.
    #[inline]
    fn change(&self, next: impl Fn(u32, u32) -> Option<(u32, u32)>) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let Some((left, paid)) = next(state as u32, (state >> 32) as u32) else { return false };
            let wanted = u64::from(paid) << 32 | u64::from(left);
            match self.state.compare_exchange_weak(state, wanted, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(actual) => state = actual,
            }
        }
    }
}
