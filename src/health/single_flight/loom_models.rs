//! Callers that need a verdict at the same moment, in every interleaving. A wake-up that got lost would be a deadlock,
//! which loom reports.

use super::*;
use crate::sync::explore;
use loom::future::block_on;
use loom::thread;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};

// Not loom's: what is counted here must not add interleavings of its own.
struct Wire {
    flight: SingleFlight,
    probing: AtomicUsize,
    probes: AtomicUsize,
    now: Instant,
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Up,
    Down,
}

fn wire() -> Arc<Wire> {
    Arc::new(Wire {
        flight: SingleFlight::new(Duration::from_secs(30), Duration::from_secs(6), Mode::OnDemand),
        probing: AtomicUsize::new(0),
        probes: AtomicUsize::new(0),
        now: Instant::now(),
    })
}

impl Wire {
    /// What a caller of the stack does, from its question to its verdict.
    fn call(&self, result: Result<(), Arc<str>>) -> Verdict {
        match self.flight.ask(None, self.now) {
            Answer::Go => Verdict::Up,
            Answer::Refuse { .. } => Verdict::Down,
            Answer::Lead(number) => self.probe(number, result),
            Answer::Wait(waiting) => {
                let ended = block_on(poll_fn(|cx| self.flight.poll(&waiting, self.now, cx)));
                self.flight.leave(&waiting);
                match ended {
                    Ended::Passed => Verdict::Up,
                    Ended::Failed(_) => Verdict::Down,
                    Ended::Lead(number) => self.probe(number, result),
                }
            }
        }
    }

    fn probe(&self, number: u64, result: Result<(), Arc<str>>) -> Verdict {
        self.take_off();
        let verdict = if result.is_ok() { Verdict::Up } else { Verdict::Down };
        self.probing.fetch_sub(1, Ordering::SeqCst);
        self.flight.finish(number, result, self.now);
        verdict
    }

    fn take_off(&self) {
        assert_eq!(self.probing.fetch_add(1, Ordering::SeqCst), 0, "one probe on the wire");
        self.probes.fetch_add(1, Ordering::SeqCst);
        thread::yield_now();
    }

    /// A caller that gives up while its own probe, or that of another, is on the wire.
    fn give_up(&self) {
        match self.flight.ask(None, self.now) {
            Answer::Go | Answer::Refuse { .. } => {}
            Answer::Lead(number) => self.land(number),
            Answer::Wait(waiting) => {
                let polled = self.flight.poll(&waiting, self.now, &mut Context::from_waker(Waker::noop()));
                self.flight.leave(&waiting);
                if let Poll::Ready(Ended::Lead(number)) = polled {
                    self.land(number);
                }
            }
        }
    }

    fn land(&self, number: u64) {
        self.take_off();
        self.probing.fetch_sub(1, Ordering::SeqCst);
        self.flight.abandon(number);
    }

    fn is_at_rest(&self) {
        let state = lock(&self.flight.0);
        assert!(state.under_way.is_none() && state.waiters.is_empty());
    }
}

#[test]
fn three_callers_share_one_probe_and_its_verdict() {
    for result in [Ok(()), Err(Arc::from("503"))] {
        explore(2, move || {
            let wire = wire();
            let others: Vec<_> = (0..2)
                .map(|_| {
                    let (wire, result) = (Arc::clone(&wire), result.clone());
                    thread::spawn(move || wire.call(result))
                })
                .collect();
            let verdict = wire.call(result.clone());
            assert_eq!(verdict == Verdict::Up, result.is_ok());
            for other in others {
                assert_eq!(other.join().unwrap(), verdict);
            }
            assert_eq!(wire.probes.load(Ordering::SeqCst), 1);
            wire.is_at_rest();
        });
    }
}

#[test]
fn when_the_leader_leaves_a_waiter_leads_and_nobody_waits_for_ever() {
    explore(2, || {
        let wire = wire();
        let threads = [
            thread::spawn({
                let wire = Arc::clone(&wire);
                move || wire.give_up()
            }),
            thread::spawn({
                let wire = Arc::clone(&wire);
                move || assert_eq!(wire.call(Ok(())), Verdict::Up)
            }),
        ];
        assert_eq!(wire.call(Ok(())), Verdict::Up);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(wire.probes.load(Ordering::SeqCst) <= 2);
        wire.is_at_rest();
    });
}

#[test]
fn doubt_in_the_middle_of_a_probe_leaves_one_probe_at_a_time() {
    explore(2, || {
        let wire = wire();
        let threads = [
            thread::spawn({
                let wire = Arc::clone(&wire);
                // A half-open admission makes the verdict stale.
                move || match wire.flight.ask(Some(1), wire.now) {
                    Answer::Lead(number) => drop(wire.probe(number, Ok(()))),
                    Answer::Wait(waiting) => {
                        let ended = block_on(poll_fn(|cx| wire.flight.poll(&waiting, wire.now, cx)));
                        wire.flight.leave(&waiting);
                        if let Ended::Lead(number) = ended {
                            wire.probe(number, Ok(()));
                        }
                    }
                    other => panic!("{other:?}: a stale verdict"),
                }
            }),
            thread::spawn({
                let wire = Arc::clone(&wire);
                move || wire.give_up()
            }),
        ];
        assert_eq!(wire.call(Ok(())), Verdict::Up);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        wire.is_at_rest();
    });
}
