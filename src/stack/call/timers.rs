//! What may end a wait: one name for each timer, one table of when they fire, one place that says when that is.

use crate::stack::call::state::CallState;
use tokio::time::Instant;

/// The timers of a call. Which of them run is said by its stage. Of those that fire at the same moment the first counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The call has to be over, or the body that streams.
    Deadline,
    /// The total, which binds a long poll as well where it does not wait for its answer.
    Total,
    /// The attempt takes so long that it counts as a failure already. It goes on.
    Overdue,
    /// The attempt has to have its head, and the body that is collected.
    Attempt,
    /// The body has to have brought something.
    Stall,
    /// The health check of this call has to be answered.
    Probe,
    /// A probe of the circuit has waited long enough for a pool of the caller's own.
    Turn,
    /// No limit: the wait of this stage is over, or worth another look.
    Wake,
}

const TIMERS: [Timer; 8] = [
    Timer::Deadline,
    Timer::Total,
    Timer::Overdue,
    Timer::Attempt,
    Timer::Stall,
    Timer::Probe,
    Timer::Turn,
    Timer::Wake,
];

/// When each timer fires; those that are not set do not run.
#[derive(Debug, Default)]
pub(super) struct TimerTable([Option<Instant>; TIMERS.len()]);

impl TimerTable {
    #[inline(always)]
    pub(super) fn set(mut self, timer: Timer, at: Option<Instant>) -> TimerTable {
        self.0[timer as usize] = at;
        self
    }

    /// The timer that fires first.
    #[inline(always)]
    pub(super) fn next(&self) -> Option<(Instant, Timer)> {
        let mut first = None::<(Instant, Timer)>;
        for timer in TIMERS {
            if let Some(at) = self.0[timer as usize] {
                if first.is_none_or(|(nearest, _)| at < nearest) {
                    first = Some((at, timer));
                }
            }
        }
        first
    }
}

impl CallState {
    /// The table of a stage in which these timers run.
    #[inline(always)]
    pub(super) fn timers<const N: usize>(&self, running: [Timer; N]) -> TimerTable {
        let mut table = TimerTable::default();
        for timer in running {
            table = table.set(timer, self.fires(timer));
        }
        table
    }

    /// The table of an attempt whose body is awaited.
    #[inline(always)]
    pub(super) fn body_timers(&self) -> TimerTable {
        self.timers([Timer::Deadline, Timer::Overdue, Timer::Attempt, Timer::Stall])
    }

    /// When a timer fires, if it has a limit to keep. What hangs on the stage alone is set by the stage.
    #[inline(always)]
    fn fires(&self, timer: Timer) -> Option<Instant> {
        let (limits, attempts, context) = (&self.limits, &self.attempts, self.context());
        match timer {
            Timer::Deadline => limits.deadline,
            Timer::Total => limits.total_of_waits(attempts.asked, context),
            Timer::Overdue => {
                let at = self.held.permit.as_ref()?.overdue_at(&self.origin_state.breaker)?;
                // What nobody was asked is late for nobody.
                Some(at).filter(|_| !attempts.passage.is_local())
            }
            Timer::Attempt => limits.attempt(context).map(|limit| attempts.began + limit),
            Timer::Stall => self.record.flow.bound(limits.idle(context)).map(|(at, _)| at),
            Timer::Probe => context.health.as_ref().map(|_| attempts.began + context.check_limit()),
            Timer::Turn | Timer::Wake => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_table_in_which_nothing_runs_never_fires() {
        assert_eq!(TimerTable::default().next(), None);
        let start = Instant::now();
        assert_eq!(TimerTable::default().set(Timer::Wake, Some(start)).set(Timer::Wake, None).next(), None);
    }

    #[test]
    fn the_nearest_fires_first_in_whatever_order_they_are_set() {
        let start = Instant::now();
        for late in TIMERS {
            for soon in TIMERS.into_iter().filter(|soon| *soon != late) {
                let (at, later) = (Some(start), Some(start + SECOND));
                let one = TimerTable::default().set(late, later).set(soon, at);
                let other = TimerTable::default().set(soon, at).set(late, later);
                assert_eq!(one.next(), Some((start, soon)), "{late:?} after {soon:?}");
                assert_eq!(other.next(), one.next());
            }
        }
    }

    #[test]
    fn at_the_same_moment_a_limit_of_the_call_counts_before_one_of_its_attempt_and_a_limit_before_a_wake() {
        let start = Instant::now();
        let mut table = TimerTable::default();
        for timer in TIMERS.into_iter().rev() {
            table = table.set(timer, Some(start));
            assert_eq!(table.next(), Some((start, timer)), "everything after it is set already");
        }
    }

    #[test]
    fn each_timer_has_a_place_of_its_own() {
        for (place, timer) in TIMERS.into_iter().enumerate() {
            assert_eq!(timer as usize, place);
        }
    }
}
