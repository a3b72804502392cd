//! The record of a call: where it is, how its body flows, and what it came to. Operators, metrics and the caller are told
//! from it.

use crate::error::Phase;
use crate::inflight::{Details, Slot, Table};
use crate::stack::pacing::polls::Polled;
use crate::stall::Flow;
use crate::target::Target;
use crate::telemetry::End;
use std::time::Duration;
use tokio::time::Instant;

/// What is to be told of a call.
pub(super) struct Record {
    /// Its place in the table of calls in flight.
    slot: Option<Slot>,
    /// Which call it is for those who listen; 0 before they were told of it.
    pub(super) number: u64,
    /// What it waits for.
    pub(super) phase: Phase,
    /// How its body comes.
    pub(super) flow: Flow,
    /// The body was handed over while it streams.
    pub(super) streaming: bool,
    /// The response head was a success: its retry gets its cost back.
    pub(super) good: bool,
    /// How far the attempt of a long poll has come.
    pub(super) polled: Polled,
    /// What is counted when it is over.
    pub(super) end: End,
}

impl Record {
    #[inline]
    pub(super) fn new(slot: Slot) -> Record {
        Record {
            slot: Some(slot),
            number: 0,
            phase: Phase::Headers,
            flow: Flow::new(None),
            streaming: false,
            good: false,
            polled: Polled::Idle,
            end: End::default(),
        }
    }

    /// It waits for something else from now on.
    pub(super) fn enter(&mut self, table: &Table, phase: Phase, attempt: u32, now: Instant) {
        self.phase = phase;
        if let Some(slot) = &self.slot {
            table.phase(slot, phase, attempt, now);
        }
    }

    /// When a body that streams is cut off at the latest.
    pub(super) fn ends(&self, table: &Table, at: Option<Instant>) {
        if let Some(slot) = &self.slot {
            table.ends(slot, at);
        }
    }

    /// What it is about, as long as it is in flight.
    pub(super) fn target(&self, table: &Table) -> Option<Target> {
        table.target(self.slot.as_ref()?)
    }

    /// It is no longer in flight. What was known of it there is the caller's.
    #[inline]
    pub(super) fn leave(&mut self, table: &Table) -> Option<Details> {
        self.slot.take().and_then(|slot| table.take(slot))
    }

    /// Whether bytes of a body that is collected were still arriving when its time was up.
    pub(super) fn flows(&self, idle: Duration, now: Instant) -> bool {
        let arriving = self.phase == Phase::Body && self.flow.received() > 0;
        arriving && self.flow.silent_for(now) < idle / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inflight::InFlight;
    use std::sync::Arc;

    const SECOND: Duration = Duration::from_secs(1);

    fn record(table: &Table) -> Record {
        Record::new(table.enter(Details {
            target: Target {
                method: http::Method::GET,
                uri: http::Uri::from_static("http://a/"),
                label: None,
            },
            started: Instant::now(),
            deadline: None,
            attempts_allowed: 4,
            long_poll: None,
            subsystem: None,
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn an_operator_sees_the_phase_and_the_end_and_nothing_once_it_has_left() {
        let table = Arc::new(Table::default());
        let (seen, mut record) = (InFlight(Arc::clone(&table)), record(&table));
        record.enter(&table, Phase::BackOff, 2, Instant::now());
        record.ends(&table, Some(Instant::now() + 9 * SECOND));
        let call = &seen.snapshot()[0];
        assert_eq!((call.phase, call.attempt, call.deadline_in), (Phase::BackOff, 2, Some(9 * SECOND)));
        drop(record.leave(&table));
        record.enter(&table, Phase::Body, 3, Instant::now());
        drop(record.leave(&table));
        assert!(seen.is_empty());
    }

    #[test]
    fn what_a_call_is_about_stands_in_the_table_until_it_leaves_and_is_then_handed_out() {
        let table = Table::default();
        let mut record = record(&table);
        assert_eq!(record.target(&table).map(|target| target.url()).as_deref(), Some("http://a/"));
        let left = record.leave(&table).expect("it was there");
        assert_eq!(left.target.url(), "http://a/");
        assert!(record.target(&table).is_none() && record.leave(&table).is_none());
    }

    #[test]
    fn a_body_flows_while_it_was_silent_for_less_than_half_of_what_it_may_be() {
        let (table, start) = (Table::default(), Instant::now());
        let mut record = record(&table);
        record.enter(&table, Phase::Body, 1, start);
        assert!(!record.flows(10 * SECOND, start), "nothing came yet");
        record.flow.got(1, start);
        record.flow.wait(start);
        assert!(record.flows(10 * SECOND, start + 4 * SECOND));
        assert!(!record.flows(10 * SECOND, start + 5 * SECOND));
        record.phase = Phase::Headers;
        assert!(!record.flows(10 * SECOND, start));
        drop(record.leave(&table));
    }
}
