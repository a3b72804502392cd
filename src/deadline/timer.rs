//! One timer for whatever bound is nearest.

use crate::Error;
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep, sleep_until};

pin_project! {
    /// A timer that is registered with the runtime only when something has to be waited for, and that is moved only
    /// when the bound comes nearer. A bound that moves away costs nothing until the old one fires.
    #[derive(Default)]
    pub(crate) struct Timer {
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl Timer {
    /// Ready once `at` has passed. Call it only after the work itself was polled and is pending.
    pub(crate) fn poll(self: Pin<&mut Self>, at: Instant, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut sleep = self.project().sleep;
        if sleep.is_none() {
            // sleep_until panics without a runtime; a wrong set-up shall be an error.
            if tokio::runtime::Handle::try_current().is_err() {
                return Poll::Ready(Err(Error::config(
                    "no tokio runtime: nothing could bound this wait, run it inside one",
                )));
            }
            sleep.set(Some(sleep_until(at)));
        }
        loop {
            let Some(mut sleep) = sleep.as_mut().as_pin_mut() else { return Poll::Pending };
            if sleep.deadline() > at {
                sleep.as_mut().reset(at);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if sleep.deadline() == at {
                return Poll::Ready(Ok(()));
            }
            // It was set for a bound that has since moved away.
            sleep.reset(at);
        }
    }
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
}
