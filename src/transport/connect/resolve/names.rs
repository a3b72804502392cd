//! The names that are being looked up, and those that wait for a thread. Who looks them up is said elsewhere.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A name whose look-up takes so long is looked up once more beside it. A call into the system that asks a dead name server
/// goes on asking it, for 10 s and more, also once this machine has been told of another.
const AGAIN: Duration = Duration::from_secs(1);
/// So many look-ups of one name there are at most.
const OF_ONE: usize = 4;

pub(super) type Answer = Result<Vec<SocketAddr>, Arc<io::Error>>;
/// One name being looked up for all who asked meanwhile. Nobody listens any more where all of them have left.
pub(super) type Pending = Arc<watch::Sender<Option<Answer>>>;

#[derive(Default)]
pub(super) struct Names {
    names: HashMap<Box<str>, LookedUp>,
    waiting: VecDeque<Waiting>,
    pub(super) threads: usize,
    /// .. that have not taken their first name yet.
    pub(super) coming: usize,
    /// Look-ups of names beside their first.
    pub(super) beside: usize,
}

/// A name that is being looked up.
struct LookedUp {
    /// Those who wait. None where all have their answer, and a look-up that was begun for them goes on.
    pending: Option<Pending>,
    /// So many look-ups were begun for them and are not over,
    theirs: usize,
    /// .. and so many there are, with those begun for others before.
    look_ups: usize,
    /// When the last of them was asked for.
    asked: Instant,
}

struct Waiting {
    host: Box<str>,
    /// Those it is looked up for.
    one: Pending,
    /// The first look-up for those, not one beside it.
    first: bool,
    /// For longer than it has patience.
    late: bool,
}

impl Names {
    /// Joins those who wait for this name.
    pub(super) fn join(&self, host: &str) -> Option<watch::Receiver<Option<Answer>>> {
        Some(self.names.get(host)?.pending.as_ref()?.subscribe())
    }

    /// How many look-ups of this name wait or are under way.
    #[cfg(test)]
    pub(super) fn look_ups(&self, host: &str) -> usize {
        self.names.get(host).map_or(0, |name| name.look_ups)
    }

    /// How many look-ups wait for a thread.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// .. and for how many of them that takes too long.
    pub(super) fn late(&self) -> usize {
        self.waiting.iter().filter(|waiting| waiting.late).count()
    }

    /// This name has waited for too long where it still waits for a thread.
    pub(super) fn is_late(&mut self, host: &str) -> bool {
        let waiting = self.waiting.iter_mut().find(|waiting| *waiting.host == *host);
        waiting.map(|waiting| waiting.late = true).is_some()
    }

    /// The name whose turn it is, those who wait for it, and whether it is their first look-up.
    pub(super) fn next(&mut self) -> Option<(Box<str>, Pending, bool)> {
        self.waiting.pop_front().map(|Waiting { host, one, first, .. }| (host, one, first))
    }

    /// A look-up of this name waits for a thread, for those who wait here.
    pub(super) fn first(&mut self, host: &str, one: Pending, now: Instant) {
        self.queue(Waiting { host: host.into(), one, first: true, late: false }, now);
    }

    /// One more look-up of this name waits for a thread, beside one that takes long.
    pub(super) fn again(&mut self, host: &str, now: Instant) -> bool {
        let Some(name) = self.names.get(host) else { return false };
        let Some(one) = &name.pending else { return false };
        let long = now.saturating_duration_since(name.asked) >= AGAIN;
        if !long || name.look_ups >= OF_ONE || self.waiting.iter().any(|waiting| *waiting.host == *host) {
            return false;
        }
        let one = Arc::clone(one);
        self.queue(Waiting { host: host.into(), one, first: false, late: true }, now);
        true
    }

    fn queue(&mut self, waiting: Waiting, now: Instant) {
        let begun = LookedUp { pending: None, theirs: 0, look_ups: 0, asked: now };
        let name = self.names.entry(waiting.host.clone()).or_insert(begun);
        name.theirs = if waiting.first { 1 } else { name.theirs + 1 };
        (name.pending, name.asked) = (Some(Arc::clone(&waiting.one)), now);
        self.beside += usize::from(name.look_ups > 0);
        name.look_ups += 1;
        self.waiting.push_back(waiting);
    }

    /// A look-up of this name is over, and has an answer for those it was begun for or not. Whether they get it.
    pub(super) fn over(&mut self, host: &str, one: &Pending, answered: bool) -> bool {
        let Some(name) = self.names.get_mut(host) else { return false };
        name.look_ups -= 1;
        self.beside -= usize::from(name.look_ups > 0);
        let wait = name.pending.as_ref().is_some_and(|pending| Arc::ptr_eq(pending, one));
        if wait {
            name.theirs -= 1;
            if answered || name.theirs == 0 {
                name.pending = None;
            }
        }
        if name.look_ups == 0 {
            self.names.remove(host);
        }
        wait && answered
    }

    /// What nobody waits for any more is not looked up.
    pub(super) fn forget_the_left(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|Waiting { host, one, .. }| {
            let wanted = one.receiver_count() > 0 && one.borrow().is_none();
            if !wanted {
                self.over(host, one, false);
            }
            wanted
        });
        self.waiting = waiting;
    }
}
