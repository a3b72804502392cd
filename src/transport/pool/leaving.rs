//! Connections that no call uses any more, until they have ended.
//!
//! Most of them end at once. One whose server reads no more may not: what is left of an upload, or a goodbye in TLS, waits
//! for room in its window. hyper waits with it, for as long as the server is there.

use super::link::{Card, Hyper};
use crate::sync::{Mutex, lock};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

/// So long a connection may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked whether they have, where nobody else does.
const LOOKS: [Duration; 4] =
    [Duration::from_millis(10), Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(9)];

/// What is dropped of it is dropped where nothing is locked: a connection carries what its connector gave it.
#[derive(Default)]
pub(super) struct Leaving {
    leavers: Mutex<Vec<Leaver>>,
    /// Where the last of the connections was begun.
    runtime: Mutex<Option<Handle>>,
}

struct Leaver {
    until: Instant,
    card: Arc<Card>,
}

impl Leaver {
    /// The task that reads and writes.
    fn task(&self) -> Option<&AbortHandle> {
        self.card.carrier.as_ref().unwrap_or(&self.card.task).get()
    }

    fn has_ended(&self) -> bool {
        self.task().is_none_or(AbortHandle::is_finished)
    }

    /// Streams of HTTP/2 that were under way when it took no more are served out.
    fn is_in_use(&self) -> bool {
        let handing_over = self.card.task.get().is_some_and(|task| !task.is_finished());
        self.card.carrier.is_some() && Arc::strong_count(&self.card) > 1 + usize::from(handing_over)
    }

    fn end(self) {
        if let Some(task) = self.task() {
            task.abort();
        }
    }
}

impl Leaving {
    /// A connection begins here.
    pub(super) fn lives_in(&self, runtime: &Handle) {
        let runtime = runtime.clone();
        let _before = lock(&self.runtime).replace(runtime);
    }

    /// Drops these, which no call will use.
    pub(super) fn leave(&self, links: Vec<Hyper>, now: Instant) {
        let cards: Vec<_> = links.iter().map(|link| Arc::clone(&link.card)).collect();
        // Here, where nothing is locked.
        drop(links);
        let leavers = cards.into_iter().map(|card| Leaver { until: now + ENDS_WITHIN, card });
        let leavers: Vec<_> = leavers.filter(|leaver| !leaver.has_ended()).collect();
        let _ended: Vec<_> = {
            let mut all = lock(&self.leavers);
            let is_full = all.len() + leavers.len() > all.capacity();
            let ended = all.extract_if(.., |leaver| is_full && leaver.has_ended()).collect();
            all.extend(leavers);
            ended
        };
    }

    /// Ends those that have had their time. When to look again, while there are any.
    pub(super) fn sweep(&self, now: Instant) -> Option<Instant> {
        let (_ended, late, next) = {
            let mut all = lock(&self.leavers);
            let ended: Vec<_> = all.extract_if(.., |leaver| leaver.has_ended()).collect();
            for leaver in all.iter_mut().filter(|leaver| leaver.is_in_use()) {
                leaver.until = now + ENDS_WITHIN;
            }
            let late: Vec<_> = all.extract_if(.., |leaver| now >= leaver.until).collect();
            (ended, late, all.iter().map(|leaver| leaver.until).min())
        };
        late.into_iter().for_each(Leaver::end);
        next
    }
}

impl Drop for Leaving {
    /// With the pool; what is left of it is not waited for longer.
    fn drop(&mut self) {
        let mut left = std::mem::take(&mut *lock(&self.leavers));
        left.retain(|leaver| !leaver.has_ended());
        if left.is_empty() {
            return;
        }
        // A client may be dropped on a thread of no runtime, while its connections live on in theirs.
        let runtime = lock(&self.runtime).take();
        let Some(runtime) = Handle::try_current().ok().or(runtime) else { return };
        #[expect(clippy::disallowed_methods, reason = "it ends by itself, after ten seconds at the latest")]
        runtime.spawn(async move {
            for wait in LOOKS {
                sleep(wait).await;
                left.retain(|leaver| !leaver.has_ended());
                if left.is_empty() {
                    return;
                }
            }
            left.into_iter().for_each(Leaver::end);
        });
    }
}
