//! Log lines whose arguments panic.

use crate::support::*;
use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, fmt::layer, registry};
use unwedge::supervise::{Event, Supervisor};

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
