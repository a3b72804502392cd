//! One timer for whatever bound is nearest.

use crate::Error;
use pin_project::pin_project;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant, Sleep};

/// A bound that is looked at so much later than it passed was not missed by the work alone: this process has not run
/// (it was stopped, its machine had no time for it, its threads were blocked), and has not read its sockets either.
const LATE: Duration = Duration::from_millis(100);
/// Then what came meanwhile gets so much time to be found.
const GRACE: Duration = Duration::from_millis(100);

/// A timer that is registered with the runtime only when something has to be waited for, and that is moved only
/// when the bound comes nearer. A bound that moves away costs nothing until the old one fires.
#[pin_project]
#[derive(Default)]
pub(crate) struct Timer {
    #[pin]
    sleep: Option<Sleep>,
    // It is set to the end of the grace, and not to the bound.
    in_grace: bool,
}

impl Timer {
    /// Ready once `at` has passed. Call it only after the work itself was polled and is pending.
    ///
    /// Where it fires late, since this process did not run, the work gets another 100 ms, once: an answer that lies in the
    /// socket is not the silence of a server. Other tasks have to read it first, and that they run before this one is
    /// not said.
    ///
    /// # Errors
    /// Kind `Config` where the runtime that polls has no clock, or has ended.
    pub(crate) fn poll(self: Pin<&mut Self>, at: Instant, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let this = self.project();
        let (mut slot, in_grace) = (this.sleep, this.in_grace);
        // Once a task has spent its cooperative budget tokio answers "pending" for every resource, a `Sleep` too. Work
        // that always has something ready spends it in each poll and would never be ended: then the clock is asked.
        // It runs, so that nothing is found late: no grace.
        if !has_budget_remaining() && Instant::now() >= at {
            return Poll::Ready(Ok(()));
        }
        let mut fresh = false;
        // Whether it stood at this bound, or one before it, when that passed.
        let mut waited = true;
        loop {
            let Some(mut sleep) = slot.as_mut().as_pin_mut() else {
                slot.set(Some(registered(at)?));
                (fresh, waited) = (true, false);
                continue;
            };
            *in_grace &= sleep.deadline() >= at;
            let polled = caught(|| {
                if sleep.deadline() > at && !*in_grace {
                    waited = false;
                    sleep.as_mut().reset(at);
                }
                sleep.as_mut().poll(cx)
            });
            match polled {
                Some(Poll::Pending) => return Poll::Pending,
                Some(Poll::Ready(())) if *in_grace => return Poll::Ready(Ok(())),
                Some(Poll::Ready(())) if sleep.deadline() == at => {
                    let now = Instant::now();
                    if !waited || !is_late(at, now) {
                        return Poll::Ready(Ok(()));
                    }
                    *in_grace = true;
                    sleep.reset(now + GRACE);
                }
                // It was set for a bound that has since moved away.
                Some(Poll::Ready(())) => sleep.reset(at),
                None if fresh => return Poll::Ready(Err(ended())),
                // The runtime it was registered with is gone; the one that polls now may have a clock of its own.
                None => {
                    slot.set(Some(registered(at)?));
                    (fresh, *in_grace) = (true, false);
                }
            }
        }
    }
}

fn is_late(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) >= LATE
}

/// A timer of the current runtime. tokio panics without a runtime, or where its clock is off; a wrong set-up shall be
/// an error.
fn registered(at: Instant) -> Result<Sleep, Error> {
    if tokio::runtime::Handle::try_current().is_err() {
        return Err(Error::config("no tokio runtime: nothing could bound this wait, run it inside one"));
    }
    caught(|| tokio::time::sleep_until(at)).ok_or_else(|| {
        Error::config(
            "the tokio runtime has no clock: nothing could bound this wait, build it with enable_time()",
        )
    })
}

/// Of a runtime that was shut down while somebody waited on its handle. Each further poll would panic inside tokio.
fn ended() -> Error {
    Error::config("the tokio runtime has ended: nothing can bound this wait any more")
}

/// tokio's `sleep_until`, ready also in a task whose other work spends the whole cooperative budget of each poll. For
/// `select!` and the like, where it is polled after that work.
///
/// # Errors
/// Kind `Config`, at once, where the runtime has no clock or has ended: who loops around it has to stop then.
#[cfg(feature = "supervise")]
pub(crate) async fn sleep_until(at: Instant) -> Result<(), Error> {
    let mut timer = pin!(Timer::default());
    poll_fn(|cx| timer.as_mut().poll(at, cx)).await
}

/// What a future comes to before `at`; `None` where that is the end of it.
///
/// # Errors
/// Kind `Config` where the runtime has no clock or has ended.
pub(crate) async fn before<F: Future>(at: Instant, work: F) -> Result<Option<F::Output>, Error> {
    let (mut work, mut timer) = (pin!(work), pin!(Timer::default()));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Ok(Some(done))),
        Poll::Pending => timer.as_mut().poll(at, cx).map_ok(|()| None),
    })
    .await
}

fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_bound_that_moves_away_or_nearer_is_kept_to_the_millisecond() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timer = pin!(Timer::default());
        assert!(poll_fn(|cx| Poll::Ready(timer.as_mut().poll(at(100), cx))).await.is_pending());
        poll_fn(|cx| timer.as_mut().poll(at(300), cx)).await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_millis(300));
        assert!(poll_fn(|cx| Poll::Ready(timer.as_mut().poll(at(900), cx))).await.is_pending());
        poll_fn(|cx| timer.as_mut().poll(at(500), cx)).await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_millis(500));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bound_that_is_looked_at_late_gives_its_work_another_tenth_of_a_second_once() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timer = pin!(Timer::default());
        let mut look = async |ms| poll_fn(|cx| Poll::Ready(timer.as_mut().poll(at(ms), cx))).await;
        let late = async |ms| tokio::time::advance(at(ms) - Instant::now()).await;
        assert!(look(100).await.is_pending());
        late(199).await;
        assert!(look(100).await.is_ready(), "as late as a busy program is");
        assert!(look(300).await.is_pending());
        late(1_000).await;
        assert!(look(400).await.is_pending(), "a bound that had moved away");
        late(1_099).await;
        assert!(look(400).await.is_pending());
        late(1_100).await;
        assert!(look(400).await.is_ready());
        assert!(look(400).await.is_ready() && look(700).await.is_ready(), "nobody waited for another one");
        assert!(look(2_000).await.is_pending());
        assert!(look(1_000).await.is_ready(), "a bound that comes nearer has passed already");
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_spends_the_whole_budget_of_each_poll_gets_no_grace() {
        use tokio::task::coop::poll_proceed;
        let start = Instant::now();
        let at = start + Duration::from_millis(100);
        let mut timer = pin!(Timer::default());
        assert!(poll_fn(|cx| Poll::Ready(timer.as_mut().poll(at, cx))).await.is_pending());
        let mut spent = async || {
            let look = poll_fn(|cx| {
                while poll_proceed(cx).map(|budget| budget.made_progress()).is_ready() {}
                Poll::Ready(timer.as_mut().poll(at, cx))
            });
            look.await.is_ready()
        };
        assert!(!spent().await);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(spent().await, "it ran all the while");
    }

    #[tokio::test(start_paused = true)]
    async fn a_bound_that_moves_away_during_the_grace_is_waited_for() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timer = pin!(Timer::default());
        assert!(poll_fn(|cx| Poll::Ready(timer.as_mut().poll(at(100), cx))).await.is_pending());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(poll_fn(|cx| Poll::Ready(timer.as_mut().poll(at(100), cx))).await.is_pending());
        poll_fn(|cx| timer.as_mut().poll(at(5_000), cx)).await.unwrap();
        assert_eq!(Instant::now(), at(5_000));
    }

    #[test]
    fn without_a_runtime_there_is_a_configuration_error_and_no_panic() {
        let mut timer = pin!(Timer::default());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match timer.as_mut().poll(Instant::now(), &mut cx) {
            Poll::Ready(Err(error)) => assert!(error.is_config()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_a_clock_there_is_a_configuration_error_and_no_panic() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let ended = runtime.block_on(async {
            let mut timer = pin!(Timer::default());
            poll_fn(|cx| timer.as_mut().poll(Instant::now(), cx)).await
        });
        assert!(ended.unwrap_err().to_string().contains("enable_time"));
    }

    #[test]
    fn a_wait_that_moves_to_another_runtime_goes_on_when_the_first_is_gone() {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (first, second) = (runtime(), runtime());
        let at = Instant::now() + Duration::from_millis(30);
        let mut timer = Box::pin(Timer::default());
        first.block_on(async {
            assert!(poll_fn(|cx| Poll::Ready(timer.as_mut().poll(at, cx))).await.is_pending());
        });
        drop(first);
        second.block_on(async { poll_fn(|cx| timer.as_mut().poll(at, cx)).await.unwrap() });
        assert!(Instant::now() >= at);
    }

    #[test]
    fn a_sleep_on_a_runtime_that_has_ended_is_an_error_and_no_rest() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let handle = runtime.handle().clone();
        runtime.shutdown_background();
        let slept = handle.block_on(sleep_until(Instant::now() + Duration::from_secs(3600)));
        assert!(slept.is_err_and(|error| error.is_config()));
    }
}
