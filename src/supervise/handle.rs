//! What a loop says of itself while it runs.

use crate::deadline::sleep_until;
use crate::supervise::state::SubsystemState;
use crate::supervise::verdict::Activity;
use crate::sync::Arc;
use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// The handle that a supervised loop gets: with it, it shows that it is alive, gets on, or waits. Clones share it.
#[derive(Clone)]
#[doc(alias("heartbeat", "keepalive"))]
pub struct Heartbeat(pub(crate) Arc<SubsystemState>);

impl Heartbeat {
    /// The name of the subsystem.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// A sign of life. Allocates nothing, takes no lock.
    pub fn beat(&self) {
        self.0.beat();
    }

    /// A sign of life, and something got done.
    ///
    /// From the first time on that a run says so, it is judged by its progress as well: one that goes on beating and
    /// does nothing else is stale after the same time as one that is silent.
    pub fn progress(&self) {
        self.0.progress();
    }

    /// It waits for somebody else, and silence is no fault until the guard is dropped. The reason is shown. Of several
    /// guards the newest is shown, and the subsystem is parked until the last one is gone, or its run has ended.
    ///
    /// ```
    /// # use unwedge::supervise::Heartbeat;
    /// # async fn example(heart: Heartbeat, mut jobs: tokio::sync::mpsc::Receiver<u32>) {
    /// let job = {
    ///     let _parked = heart.parked("no job until somebody sends one");
    ///     jobs.recv().await
    /// };
    /// # }
    /// ```
    pub fn parked(&self, reason: impl Into<Cow<'static, str>>) -> Parked {
        self.0.beat();
        self.holds(Activity::Parked, reason.into())
    }

    /// A sleep that the watchdog knows about: silence is no fault until it should be over. False where it ended early
    /// because the program ends, or its runtime has ended.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use unwedge::supervise::Heartbeat;
    /// # async fn look_after_it() {}
    /// # async fn example(heart: Heartbeat) {
    /// loop {
    ///     look_after_it().await;
    ///     if !heart.rest(Duration::from_secs(30)).await {
    ///         return;
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Cancellation safety
    /// Dropped in mid-sleep it counts as awake.
    pub async fn rest(&self, duration: Duration) -> bool {
        self.rest_until(Instant::now() + duration.min(crate::duration::LONGEST)).await
    }

    pub(crate) async fn rest_until(&self, until: Instant) -> bool {
        self.0.beat();
        let _awake = self.holds(Activity::Resting { until }, Cow::Borrowed(""));
        let rested = self.0.member.cancel.run_until_cancelled(sleep_until(until)).await;
        // On a runtime that has ended nobody can rest: a loop that went on would never pause again.
        rested.is_some_and(|rested| rested.is_ok())
    }

    fn holds(&self, activity: Activity, reason: Cow<'static, str>) -> Parked {
        Parked { number: self.0.holds(activity, reason), cell: Arc::clone(&self.0) }
    }

    /// Whether the program ends: finish what is under way, and return.
    pub fn is_cancelled(&self) -> bool {
        self.0.member.cancel.is_cancelled()
    }

    /// Ready when the program ends.
    #[doc(alias("CancellationToken", "shutdown"))]
    pub async fn cancelled(&self) {
        self.0.member.cancel.cancelled().await;
    }

    /// Carries the subsystem into a task that the loop spawns: its calls are shown as this subsystem's, and its
    /// back-offs and long polls end with it.
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        self.0.member.scope(future)
    }
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Heartbeat").field(&self.0.name).finish()
    }
}

/// While it lives the subsystem is parked: see [`Heartbeat::parked`].
#[must_use = "the subsystem is parked for as long as this lives"]
pub struct Parked {
    cell: Arc<SubsystemState>,
    number: u64,
}

impl Drop for Parked {
    fn drop(&mut self) {
        // Nobody is heard any more whose run is over.
        if self.cell.lets_go(self.number) {
            self.cell.beat();
        }
    }
}

impl fmt::Debug for Parked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Parked").field(&self.cell.name).finish()
    }
}
