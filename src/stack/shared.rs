//! What all services of one layer share, and what is kept of each origin and group.

use crate::breaker::{Breaker, Rules, Transition};
use crate::deadline::{Bounds, Headers};
use crate::error::Error;
use crate::health;
use crate::inflight::Table;
use crate::options::{CallOptions, Group};
use crate::origin::Origin;
use crate::origin::table::{Entry, PerOrigin};
use crate::retry;
use crate::retry::budget::Bucket;
use crate::stack::builder::{Classify, StackBuilder};
use crate::stack::claims::Claimed;
use crate::stack::gates::Gated;
use crate::stack::origin_state::{Heard, OriginState, Warned};
use crate::stack::pacing::refusals::Refusals;
use crate::stack::wishes::Asked;
use crate::stack::worst_case::WorstCase;
use crate::sync::Mutex;
use crate::telemetry::{self, ClientName, Labels, Meter};
use http::Uri;
use std::fmt;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::time::Instant;

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
pub(crate) struct Shared {
    pub(crate) shared: Arc<LayerContext>,
    pub(crate) origins: PerOrigin<OriginState>,
}

/// What is the same for all origins. Each lane holds it, so that a call needs no more than its lane.
pub(crate) struct LayerContext {
    pub(crate) parts: Parts,
    pub(crate) bounds: Bounds,
    pub(crate) retry: retry::Settings,
    pub(crate) rules: Arc<Rules>,
    pub(crate) health: Option<health::Settings>,
    pub(crate) classify: Option<Classify>,
    pub(crate) propagate: Option<Headers>,
    pub(super) asked: Asked,
    pub(crate) table: Arc<Table>,
    pub(crate) events: broadcast::Sender<Transition>,
    /// For back-off; a seed in its settings fixes the series of the whole layer.
    pub(crate) rng: Mutex<fastrand::Rng>,
    pub(crate) hasher: RandomState,
    pub(crate) labels: Labels,
    /// Whether it was said that a body cannot be sent twice.
    pub(crate) said_unreplayable: AtomicBool,
}

/// More pairs of origin and group than a program talks to in earnest; above it those that are idle are forgotten.
const PAIRS: usize = 1024;
const PAIRS_MAX: usize = 16_384;
/// Groups of one origin that have state of their own; the rest share that of one.
const GROUPS: usize = 1024;

impl Shared {
    pub(super) fn new(builder: StackBuilder, parts: Parts) -> Result<Shared, Error> {
        let StackBuilder { limits, retry, breaker, health, classify, propagate, asked, name } = builder;
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
        let client = name.map_or_else(|| Ok(ClientName::numbered()), ClientName::given)?;
        let shared = LayerContext {
            parts,
            rng: Mutex::new(retry.backoff.rng()),
            rules: Arc::new(breaker.seeded_like(&retry.backoff).rules(bounds.attempt)),
            bounds,
            retry,
            health,
            classify,
            propagate,
            asked,
            table: Arc::new(Table::new(client.clone())),
            events: broadcast::channel(256).0,
            hasher: RandomState::new(),
            labels: Labels::new(client),
            said_unreplayable: AtomicBool::new(false),
        };
        Ok(Shared { shared: Arc::new(shared), origins: PerOrigin::new(PAIRS, PAIRS_MAX) })
    }

    /// The lane of this URL's origin, or of this group of it.
    pub(crate) fn lane(&self, uri: &Uri, group: Option<&Group>) -> Result<Arc<Entry<OriginState>>, Error> {
        match group {
            None => self.lane_of(uri, None, None),
            Some(group) => self.lane_of_group(uri, group),
        }
    }

    fn lane_of(
        &self,
        uri: &Uri,
        group: Option<&Group>,
        own: Option<&OriginState>,
    ) -> Result<Arc<Entry<OriginState>>, Error> {
        let mut is_new = false;
        let lane = self.origins.get(uri, group, |origin| {
            is_new = true;
            OriginState::new(&self.shared, origin, group.zip(own))
        })?;
        if is_new {
            // Once it can be found: a recorder that looks at breakers when it is told of one must not make it again.
            lane.meter.breaker_made(lane.breaker.phase().as_str());
        }
        Ok(lane)
    }

    #[cold]
    fn lane_of_group(&self, uri: &Uri, group: &Group) -> Result<Arc<Entry<OriginState>>, Error> {
        group.check()?;
        if let Some(known) = self.origins.find(uri, Some(group))? {
            return Ok(known);
        }
        let own = self.lane(uri, None)?;
        let others = Group::others();
        let mut group = group;
        if own.groups() >= GROUPS {
            group = &others;
            own.meter.folded();
            if !own.siblings.said_folded.swap(true, Ordering::Relaxed) {
                telemetry::too_many_groups(own.whose(), GROUPS);
            }
        }
        self.lane_of(uri, Some(group), Some(&own))
    }
}

impl OriginState {
    /// The lane of an origin, or of a group beside the origin's own lane.
    fn new(
        shared: &Arc<LayerContext>,
        origin: &Origin,
        group: Option<(&Group, &OriginState)>,
    ) -> OriginState {
        let (group, own) = group.unzip();
        let name: Arc<str> = match own {
            Some(own) => Arc::clone(own.breaker.name()),
            None => origin.to_string().into(),
        };
        let subject = shared.labels.of(name, group);
        let breaker = Breaker::for_origin(subject.clone(), &shared.rules, shared.events.clone());
        let flight = || {
            let health = shared.health.as_ref()?;
            let lead = shared.check_limit() + Duration::from_secs(1);
            Some(Arc::new(health::SingleFlight::new(health.interval, lead, health.mode)))
        };
        let lane = OriginState {
            origins_own: own.is_none(),
            siblings: own.map(|own| Arc::clone(&own.siblings)).unwrap_or_default(),
            breaker,
            budget: shared.retry.budget.as_ref().map(|budget| Bucket::new(budget, Instant::now())),
            health: own.map_or_else(flight, |own| own.health.clone()),
            gaps: Mutex::default(),
            gates: Gated::default(),
            claims: Claimed::default(),
            warned: Warned::new(Instant::now()),
            heard: Heard::new(Instant::now()),
            refusals: Refusals::new(Instant::now()),
            meter: Meter::new(origin, subject),
            shared: Arc::clone(shared),
        };
        lane.join_siblings();
        lane
    }
}

impl LayerContext {
    pub(super) fn worst_case(&self) -> WorstCase {
        WorstCase::of(self)
    }

    /// The limits of a call whose request has some of its own.
    #[cold]
    pub(crate) fn bounds_of(&self, options: &CallOptions) -> Result<Box<Bounds>, Error> {
        options.check()?;
        let (stack, own) = (&self.bounds, options);
        let total = own.total.unwrap_or(stack.total);
        // Without a deadline here there is no total to stay below but the request's own.
        let below = if self.parts.total || own.total.is_some() { total } else { Duration::MAX };
        let attempt = own.attempt_within(below, stack.attempt)?;
        let idle = own.idle.unwrap_or_else(|| stack.idle.min(attempt));
        let stream = own.stream.unwrap_or(stack.stream);
        let own_stream = own.stream.is_some();
        Ok(Box::new(Bounds { total, attempt, idle, stream, own_stream, ..stack.clone() }))
    }

    /// The longest that a health check may take.
    pub(crate) fn check_limit(&self) -> Duration {
        self.health.as_ref().map_or(Duration::ZERO, |health| health.timeout.min(self.bounds.attempt))
    }

    /// Says once that requests with this type of body get one attempt.
    pub(crate) fn say_unreplayable(&self, body: &'static str) {
        if !self.said_unreplayable.swap(true, Ordering::Relaxed) {
            telemetry::unreplayable(body);
        }
    }
}

impl Default for Shared {
    fn default() -> Shared {
        match Shared::new(StackBuilder::default(), Parts::ALL) {
            Ok(hub) => hub,
            Err(error) => unreachable!("the defaults fit together: {error}"),
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("shared", &self.shared).field("origins", &self.origins).finish()
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
