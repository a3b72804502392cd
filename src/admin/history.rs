//! What happened in the last hour, as far as it is worth a look.

use super::exposition::Exposition;
use super::text::{brief, circuit};
use crate::breaker::{Phase, Transition};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// What it means for the time after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    /// Nothing.
    Moment,
    /// So it is from now on, until the next word of the same name that begins or ends something.
    Begins,
    /// What began is over; for how long it was so, where that is known.
    Ends(Option<Duration>),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) at: Instant,
    pub(super) wall: SystemTime,
    pub(super) name: String,
    pub(super) text: String,
    /// What happened, in a word.
    pub(super) word: &'static str,
    pub(super) tone: Tone,
    pub(super) span: Span,
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

    fn note(&self, name: &str, word: &'static str, tone: Tone, span: Span, mut text: String) {
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
        entries.push_back(Entry { at, wall, name: name.to_owned(), text, word, tone, span });
    }

    fn missed(&self, n: u64) {
        self.note(
            "this page",
            "missed",
            Tone::Warn,
            Span::Moment,
            format!("{n} events came too fast: see the log"),
        );
    }

    fn event(&self, event: &Event) {
        use Tone::{Bad, Good, Warn};
        let (name, word, tone, span, text) = match event {
            Event::Panicked { name, message } => (&**name, "panic", Bad, Span::Moment, message.clone()),
            Event::Restart { name, reason, wait, restarts } => {
                let text = format!("number {restarts} in {}, after: {reason}", brief(*wait));
                (&**name, "restart", Warn, Span::Begins, text)
            }
            Event::Recovered { name, after } => {
                (&**name, "recovered", Good, Span::Ends(Some(*after)), format!("after {}", brief(*after)))
            }
            Event::Stale { name, silent_for, waits_for } => {
                let call = waits_for.as_ref().map(|call| format!("; in {call}")).unwrap_or_default();
                let text = format!("silent for {}{call}", brief(*silent_for));
                (&**name, "stale", Bad, Span::Begins, text)
            }
            Event::Escalated { name, restarts } => {
                let text = format!("restarted too often, {restarts} times in all");
                (&**name, "escalated", Bad, Span::Begins, text)
            }
            Event::Stopped { name } => {
                (&**name, "stopped", Good, Span::Ends(None), "returned, as it may".to_owned())
            }
            // One that ended well is the ordinary case, and a timeline of it would show nothing else.
            Event::Sweep { outcome: Outcome::Ok, .. } | Event::Skipped { .. } => return,
            Event::Sweep { name, n, outcome, phase, took } => {
                let phase = phase.map(|phase| format!(" in {phase}")).unwrap_or_default();
                let (outcome, took) = (outcome.as_str(), brief(*took));
                let text = format!("number {n}: {outcome}{phase} after {took}");
                (&**name, "sweep", Bad, Span::Moment, text)
            }
            Event::ShuttingDown { signal } => ("crew", "ending", Warn, Span::Moment, (*signal).to_owned()),
        };
        self.note(name, word, tone, span, text);
    }

    fn transition(&self, change: &Transition) {
        let (word, tone, span) = match change.to {
            Phase::Open => ("open", Tone::Bad, Span::Begins),
            Phase::ForcedOpen => ("forced open", Tone::Bad, Span::Begins),
            Phase::HalfOpen => ("half-open", Tone::Warn, Span::Begins),
            Phase::Disabled => ("disabled", Tone::Warn, Span::Ends(None)),
            Phase::Closed => ("closed", Tone::Good, Span::Ends(change.opened_for)),
        };
        let mut text = format!("circuit {word} after {}", change.reason);
        if let Some(down) = change.opened_for {
            text.push_str(&format!(", {} after it opened", brief(down)));
        }
        let name = circuit(&change.origin, change.group.as_ref(), change.client.as_deref());
        self.note(&name, word, tone, span, text);
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
    pub(super) fn start(&self, scrape: Option<&dyn Exposition>) {
        if Handle::try_current().is_err() {
            return;
        }
        let Some(sources) = lock(&self.waiting).take() else { return };
        let mut tasks = JoinSet::new();
        tasks.spawn(keep(sources.events, Arc::clone(&self.history), History::event));
        for changes in sources.transitions {
            tasks.spawn(keep(changes, Arc::clone(&self.history), History::transition));
        }
        if let Some(scrape) = scrape {
            tasks.spawn(scrape.upkeep());
        }
        let none = std::mem::replace(&mut *lock(&self.tasks), tasks);
        drop(none);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_keeps_the_newest_of_the_last_hour_and_no_more() {
        let history = History::default();
        for n in 0..1000 {
            history.note(
                "relay",
                "restart",
                Tone::Warn,
                Span::Begins,
                format!("{n} {}", "\u{e4}".repeat(500)),
            );
        }
        let entries = history.entries();
        assert_eq!((entries.len(), &entries[0].text[..4]), (MOST, "999 "));
        assert_eq!(entries[0].text.chars().count(), TEXT + 1, "what is cut ends in an ellipsis");
        tokio::time::advance(HOUR).await;
        assert_eq!(history.entries().len(), MOST);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(history.entries().len(), 0);
        history.note("relay", "restart", Tone::Warn, Span::Begins, String::new());
        assert_eq!(lock(&history.0).len(), 1, "old ones are not kept in memory either");
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_too_fast_is_said() {
        let history = Arc::new(History::default());
        let (tell, told) = broadcast::channel(2);
        for _ in 0..5 {
            let _ = tell.send(Event::Stopped { name: "relay".into() });
        }
        drop(tell);
        keep(told, Arc::clone(&history), History::event).await;
        let words: Vec<_> = history.entries().iter().map(|entry| entry.word).collect();
        assert_eq!(words, ["stopped", "stopped", "missed"]);
        assert_eq!(history.entries()[2].text, "3 events came too fast: see the log");
    }
}
