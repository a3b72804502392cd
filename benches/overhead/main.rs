//! What the stack costs around an inner service: nanoseconds and allocations per call, beside the bare service in the
//! same run. Rounds are interleaved and medians are taken, because wall time on a shared machine is noisy.
//!
//! `cargo bench --bench overhead`, with `-- --json` an object a line.
#![allow(clippy::disallowed_methods, reason = "a server on a thread of its own, which ends with the program")]

mod breaker;
mod loopback;
mod measure;
mod service;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use measure::Row;
use service::{Inner, drive};
use std::time::Duration;
use tower_layer::Layer;
use tower_service::Service;
use unwedge::stack::{
    AttemptLayer, CircuitBreakerLayer, DeadlineLayer, HealthCheckLayer, RetryLayer, StallLayer,
};
use unwedge::{Error, Limits, StackLayer};

const SECOND: Duration = Duration::from_secs(1);

fn main() {
    let json = std::env::args().any(|arg| arg == "--json");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let mut rows = {
        let _entered = runtime.enter();
        layers().into_iter().chain(breaker::rows()).collect::<Vec<_>>()
    };
    rows.extend(loopback::rows());
    measure::print(&rows, json);
}

/// The whole stack, and each layer alone.
fn layers() -> Vec<Row> {
    let whole = StackLayer::default();
    vec![
        around("stack, ready at once", "+250 ns, no allocation", 0, &whole),
        around("stack, pending once", "+350 ns, no allocation", 1, &whole),
        around("DeadlineLayer alone, pending once", "", 1, &fits(DeadlineLayer::new(30 * SECOND))),
        around("AttemptLayer alone, pending once", "", 1, &fits(AttemptLayer::new(10 * SECOND))),
        around("RetryLayer alone, pending once", "", 1, &fits(RetryLayer::new(Default::default()))),
        around(
            "CircuitBreakerLayer alone, pending once",
            "",
            1,
            &fits(CircuitBreakerLayer::new(Default::default())),
        ),
        around("HealthCheckLayer alone, pending once", "", 1, &fits(HealthCheckLayer::new("/health"))),
        around("StallLayer alone, pending once", "", 1, &fits(StallLayer::new(Limits::default()))),
    ]
}

fn fits<L>(layer: Result<L, Error>) -> L {
    layer.expect("settings that fit together")
}

fn around<L>(name: &'static str, wanted: &'static str, pending: u32, layer: &L) -> Row
where
    L: Layer<Inner>,
    L::Service: Service<Request<Full<Bytes>>>,
{
    let (mut bare, mut ours) = (Inner { pending }, layer.layer(Inner { pending }));
    Row::compare(name, wanted, &mut || drive(&mut bare), &mut || drive(&mut ours))
}
