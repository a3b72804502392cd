//! The snapshot of a subsystem.

use crate::inflight::Call;
use crate::supervise::state::SubsystemState;
use crate::supervise::verdict::{Activity, Verdict, judge};
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// One subsystem as it was when the snapshot was taken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Subsystem {
    /// Its name.
    pub name: String,
    /// Its last heartbeat, by the wall clock; `None` if there was none.
    pub last_tick_at: Option<SystemTime>,
    /// The age of that heartbeat.
    pub last_tick_ago: Option<Duration>,
    /// The declared interval of its heartbeats; `None` if none was declared.
    pub expected_every: Option<Duration>,
    /// Its stale threshold: twice the interval unless it was set.
    pub stale_after: Option<Duration>,
    /// Whether it is stale now.
    pub stale: bool,
    /// Why it is stale.
    pub verdict: Verdict,
    /// Its state, as it reported it.
    pub state: State,
    /// The number of restarts.
    pub restarts: u64,
    /// Its oldest call in flight, in the words of [`inflight::Call`](crate::inflight::Call).
    pub waits_for: Option<String>,
    /// For how long its thread has been inside one poll of its future, as far as the watchdog saw: code that computes, or
    /// blocks, without an `.await`. `None` where it is not.
    pub in_poll_for: Option<Duration>,
    /// Whether it would be known if its thread hung.
    #[cfg_attr(not(feature = "admin"), expect(dead_code, reason = "the status page says it"))]
    pub(crate) is_polled: bool,
}

/// The state of a subsystem, as it reported it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It works, or should.
    Working,
    /// It waits for somebody else, for this reason.
    Parked(String),
    /// It sleeps, for this remaining time.
    Resting(Duration),
    /// It ended, and is restarted after this time.
    BackOff(Duration),
    /// It ended, and is not restarted.
    Stopped,
}

impl State {
    /// The stable name for programs: `working`, `parked`, `resting`, `back_off`, `stopped`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            State::Working => "working",
            State::Parked(_) => "parked",
            State::Resting(_) => "resting",
            State::BackOff(_) => "back_off",
            State::Stopped => "stopped",
        }
    }
}

/// `scheduler: no progress for 312 s; in GET https://alerts.example/api/v1/alerts, attempt 2 of 4, ...`
impl fmt::Display for Subsystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        let ago = |d: Duration| match d.as_secs() {
            0 => format!("{} ms", d.subsec_millis()),
            seconds => format!("{seconds} s"),
        };
        match self.verdict {
            Verdict::Fresh => f.write_str(self.state.as_str())?,
            Verdict::NeverSeen => f.write_str("never seen")?,
            Verdict::Silent(since) => write!(f, "no progress for {}", ago(since))?,
            Verdict::NotProgressing(since) => write!(f, "alive, not progressing for {}", ago(since))?,
            Verdict::Overslept(since) => write!(f, "its rest was over {} ago", ago(since))?,
        }
        match (&self.state, &self.waits_for) {
            (State::Parked(reason), None) => write!(f, " ({reason})"),
            (_, Some(call)) => write!(f, "; in {call}"),
            (_, None) => match self.in_poll_for {
                Some(since) if self.stale && since >= Duration::from_secs(1) => {
                    write!(f, "; in no call: its thread has been inside poll for {}", ago(since))
                }
                _ => Ok(()),
            },
        }
    }
}

impl Subsystem {
    pub(crate) fn new(cell: &SubsystemState, call: Option<&Call>, now: Instant) -> Subsystem {
        let (seen, settings) = (cell.seen(), cell.settings());
        let ago = seen.beat.map(|at| now.saturating_duration_since(at));
        let verdict = match (settings.threshold(), seen.beat) {
            (Some(threshold), _) => judge(seen, threshold, now),
            // Nobody said how often it beats.
            (None, _) => Verdict::Fresh,
        };
        let left = |until: Instant| until.saturating_duration_since(now);
        #[expect(clippy::disallowed_methods, reason = "shown to people, and to programs on other machines")]
        let wall = SystemTime::now();
        Subsystem {
            name: cell.name.to_string(),
            last_tick_at: ago.and_then(|ago| wall.checked_sub(ago)),
            last_tick_ago: ago,
            expected_every: settings.every,
            stale_after: settings.threshold(),
            stale: verdict.is_stale(),
            verdict,
            state: match seen.activity {
                Activity::Working { .. } => State::Working,
                Activity::Parked => State::Parked(cell.reason()),
                Activity::Resting { until } => State::Resting(left(until)),
                Activity::BackOff { until } => State::BackOff(left(until)),
                Activity::Stopped => State::Stopped,
            },
            restarts: cell.restarts.load(Ordering::Relaxed),
            waits_for: call.map(Call::to_string),
            in_poll_for: cell.in_poll_for(now),
            is_polled: cell.is_polled(),
        }
    }
}
