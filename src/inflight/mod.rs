//! Who is waiting for what right now: the table of calls in flight.

mod call;
mod connections;
mod entry;
pub(crate) mod owner;
#[cfg(feature = "metrics")]
mod published;
#[cfg(feature = "supervise")]
mod supervised;
mod table;

pub use call::Call;
pub use connections::OpenConnections;
#[cfg(feature = "client")]
pub(crate) use connections::{AskPool, Pooled};
pub(crate) use entry::Details;
pub(crate) use table::{Slot, Table};

use crate::error::Phase;
use crate::sync::Arc;
use std::cell::Cell;
use std::fmt;
use tokio::time::Instant;

thread_local! {
    // What the connector that was just polled is doing. The connection pool stands between a call and its connector, hands
    // neither a context down nor a state up, and this mailbox is the one way past it that costs no allocation. A pool of
    // ours, whose connects carry the row of their call, would replace it; beneath reqwest nothing would.
    static DOING: Cell<Reported> = const { Cell::new(NOTHING) };
}

/// What was reported while a call was polled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reported {
    /// What is waited for; `Headers` where that is an answer.
    pub(crate) phase: Phase,
    /// How many requests a connection has taken, less those that came back.
    pub(crate) taken: i8,
}

const NOTHING: Reported = Reported { phase: Phase::Headers, taken: 0 };

/// Called by a connector each time it is polled and has to wait.
#[cfg_attr(not(feature = "client"), expect(dead_code, reason = "connectors report"))]
pub(crate) fn report(phase: Phase) {
    DOING.set(Reported { phase, ..DOING.get() });
}

/// Called by a pool when a request is handed to a connection.
#[cfg(feature = "client")]
pub(crate) fn taken() {
    let Reported { phase, taken } = DOING.get();
    DOING.set(Reported { phase, taken: taken.saturating_add(1) });
}

/// Called by a pool when a request came back that a connection had taken, since it was not sent.
#[cfg(feature = "client")]
pub(crate) fn came_back() {
    let Reported { phase, taken } = DOING.get();
    DOING.set(Reported { phase, taken: taken.saturating_sub(1) });
}

/// What was reported to the one around it before.
#[must_use = "what is reported while it lives is heard"]
pub(crate) struct Listening(i8);

/// From here on it counts what a connector reports. Whoever listens around it hears that too, beside what it had heard: one
/// poll may reach several stacks.
#[inline]
pub(crate) fn listen() -> Listening {
    Listening(DOING.replace(NOTHING).taken)
}

impl Drop for Listening {
    #[inline]
    fn drop(&mut self) {
        let Reported { phase, taken } = DOING.get();
        DOING.set(Reported { phase, taken: taken.saturating_add(self.0) });
    }
}

/// What was reported since [`listen`].
#[inline]
pub(crate) fn reported() -> Reported {
    DOING.get()
}

/// Polls `work`, and says what a connector inside it reported.
#[cfg(feature = "client")]
pub(crate) fn observe<T>(work: impl FnOnce() -> T) -> (T, Phase) {
    let _listening = listen();
    (work(), reported().phase)
}

/// A handle to the calls in flight of one stack.
#[derive(Clone)]
pub struct InFlight(pub(crate) Arc<Table>);

impl InFlight {
    /// How many calls are in flight, bodies that still stream included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The connections of the client whose calls these are, by origin and then by protocol. None of a stack over a client
    /// of others, which tells nobody.
    ///
    /// ```
    /// let client = unwedge::Client::new()?;
    /// assert!(client.in_flight().connections().is_empty(), "nothing was called yet");
    /// # Ok::<(), unwedge::Error>(())
    /// ```
    pub fn connections(&self) -> Vec<OpenConnections> {
        let name = self.0.client.name();
        let mut all: Vec<_> = self.0.pooled().iter().map(|pooled| pooled.of(name)).collect();
        all.sort_by(|a, b| (&a.origin, a.protocol).cmp(&(&b.origin, b.protocol)));
        all
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
    use std::time::Duration;

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

    #[test]
    fn a_stack_around_others_hears_of_what_each_of_them_handed_over_in_one_poll() {
        let heard = |taken, phase| assert_eq!((reported().taken, reported().phase), (taken, phase));
        let around = listen();
        for (hands_over, phase) in [(true, Phase::Headers), (false, Phase::Connect)] {
            let _beneath = listen();
            if hands_over {
                taken();
            } else {
                report(phase);
            }
            heard(i8::from(hands_over), phase);
        }
        heard(1, Phase::Connect);
        {
            let _beneath = listen();
            came_back();
            heard(-1, Phase::Headers);
        }
        heard(0, Phase::Headers);
        drop(around);
        let _next = listen();
        heard(0, Phase::Headers);
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

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_has_begun_is_not_overdue_and_a_poll_that_nobody_polls_is() {
        let (table, poll) = (Table::default(), crate::LongPoll::because("a test parks it"));
        let start = Instant::now();
        let poll = poll.up_to(Duration::from_secs(50));
        let slot = table.enter(Details {
            deadline: None,
            long_poll: Some(Arc::new(poll)),
            ..details("http://a/watch")
        });
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
