//! What all services of one layer share, and where the state of an origin or group is found.

use crate::error::Error;
use crate::options::Group;
use crate::origin::table::{Entry, PerOrigin};
use crate::stack::context::LayerContext;
use crate::stack::origin_state::OriginState;
use crate::telemetry;
use http::Uri;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

/// The state of one layer: what all services it is applied to share, and the state of each origin.
pub(super) struct Shared {
    pub(super) context: Arc<LayerContext>,
    pub(super) origins: PerOrigin<OriginState>,
    /// That of the first call. Most programs talk to one origin, often through clones that live for one call: this is found
    /// without the lock of the table. That it is held here keeps it there below the hard cap; evicted above that, it serves
    /// nobody any more ([`Entry::serves`]), so that calls and handles never see two states of one origin.
    first: OnceLock<Arc<Entry<OriginState>>>,
}

/// More pairs of origin and group than a program talks to in earnest; above it those that are idle are forgotten.
const PAIRS: usize = 1024;
const PAIRS_MAX: usize = 16_384;
/// Groups of one origin that have state of their own; the rest share that of one.
const GROUPS: usize = 1024;

impl Shared {
    pub(super) fn new(context: LayerContext) -> Shared {
        let origins = PerOrigin::new(PAIRS, PAIRS_MAX);
        Shared { context: Arc::new(context), origins, first: OnceLock::new() }
    }

    /// The state of this URL's origin, or of this group of it.
    pub(super) fn origin_state(
        &self,
        uri: &Uri,
        group: Option<&Group>,
    ) -> Result<Arc<Entry<OriginState>>, Error> {
        if let Some(first) = self.first.get().filter(|first| first.serves(uri, group)) {
            return Ok(Arc::clone(first));
        }
        let found = match group {
            None => self.state_of(uri, None, None),
            Some(group) => self.state_of_group(uri, group),
        };
        found.inspect(|found| {
            self.first.get_or_init(|| Arc::clone(found));
        })
    }

    fn state_of(
        &self,
        uri: &Uri,
        group: Option<&Group>,
        own: Option<&OriginState>,
    ) -> Result<Arc<Entry<OriginState>>, Error> {
        let mut is_new = false;
        let origin_state = self.origins.get(uri, group, |origin| {
            is_new = true;
            OriginState::new(&self.context, origin, group.zip(own))
        })?;
        if is_new {
            // Once it can be found: a recorder that looks at breakers when it is told of one must not make it again.
            origin_state.meter.breaker_made(origin_state.breaker.phase().as_str());
        }
        Ok(origin_state)
    }

    #[cold]
    fn state_of_group(&self, uri: &Uri, group: &Group) -> Result<Arc<Entry<OriginState>>, Error> {
        group.check()?;
        if let Some(known) = self.origins.find(uri, Some(group))? {
            return Ok(known);
        }
        let own = self.origin_state(uri, None)?;
        let others = Group::others();
        let mut group = group;
        if own.groups() >= GROUPS {
            group = &others;
            own.meter.folded();
            if !own.siblings.said_folded.swap(true, Ordering::Relaxed) {
                telemetry::too_many_groups(own.endpoint(), GROUPS);
            }
        }
        self.state_of(uri, Some(group), Some(&own))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("shared", &self.context).field("origins", &self.origins).finish()
    }
}
