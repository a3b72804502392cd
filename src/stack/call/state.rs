//! What one call carries through its life, independent of the types of request and service. Dropping it at any
//! moment gives back what it holds: table slot, permit, the place in a health check.

use crate::deadline::{Deadline, Resolved, under};
use crate::error::Phase;
use crate::inflight::owner;
use crate::origin::table::Entry;
use crate::stack::call::attempts::Attempts;
use crate::stack::call::clock::Clock;
use crate::stack::call::facts::Facts;
use crate::stack::call::held::{GivenUp, Held, Probe};
use crate::stack::call::limits::CallLimits;
use crate::stack::call::record::Record;
use crate::stack::context::LayerContext;
use crate::stack::origin_state::OriginState;
use crate::stack::pacing::polls;
use crate::target::Target;
use crate::telemetry::spans;
use http::Uri;
use std::sync::Arc;
use tokio::time::Instant;
use tracing::Span;

/// The state of a call: what is known of it, and whom it talks to.
pub(super) struct CallState {
    pub(super) facts: Facts,
    pub(super) limits: CallLimits,
    pub(super) attempts: Attempts,
    pub(super) held: Held,
    pub(super) record: Record,
    /// The end of the program, as something to wait for.
    pub(super) cancelled: owner::Cancelled,
    pub(super) origin_state: Arc<Entry<OriginState>>,
}

impl CallState {
    /// What is the same for all calls of the layer.
    #[inline]
    pub(super) fn context(&self) -> &LayerContext {
        &self.origin_state.context
    }

    /// What is set for this call.
    #[inline]
    pub(super) fn bounds(&self) -> &Resolved {
        self.limits.bounds(self.context())
    }

    /// Method and URL, for the attempts after the first, for redirects, and for the error that names it. They stand in the
    /// table of calls in flight and nowhere else, since few calls ask: of one that has left the table only the origin is
    /// known.
    #[cold]
    pub(super) fn target(&self) -> Target {
        let listed = self.record.target(&self.context().table);
        listed.unwrap_or_else(|| Target {
            method: self.facts.method.clone(),
            uri: self.origin_state.origin.completes(&Uri::default()),
            label: self.facts.label.clone(),
        })
    }

    /// It waits for something else from now on.
    #[inline]
    pub(super) fn enter(&mut self, phase: Phase, now: Instant) {
        self.record.enter(&self.origin_state.context.table, phase, self.attempts.number, now);
    }

    /// Pending in this phase: the clock is read only where that is news.
    pub(super) fn idle(&mut self, phase: Phase, clock: &mut Clock) {
        if self.record.phase != phase {
            self.enter(phase, clock.now());
        }
    }

    /// The request is on its way: from now on its silence counts.
    #[inline]
    pub(super) fn sent(&mut self, now: Instant) {
        self.attempts.sent(matches!(self.held.probe, Probe::Leading(_)), now);
        if self.attempts.number > 1 || self.record.phase != Phase::Headers {
            self.enter(Phase::Headers, now);
        }
        self.poll_sent();
    }

    /// As [`inside`](CallState::inside), in the span of the attempt.
    #[inline(always)]
    pub(super) fn inside_attempt<T>(&mut self, work: impl FnOnce() -> T) -> T {
        if self.attempts.span.is_none() {
            return self.inside(work);
        }
        self.in_span(work)
    }

    #[cold]
    fn in_span<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let span = self.attempts.span.take();
        let entered = span.as_deref().map(Span::enter);
        let done = self.inside(work);
        drop(entered);
        self.attempts.span = span;
        done
    }

    /// Runs code of the inner service: only there a panic is its own.
    #[inline]
    pub(super) fn inside<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.held.in_service(true);
        // A whole stack is the innermost thing that asks for a deadline; a single part has others beneath it.
        let parts = &self.origin_state.context.parts;
        let done = match self.limits.deadline {
            Some(deadline) if parts.total && !parts.retry => under(Deadline::at(deadline), work),
            _ => work(),
        };
        self.held.in_service(false);
        done
    }
}

impl Drop for CallState {
    fn drop(&mut self) {
        if !self.record.polled.is_idle() {
            self.poll_ended(polls::End::Over, Instant::now());
        }
        let CallState { facts, limits, record, origin_state, .. } = self;
        // What stood there is dropped here, since it holds values of the user's.
        drop(record.leave(&origin_state.context.table));
        let took = || Instant::now() - limits.started;
        origin_state.meter.called(&facts.method, record.end, limits.long_poll().is_some(), took);
        if self.record.end.error.is_none() {
            self.ended(None, Instant::now);
        }
        if let Some(span) = self.attempts.span.take() {
            spans::dropped(&span);
        }
        self.give_back();
        let CallState { held, record, attempts, origin_state, .. } = self;
        held.leave_gate(&origin_state.gates);
        if held.permit.is_some() {
            let left = match record.streaming {
                _ if owner::is_ending() => GivenUp::Ending,
                // Nothing was sent: it waited for a connection.
                _ if record.phase == Phase::Ready || attempts.passage.is_queued() => GivenUp::Ending,
                true => GivenUp::Stream,
                false => GivenUp::Dropped,
            };
            held.leave(&origin_state.breaker, left, Instant::now);
        }
        held.leave_probe(origin_state.health.as_deref());
    }
}
