//! What is promised, and whether it was kept.

use crate::record::{End, Run};
use crate::scenarios::ms;
use std::fmt;

/// One thing that is promised of a run. Times in milliseconds of the drill's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clause {
    /// Every call gets its answer.
    NoCallLost,
    /// A call that gets no answer is an error within this time.
    ErrorWithin(u64),
    /// From each moment at which the server serves again to the first answer.
    BackWithin(u64),
    /// So many requests on the wire that bring no answer, health checks included.
    Wasted(u64),
    /// So many requests on the wire for each call, on the average.
    PerCall(u64),
    /// No long poll ends before the server ends it.
    NoPollCut,
    /// The origin is never taken for dead.
    StaysClosed,
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Clause::NoCallLost => f.write_str("no call is lost"),
            Clause::ErrorWithin(time) => {
                write!(f, "a call without an answer is an error within {}", seconds(*time))
            }
            Clause::BackWithin(time) => {
                write!(f, "served again within {} of the server's return", seconds(*time))
            }
            Clause::Wasted(n) => write!(f, "at most {n} wasted requests"),
            Clause::PerCall(n) => write!(f, "at most {n} requests a call"),
            Clause::NoPollCut => f.write_str("no long poll is cut"),
            Clause::StaysClosed => f.write_str("the circuit stays closed"),
        }
    }
}

fn seconds(ms: u64) -> String {
    format!("{:.1} s", ms as f64 / 1000.0)
}

impl Clause {
    /// Whether this run kept it.
    pub(crate) fn kept(self, run: &Run) -> bool {
        match self {
            Clause::NoCallLost => !run.hung() && run.work().all(|call| !call.failed()),
            Clause::ErrorWithin(time) => run.work().all(|call| match call.end {
                End::Answered => true,
                End::Failed { .. } | End::Running => run.age(call) <= ms(time),
            }),
            Clause::BackWithin(time) => run.back().is_some_and(|back| back <= ms(time)),
            Clause::Wasted(n) => run.wasted() <= n,
            Clause::PerCall(n) => run.requests <= n * run.calls.len() as u64,
            Clause::StaysClosed => run.breaker.is_empty(),
            Clause::NoPollCut => {
                let polls = || run.calls.iter().filter(|call| call.poll);
                // One that an open circuit turned away was never in flight.
                let cut = polls().any(|call| matches!(call.end, End::Failed { refused: false }));
                !cut && polls().filter(|call| call.end == End::Answered).count() >= 2
            }
        }
    }
}
