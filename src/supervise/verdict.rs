//! Whether a subsystem is alive and gets on. Pure: what was seen goes in with `now`, a verdict comes out.

use std::time::Duration;
use tokio::time::Instant;

/// How much longer than announced a rest may take: the time to wake up.
pub(crate) const LATE: Duration = Duration::from_secs(1);

/// What a subsystem says it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// It has work, and has to show signs of life.
    Working { since: Instant },
    /// It waits for somebody else, and has said why.
    Parked,
    /// It sleeps.
    Resting { until: Instant },
    /// It ended, and is started again at this moment.
    BackOff { until: Instant },
    /// It ended for good.
    Stopped,
}

/// What is known of a subsystem: when it last beat and last got on, and what it says it does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignsOfLife {
    pub(crate) beat: Option<Instant>,
    /// None for one that only ever beats: it is judged by its beats alone.
    pub(crate) progress: Option<Instant>,
    pub(crate) activity: Activity,
}

/// How a subsystem is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Alive, as far as one can tell.
    Fresh,
    /// No sign of life since it was named.
    NeverSeen,
    /// No sign of life for this long.
    Silent(Duration),
    /// It beats, and gets nowhere for this long.
    NotProgressing(Duration),
    /// Its rest should have been over this long ago.
    Overslept(Duration),
}

impl Verdict {
    /// Whether that counts as stale: all but `Fresh`.
    pub fn is_stale(self) -> bool {
        self != Verdict::Fresh
    }

    /// The stable name for programs: `fresh`, `never_seen`, `silent`, `not_progressing`, `overslept`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Fresh => "fresh",
            Verdict::NeverSeen => "never_seen",
            Verdict::Silent(_) => "silent",
            Verdict::NotProgressing(_) => "not_progressing",
            Verdict::Overslept(_) => "overslept",
        }
    }

    /// For how long it has been in this state, where that is known.
    pub fn since(self) -> Option<Duration> {
        match self {
            Verdict::Fresh | Verdict::NeverSeen => None,
            Verdict::Silent(since) | Verdict::NotProgressing(since) | Verdict::Overslept(since) => {
                Some(since)
            }
        }
    }
}

/// The verdict under this threshold.
pub(crate) fn judge(seen: SignsOfLife, threshold: Duration, now: Instant) -> Verdict {
    let age = |at: Instant| now.saturating_duration_since(at);
    let Some(beat) = seen.beat else {
        return match seen.activity {
            // It has said what it does, which is a sign of life.
            Activity::Parked | Activity::Stopped => Verdict::Fresh,
            Activity::Resting { until } if now <= until + LATE => Verdict::Fresh,
            _ => Verdict::NeverSeen,
        };
    };
    match seen.activity {
        Activity::Parked | Activity::Stopped => Verdict::Fresh,
        Activity::Resting { until } if now <= until + LATE => Verdict::Fresh,
        Activity::Resting { until } => Verdict::Overslept(age(until)),
        Activity::BackOff { .. } if age(beat) > threshold => Verdict::Silent(age(beat)),
        Activity::BackOff { .. } => Verdict::Fresh,
        Activity::Working { since } => {
            let silent = age(beat.max(since));
            let stuck = seen.progress.map(|at| age(at.max(since)));
            match stuck {
                _ if silent > threshold => Verdict::Silent(age(beat)),
                Some(stuck) if stuck > threshold => Verdict::NotProgressing(stuck),
                _ => Verdict::Fresh,
            }
        }
    }
}

/// The same for the watchdog, which gives a run that began just now the time to show its first sign of life, and does
/// not count the wait for a restart.
pub(crate) fn is_due(seen: SignsOfLife, threshold: Duration, now: Instant) -> Verdict {
    match (judge(seen, threshold, now), seen.activity) {
        (_, Activity::BackOff { .. }) => Verdict::Fresh,
        (Verdict::NeverSeen, Activity::Working { since })
            if now.saturating_duration_since(since) <= threshold =>
        {
            Verdict::Fresh
        }
        (verdict, _) => verdict,
    }
}

/// Whether a run that began then has shown a sign of life, and is not stale.
pub(crate) fn shows_life(seen: SignsOfLife, began: Instant, threshold: Duration, now: Instant) -> bool {
    seen.beat.is_some_and(|beat| beat >= began) && !is_due(seen, threshold, now).is_stale()
}

/// For how long a run that began then is known to have done its work: what came after the last sign of it may have been
/// a hang.
pub(crate) fn lived(seen: SignsOfLife, began: Instant, now: Instant) -> Duration {
    let last = match seen.activity {
        Activity::Parked | Activity::Stopped => now,
        Activity::Resting { until } => until.min(now),
        Activity::BackOff { .. } => began,
        Activity::Working { since } => seen.progress.or(seen.beat).map_or(since, |at| at.max(since)),
    };
    last.saturating_duration_since(began)
}

#[cfg(test)]
mod tests;
