//! One breaker: its operations on one thread and on two, and what a refusal costs.

use crate::measure::{Row, median, progress};
use std::hint::black_box;
use std::sync::Barrier;
use std::time::Duration;
use tokio::time::Instant;
use unwedge::breaker::Breaker;

const ROUNDS: usize = 101;
const CALLS: u32 = 20_000;

/// The public operation reads the clock twice, so that is what it is compared with.
pub(crate) fn rows() -> Vec<Row> {
    let breaker = Breaker::new("bench", Default::default()).expect("the defaults fit together");
    let mut rows = vec![
        Row::compare("two clock reads", "", &mut || {}, &mut clock),
        Row::compare("breaker, admit and record, beside two clock reads", "+20 ns", &mut clock, &mut || {
            operation(&breaker)
        }),
        two_threads(&breaker),
    ];
    breaker.force_open();
    rows.push(Row::compare("breaker, refused", "", &mut || {}, &mut || {
        black_box(breaker.acquire().is_err());
    }));
    // A call of a stack that is refused is slowed down from the tenth in a row on, so that there is nothing to measure there.
    rows
}

fn operation(breaker: &Breaker) {
    breaker.acquire().expect("closed").success();
}

fn clock() {
    black_box((Instant::now(), Instant::now()));
}

/// Both threads are measured while both work.
fn two_threads(breaker: &Breaker) -> Row {
    let name = "the same, two threads on one breaker";
    progress(name);
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(on_two_threads(&clock));
        ours.push(on_two_threads(&|| operation(breaker)));
    }
    Row { name, bare: median(bare), ours: median(ours), allocations: None, wanted: "+60 ns" }
}

fn on_two_threads(work: &(dyn Fn() + Sync)) -> f64 {
    let ready = Barrier::new(2);
    let one = || {
        ready.wait();
        let start = Instant::now();
        for _ in 0..CALLS {
            work();
        }
        start.elapsed()
    };
    let both: Duration = std::thread::scope(|scope| {
        let other = scope.spawn(one);
        one() + other.join().expect("it only measures")
    });
    both.as_nanos() as f64 / f64::from(2 * CALLS)
}
