//! What a person at the controls can do, and what subscribers and the log are told.

use super::*;
use crate::breaker::Reason;
use crate::retry::Backoff;
use crate::telemetry::Subject;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use tokio::sync::broadcast;
use tracing::field::{Field, Visit};
use tracing::span;

#[tokio::test(start_paused = true)]
async fn forced_open_refuses_until_reset_and_names_the_longest_wait() {
    let b = breaker(Settings::default());
    b.force_open();
    for _ in 0..3 {
        assert_eq!((phase(&b), refused(&b)), (Phase::ForcedOpen, secs(15)));
        assert_eq!(b.snapshot().retry_in, Some(secs(15)));
        advance(secs(3_600)).await;
    }
    b.reset();
    play(&b, "S");
    assert_eq!((phase(&b), b.snapshot().calls), (Phase::Closed, 1));

    let constant = breaker(Settings::default().open(Backoff::constant(secs(7))));
    constant.force_open();
    assert_eq!(refused(&constant), secs(7));
}

#[tokio::test(start_paused = true)]
async fn disabled_admits_everybody_and_records_nothing() {
    let b = breaker(Settings::default());
    play(&b, "FF");
    let old = permit(&b);
    b.disable();
    old.failure();
    play(&b, "FFFFFFFFSX");
    advance(secs(1)).await;
    let hung = permit(&b);
    advance(secs(100)).await;
    drop(hung);
    let s = b.snapshot();
    assert_eq!((s.phase, s.calls, s.failures, s.consecutive_failures), (Phase::Disabled, 0, 0, 0));
    let during = permit(&b);
    b.reset();
    during.failure();
    assert_eq!((phase(&b), b.snapshot().consecutive_failures), (Phase::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn a_breaker_may_be_born_disabled_and_is_switched_on_by_reset() {
    let b = breaker(Settings::default().disabled(true));
    play(&b, "FFFFFFFF");
    assert_eq!(phase(&b), Phase::Disabled);
    b.reset();
    play(&b, "FFFFF");
    assert_eq!(phase(&b), Phase::Open);
}

#[tokio::test(start_paused = true)]
async fn reset_closes_with_zero_counts_and_drops_what_is_in_flight() {
    let b = breaker(steady());
    play(&b, "SFF");
    let in_flight: Vec<_> = (0..5).map(|_| permit(&b)).collect();
    b.reset();
    in_flight.into_iter().for_each(Permit::failure);
    let s = b.snapshot();
    assert_eq!((s.phase, s.calls, s.failures, s.consecutive_failures), (Phase::Closed, 0, 0, 0));

    half_open(&b).await;
    play(&b, "F");
    assert_eq!(refused(&b), secs(10));
    b.reset();
    assert_eq!((phase(&b), b.snapshot().opened_for), (Phase::Closed, None));
    play(&b, "FFFFF");
    assert_eq!(refused(&b), secs(5), "back to the base");
}

#[tokio::test(start_paused = true)]
async fn forced_closed_admits_at_once_and_goes_on_judging() {
    let b = breaker(steady());
    play(&b, "FFFFF");
    b.force_closed();
    play(&b, "F");
    b.force_closed();
    assert_eq!((phase(&b), b.snapshot().consecutive_failures), (Phase::Closed, 1), "closed already");
    play(&b, "FFFF");
    assert_eq!((phase(&b), refused(&b)), (Phase::Open, secs(5)));
}

#[tokio::test(start_paused = true)]
async fn commands_are_told_once_and_repeating_them_tells_nothing() {
    let b = breaker(Settings::default());
    let mut events = b.subscribe();
    b.force_open();
    b.force_open();
    b.disable();
    b.reset();
    b.reset();
    let told: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    let phases: Vec<_> = told.iter().map(|t| (t.from, t.to)).collect();
    let expected = [
        (Phase::Closed, Phase::ForcedOpen),
        (Phase::ForcedOpen, Phase::Disabled),
        (Phase::Disabled, Phase::Closed),
    ];
    assert_eq!(phases, expected);
    assert!(told.iter().all(|t| t.reason == Reason::Manual));
    assert!(told.is_sorted_by(|a, b| a.generation < b.generation));
    assert_eq!(b.snapshot().generation, 4, "a reset begins a generation also where it changes no phase");
}

#[tokio::test(start_paused = true)]
async fn breakers_of_one_stack_tell_one_channel_and_each_its_own_subscribers() {
    let (all, mut events) = broadcast::channel(16);
    let rules = crate::sync::Arc::new(Settings::default().rules(secs(10)));
    let [a, b] = ["https://a", "https://b"]
        .map(|name| Breaker::for_origin(Subject::named(name.into()), &rules, all.clone()));
    let mut only_b = b.subscribe();
    play(&a, "FFFFF");
    play(&b, "FFFFF");
    let origins: Vec<_> =
        std::iter::from_fn(|| events.try_recv().ok()).map(|t| t.origin.to_string()).collect();
    assert_eq!(origins, ["https://a", "https://b"]);
    assert_eq!(drain(&mut only_b), [(Phase::Closed, Phase::Open)]);
}

#[tokio::test(start_paused = true)]
async fn each_transition_is_logged_in_the_agreed_words() {
    // With one dispatcher alive, tracing asks that of the thread which happens to meet an event first, and remembers for
    // all threads that nobody listens. With more it asks them all.
    let _others = [(); 2].map(|()| tracing::Dispatch::new(Log::default()));
    let log = Log::default();
    let lines = Arc::clone(&log.0);
    let _guard = tracing::subscriber::set_default(log);
    let b = breaker(steady());
    half_open(&b).await;
    play(&b, "S");
    b.force_open();
    b.disable();
    let origin = "origin=https://api.example.com";
    assert_eq!(
        *lines.lock().expect("no panic"),
        [
            format!("WARN opening circuit after 5 consecutive failures {origin} from=closed to=open"),
            format!("INFO entering half-open {origin} from=open to=half_open"),
            format!("INFO circuit closed {origin} from=half_open to=closed"),
            format!("WARN circuit forced open {origin} from=closed to=forced_open"),
            format!("INFO circuit breaker disabled {origin} from=forced_open to=disabled"),
        ]
    );
}

#[derive(Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push_str(&format!(" {}={value}", field.name()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        assert_eq!(field.name(), "message");
        self.0.push_str(&format!(" {value:?}"));
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn event(&self, event: &tracing::Event<'_>) {
        if event.metadata().target().starts_with("unwedge") {
            let mut line = Line(event.metadata().level().to_string());
            event.record(&mut line);
            self.0.lock().expect("no panic").push(line.0);
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
