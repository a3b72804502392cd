//! The part of tokio's cooperative scheduling that a library has to keep itself: whatever may be ready again and again
//! spends the budget of its task, so that a loop around it lets others run, and its own timeout fire.

use std::task::{Context, Poll, ready};
use tokio::task::coop::poll_proceed;

/// Yields once where the task's budget is spent, and lets the work go on at the next poll, whatever that has left: a
/// neighbour in the same task that always spends everything must not keep this work from its start and its timeout.
#[derive(Debug, Default)]
pub(crate) struct Yield {
    yielded: bool,
}

impl Yield {
    /// Spends one unit of the budget. Without a runtime, or in a task without a budget, it is always ready.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !std::mem::replace(&mut self.yielded, true) {
            ready!(poll_proceed(cx)).made_progress();
        }
        self.yielded = false;
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn a_loop_yields_once_its_task_has_spent_its_budget() {
        let mut yields = Yield::default();
        let turns = poll_fn(|cx| {
            let mut turns = 0;
            while yields.poll(cx).is_ready() {
                turns += 1;
            }
            Poll::Ready(turns)
        });
        let turns = turns.await;
        assert!((1..=1_024).contains(&turns), "{turns}");
    }

    #[tokio::test]
    async fn work_beside_a_neighbour_that_spends_everything_starts_at_its_second_poll() {
        let mut yields = Yield::default();
        let polls = poll_fn(|cx| {
            while poll_proceed(cx).map(|budget| budget.made_progress()).is_ready() {}
            let first = yields.poll(cx);
            let second = yields.poll(cx);
            Poll::Ready((first, second))
        });
        assert_eq!(polls.await, (Poll::Pending, Poll::Ready(())));
    }

    #[test]
    fn without_a_runtime_nothing_yields() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut yields = Yield::default();
        assert!((0..10_000).all(|_| yields.poll(&mut cx).is_ready()));
    }
}
