//! The bucket between two threads, in every interleaving.

use super::*;
use crate::sync::{Arc, explore};
use loom::thread;

fn bucket(tokens: u32) -> Arc<Bucket> {
    Arc::new(Bucket::new(&Budget::default().tokens(tokens)))
}

#[test]
fn the_last_tokens_are_taken_once() {
    explore(3, || {
        let bucket = bucket(20);
        let other = thread::spawn({
            let bucket = Arc::clone(&bucket);
            move || bucket.withdraw(14)
        });
        let here = bucket.withdraw(14);
        let there = other.join().unwrap();
        assert!(here != there, "6 tokens are too few for a second");
        assert_eq!(bucket.left(), 6);
    });
}

#[test]
fn no_token_is_lost_or_made_between_a_retry_and_two_successes() {
    explore(3, || {
        let bucket = bucket(500);
        assert!(bucket.withdraw(100));
        let threads = [
            thread::spawn({
                let bucket = Arc::clone(&bucket);
                move || {
                    assert!(bucket.withdraw(14));
                    bucket.deposit(14);
                }
            }),
            thread::spawn({
                let bucket = Arc::clone(&bucket);
                move || bucket.deposit(1)
            }),
        ];
        assert!(bucket.withdraw(5));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(bucket.left(), 396);
    });
}

#[test]
fn the_bucket_never_overflows_its_capacity() {
    explore(3, || {
        let bucket = bucket(10);
        assert!(bucket.withdraw(3));
        let other = thread::spawn({
            let bucket = Arc::clone(&bucket);
            move || bucket.deposit(2)
        });
        bucket.deposit(2);
        assert!(bucket.left() <= 10);
        other.join().unwrap();
        assert_eq!(bucket.left(), 10);
    });
}
