//! Log lines whose arguments panic, and subscribers that do.

use crate::support::*;
use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, fmt::layer, registry};
use unwedge::supervise::{Event, Supervisor};
use unwedge::testing::{Peer, Reply};

/// Where a log goes that a test reads.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A value of a tenant that cannot be shown.
struct Bad;

impl fmt::Display for Bad {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("a tenant without a name")
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_line_that_a_filter_drops_does_not_swallow_the_one_that_tells_of_it() {
    let (told, all) = (Paper::default(), Paper::default());
    let to = |paper: &Paper, level| {
        let paper = paper.clone();
        layer().with_ansi(false).with_writer(move || paper.clone()).with_filter(level).boxed()
    };
    // What the first one wants and shows is dropped by the filter of the second, which was not asked yet.
    let subscriber = registry().with(vec![to(&all, LevelFilter::TRACE), to(&told, LevelFilter::INFO)]);
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut crew = Supervisor::new();
    let mut runs = 0;
    crew.spawn("tenants", SECOND, move |heart| {
        runs += 1;
        let bad = runs == 1;
        async move {
            if bad {
                tracing::debug!(tenant = %Bad, "looked after");
            }
            heart.cancelled().await;
        }
    });
    let mut events = crew.events();
    let restarted = async move { while !matches!(events.recv().await, Ok(Event::Restart { .. })) {} };
    crew.run_until(restarted, SECOND).await.unwrap();
    let told = told.text();
    for line in
        ["panicked, loop will continue", "a tenant without a name", "backtrace", "loop failed, restarting"]
    {
        assert!(told.contains(line), "{line:?} is missing in:\n{told}");
    }
}

/// A subscriber that is broken: it panics when it is asked whether it takes anything of this crate's.
struct Broken;

impl tracing::Subscriber for Broken {
    fn register_callsite(&self, _: &'static tracing::Metadata<'static>) -> tracing::subscriber::Interest {
        tracing::subscriber::Interest::sometimes()
    }
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        assert!(!metadata.target().starts_with("unwedge"), "a lock of the log is poisoned");
        false
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_panics_when_it_is_asked_costs_no_loop() {
    let _guard = tracing::subscriber::set_default(Broken);
    let mut crew = Supervisor::new();
    let runs = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&runs);
    crew.spawn("tenants", SECOND, move |heart| {
        *counted.lock().unwrap() += 1;
        let bad = *counted.lock().unwrap() == 1;
        async move {
            assert!(!bad, "a tenant without a name");
            heart.cancelled().await;
        }
    });
    let report = crew.run_until(tokio::time::sleep(5 * SECOND), SECOND).await.unwrap();
    assert_eq!((report.restarts, report.clean, *runs.lock().unwrap()), (1, true, 2));
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_panics_when_it_is_asked_costs_no_call() {
    let _guard = tracing::subscriber::set_default(Broken);
    let peer = Peer::new().forever(Reply::ok("fine"));
    let client = client(&peer).build().unwrap();
    let answer = client.get("http://peer.test/").send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "fine");
}
