//! The handle by which a supervised loop reports its state.

use crate::deadline::sleep_until;
use crate::inflight::owner::Owner;
use crate::supervise::state::SubsystemState;
use crate::supervise::verdict::Activity;
use crate::sync::Arc;
use pin_project::pin_project;
use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::futures::TaskLocalFuture;
use tokio::time::Instant;

/// The handle by which a supervised loop sends heartbeats and reports progress or a wait. Clones share its state.
#[derive(Clone)]
#[doc(alias("heartbeat", "keepalive"))]
pub struct Heartbeat(pub(crate) Arc<SubsystemState>);

impl Heartbeat {
    /// The name of the subsystem.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Sends a heartbeat. Allocates nothing, takes no lock.
    pub fn beat(&self) {
        self.0.beat();
    }

    /// Sends a heartbeat and reports finished work.
    ///
    /// After the first call a run must also make progress: a loop that sends only heartbeats from then on becomes stale
    /// after the same time as a silent one.
    pub fn progress(&self) {
        self.0.progress();
    }

    /// Reports a wait for somebody else: until the guard is dropped the subsystem does not become stale. The reason is
    /// shown on the status page. With several guards the newest reason is shown, and the subsystem is parked until the last
    /// guard is dropped or its run ends.
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

    /// Sleeps; the subsystem does not become stale in that time. Returns false if the sleep ended early, because the
    /// program or its runtime ends.
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
    /// If the future is dropped, the sleep is over.
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

    /// Whether the program is shutting down: finish the current work and return.
    pub fn is_cancelled(&self) -> bool {
        self.0.member.cancel.is_cancelled()
    }

    /// Completes when the program is shutting down.
    #[doc(alias("CancellationToken", "shutdown"))]
    pub async fn cancelled(&self) {
        self.0.member.cancel.cancelled().await;
    }

    /// Makes a future, for example of a spawned task, part of this subsystem: its calls are shown as the subsystem's, and
    /// its back-offs and long polls end at a shutdown.
    ///
    /// ```
    /// # async fn both(heartbeat: unwedge::supervise::Heartbeat, client: unwedge::Client) {
    /// let poll = async move { client.get("https://broker.example/message").send().await };
    /// let task = tokio::spawn(heartbeat.scope(poll));
    /// # }
    /// ```
    pub fn scope<F: Future>(&self, future: F) -> InScope<F> {
        InScope { future: self.0.member.scope(future) }
    }
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Heartbeat").field(&self.0.name).finish()
    }
}

/// The future of [`Heartbeat::scope`].
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct InScope<F> {
    #[pin]
    future: TaskLocalFuture<Arc<Owner>, F>,
}

impl<F: Future> Future for InScope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

impl<F> fmt::Debug for InScope<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InScope")
    }
}

/// A guard: the subsystem is parked until it is dropped. See [`Heartbeat::parked`].
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
