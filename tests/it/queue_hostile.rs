//! Keys and names whose code panics, and a sweeper that is late: no item is lost to them, and every count stays true.

use crate::support::SECOND;
use std::cell::Cell;
use std::fmt::{self, Display, Formatter};
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::time::{Instant, advance, sleep};
use unwedge::queue::{Counts, Item, Queue, Settings};

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
async fn a_key_that_cannot_be_cloned_is_not_pushed_and_loses_nothing_that_waits() {
    let queue = filled(None);
    for key in [1, 7] {
        assert!(failing_after(0, || queue.push(Key(key), 7)).is_err());
        adds_up(queue.counts());
    }
    let served: Vec<u8> = std::iter::from_fn(|| queue.try_pop()).map(|item| item.value).collect();
    assert_eq!(served, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_cloned_once_when_it_is_pushed() {
    let queue = filled(None);
    assert!(failing_after(1, || queue.push(Key(1), 6)).is_ok());
    assert_eq!(failing_after(0, || queue.try_pop().unwrap().value).unwrap(), 0);
    assert_eq!(failing_after(0, || values(queue.discard(&Key(1)))).unwrap(), [1, 3, 5, 6]);
    sleep(2 * SECOND).await;
    queue.push(Key(2), 7).unwrap();
    let expired = failing_after(0, || queue.sweep().expired).unwrap();
    assert_eq!(expired.iter().map(|expired| expired.item.value).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(failing_after(0, || values(queue.drain())).unwrap(), [7]);
    adds_up(queue.counts());
}

fn values(items: Vec<Item<Key, u8>>) -> Vec<u8> {
    items.iter().map(|item| item.value).collect()
}

/// Keys whose comparison panics.
#[derive(Clone, Debug)]
struct Unlike(u8);

impl Hash for Unlike {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

thread_local! {
    static COMPARES: Cell<bool> = const { Cell::new(true) };
}

impl PartialEq for Unlike {
    fn eq(&self, other: &Unlike) -> bool {
        assert!(COMPARES.get(), "this key cannot be compared");
        self.0 == other.0
    }
}

impl Eq for Unlike {}

impl Display for Unlike {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[test]
fn a_key_that_cannot_be_compared_loses_nothing_and_locks_nobody_out() {
    let queue = Queue::<Unlike, u8>::new(Settings::default()).unwrap();
    queue.push(Unlike(1), 1).unwrap();
    COMPARES.set(false);
    assert!(catch_unwind(AssertUnwindSafe(|| queue.push(Unlike(1), 2))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| queue.discard(&Unlike(1)))).is_err());
    COMPARES.set(true);
    adds_up(queue.counts());
    queue.push(Unlike(1), 3).unwrap();
    let served: Vec<u8> = std::iter::from_fn(|| queue.try_pop()).map(|item| item.value).collect();
    assert_eq!(served, [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_sweeper_that_comes_late_leaves_out_what_it_missed_and_goes_on() {
    let queue = Queue::new(Settings::default().max_age(SECOND)).unwrap();
    let mut seen = Vec::new();
    let began = Instant::now();
    let work = async {
        queue.push("a", 1).unwrap();
        advance(150 * SECOND).await;
        queue.push("a", 2).unwrap();
        sleep(60 * SECOND).await;
        queue.close();
    };
    let sweeps = queue.keep_swept(60 * SECOND, |swept| {
        seen.extend(swept.expired.iter().map(|e| (e.item.value, began.elapsed().as_secs())));
    });
    let (swept, ()) = tokio::join!(sweeps, work);
    swept.unwrap();
    assert_eq!(seen, [(1, 150), (2, 180)]);
}
