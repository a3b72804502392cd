//! Keys and names whose code panics: no item is lost to them, and every count stays true.

use crate::support::SECOND;
use std::cell::Cell;
use std::fmt::{self, Display, Formatter};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::time::sleep;
use unwedge::supervise::queue::{Counts, Queue, Settings};

thread_local! {
    static CLONES_LEFT: Cell<u32> = const { Cell::new(u32::MAX) };
    static SHOWS: Cell<bool> = const { Cell::new(true) };
}

#[derive(PartialEq, Eq, Hash, Debug)]
struct Key(u8);

impl Clone for Key {
    fn clone(&self) -> Key {
        let left = CLONES_LEFT.get();
        assert!(left > 0, "this key cannot be cloned any more");
        CLONES_LEFT.set(left - 1);
        Key(self.0)
    }
}

impl Display for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        assert!(SHOWS.get(), "this key cannot be shown");
        write!(f, "{}", self.0)
    }
}

/// The clones after so many panic, for as long as `work` takes.
fn failing_after<T>(clones: u32, work: impl FnOnce() -> T) -> std::thread::Result<T> {
    CLONES_LEFT.set(clones);
    let done = catch_unwind(AssertUnwindSafe(work));
    CLONES_LEFT.set(u32::MAX);
    done
}

fn adds_up(counts: Counts) {
    let ended = counts.served + counts.expired + counts.refused + counts.dropped + counts.drained;
    assert_eq!(counts.pushed, ended + counts.waiting, "{counts:?}");
}

fn filled(name: Option<fn(&u8) -> String>) -> Queue<Key, u8> {
    let settings = Settings::default().max_age(SECOND);
    let queue = match name {
        Some(name) => Queue::named(settings, name),
        None => Queue::new(settings),
    };
    let queue = queue.unwrap();
    for n in 0..6 {
        queue.push(Key(n % 2), n).unwrap();
    }
    queue
}

#[tokio::test(start_paused = true)]
async fn a_key_that_cannot_be_shown_costs_no_item_of_a_sweep() {
    let queue = filled(Some(|n| if *n == 3 { panic!("this item has no name") } else { n.to_string() }));
    sleep(2 * SECOND).await;
    SHOWS.set(false);
    let swept = queue.sweep();
    SHOWS.set(true);
    let values: Vec<u8> = swept.expired.iter().map(|expired| expired.item.value).collect();
    assert_eq!(values, [0, 1, 2, 3, 4, 5]);
    assert_eq!((queue.counts().expired, queue.counts().waiting), (6, 0));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_could_not_be_cloned_once_is_served_in_its_turn() {
    let queue = filled(None);
    assert!(failing_after(0, || queue.try_pop()).is_err());
    let served: Vec<u8> = std::iter::from_fn(|| queue.try_pop()).map(|item| item.value).collect();
    assert_eq!(served, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_cannot_be_cloned_loses_nothing_that_waits() {
    for clones in 0..6 {
        let queue = filled(None);
        assert!(failing_after(0, || queue.push(Key(7), 7)).is_err());
        adds_up(queue.counts());
        assert!(failing_after(0, || queue.try_pop()).is_err());
        adds_up(queue.counts());
        assert_eq!((queue.counts().waiting, queue.counts().served), (6, 0));
        sleep(2 * SECOND).await;
        let swept = failing_after(clones, || queue.sweep().expired.len());
        let drained = failing_after(clones, || queue.drain().len());
        let discarded = failing_after(clones.min(1), || queue.discard(&Key(1)).len());
        adds_up(queue.counts());
        let left = queue.drain();
        let gone = swept.unwrap_or(0) + drained.unwrap_or(0) + discarded.unwrap_or(0);
        assert_eq!(gone + left.len(), 6, "after {clones} clones: {:?}", queue.counts());
        adds_up(queue.counts());
    }
}
