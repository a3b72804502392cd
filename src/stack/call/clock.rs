//! The clock of one poll.

use tokio::time::Instant;

/// Read when first asked, and again after code that may have taken time.
#[derive(Debug, Default)]
pub(super) struct Clock(Option<Instant>);

impl Clock {
    #[inline]
    pub(super) fn at(now: Instant) -> Clock {
        Clock(Some(now))
    }

    #[inline]
    pub(super) fn now(&mut self) -> Instant {
        *self.0.get_or_insert_with(Instant::now)
    }

    /// A timer says that it is so late: a clock that was read before it may be behind.
    pub(super) fn reached(&mut self, at: Instant) {
        *self = Clock::at(Instant::now().max(at));
    }

    #[inline]
    pub(super) fn stale(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_clock_stands_still_until_it_is_said_that_time_may_have_passed() {
        let mut clock = Clock::default();
        let start = clock.now();
        tokio::time::advance(SECOND).await;
        assert_eq!(clock.now(), start);
        clock.stale();
        assert_eq!(clock.now(), start + SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_is_believed_before_the_clock() {
        let mut clock = Clock::default();
        let later = clock.now() + SECOND;
        clock.reached(later);
        assert_eq!(clock.now(), later);
    }
}
