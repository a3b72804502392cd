//! What one call carries through its life, independent of the types of request and service. Dropping it at any
//! moment gives back what it holds: table slot, permit, the place in a health check.

use super::admission::turned_away;
use super::health::Probe;
use super::refusal::{Better, Last};

use crate::breaker;
use crate::breaker::Admitted;
use crate::collect::Collect;
use crate::collect::Endless;
use crate::deadline::{Bounds, Deadline, Scope, under};
use crate::error::Attempt;
use crate::error::Error;
use crate::error::Phase;
use crate::inflight::Details;
use crate::inflight::Slot;
use crate::inflight::owner;
use crate::longpoll::LongPoll;
use crate::options::CallOptions;
use crate::origin::table::Entry;
use crate::retry::classify::is_idempotent;
use crate::retry::spared::Spared;
use crate::stack::call::hop::Hop;
use crate::stack::call::timers::Clock;
use crate::stack::gates::{Place, credential};
use crate::stack::origin_state::OriginState;
use crate::stack::pacing::polls;
use crate::stack::wishes::KeptHead;
use crate::stall::Flow;
use crate::target::{Label, Target};
use crate::telemetry;
use crate::telemetry::End;
use http::Method;
use http::Request;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::Span;

pub(in crate::stack) struct CallState {
    pub(in crate::stack) origin_state: Arc<Entry<OriginState>>,
    pub(in crate::stack) slot: Option<Slot>,
    pub(in crate::stack) permit: Option<Admitted>,
    pub(in crate::stack) probe: Probe,
    pub(in crate::stack) method: Method,
    pub(in crate::stack) idempotent: bool,
    pub(in crate::stack) long_poll: Option<LongPoll>,
    /// How far the attempt of a long poll has come.
    pub(in crate::stack) polled: polls::Polled,
    /// A redirect is followed by another call: see `Hop`.
    pub(in crate::stack) follows: bool,
    pub(in crate::stack) collect: u64,
    /// Its reader bounds the body, and repeats the call.
    pub(in crate::stack) endless: bool,
    /// The limits of this call, where its request has some of its own.
    pub(in crate::stack) own: Option<Box<Bounds>>,
    /// What stands for its credential at a gate.
    pub(in crate::stack) credential: u64,
    /// Where it waits at one.
    pub(in crate::stack) place: Option<Box<Place>>,
    /// For a classifier of the user's.
    pub(in crate::stack) head: Option<Box<KeptHead>>,
    pub(in crate::stack) started: Instant,
    /// When the call began, or the back-off before the attempt under way.
    pub(in crate::stack) asked: Instant,
    /// Everything up to the end of the collected body.
    pub(in crate::stack) deadline: Option<Instant>,
    /// An enclosing scope or the request's own: binds a streamed body as well.
    pub(in crate::stack) hard_deadline: Option<Instant>,
    /// When the attempt under way began; before the first, when the call did.
    pub(in crate::stack) began: Instant,
    pub(in crate::stack) attempt: u32,
    pub(in crate::stack) allowed: u32,
    pub(in crate::stack) retries: u32,
    pub(in crate::stack) last_wait: Option<Duration>,
    /// What the retry under way cost the budget: given back when it succeeds, and when it never leaves.
    pub(in crate::stack) paid: u32,
    /// It has left.
    pub(in crate::stack) left: bool,
    pub(in crate::stack) spared: Spared,
    /// What comes next is to go out on a connection that was not idle.
    pub(in crate::stack) fresh: bool,
    pub(in crate::stack) wanted: Option<Duration>,
    /// For how long the circuit is open that stands in the way of another attempt.
    pub(in crate::stack) retry_in: Option<Duration>,
    /// What the attempt before came to, while there may be no other.
    pub(in crate::stack) last: Option<Box<Last>>,
    /// Set in a wait that is worth cutting short.
    pub(in crate::stack) better: Option<Better>,
    /// Not all of the response was kept.
    pub(in crate::stack) cut: bool,
    pub(in crate::stack) phase: Phase,
    pub(in crate::stack) flow: Flow,
    /// The body was handed over while it streams.
    pub(in crate::stack) streaming: bool,
    /// The response head was a success: its retry gets its cost back.
    pub(in crate::stack) good: bool,
    pub(in crate::stack) journal: Vec<Attempt>,
    pub(in crate::stack) end: End,

    pub(in crate::stack) cancelled: owner::Cancelled,
}

impl CallState {
    /// Begins a call, in place: a life is too large to be handed around.
    #[inline]
    pub(in crate::stack) fn begin<'a, B>(
        life: &'a mut Option<CallState>,
        origin_state: Arc<Entry<OriginState>>,
        request: &Request<B>,
        made_under: Option<Deadline>,
        hop: &mut Hop,
    ) -> Result<&'a mut CallState, Error> {
        let context = &*origin_state.context;
        let now = Instant::now();
        let extensions = request.extensions();
        let wishes = !extensions.is_empty();
        let long_poll = if wishes { extensions.get::<LongPoll>().cloned() } else { None };
        if let Some(poll) = &long_poll {
            poll.check()?;
        }
        let wished = if wishes { extensions.get::<Deadline>().map(|d| d.instant()) } else { None };
        let at = |deadline: Option<Deadline>| deadline.map(Deadline::instant);
        let scope = Scope::current();
        let ambient = Deadline::nearest(at(made_under), at(scope.deadline));
        let hard_deadline = Deadline::nearest(wished, ambient);
        let started = hop.started.unwrap_or(now);
        let options = if wishes { extensions.get::<CallOptions>() } else { None };
        let own = options.map(|options| context.bounds_of(options)).transpose()?;
        let bounds = own.as_deref().unwrap_or(&context.bounds);
        let total = (context.parts.total && long_poll.is_none()).then(|| started + bounds.total);
        let deadline = Deadline::nearest(Deadline::nearest(hard_deadline, total), at(scope.total));
        let endless = wishes && extensions.get::<Endless>().is_some();
        let collect = match (&long_poll, wishes) {
            _ if endless => 0,
            (Some(_), _) => 0,
            (None, true) => extensions.get::<Collect>().map_or(bounds.collect, |c| c.0),
            (None, false) => bounds.collect,
        };
        hop.settle(request.method(), long_poll.is_some());
        (hop.started, hop.ends) = (Some(started), deadline);
        let retries = options.and_then(|options| options.retries).unwrap_or(context.retry.max_retries);
        let allowed = if context.parts.retry && !endless { retries.saturating_add(1) } else { 1 };
        if long_poll.is_none() && deadline.is_none_or(|deadline| now < deadline) {
            if let Some(error) = turned_away(&origin_state, request, (allowed, endless), (started, now)) {
                return Err(error);
            }
        }
        // Before anything is taken: a copy of the user's values may panic.
        let head = context.classify.is_some().then(|| KeptHead::of(request));
        let slot = context.table.enter(Details {
            target: Target {
                method: request.method().clone(),
                uri: request.uri().clone(),
                label: if wishes { extensions.get::<Label>().cloned() } else { None },
            },
            started,
            deadline,
            attempts_allowed: allowed,
            long_poll: long_poll.clone(),
            subsystem: owner::current(&context.table),
        });
        if let Some(poll) = &long_poll {
            origin_state.meter.polls(poll.is_unbounded());
        }
        if long_poll.as_ref().is_some_and(LongPoll::is_unbounded) {
            telemetry::unbounded(origin_state.whose(), long_poll.as_ref().map_or("", |poll| poll.reason()));
        }
        Ok(life.insert(CallState {
            slot: Some(slot),
            permit: None,
            probe: Probe::None,
            method: request.method().clone(),
            idempotent: is_idempotent(request.method(), request.headers(), extensions),
            long_poll,
            polled: polls::Polled::Idle,
            follows: hop.follows,
            collect,
            endless,
            own,
            head,
            credential: credential(&context.hasher, request.headers()),
            place: None,
            started,
            asked: now,
            deadline,
            hard_deadline,
            began: now,
            attempt: 0,
            allowed,
            retries: 0,
            last_wait: None,
            paid: 0,
            left: false,
            spared: Spared::default(),
            fresh: false,
            wanted: None,
            retry_in: None,
            last: None,
            better: None,
            cut: false,
            phase: Phase::Headers,
            flow: Flow::new(None, None),
            streaming: false,
            good: false,
            journal: Vec::new(),
            end: End::default(),

            cancelled: owner::Cancelled::default(),
            origin_state,
        }))
    }

    /// The URL of the request, credentials and query included.
    pub(in crate::stack) fn uri(&self) -> http::Uri {
        let mut uri = http::Uri::default();
        if let Some(slot) = &self.slot {
            self.origin_state.context.table.with(slot, |details| uri = details.target.uri.clone());
        }
        uri
    }

    pub(in crate::stack) fn url(&self) -> String {
        let mut target = None;
        if let Some(slot) = &self.slot {
            self.origin_state.context.table.with(slot, |details| target = Some(details.target.clone()));
        }
        target.map(|target| target.url()).unwrap_or_default()
    }

    /// Whether a copy of the request is worth making.
    pub(in crate::stack) fn may_repeat(&self) -> bool {
        let context = &self.origin_state.context;
        // A layer of its own beneath may refuse the last attempt too, when it has the request already.
        let beneath =
            self.allowed > 1 && !context.parts.breaker && !context.retry.wait_when_refused.is_zero();
        self.attempt < self.allowed || beneath
    }

    pub(in crate::stack) fn enter(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        if let Some(slot) = &self.slot {
            self.origin_state.context.table.phase(slot, phase, self.attempt, now);
        }
    }

    /// Pending in this phase: the clock is read only where that is news.
    pub(in crate::stack) fn idle(&mut self, phase: Phase, clock: &mut Clock) {
        if self.phase != phase {
            self.enter(phase, clock.now());
        }
    }

    /// The request is on its way: from now on its silence counts.
    pub(in crate::stack) fn sent(&mut self, now: Instant) {
        self.began = now;
        // A health check goes before it.
        self.left |= !matches!(self.probe, Probe::Leading(_));
        if self.attempt > 1 || self.phase != Phase::Headers {
            self.enter(Phase::Headers, now);
        }
        self.poll_sent();
    }

    /// As [`inside`](CallState::inside), in the span of the attempt.
    #[inline(always)]
    pub(in crate::stack) fn inside_attempt<T>(&mut self, span: &Span, work: impl FnOnce() -> T) -> T {
        let _entered = span.enter();
        self.inside(work)
    }

    /// Runs code of the inner service: only there a panic is its own.
    #[inline]
    pub(in crate::stack) fn inside<T>(&mut self, work: impl FnOnce() -> T) -> T {
        if let Some(permit) = &mut self.permit {
            permit.in_service(true);
        }
        // A whole stack is the innermost thing that asks for a deadline; a single part has others beneath it.
        let done = match self.deadline {
            Some(deadline)
                if self.origin_state.context.parts.total && !self.origin_state.context.parts.retry =>
            {
                under(Deadline::at(deadline), work)
            }
            _ => work(),
        };
        if let Some(permit) = &mut self.permit {
            permit.in_service(false);
        }
        done
    }
}

impl Drop for CallState {
    fn drop(&mut self) {
        if !self.polled.is_idle() {
            self.poll_ended(polls::End::Over, Instant::now());
        }
        // Dropped last, since it holds values of the user's.
        let _details = self.slot.take().and_then(|slot| self.origin_state.context.table.take(slot));
        let took = || Instant::now() - self.started;
        self.origin_state.meter.called(&self.method, self.end, self.long_poll.is_some(), took);
        self.give_back();
        self.leave_gate();
        match self.permit.take() {
            // What a shutdown cuts off was not hung.
            Some(permit) if owner::is_ending() => {
                permit.record(&self.origin_state.breaker, breaker::Outcome::Nothing, Instant::now());
            }
            // A reader that leaves a stream has had what it wanted, unless it waited in vain.
            Some(permit) if self.streaming => permit.leave_stream(&self.origin_state.breaker, Instant::now()),
            Some(permit) => permit.abandon(&self.origin_state.breaker),
            None => {}
        }
        if let Some(flight) = &self.origin_state.health {
            match &self.probe {
                Probe::None => {}
                Probe::Leading(number) => flight.abandon(*number),
                Probe::Waiting(waiting) => flight.leave(waiting),
            }
        }
    }
}
