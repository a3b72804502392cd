//! The limits of a call: what was settled when it began, and what follows from it. Nothing here changes later.

use crate::collect::{Collect, Endless};
use crate::deadline::{Deadline, Resolved, Scope};
use crate::error::Error;
use crate::longpoll::LongPoll;
use crate::options::CallOptions;
use crate::stack::call::hop::Hop;
use crate::stack::context::LayerContext;
use http::Extensions;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// When a call and its parts have to be over, and how much of its body is waited for.
pub(super) struct CallLimits {
    /// When the call began; of a redirected call when the first of its hops did.
    pub(super) started: Instant,
    /// Everything up to the end of the collected body.
    pub(super) deadline: Option<Instant>,
    /// An enclosing scope or the request's own: binds a streamed body as well.
    pub(super) hard_deadline: Option<Instant>,
    /// So much of the body belongs to the attempt.
    pub(super) collect: u64,
    /// What the request says itself; most say nothing.
    own: Option<Box<Own>>,
}

/// What a request says of its limits.
struct Own {
    bounds: Option<Resolved>,
    long_poll: Option<Arc<LongPoll>>,
    /// Its reader bounds the body, and repeats the call.
    endless: bool,
}

impl Own {
    #[cold]
    fn of(extensions: &Extensions, context: &LayerContext) -> Result<Option<Box<Own>>, Error> {
        let long_poll = extensions.get::<LongPoll>().cloned().map(Arc::new);
        if let Some(poll) = &long_poll {
            poll.check()?;
        }
        let options = extensions.get::<CallOptions>();
        let bounds = options.map(|options| context.bounds_of(options)).transpose()?;
        let endless = extensions.get::<Endless>().is_some();
        let says = long_poll.is_some() || bounds.is_some() || endless;
        Ok(says.then(|| Box::new(Own { bounds, long_poll, endless })))
    }
}

impl CallLimits {
    /// Those of a request with these extensions, if it has any, that is sent now.
    ///
    /// # Errors
    /// Kind `Config` for a wish that cannot be met.
    #[inline]
    pub(super) fn of(
        extensions: Option<&Extensions>,
        context: &LayerContext,
        hop: &Hop,
        now: Instant,
    ) -> Result<CallLimits, Error> {
        let own = match extensions {
            Some(extensions) => Own::of(extensions, context)?,
            None => None,
        };
        let said = own.as_deref();
        let (long_poll, endless) = said.map_or((false, false), |own| (own.long_poll.is_some(), own.endless));
        let bounds = said.and_then(|own| own.bounds.as_ref()).unwrap_or(&context.bounds);
        let at = |deadline: Option<Deadline>| deadline.map(Deadline::instant);
        let scope = Scope::current();
        let wished = at(extensions.and_then(|extensions| extensions.get::<Deadline>().copied()));
        let ambient = Deadline::nearest(at(hop.ambient), at(scope.deadline));
        let hard_deadline = Deadline::nearest(wished, ambient);
        let started = hop.started.unwrap_or(now);
        let total = (context.parts.total && !long_poll).then(|| started + bounds.total);
        let deadline = Deadline::nearest(Deadline::nearest(hard_deadline, total), at(scope.total));
        let collect = match extensions {
            _ if endless || long_poll => 0,
            Some(extensions) => extensions.get::<Collect>().map_or(bounds.collect, |collect| collect.0),
            None => bounds.collect,
        };
        Ok(CallLimits { started, deadline, hard_deadline, collect, own })
    }

    /// What is set for this call: by its request, or else by the layer.
    #[inline]
    pub(super) fn bounds<'a>(&'a self, context: &'a LayerContext) -> &'a Resolved {
        self.own.as_deref().and_then(|own| own.bounds.as_ref()).unwrap_or(&context.bounds)
    }

    /// The reason and the hold of a long poll.
    #[inline]
    pub(super) fn long_poll(&self) -> Option<&Arc<LongPoll>> {
        self.own.as_deref().and_then(|own| own.long_poll.as_ref())
    }

    /// Whether its reader bounds the body, and repeats the call.
    #[inline]
    pub(super) fn endless(&self) -> bool {
        self.own.as_deref().is_some_and(|own| own.endless)
    }

    /// How long an attempt may take up to its head and, unless it is a long poll, its collected body.
    #[inline]
    pub(super) fn attempt(&self, context: &LayerContext) -> Option<Duration> {
        match self.long_poll() {
            Some(poll) => poll.bound(context.bounds.long_poll),
            None if context.parts.attempt => Some(self.bounds(context).attempt),
            None => None,
        }
    }

    /// The end of every wait of a long poll but the one for an answer, which is all that it is exempt from. What is no
    /// long poll has its deadline.
    pub(super) fn total_of_waits(&self, asked: Instant, context: &LayerContext) -> Option<Instant> {
        let total = self.long_poll().is_some() && context.parts.total;
        total.then(|| asked + self.bounds(context).total)
    }

    /// The end of every wait but the one for an answer.
    pub(super) fn waits_until(&self, asked: Instant, context: &LayerContext) -> Option<Instant> {
        Deadline::nearest(self.deadline, self.total_of_waits(asked, context))
    }

    /// Whether the deadline has passed.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| now >= deadline)
    }

    /// Whether a refusal of this length is one to wait for.
    pub(super) fn waits_out(&self, retry_in: Duration, context: &LayerContext) -> bool {
        context.parts.retry && !self.endless() && context.retry.waits_out(retry_in)
    }

    /// The longest silence between two bytes of a body.
    #[inline]
    pub(super) fn idle(&self, context: &LayerContext) -> Option<Duration> {
        if self.endless() || !context.parts.stall {
            return None;
        }
        match self.long_poll() {
            // It waits for more as it waited for the head.
            Some(poll) => poll.bound(context.bounds.long_poll),
            None => Some(self.bounds(context).idle),
        }
    }

    /// The least progress of a body, where one is asked for.
    pub(super) fn least(&self, context: &LayerContext) -> Option<(u64, Duration)> {
        let stall = context.parts.stall && !self.endless() && self.long_poll().is_none();
        context.bounds.min_progress.filter(|_| stall)
    }

    /// The end of everything, of a body that streams too.
    pub(super) fn last_byte(&self, context: &LayerContext) -> Option<Instant> {
        self.hard_deadline.or_else(|| Some(self.deadline? + self.stream(context)?))
    }

    /// How long a body may stream, for one that has such a limit: only a part that bounds a call or its body sets one,
    /// and a long poll has none, since its body may have nothing to say for as long as its head.
    pub(super) fn stream(&self, context: &LayerContext) -> Option<Duration> {
        let bounded = context.parts.total || context.parts.stall;
        let bounded = bounded && !self.endless() && self.long_poll().is_none();
        bounded.then(|| self.bounds(context).stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::Limits;
    use crate::stack::builder::StackBuilder;
    use crate::stack::context::Parts;

    const SECOND: Duration = Duration::from_secs(1);
    const POLL: LongPoll = LongPoll::because("a test parks it");

    fn context(parts: Parts) -> LayerContext {
        let limits = Limits::default().total(30 * SECOND).attempt(8 * SECOND).idle(4 * SECOND);
        StackBuilder::default().limits(limits).context(parts).expect("settings that fit together")
    }

    fn of<T: Clone + Send + Sync + 'static>(wish: T, context: &LayerContext, now: Instant) -> CallLimits {
        let mut extensions = Extensions::new();
        extensions.insert(wish);
        CallLimits::of(Some(&extensions), context, &Hop::default(), now).expect("a wish that can be met")
    }

    fn plain(context: &LayerContext, now: Instant) -> CallLimits {
        CallLimits::of(None, context, &Hop::default(), now).expect("there is no wish")
    }

    #[test]
    fn a_call_without_wishes_has_the_limits_of_its_layer() {
        let (context, now) = (context(Parts::ALL), Instant::now());
        let limits = plain(&context, now);
        assert_eq!((limits.deadline, limits.hard_deadline), (Some(now + 30 * SECOND), None));
        assert_eq!(limits.attempt(&context), Some(8 * SECOND));
        assert_eq!(limits.idle(&context), Some(4 * SECOND));
        assert_eq!(limits.stream(&context), Some(600 * SECOND));
        assert_eq!(limits.collect, 1 << 20);
        assert!(!limits.is_over(now + 29 * SECOND) && limits.is_over(now + 30 * SECOND));
    }

    #[test]
    fn a_part_that_is_off_sets_no_limit() {
        let (context, now) = (context(Parts::default()), Instant::now());
        let limits = plain(&context, now);
        assert_eq!((limits.deadline, limits.attempt(&context)), (None, None));
        assert_eq!((limits.idle(&context), limits.stream(&context)), (None, None));
        assert!(!limits.waits_out(Duration::ZERO, &context) && !limits.is_over(now + 1000 * SECOND));
    }

    #[test]
    fn a_long_poll_is_exempt_from_the_total_in_its_wait_for_an_answer_alone() {
        let (context, now) = (context(Parts::ALL), Instant::now());
        let limits = of(POLL.up_to(50 * SECOND), &context, now);
        assert_eq!((limits.deadline, limits.stream(&context), limits.collect), (None, None, 0));
        assert!(limits.attempt(&context) > Some(50 * SECOND), "its hold, and a grace");
        assert_eq!(limits.idle(&context), limits.attempt(&context));
        let asked = now + 100 * SECOND;
        assert_eq!(limits.waits_until(asked, &context), Some(asked + 30 * SECOND));
        assert_eq!(plain(&context, now).waits_until(asked, &context), Some(now + 30 * SECOND));
    }

    #[test]
    fn the_deadline_of_the_request_and_that_it_was_made_under_bind_to_the_last_byte() {
        let (context, now) = (context(Parts::ALL), Instant::now());
        let (soon, late) = (now + SECOND, now + 90 * SECOND);
        let limits = of(Deadline::at(late), &context, now);
        assert_eq!((limits.deadline, limits.hard_deadline), (Some(now + 30 * SECOND), Some(late)));
        let under =
            CallLimits::of(None, &context, &Hop { ambient: Some(Deadline::at(soon)), ..Hop::default() }, now);
        let limits = under.expect("there is no wish");
        assert_eq!((limits.deadline, limits.hard_deadline), (Some(soon), Some(soon)));
    }

    #[test]
    fn the_total_of_a_later_hop_counts_from_the_first() {
        let (context, now) = (context(Parts::ALL), Instant::now());
        let hop = Hop { started: Some(now), ..Hop::default() };
        let limits = CallLimits::of(None, &context, &hop, now + 7 * SECOND).expect("there is no wish");
        assert_eq!((limits.started, limits.deadline), (now, Some(now + 30 * SECOND)));
    }

    #[test]
    fn what_the_request_says_of_its_limits_wins_over_the_layer() {
        let (context, now) = (context(Parts::ALL), Instant::now());
        let limits = of(CallOptions::new().total(12 * SECOND).attempt(5 * SECOND), &context, now);
        assert_eq!(limits.deadline, Some(now + 12 * SECOND));
        assert_eq!(limits.attempt(&context), Some(5 * SECOND));
        assert_eq!(of(Collect::up_to(7), &context, now).collect, 7);
    }
}
