//! The ambient deadline: a task-local that calls, sleeps and nested scopes can only shorten.

use super::Timer;
use crate::duration::{LONGEST, check, human};
use crate::{Error, ErrorKind};
use pin_project::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::task::futures::TaskLocalFuture;
use tokio::time::Instant;

tokio::task_local! {
    // Empty in the scope of `Deadline::detached`.
    static AMBIENT: Scope;
}

/// What binds the work of a task.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scope {
    /// The scope that the program opened: it binds a body to its last byte.
    pub(crate) deadline: Option<Deadline>,
    /// What a layer with a total shows those beneath it: it binds a call, and no body that streams.
    pub(crate) total: Option<Deadline>,
}

impl Scope {
    /// That of the current task.
    #[inline]
    pub(crate) fn current() -> Scope {
        AMBIENT.try_with(|ambient| *ambient).unwrap_or_default()
    }
}

/// A deadline: the moment by which work must end, on tokio's monotonic clock.
///
/// As a request extension it limits that one call, up to the last byte of the body:
///
/// ```
/// use std::time::Duration;
/// use unwedge::Deadline;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), http::Error> {
/// let request = http::Request::get("https://api.example/jobs")
///     .extension(Deadline::after(Duration::from_secs(2)))
///     .body(())?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[doc(alias("context", "timeout_at"))]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline at this moment.
    pub const fn at(at: Instant) -> Deadline {
        Deadline(at)
    }

    /// A deadline after this time from now, at most 10 years.
    pub fn after(duration: Duration) -> Deadline {
        Deadline(Instant::now() + duration.min(LONGEST))
    }

    /// The deadline of the innermost scope of the current task, if there is one.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use unwedge::{Deadline, within};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// assert!(Deadline::current().is_none());
    /// within(Duration::from_secs(1), async { assert!(Deadline::current().is_some()) }).await.unwrap();
    /// # }
    /// ```
    pub fn current() -> Option<Deadline> {
        let Scope { deadline, total } = Scope::current();
        Deadline::earlier(deadline, total)
    }

    /// The moment itself.
    pub const fn instant(self) -> Instant {
        self.0
    }

    /// The remaining time; zero after the deadline.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Runs a future under this deadline, for example to pass a scope on to a spawned task.
    ///
    /// The same as [`within`], for an existing deadline.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use unwedge::{Deadline, within};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// within(Duration::from_secs(1), async {
    ///     let work = async { Deadline::current().is_some() };
    ///     let task = match Deadline::current() {
    ///         Some(deadline) => tokio::spawn(deadline.scope(work)),
    ///         None => unreachable!(),
    ///     };
    ///     assert!(task.await.unwrap().unwrap());
    /// }).await.unwrap();
    /// # }
    /// ```
    pub fn scope<F: Future>(self, future: F) -> Within<F> {
        Within::new(self, None, future)
    }

    /// Runs a future outside of every scope: inside it, [`Deadline::current`] is `None`.
    ///
    /// For shared background work that some caller's task happens to poll. An enclosing scope still ends the future that
    /// polls it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use unwedge::{Deadline, within};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// within(Duration::from_secs(1), async {
    ///     let free = Deadline::detached(async { Deadline::current().is_none() });
    ///     assert!(free.await);
    /// }).await.unwrap();
    /// # }
    /// ```
    pub fn detached<F: Future>(future: F) -> Detached<F> {
        Detached { future: AMBIENT.scope(Scope::default(), future) }
    }

    #[inline]
    pub(crate) fn earlier(a: Option<Deadline>, b: Option<Deadline>) -> Option<Deadline> {
        match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The earlier of the two.
    #[inline]
    pub(crate) fn nearest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
        match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

/// The future of [`Deadline::detached`].
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct Detached<F> {
    #[pin]
    future: TaskLocalFuture<Scope, F>,
}

impl<F: Future> Future for Detached<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

impl<F> fmt::Debug for Detached<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Detached")
    }
}

/// Runs code that belongs to nobody's scope: a health check serves all callers, not only the one that makes it.
pub(crate) fn outside<T>(work: impl FnOnce() -> T) -> T {
    AMBIENT.sync_scope(Scope::default(), work)
}

/// Runs code under this total: what a layer with a deadline of its own shows those beneath it.
pub(crate) fn under<T>(total: Deadline, work: impl FnOnce() -> T) -> T {
    let scope = Scope { total: Some(total), ..Scope::current() };
    AMBIENT.sync_scope(scope, work)
}

/// Runs a future under a deadline. Every call, sleep and nested scope inside sees the remaining time and can only shorten
/// it; the future is dropped at the deadline, even if the code inside ignores it.
///
/// The time starts with this call. The limit must be above zero and at most 10 years.
///
/// # Errors
/// Kind `Deadline` at the deadline. Kind `Config` for an invalid limit, without a tokio runtime or with one without a timer,
/// and once if the runtime ends while another thread polls this future by its handle: tokio's timers panic then, and the
/// panic hook sees up to two of those panics. Under `panic = "abort"` they end the process, as tokio's own timers do.
///
/// It also ends work that is always ready, if that work uses tokio's resources (a channel that is never empty, a flooded
/// socket): the clock is read at the latest when the task has used up its cooperative budget. Code that never returns from a
/// poll cannot be ended.
///
/// # Cancellation safety
/// The future inside is dropped at the deadline, and when the returned future is dropped.
///
/// ```
/// use std::time::Duration;
/// use unwedge::within;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let sweep = within(Duration::from_secs(5), std::future::pending::<()>()).await;
/// assert!(sweep.unwrap_err().is_deadline());
/// # }
/// ```
#[doc(alias("timeout", "timeout_at", "with_timeout"))]
pub fn within<F: Future>(limit: Duration, future: F) -> Within<F> {
    Within::new(Deadline::after(limit), Some(limit), future)
}

/// The future of [`within`] and [`Deadline::scope`].
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct Within<F> {
    deadline: Deadline,
    limit: Option<Duration>,
    entered: bool,
    #[pin]
    timer: Timer,
    #[pin]
    future: F,
}

impl<F> Within<F> {
    fn new(deadline: Deadline, limit: Option<Duration>, future: F) -> Within<F> {
        let deadline = Deadline::current().map_or(deadline, |outer| outer.min(deadline));
        Within { deadline, limit, entered: false, timer: Timer::default(), future }
    }
}

impl<F: Future> Future for Within<F> {
    type Output = Result<F::Output, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if !*this.entered {
            *this.entered = true;
            if let Some(limit) = *this.limit {
                check("the limit of within", limit)?;
            }
            // It may be polled inside another scope than the one it was made in; both bind.
            if let Some(outer) = Deadline::current() {
                *this.deadline = outer.min(*this.deadline);
            }
        }
        let deadline = *this.deadline;
        let scope = Scope { deadline: Some(deadline), total: None };
        let inside = this.future.as_mut();
        if let Poll::Ready(done) = AMBIENT.sync_scope(scope, || inside.poll(cx)) {
            return Poll::Ready(Ok(done));
        }
        ready!(this.timer.as_mut().poll(deadline.0, cx))?;
        Poll::Ready(Err(Error::new(
            ErrorKind::Deadline,
            match *this.limit {
                Some(limit) => format!("not done within {:#} (deadline)", human(limit)),
                None => "not done by the deadline".to_owned(),
            },
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::time::sleep;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_third_of_three_calls_ends_with_the_scope() {
        let start = Instant::now();
        let mut done = 0;
        let ended = within(5 * SECOND, async {
            for _ in 0..3 {
                sleep(2 * SECOND).await;
                done += 1;
            }
        })
        .await;
        assert!(ended.unwrap_err().is_deadline());
        assert_eq!((done, start.elapsed()), (2, 5 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_nested_scope_cannot_lengthen_the_outer_one() {
        let start = Instant::now();
        let inner = within(SECOND, within(10 * SECOND, pending::<()>())).await;
        assert!(inner.is_err() || inner.unwrap().is_err());
        assert_eq!(start.elapsed(), SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_scope_made_outside_and_polled_inside_another_obeys_both() {
        let start = Instant::now();
        let made_outside = within(10 * SECOND, async { Deadline::current().map(Deadline::remaining) });
        let left = within(SECOND, made_outside).await.unwrap().unwrap();
        assert_eq!(left, Some(SECOND));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[expect(clippy::disallowed_methods, reason = "what a bare task sees is the question")]
    #[tokio::test(start_paused = true)]
    async fn a_spawned_task_has_no_scope_unless_it_is_handed_on() {
        within(SECOND, async {
            let bare = tokio::spawn(async { Deadline::current() }).await.unwrap();
            assert_eq!(bare, None);
            let here = Deadline::current().unwrap();
            let handed = tokio::spawn(here.scope(async { Deadline::current() })).await.unwrap();
            assert_eq!(handed.unwrap(), Some(here));
            assert_eq!(Deadline::detached(async { Deadline::current() }).await, None);
        })
        .await
        .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_is_done_in_the_last_moment_counts_as_done() {
        let done = within(SECOND, sleep(SECOND)).await;
        assert!(done.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_impossible_limit_is_an_error_and_nothing_runs() {
        for limit in [Duration::ZERO, LONGEST + SECOND, Duration::MAX] {
            let mut ran = false;
            let error = within(limit, async { ran = true }).await.unwrap_err();
            assert!(error.is_config(), "{error}");
            assert!(!ran);
        }
    }
}
