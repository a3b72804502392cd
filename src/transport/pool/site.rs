//! The connections to one origin, shared by calls, connects and the tasks of connections.

use super::connection::{Kind, Link, Rules};
use super::dialer::Dialer;
use super::link::Hyper;
use super::origin::{Back, Connect, Counts, Id, Origin, Taken, Waits};
use super::place::Place;
use super::steps::{Steps, Tell};
use crate::error::{Error, Phase};
use crate::inflight::Pooled;
use crate::sync::{Mutex, lock};
use http::{HeaderValue, Uri};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::Instant;

type Connections = Origin<Hyper, Arc<Waiting>>;
/// Where a call of this site waits.
pub(super) type Waiting = Place<Result<Taken<Hyper>, Error>>;

/// So many of those who wait, of each kind, tell of a new phase of a connect at once, and so many of a change of another
/// kind. The others do when they next look: a burst of calls is not woken for each step of each connect.
const TELL: usize = 64;
const TELL_CHANGES: usize = 8;

pub(super) struct Site {
    origin: Mutex<Connections>,
    pub(super) dialer: Arc<Dialer>,
    /// Scheme and authority, as connectors are asked for them.
    pub(super) uri: Uri,
    /// What HTTP/1 calls it.
    pub(super) host: HeaderValue,
    /// What the connects under way wait for.
    steps: Mutex<Steps>,
}

impl Site {
    pub(super) fn new(dialer: Arc<Dialer>, uri: Uri, host: HeaderValue, rules: Rules) -> Site {
        // Without TLS there is nothing to agree by: what is spoken is known, unless a connector says something else.
        let many = dialer.http2_only().then_some(true);
        let origin = Mutex::new(Origin::new(rules, many));
        Site { origin, dialer, uri, host, steps: Mutex::default() }
    }

    /// Changes something, and carries out what follows when nothing is locked any more.
    pub(super) fn with<T>(self: &Arc<Self>, now: Instant, change: impl FnOnce(&mut Connections) -> T) -> T {
        let (done, changed) = {
            let mut origin = lock(&self.origin);
            let done = change(&mut origin);
            let changed = origin.settle(now);
            (done, changed)
        };
        for (place, taken) in changed.given {
            if let Some(Ok(Taken { id, link })) = place.put(Ok(taken)) {
                self.put_back(id, link, true, now);
            }
        }
        if !changed.left.is_empty() {
            self.dialer.leaving.leave(changed.left, now);
        }
        done
    }

    /// Those who wait look again: at what they wait for, and whether another connect is to begin.
    pub(super) fn stir(&self) {
        self.wake(usize::MAX);
    }

    /// As [`stir`](Site::stir), of a few.
    pub(super) fn stir_some(&self) {
        self.wake(TELL_CHANGES);
    }

    /// As [`stir`](Site::stir), of the first of each kind.
    pub(super) fn stir_next(&self) {
        self.wake(1);
    }

    fn wake(&self, most: usize) {
        let places = lock(&self.origin).places(most);
        places.into_iter().for_each(|place| place.stir());
    }

    /// What a connect under way waits for, after this before, for those who wait for it; none where it has ended.
    pub(super) fn doing(&self, before: Phase, phase: Option<Phase>) {
        let tell = lock(&self.steps).moves(before, phase);
        match tell {
            Tell::Nobody => {}
            Tell::Some => self.wake(TELL),
            // Who does not know that it waits for a name blames a server for it.
            Tell::All => self.stir(),
        }
    }

    /// The connects that are to begin for calls of this kind, which count as under way from now on.
    pub(super) fn connects(self: &Arc<Self>, kind: Kind, now: Instant) -> Vec<Connect> {
        let (begun, left, leans) = {
            let mut origin = lock(&self.origin);
            let begun = origin.connects(kind, now);
            lock(&self.steps).begin(begun.len());
            (begun, origin.left(), origin.leans_on_old(kind, now))
        };
        if leans {
            // It takes those who wait.
            self.with(now, |_| ());
        }
        if !left.is_empty() {
            self.dialer.leaving.leave(left, now);
        }
        begun
    }

    /// What a call of this kind waits for, as the phase it is in (none where the connection is as silent as a server that
    /// has the request), and when it looks again.
    pub(super) fn waits_for(&self, kind: Kind, now: Instant) -> (Option<Phase>, Option<Instant>) {
        let (waits, again) = {
            let mut origin = lock(&self.origin);
            (origin.waits_for(kind), origin.looks_again(kind, now))
        };
        let phase = match waits {
            Waits::Connect => Some(lock(&self.steps).phase()),
            Waits::Slot => Some(Phase::Ready),
            Waits::Settings => None,
        };
        (phase, again)
    }

    /// A connection comes back: with an answer or unused (`well`), or from a call that was given up.
    pub(super) fn put_back(self: &Arc<Self>, id: Id, link: Hyper, well: bool, now: Instant) {
        if link.is_shared() {
            self.with(now, |origin| origin.release(id, now));
            // Here, where nothing is locked.
            return drop(link);
        }
        self.with(now, |origin| {
            // Before it is asked: the task of the connection looks at this after each turn.
            link.card.turning.store(well, Ordering::SeqCst);
            let back = match well {
                true if link.is_ready() => Back::Ready,
                true if !link.is_closed() => Back::Turning,
                _ => Back::Spent,
            };
            if back != Back::Turning {
                link.card.turning.store(false, Ordering::SeqCst);
            }
            origin.give_back(id, link, back, now);
        });
    }

    /// What is shown of it, of each version of HTTP that it speaks.
    pub(super) fn pooled(&self, now: Instant) -> Vec<Pooled> {
        let Ok(of) = crate::origin::Origin::of(&self.uri) else { return Vec::new() };
        let counts = {
            let origin = lock(&self.origin);
            [false, true].map(|many| (many, origin.counts(many, now)))
        };
        let shown = counts.into_iter().filter(|(_, counts)| counts.open + counts.waiting > 0);
        let pooled = shown.map(|(http2, counts)| {
            let Counts { open, active, parked, calls, waiting, oldest } = counts;
            Pooled { origin: of.clone(), http2, open, active, parked, calls, waiting, oldest }
        });
        pooled.collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.origin).is_empty()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let left = {
            let mut origin = lock(&self.origin);
            origin.retire_all();
            origin.settle(Instant::now()).left
        };
        self.dialer.leaving.leave(left, Instant::now());
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Site").field(&self.uri).finish()
    }
}
