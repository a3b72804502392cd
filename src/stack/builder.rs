//! The settings of a stack, checked as a whole, and what all services of one layer share.

use super::StackLayer;
use super::bounds::WorstCase;
use super::lane::{Gaps, Lane, Warned};
use crate::breaker::{self, Breaker, Rules, Transition};
use crate::deadline::{Bounds, Headers, Limits};
use crate::error::Error;
use crate::inflight::Table;
use crate::origin::{Entry, Origin, PerOrigin};
use crate::preflight;
use crate::retry::budget::Bucket;
use crate::retry::{self, Class, Outcome};
use crate::sync::Mutex;
use crate::telemetry::{self, Labels, Meter};
use http::Uri;
use std::fmt;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::time::Instant;

/// A user's own rules for outcomes.
pub(crate) type Classify = Arc<dyn Fn(&Outcome<'_>) -> Option<Class> + Send + Sync>;

/// The settings of a [`StackLayer`]; relations between them are checked by [`build`](StackBuilder::build).
#[derive(Clone, Default)]
#[must_use]
pub struct StackBuilder {
    limits: Limits,
    retry: retry::Settings,
    breaker: breaker::Settings,
    health: Option<preflight::Settings>,
    classify: Option<Classify>,
    propagate: Option<Headers>,
}

impl StackBuilder {
    /// How long a call and its parts may take. Default 30 s in all, 10 s for an attempt; see [`Limits`].
    pub fn limits(mut self, limits: Limits) -> StackBuilder {
        self.limits = limits;
        self
    }

    /// How calls are repeated. Default up to three times; see [`retry::Settings`].
    pub fn retry(mut self, retry: retry::Settings) -> StackBuilder {
        self.retry = retry;
        self
    }

    /// When an origin is left alone. Default after five failures in a row; see [`breaker::Settings`].
    pub fn breaker(mut self, breaker: breaker::Settings) -> StackBuilder {
        self.breaker = breaker;
        self
    }

    /// Switches the health check on: a path like `"/health"`, or [`preflight::Settings`]. Default off, because a
    /// server without a health endpoint must not lose its clients.
    pub fn health(mut self, health: impl Into<preflight::Settings>) -> StackBuilder {
        self.health = Some(health.into());
        self
    }

    /// What outcomes mean, where you know better: `None` leaves an outcome to the rules of this crate.
    ///
    /// It is called outside every lock. Where it panics, the panic reaches the caller and no slot stays taken.
    ///
    /// ```
    /// use unwedge::retry::{Evidence, Outcome, Repeat};
    ///
    /// // This API says 404 for a job that is not scheduled yet.
    /// let stack = unwedge::StackLayer::builder().classify(|outcome| match outcome {
    ///     Outcome::Head(head) if head.status == 404 => {
    ///         let mut class = outcome.class();
    ///         class.repeat = Repeat::IfIdempotent;
    ///         Some(class)
    ///     }
    ///     _ => None,
    /// });
    /// ```
    pub fn classify(
        mut self,
        rules: impl Fn(&Outcome<'_>) -> Option<Class> + Send + Sync + 'static,
    ) -> StackBuilder {
        self.classify = Some(Arc::new(rules));
        self
    }

    /// Tells the server with each attempt how many milliseconds it is waited for, and which attempt it is. Default off:
    /// what a header gives away is for you to decide.
    ///
    /// Written right before an attempt is sent: the least of the attempt limit and what is left of the call, the
    /// request's own [`Deadline`](crate::Deadline) and every enclosing scope; of a long poll its hold. A shorter time
    /// that the request already carries in that header stays. Health checks carry none, since they are made for all
    /// callers, and a server that refuses what is late must not be called down because the caller who happened to
    /// make the check was in a hurry. On the server, [`IncomingLayer`](crate::deadline::IncomingLayer) opens a scope
    /// from it.
    ///
    /// ```
    /// use unwedge::{StackLayer, deadline};
    ///
    /// let layer = StackLayer::builder().propagate_deadline(deadline::Headers::default()).build()?;
    /// # Ok::<(), unwedge::Error>(())
    /// ```
    pub fn propagate_deadline(mut self, headers: Headers) -> StackBuilder {
        self.propagate = Some(headers);
        self
    }

    /// Checks all settings and their relations.
    ///
    /// # Errors
    /// Kind `Config`: zero or endless limits, an attempt above the total, a lease or window that is too short for an
    /// attempt, a health path without a slash. The message names the values and the rule.
    pub fn build(self) -> Result<StackLayer, Error> {
        let hub = Hub::new(self, Parts::ALL)?;
        let worst = hub.shared.worst_case();
        worst.check()?;
        if let Some(warning) = worst.warning() {
            tracing::warn!("{warning}");
        }
        Ok(StackLayer(Arc::new(hub)))
    }

    #[cfg(feature = "client")]
    pub(crate) fn checks_in_background(&self) -> bool {
        self.health.as_ref().is_some_and(|health| health.mode == preflight::Mode::Background)
    }

    #[cfg(feature = "client")]
    pub(crate) fn bounds(&self) -> Result<Bounds, Error> {
        self.limits.resolve()
    }

    pub(super) fn build_parts(self, parts: Parts) -> Result<Arc<Hub>, Error> {
        Ok(Arc::new(Hub::new(self, parts)?))
    }
}

impl fmt::Debug for StackBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackBuilder")
            .field("limits", &self.limits)
            .field("retry", &self.retry)
            .field("breaker", &self.breaker)
            .field("health", &self.health)
            .field("classify", &self.classify.is_some())
            .field("propagate", &self.propagate)
            .finish()
    }
}

/// Which parts are on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) total: bool,
    pub(crate) attempt: bool,
    pub(crate) retry: bool,
    pub(crate) breaker: bool,
    pub(crate) health: bool,
    pub(crate) stall: bool,
}

impl Parts {
    pub(crate) const ALL: Parts =
        Parts { total: true, attempt: true, retry: true, breaker: true, health: true, stall: true };
}

/// The state of one layer: what all services it is applied to share, and the lane of each origin.
pub(crate) struct Hub {
    pub(crate) shared: Arc<Shared>,
    pub(crate) origins: PerOrigin<Lane>,
}

/// What is the same for all origins. Each lane holds it, so that a call needs no more than its lane.
pub(crate) struct Shared {
    pub(crate) parts: Parts,
    pub(crate) bounds: Bounds,
    pub(crate) retry: retry::Settings,
    pub(crate) rules: Arc<Rules>,
    pub(crate) health: Option<preflight::Settings>,
    pub(crate) classify: Option<Classify>,
    pub(crate) propagate: Option<Headers>,
    pub(crate) table: Arc<Table>,
    pub(crate) events: broadcast::Sender<Transition>,
    /// For back-off; a seed in its settings fixes the series of the whole layer.
    pub(crate) rng: Mutex<fastrand::Rng>,
    pub(crate) hasher: RandomState,
    pub(crate) labels: Labels,
    /// Whether it was said that a body cannot be sent twice.
    pub(crate) said_unreplayable: AtomicBool,
}

/// More origins than a program talks to in earnest; above it those that are not busy are forgotten.
const ORIGINS: usize = 1024;
const ORIGINS_MAX: usize = 4096;

impl Hub {
    fn new(builder: StackBuilder, parts: Parts) -> Result<Hub, Error> {
        let StackBuilder { limits, retry, breaker, health, classify, propagate } = builder;
        let bounds = limits.resolve()?;
        if parts.retry {
            retry.check()?;
        }
        if parts.breaker {
            breaker.check(bounds.attempt)?;
        }
        if let Some(health) = &health {
            health.check()?;
        }
        if let Some(headers) = &propagate {
            headers.check()?;
        }
        let health_timeout = health.as_ref().map_or(Duration::from_secs(5), |health| health.timeout);
        let shared = Shared {
            parts,
            rng: Mutex::new(retry.backoff.rng()),
            rules: Arc::new(breaker.rules(bounds.attempt, health_timeout)),
            bounds,
            retry,
            health,
            classify,
            propagate,
            table: Arc::default(),
            events: broadcast::channel(256).0,
            hasher: RandomState::new(),
            labels: Labels::default(),
            said_unreplayable: AtomicBool::new(false),
        };
        Ok(Hub { shared: Arc::new(shared), origins: PerOrigin::new(ORIGINS, ORIGINS_MAX) })
    }

    pub(crate) fn lane(&self, uri: &Uri) -> Result<Arc<Entry<Lane>>, Error> {
        self.origins.get(uri, |origin| Lane::new(&self.shared, origin))
    }
}

impl Lane {
    fn new(shared: &Arc<Shared>, origin: &Origin) -> Lane {
        let name: Arc<str> = origin.to_string().into();
        let label = shared.labels.of(&name);
        let breaker = Breaker::for_origin((name, label.clone()), &shared.rules, shared.events.clone());
        telemetry::breaker_made(&label, breaker.phase().as_str());
        Lane {
            breaker,
            budget: shared.retry.budget.as_ref().map(Bucket::new),
            health: shared.health.as_ref().map(|h| {
                preflight::Flight::new(h.interval, shared.check_limit() + Duration::from_secs(1), h.mode)
            }),
            gaps: Gaps::default(),
            warned: Warned::new(Instant::now()),
            meter: Meter::new(origin, label),
            shared: Arc::clone(shared),
        }
    }
}

impl Shared {
    pub(super) fn worst_case(&self) -> WorstCase {
        WorstCase::of(self)
    }

    /// The longest that a health check may take.
    pub(crate) fn check_limit(&self) -> Duration {
        self.health.as_ref().map_or(Duration::ZERO, |health| health.timeout.min(self.bounds.attempt))
    }

    pub(crate) fn class(&self, outcome: &Outcome<'_>) -> Class {
        let own = self.classify.as_ref().and_then(|classify| classify(outcome));
        own.unwrap_or_else(|| outcome.class())
    }

    /// Says once that requests with this type of body get one attempt.
    pub(crate) fn say_unreplayable(&self, body: &'static str) {
        if !self.said_unreplayable.swap(true, std::sync::atomic::Ordering::Relaxed) {
            telemetry::unreplayable(body);
        }
    }
}

impl Default for Hub {
    fn default() -> Hub {
        match Hub::new(StackBuilder::default(), Parts::ALL) {
            Ok(hub) => hub,
            Err(error) => unreachable!("the defaults fit together: {error}"),
        }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("shared", &self.shared).field("origins", &self.origins).finish()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("parts", &self.parts)
            .field("bounds", &self.bounds)
            .field("retry", &self.retry)
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}
