//! How a call begins: its limits are settled, a crowd in front of an open circuit is sent away, and it enters the table
//! of calls in flight.

use crate::error::Error;
use crate::inflight::{Details, owner};
use crate::options::CallOptions;
use crate::retry::head::KeptHead;
use crate::stack::call::admission::turned_away;
use crate::stack::call::attempts::Attempts;
use crate::stack::call::facts::Facts;
use crate::stack::call::held::Held;
use crate::stack::call::hop::Hop;
use crate::stack::call::limits::CallLimits;
use crate::stack::call::record::Record;
use crate::stack::call::running::{Progress, alive};
use crate::stack::call::state::CallState;
use crate::telemetry;
use http::Request;
use tokio::time::Instant;

impl CallState {
    /// Begins a call, in place: a state is too large to be handed around.
    #[inline]
    pub(super) fn begin<'a, B>(
        call: &'a mut Progress,
        request: &Request<B>,
    ) -> Result<&'a mut CallState, Error> {
        let (made, mut hop) = match call {
            Progress::Made { origin_state, hop, .. } => (origin_state.take(), *hop),
            _ => (None, Hop::default()),
        };
        let Some(origin_state) = made else { unreachable!("a call begins once") };
        let origin_state = origin_state?;
        let context = &*origin_state.context;
        let now = Instant::now();
        let extensions = Some(request.extensions()).filter(|extensions| !extensions.is_empty());
        let limits = CallLimits::of(extensions, context, &hop, now)?;
        hop.settle(request.method(), limits.long_poll().is_some());
        let options = extensions.and_then(|extensions| extensions.get::<CallOptions>());
        let own_retries = options.and_then(|options| options.retries);
        let allowed = Attempts::allowed(own_retries, limits.endless(), context);
        if limits.long_poll().is_none() && !limits.is_over(now) {
            if let Some(error) = turned_away(&origin_state, request, &limits, allowed, now) {
                return Err(error);
            }
        }
        // Before anything is taken: a copy of the user's values may panic.
        let head = context.retry.classify.is_some().then(|| KeptHead::of(request));
        let target = Facts::target(request, extensions, &origin_state.origin);
        let facts = Facts::of(request, target.label.clone(), head, hop.follows, context);
        let slot = context.table.enter(Details {
            target,
            started: limits.started,
            deadline: limits.deadline,
            attempts_allowed: allowed,
            long_poll: limits.long_poll().cloned(),
            subsystem: owner::current(&context.table),
        });
        if let Some(poll) = limits.long_poll() {
            origin_state.meter.polls(poll.is_unbounded());
        }
        if limits.long_poll().is_some_and(|poll| poll.is_unbounded()) {
            let reason = limits.long_poll().map_or("", |poll| poll.reason());
            telemetry::unbounded(origin_state.endpoint(), reason);
        }
        *call = Progress::Begun(CallState {
            facts,
            limits,
            attempts: Attempts::new(allowed, now),
            held: Held::default(),
            record: Record::new(slot),
            cancelled: owner::Cancelled::default(),
            origin_state,
        });
        Ok(alive(call))
    }
}
