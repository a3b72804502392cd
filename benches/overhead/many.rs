//! Many origins, and many calls in flight: what a call costs then, and what it holds in memory.

use crate::measure::{Pace, Row, Series, in_turn, progress};
use crate::peers::by_hand;
use crate::service::{Inner, drive_to, request};
use allocation_counter::measure;
use http::{Request, Uri};
use http_body_util::Full;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use tower_layer::Layer;
use tower_service::Service;
use unwedge::StackLayer;

/// Short rounds, so that some are not interrupted; one goes on where the one before ended.
const ROUNDS: usize = 401;
const CALLS: u32 = 500;
/// So many calls wait where their memory is counted.
const HELD: u32 = 10_000;

type Ask = Request<Full<bytes::Bytes>>;

pub(crate) fn rows(pace: Pace) -> Vec<Row> {
    let mut rows = Vec::new();
    for (origins, wanted) in [(1, ""), (100, ""), (10_000, "+900 ns")] {
        rows.push(origin_row(pace, origins, wanted));
    }
    for (calls, wanted) in [(1, ""), (10_000, "+450 ns")] {
        rows.extend(in_flight(pace, calls, wanted));
    }
    rows.push(memory());
    rows
}

fn origin_row(pace: Pace, origins: usize, wanted: &'static str) -> Row {
    let what = format!("ready at once, origins: {origins}");
    let uris: Vec<Uri> = (0..origins)
        .map(|n| format!("http://api-{n}.example.com/jobs").parse().expect("a host makes a URL"))
        .collect();
    let (mut bare, mut stack) = (Inner { pending: 0 }, StackLayer::default().layer(Inner { pending: 0 }));
    // Each is made before anything is measured.
    uris.iter().for_each(|uri| drive_to(&mut stack, uri.clone()));
    let (mut one, mut other) = (uris.iter().cycle(), uris.iter().cycle());
    let series = in_turn(
        &what,
        pace.rounds(ROUNDS),
        CALLS,
        &mut [
            ("bare", &mut || drive_to(&mut bare, one.next().expect("endless").clone())),
            ("stack", &mut || drive_to(&mut stack, other.next().expect("endless").clone())),
        ],
    );
    Row::pair(what, &series[1], &series[0], wanted)
}

/// Calls that are pending, in a ring: the oldest ends, and a new one takes its place.
struct Ring<S: Service<Ask>> {
    service: S,
    calls: Vec<Pin<Box<S::Future>>>,
    oldest: usize,
}

impl<S: Service<Ask>> Ring<S> {
    fn of(service: S, calls: usize) -> Ring<S> {
        let mut ring = Ring { service, calls: Vec::with_capacity(calls), oldest: 0 };
        for _ in 0..calls {
            let call = ring.begin();
            ring.calls.push(call);
        }
        ring
    }

    fn begin(&mut self) -> Pin<Box<S::Future>> {
        let mut call = Box::pin(self.service.call(request(Uri::from_static("http://api.example.com/jobs"))));
        assert!(poll(&mut call).is_pending());
        call
    }

    fn turn(&mut self) {
        let at = self.oldest;
        assert!(poll(&mut self.calls[at]).is_ready());
        self.calls[at] = self.begin();
        self.oldest = (at + 1) % self.calls.len();
    }
}

fn poll<F: Future>(call: &mut Pin<Box<F>>) -> std::task::Poll<()> {
    call.as_mut().poll(&mut Context::from_waker(Waker::noop())).map(|_| ())
}

fn in_flight(pace: Pace, calls: usize, wanted: &'static str) -> Vec<Row> {
    let what = format!("pending once, calls in flight: {calls}");
    let inner = || Inner { pending: 1 };
    let mut bare = Ring::of(inner(), calls);
    let mut stack = Ring::of(StackLayer::default().layer(inner()), calls);
    let mut hand = Ring::of(by_hand(inner()), calls);
    let series = in_turn(
        &what,
        pace.rounds(ROUNDS),
        CALLS,
        &mut [
            ("bare", &mut || bare.turn()),
            ("stack", &mut || stack.turn()),
            ("by hand", &mut || hand.turn()),
        ],
    );
    let [bare, stack, hand] = &series[..] else { unreachable!("as many as there are") };
    vec![
        Row::pair(&*what, stack, bare, wanted),
        Row::pair(&*what, hand, bare, ""),
        Row::pair(&*what, stack, hand, ""),
    ]
}

/// What 10 000 calls that wait hold, each; tables that grow for them included.
fn memory() -> Row {
    let what = "memory of a call in flight";
    progress(what);
    let (mut stack, mut hand) = (Series::new("stack"), Series::new("by hand"));
    let bytes = |held: u64| held as f64 / f64::from(HELD);
    let mut kept = None;
    let service = StackLayer::default().layer(Inner { pending: 1 });
    let used = measure(|| kept = Some(Ring::of(service, HELD as usize)));
    stack.rounds.push(bytes(used.bytes_current.unsigned_abs()));
    drop(kept);
    let mut kept = None;
    let service = by_hand(Inner { pending: 1 });
    let used = measure(|| kept = Some(Ring::of(service, HELD as usize)));
    hand.rounds.push(bytes(used.bytes_current.unsigned_abs()));
    drop(kept);
    Row::pair(what, &stack, &hand, "1032 B and its entry").in_unit("B")
}
