//! A count of successes that two threads can add to without waiting for each other.

use crate::sync::atomic::{AtomicU64, Ordering};

// One in a model: threads that never meet prove nothing.
const SHARDS: usize = if cfg!(all(test, unwedge_loom)) { 1 } else { 4 };

/// Counts of one generation of a breaker, each shard `generation:32 | count:32` in a cache line of its own.
///
/// The generation is in the same word as the count, so a count is never added to another generation than the one
/// whose call it was: a newer one in the shard drops it, an older one is dead and gets overwritten.
#[derive(Debug, Default)]
pub(super) struct ShardedCounter([Shard; SHARDS]);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard {
    count: AtomicU64,
    /// When the last of them came.
    last: AtomicU64,
}

impl ShardedCounter {
    /// One more, at this moment. False where there is no room and the count has to go elsewhere.
    #[inline]
    pub(super) fn add(&self, generation: u32, at: u64) -> bool {
        let Shard { count: shard, last } = &self.0[shard()];
        // Before the count: whoever carries that away finds a time that is no older.
        if last.load(Ordering::Relaxed) < at {
            last.store(at, Ordering::Relaxed);
        }
        let mut old = shard.load(Ordering::Relaxed);
        loop {
            let of = (old >> 32) as u32;
            let new = if of == generation {
                if old as u32 == u32::MAX {
                    return false;
                }
                old + 1
            } else if is_newer(of, generation) {
                return true;
            } else {
                u64::from(generation) << 32 | 1
            };
            match shard.compare_exchange_weak(old, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => old = other,
            }
        }
    }

    /// Carries away what was counted in the current generation: by shard, how many and when the last of them came.
    pub(super) fn take(&self, generation: u32) -> impl Iterator<Item = (u64, u64)> {
        let empty = u64::from(generation) << 32;
        self.0.iter().filter_map(move |shard| {
            let old = shard.count.swap(empty, Ordering::Acquire);
            let count = u64::from(old as u32);
            let counts = (old >> 32) as u32 == generation && count > 0;
            counts.then(|| (count, shard.last.load(Ordering::Relaxed)))
        })
    }
}

/// Generations wrap round; one half of the circle is the past.
fn is_newer(this: u32, than: u32) -> bool {
    this.wrapping_sub(than) as i32 > 0
}

#[inline]
fn shard() -> usize {
    if SHARDS == 1 {
        return 0;
    }
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    thread_local!(static MINE: usize = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % SHARDS);
    MINE.with(|mine| *mine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(tally: &ShardedCounter, generation: u32) -> u64 {
        tally.take(generation).map(|(count, _)| count).sum()
    }

    #[test]
    fn a_count_belongs_to_one_generation_also_where_generations_wrap_round() {
        for generation in [7, u32::MAX] {
            let next = generation.wrapping_add(1);
            let tally = ShardedCounter::default();
            taken(&tally, generation.wrapping_sub(1));
            assert!(tally.add(generation, 0) && tally.add(generation, 0));
            assert!(tally.add(next, 0), "a new generation overwrites the count of the old one");
            assert!(tally.add(generation, 0), "a late success of the old one is dropped");
            assert_eq!(taken(&tally, next), 1);
            assert_eq!(taken(&tally, next), 0);
        }
    }

    #[test]
    fn an_emptied_shard_goes_on_in_its_generation_in_either_half_of_the_circle() {
        for generation in [1, u32::MAX / 2, u32::MAX / 2 + 2, u32::MAX - 1] {
            let tally = ShardedCounter::default();
            taken(&tally, generation);
            assert!(tally.add(generation, 0));
            assert_eq!(taken(&tally, generation), 1, "{generation}");
            assert!(tally.add(generation, 0));
            assert_eq!(taken(&tally, generation), 1, "{generation}");
        }
    }

    #[test]
    fn a_full_shard_says_so_and_has_room_again_once_emptied() {
        let tally = ShardedCounter::default();
        tally.0[shard()].count.store(3 << 32 | u64::from(u32::MAX - 1), Ordering::Relaxed);
        assert!(tally.add(3, 0));
        assert!(!tally.add(3, 0));
        assert_eq!(taken(&tally, 3), u64::from(u32::MAX));
        assert!(tally.add(3, 0));
    }

    #[test]
    fn a_shard_tells_of_the_last_success_of_its_generation_and_an_empty_one_of_none() {
        let tally = ShardedCounter::default();
        assert!(tally.add(1, 5) && tally.add(1, 9) && tally.add(1, 7));
        assert_eq!(tally.take(1).collect::<Vec<_>>(), [(3, 9)]);
        assert_eq!(tally.take(1).next(), None);
        assert!(tally.add(1, 20));
        assert_eq!(tally.take(2).next(), None, "a success from before a reset");
    }
}
