//! What is said to people on standard error: a spinner while the call runs, one line when it is over.

use crate::common::duration::human;
use crate::common::terminal::{Board, Paint, spinner};
use crate::fetch::call::Told;
use std::fmt::Debug;
use std::future::Future;
use std::io::{self, Write};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, interval};
use tracing::field::{Field, Visit};
use tracing::span;
use unwedge::inflight::InFlight;

/// A spinner for a call that is over at once would only flicker.
const PATIENCE: Duration = Duration::from_millis(300);

pub(crate) struct Story {
    wanted: bool,
    /// What the attempts died of that were repeated.
    causes: Causes,
}

#[derive(Clone, Default)]
struct Causes(Arc<Mutex<Vec<String>>>);

impl Causes {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Story {
    /// Hears what the library says of its retries, if it is `wanted`.
    pub(crate) fn listen(wanted: bool) -> Story {
        let causes = Causes::default();
        if wanted {
            // The one subscriber of this process.
            let _ = tracing::subscriber::set_global_default(causes.clone());
        }
        Story { wanted, causes }
    }

    /// Waits for the call and shows what it waits for.
    pub(crate) async fn watch<T>(&self, calls: InFlight, call: impl Future<Output = T>) -> T {
        let mut board = Board::new(self.wanted);
        let mut call = pin!(call);
        if !board.is_lively() {
            return call.await;
        }
        let began = Instant::now();
        let mut tick = interval(Duration::from_millis(100));
        loop {
            tokio::select! {
                done = &mut call => return done,
                _ = tick.tick() => {}
            }
            let elapsed = began.elapsed();
            if let Some(call) = calls.snapshot().first().filter(|_| elapsed > PATIENCE) {
                // Without the URL, so that it fits into a line.
                let (at, of, phase) = (call.attempt, call.attempts_allowed, call.phase);
                let (spent, waiting) = (human(elapsed), human(call.in_phase));
                board.show(&[format!(
                    "{} {spent}: attempt {at} of {of}, {phase} for {waiting}",
                    spinner(elapsed)
                )]);
            }
        }
    }

    pub(crate) fn tell(&self, told: &Told) {
        let before = self.causes.take();
        let paint = Paint::on(&io::stderr());
        let line = told.sentence(&before);
        let line = match &told.error {
            Some(_) => paint.bad(&line),
            None if !self.wanted => return,
            None if told.status.is_some_and(|status| status.as_u16() >= 400) => paint.warn(&line),
            None => paint.dim(&line),
        };
        // Nobody may be there to read it.
        let _ = writeln!(io::stderr(), "{line}");
    }
}

impl tracing::Subscriber for Causes {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with("unwedge")
    }

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

impl Visit for Causes {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "cause" {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}
