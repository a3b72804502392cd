//! A service that does nothing, bare and under stacks: ours, and what one would build in its place.

use crate::measure::{Pace, Row, in_turn};
use crate::peers::{by_hand, of_resilience};
use crate::service::{Inner, drive};
use std::time::Duration;
use tower_layer::Layer;
use unwedge::stack::{
    AttemptLayer, CircuitBreakerLayer, DeadlineLayer, HealthCheckLayer, RetryLayer, StallLayer,
};
use unwedge::{Error, Limits, StackLayer};

/// Short rounds, so that most of them are not interrupted.
const ROUNDS: usize = 1001;
const CALLS: u32 = 500;
const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn rows(pace: Pace) -> Vec<Row> {
    let mut rows = whole(pace, "ready at once", 0, "+200 ns");
    rows.extend(whole(pace, "pending once", 1, "+320 ns"));
    rows.extend(parts(pace));
    rows
}

fn whole(pace: Pace, what: &str, pending: u32, wanted: &'static str) -> Vec<Row> {
    let mut bare = Inner { pending };
    let mut stack = StackLayer::default().layer(Inner { pending });
    let (mut hand, mut resilience) = (by_hand(Inner { pending }), of_resilience(Inner { pending }));
    let series = in_turn(
        what,
        pace.rounds(ROUNDS),
        CALLS,
        &mut [
            ("bare", &mut || drive(&mut bare)),
            ("stack", &mut || drive(&mut stack)),
            ("by hand", &mut || drive(&mut hand)),
            ("tower-resilience", &mut || drive(&mut resilience)),
        ],
    );
    let [bare, stack, hand, resilience] = &series[..] else { unreachable!("as many as there are") };
    vec![
        Row::pair(what, stack, bare, wanted),
        Row::pair(what, hand, bare, ""),
        Row::pair(what, resilience, bare, ""),
        Row::pair(what, stack, hand, ""),
        Row::pair(what, stack, resilience, ""),
    ]
}

/// Each layer alone.
fn parts(pace: Pace) -> Vec<Row> {
    let inner = || Inner { pending: 1 };
    let mut bare = inner();
    let mut deadline = fits(DeadlineLayer::new(30 * SECOND)).layer(inner());
    let mut attempt = fits(AttemptLayer::new(10 * SECOND)).layer(inner());
    let mut retry = fits(RetryLayer::new(Default::default())).layer(inner());
    let mut breaker = fits(CircuitBreakerLayer::new(Default::default())).layer(inner());
    let mut health = fits(HealthCheckLayer::new("/health")).layer(inner());
    let mut stall = fits(StallLayer::new(Limits::default())).layer(inner());
    let what = "pending once";
    let series = in_turn(
        "layers alone",
        pace.rounds(ROUNDS / 3),
        CALLS,
        &mut [
            ("bare", &mut || drive(&mut bare)),
            ("DeadlineLayer", &mut || drive(&mut deadline)),
            ("AttemptLayer", &mut || drive(&mut attempt)),
            ("RetryLayer", &mut || drive(&mut retry)),
            ("CircuitBreakerLayer", &mut || drive(&mut breaker)),
            ("HealthCheckLayer", &mut || drive(&mut health)),
            ("StallLayer", &mut || drive(&mut stall)),
        ],
    );
    series[1..].iter().map(|layer| Row::pair(what, layer, &series[0], "")).collect()
}

fn fits<L>(layer: Result<L, Error>) -> L {
    layer.expect("settings that fit together")
}
