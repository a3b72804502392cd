//! Producers, a consumer and a sweeper, in every interleaving.

use super::*;
use crate::sync::explore;
use loom::thread;

#[test]
fn every_item_ends_once_whoever_comes_first() {
    explore(3, || {
        let queue = Queue::<u8, u8>::new(Settings::default().capacity(2)).unwrap();
        let producer = thread::spawn({
            let queue = queue.clone();
            move || (0..2).filter(|n| queue.push(*n, *n).is_err()).count()
        });
        let consumer = thread::spawn({
            let queue = queue.clone();
            move || (0..2).filter(|_| queue.try_pop().is_some()).count()
        });
        let refused = usize::from(queue.push(9, 9).is_err());
        let counts = queue.counts();
        let ended = counts.served + counts.expired + counts.refused + counts.dropped + counts.drained;
        assert_eq!(counts.pushed, ended + counts.waiting, "{counts:?}");
        let drained = queue.drain().len();
        let refused = refused + producer.join().unwrap();
        let served = consumer.join().unwrap();
        let left = queue.drain().len();
        assert_eq!(refused + served + drained + left, 3);
        let counts = queue.counts();
        assert_eq!(
            (
                counts.pushed,
                counts.refused as usize,
                counts.served as usize,
                counts.drained as usize,
                counts.waiting
            ),
            (3, refused, served, drained + left, 0)
        );
    });
}
