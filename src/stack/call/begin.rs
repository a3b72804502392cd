//! How a call begins: its limits are settled, a crowd in front of an open circuit is sent away, and it enters the table
//! of calls in flight.

use crate::error::Error;
use crate::inflight::{Details, owner};
use crate::longpoll::LongPoll;
use crate::options::CallOptions;
use crate::origin::table::Entry;
use crate::retry::head::KeptHead;
use crate::stack::call::admission::turned_away;
use crate::stack::call::attempts::Attempts;
use crate::stack::call::facts::Facts;
use crate::stack::call::held::Held;
use crate::stack::call::hop::Hop;
use crate::stack::call::limits::CallLimits;
use crate::stack::call::record::Record;
use crate::stack::call::state::CallState;
use crate::stack::origin_state::OriginState;
use crate::telemetry;
use http::Request;
use std::sync::Arc;
use tokio::time::Instant;

impl CallState {
    /// Begins a call, in place: a state is too large to be handed around.
    #[inline]
    pub(super) fn begin<'a, B>(
        call: &'a mut Option<CallState>,
        origin_state: Arc<Entry<OriginState>>,
        request: &Request<B>,
        hop: &mut Hop,
    ) -> Result<&'a mut CallState, Error> {
        let context = &*origin_state.context;
        let now = Instant::now();
        let wishes = Some(request.extensions()).filter(|wishes| !wishes.is_empty());
        let limits = CallLimits::of(wishes, context, hop, now)?;
        hop.settle(request.method(), limits.long_poll.is_some());
        (hop.started, hop.ends) = (Some(limits.started), limits.deadline);
        let options = wishes.and_then(|wishes| wishes.get::<CallOptions>());
        let own_retries = options.and_then(|options| options.retries);
        let allowed = Attempts::allowed(own_retries, limits.endless, context);
        if limits.long_poll.is_none() && !limits.is_over(now) {
            if let Some(error) = turned_away(&origin_state, request, &limits, allowed, now) {
                return Err(error);
            }
        }
        // Before anything is taken: a copy of the user's values may panic.
        let head = context.retry.classify.is_some().then(|| KeptHead::of(request));
        let slot = context.table.enter(Details {
            target: Facts::target(request, wishes, &origin_state.origin),
            started: limits.started,
            deadline: limits.deadline,
            attempts_allowed: allowed,
            long_poll: limits.long_poll.as_deref().cloned(),
            subsystem: owner::current(&context.table),
        });
        if let Some(poll) = &limits.long_poll {
            origin_state.meter.polls(poll.is_unbounded());
        }
        if limits.long_poll.as_deref().is_some_and(LongPoll::is_unbounded) {
            let reason = limits.long_poll.as_ref().map_or("", |poll| poll.reason());
            telemetry::unbounded(origin_state.endpoint(), reason);
        }
        Ok(call.insert(CallState {
            facts: Facts::of(request, wishes, head, hop.follows, context, &origin_state.origin),
            limits,
            attempts: Attempts::new(allowed, now),
            held: Held::default(),
            record: Record::new(slot),
            cancelled: owner::Cancelled::default(),
            origin_state,
        }))
    }
}
