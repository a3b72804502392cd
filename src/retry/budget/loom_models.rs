//! The bucket between two threads, in every interleaving.

use super::*;
use crate::sync::{Arc, explore};
use loom::thread;
use std::time::Duration;
use tokio::time::Instant;

fn bucket(tokens: u32) -> Arc<Bucket> {
    Arc::new(Bucket::new(&Budget::default().tokens(tokens), Instant::now()))
}

#[test]
fn the_last_tokens_are_taken_once() {
    explore(3, || {
        let bucket = bucket(20);
        let other = thread::spawn({
            let bucket = Arc::clone(&bucket);
            move || bucket.withdraw(14, Instant::now())
        });
        let here = bucket.withdraw(14, Instant::now());
        let there = other.join().unwrap();
        assert!(here != there, "6 tokens are too few for a second");
        assert_eq!(bucket.left(), 6);
    });
}

#[test]
fn no_token_is_lost_or_made_between_a_retry_and_two_successes() {
    explore(3, || {
        let bucket = bucket(500);
        assert!(bucket.withdraw(100, Instant::now()));
        let threads = [
            thread::spawn({
                let bucket = Arc::clone(&bucket);
                move || {
                    assert!(bucket.withdraw(14, Instant::now()));
                    bucket.deposit(14);
                }
            }),
            thread::spawn({
                let bucket = Arc::clone(&bucket);
                move || bucket.deposit(1)
            }),
        ];
        assert!(bucket.withdraw(5, Instant::now()));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(bucket.left(), 396);
    });
}

#[test]
fn the_bucket_never_overflows_its_capacity() {
    explore(3, || {
        let bucket = bucket(10);
        assert!(bucket.withdraw(3, Instant::now()));
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

#[test]
fn the_tokens_of_a_second_are_paid_out_once_however_many_ask_at_its_end() {
    explore(3, || {
        let bucket = bucket(8);
        let start = Instant::now();
        assert!(bucket.withdraw(8, start));
        let later = start + Duration::from_secs(4);
        let other = thread::spawn({
            let bucket = Arc::clone(&bucket);
            move || bucket.withdraw(4, later)
        });
        // A caller whose clock was read a second earlier finds too little, or nothing.
        let early = bucket.withdraw(4, start + Duration::from_secs(3));
        let late = bucket.withdraw(4, later);
        assert!(other.join().unwrap() != late, "four tokens are one retry");
        assert!(!early);
        assert_eq!(bucket.left(), 0);
    });
}
