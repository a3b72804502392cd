//! The attempts of a call: which one is under way, how many there may be, what the retries cost, and what came of those
//! before.

use crate::body::Attempts as Told;
use crate::collect::Buffer;
use crate::error::{Attempt, Error};
use crate::retry::backoff::Rng;
use crate::retry::free::{FreeRetries, Price};
use crate::retry::{Backoff, Repeat};
use crate::stack::call::passage::Passage;
use crate::stack::context::LayerContext;
use crate::stack::origin_state::Recovery;
use crate::telemetry::spans::MaybeSpan;
use http::response;
use std::time::Duration;
use tokio::time::Instant;

/// Counts the attempts of a call. None has begun before the first admission.
pub(super) struct Attempts {
    /// When the attempt under way began; before the first, when the call did.
    pub(super) began: Instant,
    /// When the call began, or the back-off before the attempt under way.
    pub(super) asked: Instant,
    /// The attempt under way, from 1.
    pub(super) number: u32,
    /// How many there may be. What is repeated for free adds one.
    pub(super) allowed: u32,
    /// How many of them were retries that had to be waited for.
    pub(super) retries: u32,
    /// What the retry under way cost the budget: given back when it succeeds, and when it never leaves.
    paid: u32,
    /// It has left.
    left: bool,
    /// What comes next is to go out on a connection that was not idle.
    pub(super) fresh: bool,
    pub(super) free: FreeRetries,
    /// How far its request has come beneath.
    pub(super) passage: Passage,
    /// Attempts have no spans: the call has none, or does not make them.
    pub(super) untraced: bool,
    /// That of the attempt under way.
    pub(super) span: MaybeSpan,
    /// Of calls that were not answered at once, and well.
    past: Option<Box<Past>>,
}

/// What there is to remember once an attempt has failed or was refused.
#[derive(Default)]
pub(super) struct Past {
    pub(super) journal: Vec<Attempt>,
    /// What the attempt before came to, while there may be no other.
    pub(super) last: Option<Last>,
    /// Set in a wait that is worth cutting short.
    pub(super) better: Option<Recovery>,
    /// The back-off before this attempt, which the next is drawn from.
    last_wait: Option<Duration>,
    /// For how long the server asked to be left alone, where that was not waited for.
    pub(super) wanted: Option<Duration>,
    /// For how long the circuit is open that stands in the way of another attempt.
    pub(super) retry_in: Option<Duration>,
    /// A refusal has been waited out.
    pub(super) sat_out: bool,
    /// Not all of the response was kept.
    pub(super) cut: bool,
}

/// What the attempt before came to. A call that makes no further one ends with it.
pub(super) enum Last {
    Error(Error),
    Response { head: Box<response::Parts>, read: Buffer, cut: bool },
}

impl Attempts {
    #[inline]
    pub(super) fn new(allowed: u32, now: Instant) -> Attempts {
        Attempts {
            began: now,
            asked: now,
            number: 0,
            allowed,
            retries: 0,
            paid: 0,
            left: false,
            fresh: false,
            free: FreeRetries::default(),
            passage: Passage::default(),
            untraced: true,
            span: None,
            past: None,
        }
    }

    /// How many a call may make, of a layer with these settings.
    #[inline]
    pub(super) fn allowed(own_retries: Option<u32>, endless: bool, context: &LayerContext) -> u32 {
        let retries = own_retries.unwrap_or(context.retry.max_retries);
        if context.parts.retry && !endless { retries.saturating_add(1) } else { 1 }
    }

    /// The next one was admitted.
    #[inline]
    pub(super) fn begin(&mut self, now: Instant) {
        self.number += 1;
        self.began = now;
    }

    /// Its request, or the health check before it, goes out.
    #[inline]
    pub(super) fn sent(&mut self, is_health_check: bool, now: Instant) {
        self.began = now;
        self.passage = Passage::default();
        self.left |= !is_health_check;
    }

    /// It was none: admitted, and given up before anything was sent.
    pub(super) fn take_back(&mut self) {
        self.number -= 1;
    }

    /// It was none: a service beneath refused it.
    pub(super) fn refused_beneath(&mut self) {
        self.number -= 1;
        self.left = false;
    }

    /// Whether a copy of the request is worth making.
    #[inline]
    pub(super) fn may_repeat(&self, context: &LayerContext) -> bool {
        // A layer of its own beneath may refuse the last attempt too, when it has the request already.
        let beneath =
            self.allowed > 1 && !context.parts.breaker && !context.retry.wait_when_refused.is_zero();
        self.number < self.allowed || beneath
    }

    /// Whether there may be another one after an outcome of this kind and price; `idempotent`: the request may be
    /// processed twice.
    pub(super) fn allow(&mut self, repeat: Repeat, price: Price, idempotent: bool) -> bool {
        let allowed = match repeat {
            Repeat::Never => false,
            Repeat::IfIdempotent | Repeat::AtOnce => idempotent,
            Repeat::Always => true,
        };
        if allowed && price == Price::Nothing {
            self.allowed = self.allowed.saturating_add(1);
        }
        allowed && self.number < self.allowed
    }

    /// The back-off before the next one.
    pub(super) fn draw(&mut self, backoff: &Backoff, rng: &mut Rng) -> Duration {
        let retries = self.retries;
        let past = self.past_mut();
        let wait = backoff.draw(retries, past.last_wait, rng);
        past.last_wait = Some(wait);
        wait
    }

    /// The next one was paid for.
    pub(super) fn pay(&mut self, cost: u32) {
        (self.paid, self.left) = (cost, false);
    }

    /// What a retry cost that never left.
    #[inline]
    pub(super) fn unspent(&mut self) -> u32 {
        let paid = std::mem::take(&mut self.paid);
        if self.left { 0 } else { paid }
    }

    /// What a success puts into a budget that gives so much for one without a retry.
    #[inline]
    pub(super) fn earned(&mut self, refund: u32) -> u32 {
        let paid = std::mem::take(&mut self.paid);
        // What was repeated for free is as good as a first try.
        if self.retries == 0 { refund } else { paid }
    }

    /// What is remembered, once there is something.
    #[inline]
    pub(super) fn past(&self) -> Option<&Past> {
        self.past.as_deref()
    }

    /// As [`past`](Attempts::past), where it is there already.
    #[inline]
    pub(super) fn known_past(&mut self) -> Option<&mut Past> {
        self.past.as_deref_mut()
    }

    /// What is remembered from now on.
    #[cold]
    pub(super) fn past_mut(&mut self) -> &mut Past {
        self.past.get_or_insert_default()
    }

    /// For how long nothing may be sent after the last attempt.
    pub(super) fn shut_for(&mut self, retry_in: Option<Duration>) {
        if retry_in.is_some() || self.past.is_some() {
            self.past_mut().retry_in = retry_in;
        }
    }

    /// Whether there is an answer to fall back to where no attempt follows.
    pub(super) fn has_last(&self) -> bool {
        self.past().is_some_and(|past| past.last.is_some())
    }

    /// Nothing follows: what the last one came to is not needed.
    #[inline]
    pub(super) fn forget_last(&mut self) {
        if let Some(past) = self.known_past() {
            past.last = None;
        }
    }

    /// What the caller is told of a call that began at `started`.
    #[inline]
    pub(super) fn told(&self, started: Instant, now: Instant) -> Told {
        let mut told = Told {
            count: self.number,
            elapsed: now - started,
            retry_after: None,
            retry_in: None,
            cut: false,
        };
        if let Some(past) = self.past() {
            told.retry_after = past.wanted;
            told.retry_in = past.retry_in.max(past.wanted);
            told.cut = past.cut;
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::builder::StackBuilder;
    use crate::stack::context::Parts;

    const SECOND: Duration = Duration::from_secs(1);

    fn attempts(allowed: u32) -> Attempts {
        let mut attempts = Attempts::new(allowed, Instant::now());
        attempts.begin(Instant::now());
        attempts
    }

    #[test]
    fn what_may_be_repeated_hangs_on_the_request_and_on_how_many_are_left() {
        let all = [Repeat::Never, Repeat::IfIdempotent, Repeat::AtOnce, Repeat::Always];
        let may =
            |allowed, idempotent| all.map(|repeat| attempts(allowed).allow(repeat, Price::Full, idempotent));
        assert_eq!(may(2, true), [false, true, true, true]);
        assert_eq!(may(2, false), [false, false, false, true]);
        assert_eq!(may(1, true), [false; 4]);
    }

    #[test]
    fn what_is_repeated_for_free_does_not_use_up_an_attempt() {
        let mut attempts = attempts(1);
        for allowed in 2..5 {
            assert!(attempts.allow(Repeat::Always, Price::Nothing, false));
            assert_eq!(attempts.allowed, allowed);
            attempts.begin(Instant::now());
        }
        assert!(!attempts.allow(Repeat::Always, Price::Attempt, false));
        assert!(!attempts.allow(Repeat::Never, Price::Nothing, true));
        assert_eq!(attempts.allowed, 4, "what is not repeated adds none");
    }

    #[test]
    fn a_retry_gets_back_what_it_cost_where_it_never_left_and_where_it_succeeds() {
        let mut attempts = attempts(4);
        attempts.pay(5);
        assert_eq!((attempts.unspent(), attempts.unspent()), (5, 0), "once");
        attempts.pay(5);
        attempts.sent(true, Instant::now());
        assert_eq!(attempts.unspent(), 5, "a health check is not the request");
        attempts.pay(5);
        attempts.sent(false, Instant::now());
        assert_eq!(attempts.unspent(), 0);
        attempts.retries = 1;
        attempts.pay(5);
        attempts.sent(false, Instant::now());
        assert_eq!((attempts.earned(1), attempts.earned(1)), (5, 0));
    }

    #[test]
    fn a_first_try_earns_the_refund_also_after_it_was_repeated_for_free() {
        assert_eq!(attempts(4).earned(1), 1);
    }

    #[test]
    fn what_a_service_beneath_refused_was_no_attempt_and_has_not_left() {
        let mut attempts = attempts(4);
        attempts.pay(5);
        attempts.sent(false, Instant::now());
        attempts.refused_beneath();
        assert_eq!((attempts.number, attempts.unspent()), (0, 5));
    }

    #[test]
    fn a_copy_is_kept_for_a_retry_and_for_a_refusal_by_a_layer_beneath() {
        let of = |parts| StackBuilder::default().context(parts).expect("the defaults fit together");
        let (all, alone) = (of(Parts::ALL), of(Parts { retry: true, ..Parts::default() }));
        let mut last = attempts(2);
        assert!(last.may_repeat(&all));
        last.begin(Instant::now());
        assert!(!last.may_repeat(&all) && last.may_repeat(&alone));
        assert!(!attempts(1).may_repeat(&alone), "one that is never repeated");
    }

    #[test]
    fn a_layer_without_retry_and_a_stream_whose_reader_repeats_it_make_one() {
        let of = |parts| StackBuilder::default().context(parts).expect("the defaults fit together");
        let all = of(Parts::ALL);
        assert_eq!(Attempts::allowed(None, false, &all), 4);
        assert_eq!(Attempts::allowed(Some(7), false, &all), 8);
        assert_eq!(Attempts::allowed(Some(u32::MAX), false, &all), u32::MAX);
        assert_eq!(Attempts::allowed(Some(7), true, &all), 1);
        assert_eq!(Attempts::allowed(Some(7), false, &of(Parts::default())), 1);
    }

    #[test]
    fn a_call_that_went_well_remembers_nothing_and_one_that_did_not_tells_the_longer_wait() {
        let start = Instant::now();
        let mut attempts = attempts(4);
        attempts.shut_for(None);
        attempts.forget_last();
        assert!(attempts.past().is_none());
        let told = attempts.told(start, start + SECOND);
        assert_eq!((told.count, told.elapsed, told.retry_in), (1, SECOND, None));
        attempts.past_mut().wanted = Some(3 * SECOND);
        attempts.shut_for(Some(2 * SECOND));
        let told = attempts.told(start, start);
        assert_eq!((told.retry_after, told.retry_in), (Some(3 * SECOND), Some(3 * SECOND)));
    }
}
