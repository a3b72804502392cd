//! What a connect waits for, as the call that waits for it is told.

use crate::error::Phase;
use crate::inflight::report;
use std::future::{Future, poll_fn};
use std::pin::pin;

/// Whoever waits for this waits for `phase`.
pub(super) async fn reporting<T>(phase: Phase, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|cx| {
        let polled = work.as_mut().poll(cx);
        if polled.is_pending() {
            report(phase);
        }
        polled
    })
    .await
}
