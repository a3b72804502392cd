//! Who is waiting for what right now: the table of calls in flight.

mod copy;
pub(crate) mod owner;
#[cfg(feature = "supervise")]
mod supervised;
mod table;

pub(crate) use table::{Details, Slot, Table};

use crate::error::Phase;
use crate::sync::Arc;
use std::cell::Cell;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

thread_local! {
    // What the connector that was just polled is doing. The connection pool stands between a call and its connector, hands
    // neither a context down nor a state up, and this mailbox is the one way past it that costs no allocation. A pool of
    // ours, whose connects carry the row of their call, would replace it; beneath reqwest nothing would.
    static DOING: Cell<Phase> = const { Cell::new(Phase::Headers) };
}

/// Called by a connector each time it is polled and has to wait.
#[cfg_attr(not(feature = "client"), expect(dead_code, reason = "connectors report"))]
pub(crate) fn report(phase: Phase) {
    DOING.set(phase);
}

/// Polls `work`, and says what a connector inside it reported; `Headers` where none did.
pub(crate) fn observe<T>(work: impl FnOnce() -> T) -> (T, Phase) {
    DOING.set(Phase::Headers);
    let done = work();
    (done, DOING.get())
}

/// A handle to the calls in flight of one stack.
#[derive(Clone)]
pub struct InFlight(pub(crate) Arc<Table>);

/// One call in flight, as seen by an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Call {
    /// The client that makes it: its name, or its number.
    pub client: Arc<str>,
    /// The method of the request.
    #[cfg_attr(feature = "serde", serde(serialize_with = "method"))]
    pub method: http::Method,
    /// The URL without credentials and query, or with its label in place of the path.
    pub url: String,
    /// What it is waiting for.
    pub phase: Phase,
    /// For how long it has been in this phase.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "in_phase_seconds", serialize_with = "crate::duration::written::seconds")
    )]
    pub in_phase: Duration,
    /// The attempt under way, from 1.
    pub attempt: u32,
    /// How many attempts there may be.
    pub attempts_allowed: u32,
    /// Since the call began.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "age_seconds", serialize_with = "crate::duration::written::seconds")
    )]
    pub age: Duration,
    /// Until its deadline; `None` for a long poll outside of any scope, and under a layer that has no deadline.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "deadline_in_seconds", serialize_with = "crate::duration::written::maybe_seconds")
    )]
    pub deadline_in: Option<Duration>,
    /// The reason of a long poll.
    pub long_poll: Option<String>,
    /// Whether the long poll gave up every bound of its own.
    pub unbounded: bool,
    /// The supervised subsystem whose task made the call.
    pub subsystem: Option<String>,
}

#[cfg(feature = "serde")]
fn method<S: serde::Serializer>(method: &http::Method, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(method.as_str())
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brief = crate::duration::brief;
        write!(f, "{} {}, ", self.method, self.url)?;
        if self.attempts_allowed > 1 {
            write!(f, "attempt {} of {}, ", self.attempt, self.attempts_allowed)?;
        }
        write!(f, "{} for {:#}", self.phase, brief(self.in_phase))?;
        match self.deadline_in {
            Some(left) => write!(f, ", deadline in {:#}", brief(left))?,
            None => f.write_str(", no deadline")?,
        }
        match &self.long_poll {
            Some(reason) => write!(f, " (long poll: {reason})"),
            None => Ok(()),
        }
    }
}

impl InFlight {
    /// How many calls are in flight, bodies that still stream included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets the gauges `unwedge_calls_in_flight` and `unwedge_oldest_in_flight_seconds` to what is in flight now. Age is
    /// nothing that happens, so somebody has to look: the admin endpoints do before each scrape.
    #[cfg(feature = "metrics")]
    pub fn publish(&self) {
        let (calls, began) = self.0.oldest_start();
        crate::telemetry::in_flight(
            &self.0.client,
            calls,
            began.map_or(Duration::ZERO, |began| began.elapsed()),
        );
    }

    /// All calls in flight, oldest first.
    ///
    /// Calls begin and end while it looks: one that does so meanwhile may or may not be in it. The table is copied a
    /// piece at a time and put into words afterwards, so that no call waits for a large snapshot.
    pub fn snapshot(&self) -> Vec<Call> {
        let now = Instant::now();
        let mut calls: Vec<Call> =
            self.0.copied().iter().map(|seen| seen.call(&self.0.client, now)).collect();
        calls.sort_by_key(|call| std::cmp::Reverse(call.age));
        calls
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.snapshot()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;

    fn details(url: &str) -> Details {
        Details {
            target: Target { method: http::Method::GET, uri: url.parse().unwrap(), label: None },
            started: Instant::now(),
            deadline: Some(Instant::now() + Duration::from_secs(30)),
            attempts_allowed: 4,
            long_poll: None,
            subsystem: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_says_what_it_waits_for_and_is_gone_when_it_leaves() {
        let table = InFlight(Arc::new(Table::default()));
        let slot = table.0.enter(details("https://u:p@api.example/jobs?token=x"));
        table.0.phase(&slot, Phase::Headers, 2, Instant::now());
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(
            table.snapshot()[0].to_string(),
            "GET https://api.example/jobs, attempt 2 of 4, waiting for response headers for 9 s, deadline in 21 s"
        );
        assert_eq!(table.len(), 1);
        table.0.leave(slot);
        assert!(table.is_empty());
    }

    #[cfg(feature = "supervise")]
    #[tokio::test(start_paused = true)]
    async fn a_watch_that_has_begun_is_not_overdue_and_a_poll_that_nobody_polls_is() {
        let (table, poll) = (Table::default(), crate::LongPoll::because("a test parks it"));
        let start = Instant::now();
        let poll = poll.up_to(Duration::from_secs(50));
        let slot =
            table.enter(Details { deadline: None, long_poll: Some(poll), ..details("http://a/watch") });
        let overdue = |seconds| table.overdue(start + Duration::from_secs(seconds)).is_some();
        assert!(!overdue(56) && overdue(57), "hold, grace, and a second to be late in");
        table.phase(&slot, Phase::Body, 1, start);
        assert!(!overdue(86_400));
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_of_a_large_table_is_known_and_a_snapshot_has_them_all() {
        let table = InFlight(Arc::new(Table::default()));
        let start = Instant::now();
        let mut slots = Vec::new();
        for n in 0..3000 {
            let mut details = details(&format!("http://a/{n}"));
            details.started = start + Duration::from_secs(3000) - Duration::from_secs(n);
            slots.push(table.0.enter(details));
        }
        assert_eq!(table.0.oldest_start(), (3000, Some(start + Duration::from_secs(1))));
        tokio::time::advance(Duration::from_secs(4000)).await;
        let seen = table.snapshot();
        assert_eq!((seen.len(), seen[0].url.as_str()), (3000, "http://a/2999"));
        assert!(seen.is_sorted_by_key(|call| std::cmp::Reverse(call.age)));
        slots.into_iter().for_each(|slot| table.0.leave(slot));
        assert_eq!((table.len(), table.snapshot()), (0, Vec::new()));
    }
}
