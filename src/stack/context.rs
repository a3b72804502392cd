//! What is the same for all origins of one layer: which parts are on, their settings, and the tools they share.

use crate::breaker::{Rules, Transition};
use crate::deadline::{Headers, Resolved};
use crate::error::Error;
use crate::health;
use crate::inflight::Table;
use crate::options::CallOptions;
use crate::retry::{self, backoff::Rng};
use crate::stack::events::Listeners;
use crate::stack::request_options::RequestHooks;
use crate::sync::{Mutex, lock};
use crate::telemetry::{self, Labels};
use rand::RngExt;
use std::fmt;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::broadcast;

const SPREAD: f64 = 0.1;

/// Which parts are on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parts {
    pub(super) total: bool,
    pub(super) attempt: bool,
    pub(super) retry: bool,
    pub(super) breaker: bool,
    pub(super) health: bool,
    pub(super) stall: bool,
}

impl Parts {
    pub(super) const ALL: Parts =
        Parts { total: true, attempt: true, retry: true, breaker: true, health: true, stall: true };

    /// Whether what goes through it is one attempt at a time: a deadline is of the call.
    pub(super) fn make_attempts(self) -> bool {
        self.attempt || self.retry || self.breaker || self.health || self.stall
    }
}

/// What is the same for all origins: settings and shared tools. Each [`OriginState`](crate::stack::origin_state::OriginState)
/// holds it, so that a call needs no other handle.
pub(super) struct LayerContext {
    pub(super) parts: Parts,
    pub(super) bounds: Resolved,
    pub(super) retry: retry::Settings,
    pub(super) rules: Arc<Rules>,
    pub(super) health: Option<health::Settings>,
    pub(super) propagate: Option<Headers>,
    pub(super) asked: RequestHooks,
    pub(super) table: Arc<Table>,
    pub(super) events: broadcast::Sender<Transition>,
    pub(super) listeners: Listeners,
    /// For back-off; a seed in its settings fixes the series of the whole layer.
    pub(super) rng: Mutex<Rng>,
    pub(super) hasher: RandomState,
    pub(super) labels: Labels,
    /// Whether it was said that a body cannot be sent twice.
    pub(super) said_unreplayable: AtomicBool,
}

impl LayerContext {
    /// The limits of a call whose request has some of its own.
    #[cold]
    pub(super) fn bounds_of(&self, options: &CallOptions) -> Result<Resolved, Error> {
        options.check()?;
        let (stack, own) = (&self.bounds, options);
        let total = own.total.unwrap_or(stack.total);
        // Without a deadline here there is no total to stay below but the request's own.
        let below = if self.parts.total || own.total.is_some() { total } else { Duration::MAX };
        let attempt = own.attempt_within(below, stack.attempt)?;
        let idle = own.idle.unwrap_or_else(|| stack.idle.min(attempt));
        let stream = own.stream.unwrap_or(stack.stream);
        let own_stream = own.stream.is_some();
        Ok(Resolved { total, attempt, idle, stream, own_stream, ..stack.clone() })
    }

    /// With jitter, for waits that somebody else named, so that not all callers come back together.
    pub(super) fn spread(&self, wait: Duration) -> Duration {
        wait + wait.mul_f64(SPREAD * lock(&self.rng).random::<f64>())
    }

    /// The longest that a health check may take.
    pub(super) fn check_limit(&self) -> Duration {
        self.health.as_ref().map_or(Duration::ZERO, |health| health.timeout.min(self.bounds.attempt))
    }

    /// Says once that requests with this type of body get one attempt.
    pub(super) fn say_unreplayable(&self, body: &'static str) {
        if !self.said_unreplayable.swap(true, Ordering::Relaxed) {
            telemetry::unreplayable(body);
        }
    }
}

impl fmt::Debug for LayerContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerContext")
            .field("parts", &self.parts)
            .field("bounds", &self.bounds)
            .field("retry", &self.retry)
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}
