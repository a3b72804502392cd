//! One breaker: its operations on one thread and on two, and what a refusal costs.

use crate::measure::{Pace, Row, Series, in_turn, progress};
use std::hint::black_box;
use std::sync::Barrier;
use std::time::Duration;
use tokio::time::Instant;
use unwedge::breaker::Breaker;

const ROUNDS: usize = 1001;
const CALLS: u32 = 500;
const ROUNDS_OF_TWO: usize = 101;
const CALLS_OF_TWO: u32 = 20_000;

/// The public operation reads the clock twice, so that is what it is compared with.
pub(crate) fn rows(pace: Pace) -> Vec<Row> {
    let breaker = Breaker::new("bench", Default::default()).expect("the defaults fit together");
    let open = Breaker::new("open", Default::default()).expect("the defaults fit together");
    open.force_open();
    let series = in_turn(
        "breaker",
        pace.rounds(ROUNDS),
        CALLS,
        &mut [
            ("nothing", &mut || {}),
            ("two clock reads", &mut clock),
            ("admit and record", &mut || operation(&breaker)),
            ("refuse", &mut || {
                black_box(open.acquire().is_err());
            }),
        ],
    );
    let [nothing, clock_reads, operation, refusal] = &series[..] else {
        unreachable!("as many as there are")
    };
    // A call of a stack that is refused is slowed down from the tenth in a row on, so that there is nothing to measure there.
    vec![
        Row::pair("breaker", clock_reads, nothing, ""),
        Row::pair("breaker", operation, clock_reads, "+20 ns"),
        two_threads(pace, &breaker),
        Row::pair("breaker", refusal, nothing, "100 ns"),
    ]
}

fn operation(breaker: &Breaker) {
    breaker.acquire().expect("closed").success();
}

fn clock() {
    black_box((Instant::now(), Instant::now()));
}

/// Both threads are measured while both work.
fn two_threads(pace: Pace, breaker: &Breaker) -> Row {
    let what = "breaker, two threads on one";
    progress(what);
    let (mut bare, mut ours) = (Series::new("two clock reads"), Series::new("admit and record"));
    for _ in 0..pace.rounds(ROUNDS_OF_TWO) {
        bare.rounds.push(on_two_threads(&clock));
        ours.rounds.push(on_two_threads(&|| operation(breaker)));
    }
    Row::pair(what, &ours, &bare, "+60 ns")
}

fn on_two_threads(work: &(dyn Fn() + Sync)) -> f64 {
    let ready = Barrier::new(2);
    let one = || {
        ready.wait();
        let start = Instant::now();
        for _ in 0..CALLS_OF_TWO {
            work();
        }
        start.elapsed()
    };
    let both: Duration = std::thread::scope(|scope| {
        let other = scope.spawn(one);
        one() + other.join().expect("it only measures")
    });
    both.as_nanos() as f64 / f64::from(2 * CALLS_OF_TWO)
}
