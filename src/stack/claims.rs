//! What the answers of one origin and group claim of when they serve again, as its calls share it.

use crate::retry::claim::Claims;
use crate::sync::{Mutex, lock};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Free of cost while nothing is claimed.
#[derive(Debug, Default)]
pub(crate) struct SharedClaims {
    standing: AtomicBool,
    claims: Mutex<Claims>,
}

impl SharedClaims {
    /// See [`Claims::claim`].
    pub(crate) fn claim(&self, wait: Duration, now: Instant) -> bool {
        self.with(|claims| claims.claim(wait, now))
    }

    /// See [`Claims::served`].
    #[inline]
    pub(crate) fn served(&self, sent: Instant, now: Instant) {
        if self.standing.load(Ordering::Relaxed) {
            self.with(|claims| claims.served(sent, now));
        }
    }

    #[cold]
    fn with<T>(&self, work: impl FnOnce(&mut Claims) -> T) -> T {
        let mut claims = lock(&self.claims);
        let done = work(&mut claims);
        self.standing.store(claims.is_standing(), Ordering::Relaxed);
        done
    }
}
