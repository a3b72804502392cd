//! The stream that connects again: one state machine over the parser, the back-off and the clocks.

mod connect;
mod lost;
mod poll;
mod read;
mod reconnection;
mod refused;
mod shown;

use super::cadence::Cadence;
use super::parser::{Event, Parser};
use super::recent_ids::RecentIds;
use super::settings::Settings;
use super::state::{Phase, Status};
use super::verdict::{self, Rules, Verdict};
use crate::body::Body;
use crate::collect::coded;
use crate::coop::Yield;
use crate::deadline::{Timer, outside};
use crate::error::{Error, ErrorKind};
use crate::inflight::owner::Cancelled;
use crate::retry::Backoff;
use crate::retry::after::retry_after;
use crate::retry::backoff::Rng;
use crate::telemetry;
use bytes::Bytes;
use connect::{Connect, Opening};
use http::{HeaderMap, Request, Response};
use refused::Refused;
use shown::Shown;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::Instant;
use tower_service::Service;

/// A stream of events from a server, over as many connections as necessary. The [module](super) lists its limits.
///
/// It also implements [`Stream`](futures_core::Stream). It has no task of its own: without a poll nothing happens, and data
/// from the server waits in the connection.
///
/// # Cancellation safety
/// [`next`](EventStream::next) loses nothing when it is dropped; the following one goes on where it was. Dropping the
/// stream closes its connection, and nothing more is sent.
#[doc(alias("EventSource", "server_sent_events"))]
pub struct EventStream {
    settings: Settings,
    name: String,
    connect: Connect,
    backoff: Backoff,
    rng: Rng,
    /// How often it was lost or not made since the last success, that loss included, and the wait drawn last.
    failures: u32,
    /// Connects since then, the one under way included.
    tries: u32,
    last_wait: Option<Duration>,
    /// Nothing was waited for since it was connected.
    was_connected: bool,
    /// Answers since then that would have ended it for good, and the headers that the caller has renewed.
    refusals: u32,
    renewed: HeaderMap,
    /// The longest silence, as long as no other is learnt.
    idle: Duration,
    parser: Parser,
    cadence: Cadence,
    seen: RecentIds,
    link: Link,
    timer: Pin<Box<Timer>>,
    yields: Yield,
    /// The end of the program, and whether what may lie ready then has had its turn.
    cancelled: Cancelled,
    last_turn: bool,
    /// Since when somebody waits in vain for the next byte.
    silent_since: Option<Instant>,
    /// The last event, or the connect.
    event_at: Instant,
    /// A bound was reached late, and what may lie ready has until then.
    grace: Option<Instant>,
    /// The same for the next event, which comments do not touch.
    events_grace: Option<Instant>,
    status: watch::Sender<Status>,
    shown: Arc<Shown>,
}

/// Which clock ran out.
#[derive(Clone, Copy)]
pub(super) enum Bound {
    Headers,
    Idle,
    Events(Duration),
}

/// Where the connection of the stream stands.
enum Link {
    Start,
    Opening(Opening, Instant),
    Open(Body, Bytes),
    Refused(Box<Refused>),
    Waiting(Instant),
    Ended,
}

impl EventStream {
    pub(super) fn new<S, B>(settings: Settings, service: S, request: Request<B>) -> Result<EventStream, Error>
    where
        S: Service<Request<B>, Response = Response<Body>, Error = Error> + Clone + Send + 'static,
        S::Future: Send + 'static,
        B: Send + 'static,
    {
        let connect = Connect::new(service, request, settings.reconnect.repeat)?;
        let idle = settings.idle_of(connect.again);
        let origin = connect.origin.to_string();
        let name = settings.name.clone().unwrap_or_else(|| origin.clone());
        let status = watch::Sender::new(Status::new());
        Ok(EventStream {
            shown: Shown::new(&name, &origin, status.subscribe()),
            name,
            connect,
            backoff: settings.reconnect.backoff.clone(),
            rng: settings.reconnect.backoff.rng(),
            failures: 0,
            tries: 0,
            last_wait: None,
            was_connected: false,
            refusals: 0,
            renewed: HeaderMap::new(),
            idle,
            parser: Parser::new(settings.sizes, settings.last_id.as_str().into()),
            cadence: Cadence::new(idle),
            seen: RecentIds::new(settings.reconnect.duplicates),
            link: Link::Start,
            timer: Box::pin(Timer::default()),
            yields: Yield::default(),
            cancelled: Cancelled::default(),
            last_turn: false,
            silent_since: None,
            event_at: Instant::now(),
            grace: None,
            events_grace: None,
            status,
            settings,
        })
    }

    /// The next event; `None` once the stream is over for good.
    ///
    /// # Errors
    /// Kind `TooLarge` for an event that was skipped; the stream goes on. Any other error ends the stream: see
    /// [what ends it](super#what-ends-it). A loss that leads to a reconnect is no error; [`status`](EventStream::status)
    /// shows it.
    ///
    /// # Cancellation safety
    /// Nothing is lost when it is dropped.
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// The last id that the server sent with or before a complete event; empty if there is none. A reconnect sends it, and
    /// [`Settings::last_event_id`] accepts it.
    pub fn last_event_id(&self) -> &str {
        self.parser.last_id()
    }

    /// Reopens a stream that has ended: its next call of [`next`](EventStream::next) reconnects. It keeps the last id, the ids
    /// remembered by [`skip_duplicates`](super::Reconnect::skip_duplicates), and its counts. It has no effect on a stream
    /// that has not ended.
    ///
    /// For a loop that is restarted after an error: a new stream could return an event twice.
    ///
    /// ```no_run
    /// # async fn run(stream: &mut unwedge::sse::EventStream) -> Result<(), unwedge::Error> {
    /// while let Some(event) = stream.next().await {
    ///     match event {
    ///         Ok(event) => println!("{}", event.data),
    ///         Err(error) if error.is_too_large() => {}
    ///         Err(error) => {
    ///             stream.reopen();
    ///             return Err(error);
    ///         }
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn reopen(&mut self) {
        if matches!(self.link, Link::Ended) {
            self.link = Link::Start;
            self.status.send_modify(|status| status.phase = Phase::Idle);
        }
    }

    /// The present state of the stream.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Subscribes to changes of the state. The last one is [`Phase::Ended`], also when the stream is dropped.
    pub fn subscribe(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    fn rules(&self) -> Rules {
        Rules { mode: self.settings.reconnect.mode, again: self.connect.again }
    }

    /// Sends the request.
    fn start(&mut self) -> Option<Error> {
        let now = Instant::now();
        if self.connect.ends.is_some_and(|ends| now >= ends) {
            let error = Error::new(ErrorKind::Deadline, "the deadline of the event stream has passed");
            return Some(self.fail(error));
        }
        self.tries = self.tries.saturating_add(1);
        let attempt = self.tries;
        self.status.send_modify(|status| (status.phase, status.attempt) = (Phase::Connecting, attempt));
        self.grace = None;
        let opening = outside(|| (self.connect.open)(self.parser.last_id(), &self.renewed));
        self.link = Link::Opening(opening, now);
        None
    }

    /// The response head, or what there was in its place.
    fn answered(&mut self, answer: Result<Response<Body>, Error>) -> Option<Error> {
        let (head, body) = match answer {
            Ok(answer) => answer.into_parts(),
            Err(error) => return self.broke(error),
        };
        #[expect(clippy::disallowed_methods, reason = "a date in Retry-After is wall-clock time")]
        let asked = retry_after(&head.headers, SystemTime::now());
        match verdict::of_head(self.rules(), &head, asked) {
            Verdict::Read => {
                let last_id = Arc::clone(self.parser.last_id());
                self.parser = Parser::new(self.settings.sizes, last_id);
                self.cadence.connected();
                self.seen.connected();
                (self.silent_since, self.grace) = (None, None);
                (self.event_at, self.events_grace) = (Instant::now(), None);
                telemetry::log::stream::connected(&self.name, self.tries);
                self.status.send_modify(|status| {
                    status.phase = Phase::Connected;
                    status.connected += 1;
                });
                (self.failures, self.tries, self.last_wait) = (0, 0, None);
                (self.was_connected, self.refusals) = (true, 0);
                self.link = Link::Open(body, Bytes::new());
                None
            }
            Verdict::Stop => {
                self.is_over();
                None
            }
            Verdict::Again(error) if !self.gives_up(&error) => self.again(error, None),
            Verdict::Again(error) | Verdict::Fatal(error) => {
                // What nobody can read is nothing to show.
                let body = if coded(&head.headers).is_some() { refused::nothing() } else { body };
                self.refused(error, (head.status, head.headers), asked, body)
            }
        }
    }
}

impl futures_core::Stream for EventStream {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.link = Link::Ended;
        self.status
            .send_if_modified(|status| std::mem::replace(&mut status.phase, Phase::Ended) != Phase::Ended);
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.borrow().clone();
        f.debug_struct("EventStream")
            .field("name", &self.name)
            .field("status", &status)
            .finish_non_exhaustive()
    }
}
