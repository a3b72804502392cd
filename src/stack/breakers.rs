//! The handle to all circuit breakers of one layer.

use crate::breaker::{Breaker, Snapshot, Transition};
use crate::error::Error;
use crate::options::Group;
use crate::origin::table::Entry;
use crate::stack::origin_state::OriginState;
use crate::stack::shared::Shared;
use http::Uri;
use std::fmt;
use std::sync::Arc;
use tokio::sync::broadcast;
use tokio::time::Instant;

/// A handle to the circuit breakers of one stack.
#[derive(Clone)]
pub struct Breakers(Arc<Shared>);

impl Breakers {
    pub(super) fn new(shared: &Arc<Shared>) -> Breakers {
        Breakers(Arc::clone(shared))
    }

    /// The state of every breaker: one per origin that was called, and one per group that a request named.
    ///
    /// ```
    /// # let stack = unwedge::StackLayer::default();
    /// for breaker in stack.breakers().snapshot() {
    ///     println!("{} {:?}", breaker.origin, breaker.phase);
    /// }
    /// ```
    pub fn snapshot(&self) -> Vec<Snapshot> {
        let now = Instant::now();
        let seen = |entry: &Arc<Entry<OriginState>>| {
            let mut seen = entry.breaker.snapshot();
            (seen.gates, seen.gate_opens_in) = entry.gates.closed(now);
            seen
        };
        self.0.origins.all().iter().map(seen).collect()
    }

    /// All there are.
    #[cfg(feature = "admin")]
    pub(crate) fn all(&self) -> impl Iterator<Item = Breaker> + use<> {
        self.0.origins.all().into_iter().map(|entry| entry.breaker.clone())
    }

    /// The breaker of the origin of this URL, made if the origin was never called.
    ///
    /// # Errors
    /// Kind `Config` where the URL has no host or a scheme other than http and https.
    pub fn of(&self, uri: &Uri) -> Result<Breaker, Error> {
        Ok(self.0.origin_state(uri, None)?.breaker.clone())
    }

    /// The breaker of this group of the origin of this URL, made if it was never called.
    ///
    /// ```
    /// # let stack = unwedge::StackLayer::default();
    /// let billing = stack.breakers().of_group(&"https://api.example/".parse()?, "billing")?;
    /// billing.force_open(); // the other routes go on
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`of`](Breakers::of), and for a name that is no group's: see [`Group`].
    pub fn of_group(&self, uri: &Uri, group: impl Into<Group>) -> Result<Breaker, Error> {
        Ok(self.0.origin_state(uri, Some(&group.into()))?.breaker.clone())
    }

    /// Subscribes to changes of phase of all origins from now on. A receiver that is more than 256 changes behind misses the
    /// oldest.
    pub fn subscribe(&self) -> broadcast::Receiver<Transition> {
        self.0.context.events.subscribe()
    }
}

impl fmt::Debug for Breakers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.snapshot()).finish()
    }
}
