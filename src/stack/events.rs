//! Events of the calls of a stack, for subscribers.

use crate::error::{ErrorKind, Phase};
use crate::options::{Group, Label};
use crate::sync::shielded;
use http::{Method, StatusCode};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::broadcast;

/// A receiver that falls this far behind is told how many it missed.
const BACKLOG: usize = 1024;

/// An event of a call, as delivered by [`Stack::subscribe`](crate::Stack::subscribe).
///
/// It contains no path, query, header or body: only origin, method, and the [`Group`] and [`Label`] of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The number of the call: all events of one call have the same number. Counted from 1 while there is a subscriber.
    pub call: u64,
    /// The client that makes the call: its name, or its number. See [`StackBuilder::name`](crate::stack::StackBuilder::name).
    pub client: Arc<str>,
    /// Where the call goes.
    pub origin: Arc<str>,
    /// The group of the origin, where the request names one.
    pub group: Option<Group>,
    /// The method of the request.
    pub method: Method,
    /// The label of the request, if it has one.
    pub label: Option<Label>,
    /// The number of attempts started, the one of this event included.
    pub attempt: u32,
    /// The time since the start of the call.
    pub elapsed: Duration,
    /// What happened.
    pub kind: EventKind,
}

/// The kind of an event.
///
/// The end of an attempt is an [`Attempt`](EventKind::Attempt), followed by a [`Retry`](EventKind::Retry) if another attempt
/// follows. The last event of a call is its [`End`](EventKind::End).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// An attempt is over: its response is handed on, or it failed. What a body that streams comes to is told with the end
    /// of the call.
    #[non_exhaustive]
    Attempt {
        /// The status of its response, where there was one.
        status: Option<StatusCode>,
        /// The kind of its error, if it failed.
        error: Option<ErrorKind>,
        /// Where it was when it failed; `Body` for one that was answered.
        phase: Phase,
        /// How long it took.
        took: Duration,
    },
    /// It is repeated.
    #[non_exhaustive]
    Retry {
        /// The cause: a status, or a short form of the error of the attempt.
        cause: Arc<str>,
        /// The wait before the next attempt.
        delay: Duration,
    },
    /// Nothing was sent: the circuit is open, the origin unhealthy, or a 429 closed the gate for such calls.
    #[non_exhaustive]
    Refusal {
        /// What refused it: `Open`, `Unhealthy` or `RetryAfter`.
        error: ErrorKind,
        /// When a call has a chance again.
        retry_in: Duration,
        /// For how long the call waits to ask again; `None` where it ends with the refusal, or with what its last attempt
        /// came to.
        delay: Option<Duration>,
    },
    /// The call is over. One that has neither status nor error was dropped by its caller. A redirect that is followed is a
    /// call for each hop.
    #[non_exhaustive]
    End {
        /// The status of the response that it came to, where it came to one.
        status: Option<StatusCode>,
        /// What it failed with, where it did; also behind a status, for a body that streams.
        error: Option<ErrorKind>,
    },
}

/// Where the events of a stack are told. Costs one look at a flag while nobody listens.
#[derive(Default)]
pub(super) struct Listeners {
    /// Whether somebody may listen.
    any: AtomicBool,
    /// Made by the first who does.
    channel: OnceLock<broadcast::Sender<Event>>,
    calls: AtomicU64,
}

impl Listeners {
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Event> {
        let receiver = self.channel.get_or_init(|| broadcast::Sender::new(BACKLOG)).subscribe();
        self.any.store(true, Ordering::Release);
        receiver
    }

    #[inline]
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// The number of another call.
    pub(super) fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    #[cold]
    pub(super) fn tell(&self, event: Event) {
        let Some(channel) = self.channel.get() else { return };
        // The wakers of those who wait are theirs.
        shielded(|| {
            if channel.send(event).is_err() {
                self.any.store(false, Ordering::SeqCst);
                // Whoever came meanwhile has set the flag before, or is counted here.
                if channel.receiver_count() > 0 {
                    self.any.store(true, Ordering::SeqCst);
                }
            }
        });
    }
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listening = self.channel.get().map_or(0, broadcast::Sender::receiver_count);
        f.debug_tuple("Listeners").field(&listening).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        let kind = EventKind::End { status: None, error: None };
        let (client, origin) = ("1".into(), "http://a".into());
        let (group, label) = (None, None);
        let (method, elapsed) = (Method::GET, Duration::ZERO);
        Event { call: 1, client, origin, group, method, label, attempt: 0, elapsed, kind }
    }

    #[test]
    fn nobody_is_told_before_the_first_listens_and_after_the_last_has_gone() {
        let listeners = Listeners::default();
        assert!(!listeners.any() && listeners.channel.get().is_none(), "nothing is made for nobody");
        let (mut one, other) = (listeners.subscribe(), listeners.subscribe());
        drop(other);
        listeners.tell(event());
        assert!(listeners.any() && one.try_recv().is_ok());
        drop(one);
        listeners.tell(event());
        assert!(!listeners.any(), "the first that nobody hears is the last that is made");
        let mut late = listeners.subscribe();
        listeners.tell(event());
        assert!(listeners.any() && late.try_recv().is_ok());
    }
}
