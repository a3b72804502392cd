//! A count of successes that two threads can add to without waiting for each other.

use crate::sync::atomic::{AtomicU64, Ordering};

// One in a model: threads that never meet prove nothing.
const SHARDS: usize = if cfg!(all(test, unwedge_loom)) { 1 } else { 4 };

/// Counts of one generation of a breaker, each shard `generation:32 | count:32` in a cache line of its own.
///
/// The generation is in the same word as the count, so a count is never added to another generation than the one
/// whose call it was: a newer one in the shard drops it, an older one is dead and gets overwritten.
#[derive(Debug, Default)]
pub(super) struct Tally([Shard; SHARDS]);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard(AtomicU64);

impl Tally {
    /// False where there is no room and the count has to go elsewhere.
    #[inline]
    pub(super) fn add(&self, generation: u32) -> bool {
        let shard = &self.0[shard()].0;
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

    /// Carries away what was counted in the current generation.
    pub(super) fn take(&self, generation: u32) -> u64 {
        let empty = u64::from(generation) << 32;
        let shards = self.0.iter().map(|shard| shard.0.swap(empty, Ordering::Acquire));
        shards.filter(|old| (old >> 32) as u32 == generation).map(|old| u64::from(old as u32)).sum()
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

    #[test]
    fn a_count_belongs_to_one_generation_also_where_generations_wrap_round() {
        for generation in [7, u32::MAX] {
            let next = generation.wrapping_add(1);
            let tally = Tally::default();
            tally.take(generation.wrapping_sub(1));
            assert!(tally.add(generation) && tally.add(generation));
            assert!(tally.add(next), "a new generation overwrites the count of the old one");
            assert!(tally.add(generation), "a late success of the old one is dropped");
            assert_eq!(tally.take(next), 1);
            assert_eq!(tally.take(next), 0);
        }
    }

    #[test]
    fn an_emptied_shard_goes_on_in_its_generation_in_either_half_of_the_circle() {
        for generation in [1, u32::MAX / 2, u32::MAX / 2 + 2, u32::MAX - 1] {
            let tally = Tally::default();
            tally.take(generation);
            assert!(tally.add(generation));
            assert_eq!(tally.take(generation), 1, "{generation}");
            assert!(tally.add(generation));
            assert_eq!(tally.take(generation), 1, "{generation}");
        }
    }

    #[test]
    fn a_full_shard_says_so_and_has_room_again_once_emptied() {
        let tally = Tally::default();
        tally.0[shard()].0.store(3 << 32 | u64::from(u32::MAX - 1), Ordering::Relaxed);
        assert!(tally.add(3));
        assert!(!tally.add(3));
        assert_eq!(tally.take(3), u64::from(u32::MAX));
        assert!(tally.add(3));
    }
}
