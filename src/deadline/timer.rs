//! One timer for whatever bound is nearest.

use crate::Error;
use pin_project::pin_project;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant, Sleep};

/// A timer that is registered with the runtime only when something has to be waited for, and that is moved only
/// when the bound comes nearer. A bound that moves away costs nothing until the old one fires.
#[pin_project]
#[derive(Default)]
pub(crate) struct Timer {
    #[pin]
    sleep: Option<Sleep>,
}

impl Timer {
    /// Ready once `at` has passed. Call it only after the work itself was polled and is pending.
    ///
    /// # Errors
    /// Kind `Config` where the runtime that polls has no clock, or has ended.
    pub(crate) fn poll(self: Pin<&mut Self>, at: Instant, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // Once a task has spent its cooperative budget tokio answers "pending" for every resource, a `Sleep` too. Work
        // that always has something ready spends it in each poll and would never be ended: then the clock is asked.
        if !has_budget_remaining() && Instant::now() >= at {
            return Poll::Ready(Ok(()));
        }
        let mut slot = self.project().sleep;
        let mut fresh = false;
        loop {
            let Some(mut sleep) = slot.as_mut().as_pin_mut() else {
                slot.set(Some(registered(at)?));
                fresh = true;
                continue;
            };
            let polled = caught(|| {
                if sleep.deadline() > at {
                    sleep.as_mut().reset(at);
                }
                sleep.as_mut().poll(cx)
            });
            match polled {
                Some(Poll::Pending) => return Poll::Pending,
                Some(Poll::Ready(())) if sleep.deadline() == at => return Poll::Ready(Ok(())),
                // It was set for a bound that has since moved away.
                Some(Poll::Ready(())) => sleep.reset(at),
                None if fresh => return Poll::Ready(Err(ended())),
                // The runtime it was registered with is gone; the one that polls now may have a clock of its own.
                None => {
                    slot.set(Some(registered(at)?));
                    fresh = true;
                }
            }
        }
    }
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
    let mut timer = std::pin::pin!(Timer::default());
    std::future::poll_fn(|cx| timer.as_mut().poll(at, cx)).await
}

fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::time::Duration;

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
