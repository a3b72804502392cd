//! What is known of one subsystem, cheap to write from its loop.

use crate::inflight::owner::Owner;
use crate::supervise::report::{Event, Recorder};
use crate::supervise::verdict::{Activity, SignsOfLife};
use crate::supervise::watch::Watch;
use crate::sync::{Arc, Mutex, lock};
use crate::telemetry::log::supervise as log;
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How one subsystem is watched.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) every: Option<Duration>,
    /// Where it is not twice the interval.
    pub(crate) stale_after: Option<Duration>,
    pub(crate) watch: Watch,
}

impl Settings {
    pub(crate) fn threshold(&self) -> Option<Duration> {
        self.stale_after.or_else(|| Some(self.every?.saturating_mul(2)))
    }
}

/// What is known of one subsystem.
pub(crate) struct SubsystemState {
    pub(crate) name: Arc<str>,
    pub(crate) member: Arc<Owner>,
    epoch: Instant,
    /// In nanoseconds since the epoch, from 1; 0 for never.
    beat: AtomicU64,
    progress: AtomicU64,
    /// Since when it has been down, until its next sign of life; 0 where it is not.
    down: AtomicU64,
    pub(crate) restarts: AtomicU64,
    /// It was reported as stale.
    pub(crate) reported: AtomicBool,
    /// It was reported as one that beats and gets nowhere: to beat is then no recovery.
    pub(crate) stuck: AtomicBool,
    /// How often its thread went into a poll of its future, or came out of it: odd while it is inside. Written by that
    /// thread alone.
    polls: AtomicU64,
    /// The same as the watchdog saw it last, and when it had seen it first.
    polls_seen: AtomicU64,
    polls_seen_at: AtomicU64,
    state: Mutex<State>,
    settings: Mutex<Settings>,
    /// Ends the run under way.
    pub(crate) abort: Notify,
    recorder: Recorder,
}

struct State {
    activity: Activity,
    /// Why it need not show signs of life, by the number of the guard that says so: the last one counts. Several tasks of
    /// a subsystem may wait at a time.
    holds: Vec<(u64, Activity, Cow<'static, str>)>,
    next: u64,
}

impl State {
    fn activity(&self) -> Activity {
        self.holds.last().map_or(self.activity, |(_, activity, _)| *activity)
    }
}

impl SubsystemState {
    pub(crate) fn new(
        name: Arc<str>,
        cancel: CancellationToken,
        settings: Settings,
        epoch: Instant,
        recorder: Recorder,
    ) -> SubsystemState {
        SubsystemState {
            member: Owner::new(Arc::clone(&name), cancel),
            name,
            epoch,
            beat: AtomicU64::new(0),
            progress: AtomicU64::new(0),
            down: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            reported: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            polls: AtomicU64::new(0),
            polls_seen: AtomicU64::new(0),
            polls_seen_at: AtomicU64::new(0),
            state: Mutex::new(State {
                activity: Activity::Working { since: Instant::now() },
                holds: Vec::new(),
                next: 0,
            }),
            settings: Mutex::new(settings),
            abort: Notify::new(),
            recorder,
        }
    }

    fn nanos(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_nanos() as u64 + 1
    }

    fn at(&self, nanos: u64) -> Option<Instant> {
        Some(self.epoch + Duration::from_nanos(nanos.checked_sub(1)?))
    }

    /// Its future is polled, from here to the next call of this.
    #[inline]
    pub(crate) fn turns(&self) {
        // Nobody else writes it.
        self.polls.store(self.polls.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// The watchdog looks whether its thread came out of the poll in which it was at the last look.
    pub(crate) fn looks_at_polls(&self, now: Instant) {
        let polls = self.polls.load(Ordering::Relaxed);
        if polls != self.polls_seen.load(Ordering::Relaxed) {
            self.polls_seen_at.store(self.nanos(now), Ordering::Relaxed);
            self.polls_seen.store(polls, Ordering::Release);
        }
    }

    /// For how long its thread has been inside one poll, at the least; `None` where it is not seen to be inside one.
    pub(crate) fn in_poll_for(&self, now: Instant) -> Option<Duration> {
        let polls = self.polls.load(Ordering::Relaxed);
        let is_inside = polls % 2 == 1 && polls == self.polls_seen.load(Ordering::Acquire);
        let since = self.at(self.polls_seen_at.load(Ordering::Relaxed)).filter(|_| is_inside)?;
        Some(now.saturating_duration_since(since))
    }

    /// Whether a supervisor polls it, so that it would be known if its thread hung.
    pub(crate) fn is_polled(&self) -> bool {
        self.polls.load(Ordering::Relaxed) > 0
    }

    #[inline]
    pub(crate) fn beat(&self) {
        let now = self.nanos(Instant::now());
        self.beat.store(now, Ordering::Relaxed);
        if self.down.load(Ordering::Relaxed) != 0 && !self.stuck.load(Ordering::Relaxed) {
            self.recovered(now);
        }
    }

    #[inline]
    pub(crate) fn progress(&self) {
        let now = self.nanos(Instant::now());
        self.progress.store(now, Ordering::Relaxed);
        self.beat.store(now, Ordering::Relaxed);
        if self.down.load(Ordering::Relaxed) != 0 {
            self.recovered(now);
        }
    }

    #[cold]
    fn recovered(&self, now: u64) {
        let since = self.down.swap(0, Ordering::Relaxed);
        self.reported.store(false, Ordering::Relaxed);
        self.stuck.store(false, Ordering::Relaxed);
        if since != 0 {
            let after = Duration::from_nanos(now.saturating_sub(since));
            log::recovered(&self.name, after);
            self.recorder.tell(Event::Recovered { name: Arc::clone(&self.name), after });
        }
    }

    /// It does not do its work since this moment, or since an earlier one.
    pub(crate) fn goes_down(&self, since: Instant) {
        let since = self.nanos(since);
        let _ = self.down.compare_exchange(0, since, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(crate) fn seen(&self) -> SignsOfLife {
        let activity = lock(&self.state).activity();
        SignsOfLife {
            beat: self.at(self.beat.load(Ordering::Relaxed)),
            progress: self.at(self.progress.load(Ordering::Relaxed)),
            activity,
        }
    }

    /// What it does from now on; whoever held it before does no more.
    pub(crate) fn does(&self, activity: Activity) {
        let mut state = lock(&self.state);
        state.activity = activity;
        state.holds.clear();
    }

    /// It parks or rests, until it is let go by this number.
    pub(crate) fn holds(&self, activity: Activity, reason: Cow<'static, str>) -> u64 {
        let mut state = lock(&self.state);
        state.next += 1;
        let number = state.next;
        // What ended stays ended, whatever is left of it says.
        if matches!(state.activity, Activity::Working { .. }) {
            state.holds.push((number, activity, reason));
        }
        number
    }

    /// It works again, unless it is held by somebody else. False where it was not held by this number any more.
    pub(crate) fn lets_go(&self, number: u64) -> bool {
        let mut state = lock(&self.state);
        let Some(at) = state.holds.iter().position(|(held, ..)| *held == number) else { return false };
        state.holds.remove(at);
        if state.holds.is_empty() {
            state.activity = Activity::Working { since: Instant::now() };
        }
        true
    }

    /// A new run begins.
    pub(crate) fn starts(&self, now: Instant) {
        self.progress.store(0, Ordering::Relaxed);
        self.reported.store(false, Ordering::Relaxed);
        self.stuck.store(false, Ordering::Relaxed);
        self.does(Activity::Working { since: now });
    }

    pub(crate) fn settings(&self) -> Settings {
        *lock(&self.settings)
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut lock(&self.settings));
    }

    /// Why it is parked.
    pub(crate) fn reason(&self) -> String {
        lock(&self.state).holds.last().map(|(.., reason)| reason.to_string()).unwrap_or_default()
    }

    pub(crate) fn has_stopped(&self) -> bool {
        matches!(lock(&self.state).activity, Activity::Stopped)
    }
}
