//! What happened in the last hour, as far as it is worth a look.

use crate::breaker::{Phase, Transition};
use crate::duration::human;
use crate::supervise::{Event, Outcome};
use crate::sync::{Mutex, lock};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::runtime::Handle;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How far the timeline goes back.
pub(super) const HOUR: Duration = Duration::from_secs(3600);
/// A loop that dies every second makes no more than this; the oldest give way.
const MOST: usize = 256;
/// What panics say can be long, and is in the log.
const TEXT: usize = 200;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Warn,
    Bad,
}

impl Tone {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Warn => "warn",
            Tone::Bad => "bad",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) at: Instant,
    pub(super) wall: SystemTime,
    pub(super) name: String,
    pub(super) text: String,
    pub(super) tone: Tone,
}

#[derive(Default)]
pub(super) struct History(Mutex<VecDeque<Entry>>);

impl History {
    /// The newest first.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let now = Instant::now();
        let recent = |entry: &&Entry| now.saturating_duration_since(entry.at) <= HOUR;
        lock(&self.0).iter().rev().take_while(recent).cloned().collect()
    }

    fn note(&self, name: &str, tone: Tone, text: String) {
        let mut text = text;
        if let Some((cut, _)) = text.char_indices().nth(TEXT) {
            text.truncate(cut);
            text.push('\u{2026}');
        }
        let at = Instant::now();
        #[expect(clippy::disallowed_methods, reason = "shown to people")]
        let wall = SystemTime::now();
        let mut entries = lock(&self.0);
        while entries.len() >= MOST
            || entries.front().is_some_and(|entry| at.saturating_duration_since(entry.at) > HOUR)
        {
            entries.pop_front();
        }
        entries.push_back(Entry { at, wall, name: name.to_owned(), text, tone });
    }

    fn missed(&self, n: u64) {
        self.note("this page", Tone::Warn, format!("missed {n} events: see the log"));
    }

    fn event(&self, event: &Event) {
        use Tone::{Bad, Good, Warn};
        let (name, tone, text) = match event {
            Event::Panicked { name, message } => (&**name, Bad, format!("panicked: {message}")),
            Event::Restart { name, reason, wait, restarts } => {
                let wait = human(*wait);
                (&**name, Warn, format!("ended by {reason}, restart {restarts} in {wait:#}"))
            }
            Event::Recovered { name, after } => {
                (&**name, Good, format!("recovered after {:#}", human(*after)))
            }
            Event::Stale { name, silent_for, waits_for } => {
                let call = waits_for.as_ref().map(|call| format!("; in {call}")).unwrap_or_default();
                (&**name, Bad, format!("stale, silent for {:#}{call}", human(*silent_for)))
            }
            Event::Escalated { name, restarts } => {
                (&**name, Bad, format!("restarted too often, {restarts} times in all"))
            }
            Event::Stopped { name } => (&**name, Good, "returned, as it may".to_owned()),
            // One that ended well is the ordinary case, and a timeline of it would show nothing else.
            Event::Sweep { outcome: Outcome::Ok, .. } | Event::Skipped { .. } => return,
            Event::Sweep { name, n, outcome, phase, took } => {
                let phase = phase.map(|phase| format!(" in {phase}")).unwrap_or_default();
                let (outcome, took) = (outcome.as_str(), human(*took));
                (&**name, Bad, format!("sweep {n}: {outcome}{phase} after {took:#}"))
            }
            Event::ShuttingDown { signal } => ("crew", Warn, format!("is being ended: {signal}")),
        };
        self.note(name, tone, text);
    }

    fn transition(&self, change: &Transition) {
        let tone = match change.to {
            Phase::Open | Phase::ForcedOpen => Tone::Bad,
            Phase::HalfOpen | Phase::Disabled => Tone::Warn,
            Phase::Closed => Tone::Good,
        };
        let to = change.to.as_str().replace('_', "-");
        let mut text = match change.to {
            Phase::Disabled => "circuit breaker disabled".to_owned(),
            _ => format!("circuit {to} after {}", change.reason),
        };
        if let Some(down) = change.opened_for {
            text.push_str(&format!(", {:#} after it opened", human(down)));
        }
        self.note(&change.origin, tone, text);
    }
}

/// The tasks that collect. They end when this is dropped.
pub(super) struct Keeper {
    history: Arc<History>,
    waiting: Mutex<Option<Sources>>,
    tasks: Mutex<JoinSet<()>>,
}

struct Sources {
    events: broadcast::Receiver<Event>,
    transitions: Vec<broadcast::Receiver<Transition>>,
}

impl Keeper {
    pub(super) fn new(
        history: &Arc<History>,
        events: broadcast::Receiver<Event>,
        transitions: Vec<broadcast::Receiver<Transition>>,
    ) -> Keeper {
        let waiting = Mutex::new(Some(Sources { events, transitions }));
        Keeper { history: Arc::clone(history), waiting, tasks: Mutex::default() }
    }

    /// Starts what was not started yet. Does nothing outside of a runtime.
    pub(super) fn start(&self, #[cfg(feature = "metrics")] scrape: Option<&super::Scrape>) {
        if Handle::try_current().is_err() {
            return;
        }
        let Some(sources) = lock(&self.waiting).take() else { return };
        let mut tasks = lock(&self.tasks);
        tasks.spawn(keep(sources.events, Arc::clone(&self.history), History::event));
        for changes in sources.transitions {
            tasks.spawn(keep(changes, Arc::clone(&self.history), History::transition));
        }
        #[cfg(feature = "metrics")]
        if let Some(scrape) = scrape {
            tasks.spawn(scrape.upkeep());
        }
    }
}

async fn keep<T: Clone>(mut from: broadcast::Receiver<T>, history: Arc<History>, note: fn(&History, &T)) {
    loop {
        match from.recv().await {
            Ok(happened) => note(&history, &happened),
            Err(RecvError::Lagged(missed)) => history.missed(missed),
            Err(RecvError::Closed) => return,
        }
    }
}
