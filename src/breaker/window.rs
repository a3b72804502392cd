//! What happened lately: a sliding window of counts.
//!
//! A bucket begins with its first event and takes all events of one step after that, so there is no grid to divide
//! by. It leaves as a whole when that first event is a window old: nothing is kept for longer than the window, and
//! nothing is forgotten more than one step early.

use std::time::Duration;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) calls: u64,
    pub(crate) failures: u64,
    pub(crate) slow: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, failed: bool, slow: bool) {
        self.calls += 1;
        self.failures += u64::from(failed);
        self.slow += u64::from(slow);
    }

    fn take_off(&mut self, other: Totals) {
        self.calls -= other.calls;
        self.failures -= other.failures;
        self.slow -= other.slow;
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    first: Instant,
    totals: Totals,
}

#[derive(Clone, Debug)]
pub(crate) struct Window {
    step: Duration,
    span: Duration,
    /// A ring. The buckets that count began at least a step apart and less than a span ago, so one place for each
    /// step is enough.
    ring: Box<[Option<Bucket>]>,
    oldest: usize,
    used: usize,
    totals: Totals,
}

impl Window {
    pub(crate) fn new(length: Duration, buckets: usize) -> Window {
        let buckets = buckets.max(1);
        let step = length.as_nanos().div_ceil(buckets as u128).max(1);
        let step = Duration::from_nanos(u64::try_from(step).unwrap_or(u64::MAX));
        Window {
            step,
            span: step.saturating_mul(u32::try_from(buckets).unwrap_or(u32::MAX)),
            ring: vec![None; buckets].into_boxed_slice(),
            oldest: 0,
            used: 0,
            totals: Totals::default(),
        }
    }

    pub(crate) fn record(&mut self, now: Instant, failed: bool, slow: bool) -> Totals {
        self.expire(now);
        self.totals.add(failed, slow);
        if self.used > 0 {
            let newest = self.index(self.used - 1);
            if let Some(bucket) = &mut self.ring[newest] {
                // Zero also where another thread with a later clock reading came first.
                if now.saturating_duration_since(bucket.first) < self.step {
                    bucket.totals.add(failed, slow);
                    return self.totals;
                }
            }
        }
        let mut totals = Totals::default();
        totals.add(failed, slow);
        let next = self.index(self.used);
        self.ring[next] = Some(Bucket { first: now, totals });
        self.used += 1;
        self.totals
    }

    pub(crate) fn totals(&self, now: Instant) -> Totals {
        let mut totals = self.totals;
        for n in 0..self.used {
            let Some(bucket) = self.ring[self.index(n)].filter(|bucket| self.is_over(bucket, now)) else {
                break;
            };
            totals.take_off(bucket.totals);
        }
        totals
    }

    pub(crate) fn clear(&mut self) {
        self.used = 0;
        self.totals = Totals::default();
    }

    fn expire(&mut self, now: Instant) {
        while self.used > 0 {
            let Some(bucket) = self.ring[self.oldest].filter(|bucket| self.is_over(bucket, now)) else {
                return;
            };
            self.totals.take_off(bucket.totals);
            self.oldest = self.index(1);
            self.used -= 1;
        }
    }

    fn is_over(&self, bucket: &Bucket, now: Instant) -> bool {
        now.saturating_duration_since(bucket.first) >= self.span
    }

    /// The place in the ring of the n-th bucket, counted from the oldest.
    fn index(&self, n: usize) -> usize {
        let at = self.oldest + n;
        if at >= self.ring.len() { at - self.ring.len() } else { at }
    }
}
