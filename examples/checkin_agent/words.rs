//! The agent's own words for what its stack does: greppable in the log, and objects for programs.

use crate::common::daemon::{Daemon, Own, Reader};
use crate::common::output::millis;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;
use unwedge::breaker::{Phase, Transition};

/// Retries that wait to be told.
const QUEUE: usize = 64;

/// A retry, as the stack logs it: `retry 1/10 in 5s: connection refused`.
#[derive(Default)]
pub(crate) struct Retry {
    message: String,
    wait: String,
    cause: String,
}

/// Reads the retries out of the log.
struct Retries(mpsc::Sender<Retry>);

pub(crate) fn retries() -> (Reader, mpsc::Receiver<Retry>) {
    let (told, retries) = mpsc::channel(QUEUE);
    let of_the_stack = Targets::new().with_target("unwedge", Level::DEBUG);
    (Retries(told).with_filter(of_the_stack).boxed(), retries)
}

/// What this program says in its own words, it does not say in those of the library as well.
pub(crate) fn own(reader: Reader) -> Own {
    Own { reader: Some(reader), twice: is_told_here }
}

/// A line about a retry, the circuit, or a health check that passed again: known by what it says beside its message.
fn is_told_here(of: &Metadata<'_>) -> bool {
    let has = |names: &[&str]| names.iter().all(|name| of.fields().field(name).is_some());
    of.target() == "unwedge::telemetry::log"
        && (has(&["attempt", "wait", "cause"]) || has(&["from", "to"]) || has(&["down_for"]))
}

impl<S: Subscriber> Layer<S> for Retries {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut retry = Retry::default();
        event.record(&mut retry);
        if retry.message.starts_with("retry ") {
            // Whoever logs must not wait; one that is left out stands in the counts of the check-in.
            let _ = self.0.try_send(retry);
        }
    }
}

impl Visit for Retry {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "wait" => self.wait = format!("{value:?}"),
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "cause" {
            value.clone_into(&mut self.cause);
        }
    }
}

/// Tells each retry, as long as there are any.
pub(crate) async fn tell_retries(mut retries: mpsc::Receiver<Retry>, daemon: Daemon) {
    while let Some(retry) = retries.recv().await {
        tracing::info!("[RETRY] Check-in failed, {}", retry.message);
        let (n, of) = retry.counts().unwrap_or_default();
        let object = daemon.event("retry").with("n", n).with("of", of);
        daemon.tell(&object.with("in_ms", millis(duration(&retry.wait))).with("error", retry.cause));
    }
}

impl Retry {
    fn counts(&self) -> Option<(u32, u32)> {
        let (n, of) = self.message.strip_prefix("retry ")?.split(' ').next()?.split_once('/')?;
        Some((n.parse().ok()?, of.parse().ok()?))
    }
}

/// Reads `1h30m`, of which each part is one that can be parsed.
fn duration(text: &str) -> Duration {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while let Some(unit) = rest.find(char::is_alphabetic) {
        let end = rest[unit..].find(|c: char| !c.is_alphabetic()).map_or(rest.len(), |end| unit + end);
        sum += unwedge::duration::parse(&rest[..end]).unwrap_or_default();
        rest = &rest[end..];
    }
    sum
}

/// Tells each change of the breaker, and notes in `opened` that it opened.
pub(crate) async fn tell_breaker(mut changes: broadcast::Receiver<Transition>, opened: Arc<AtomicBool>) {
    loop {
        match changes.recv().await {
            Ok(change) => match change.to {
                Phase::Open => {
                    opened.store(true, Ordering::Release);
                    tracing::warn!("[CIRCUIT_BREAKER] Opening circuit after {}", change.reason);
                }
                Phase::HalfOpen => tracing::info!("[CIRCUIT_BREAKER] Entering half-open state"),
                Phase::Closed => tracing::info!("[CIRCUIT_BREAKER] Circuit closed"),
                other => tracing::info!("[CIRCUIT_BREAKER] Now {other}"),
            },
            Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "transitions were missed"),
            Err(RecvError::Closed) => return,
        }
    }
}
