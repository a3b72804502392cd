//! One event stream: what comes out of it, and what is to be said of its connection.

use crate::incident::{Dropped, Incident};
use crate::meters::{self, count};
use crate::runner::{Runner, Server};
use metrics::histogram;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;
use unwedge::retry::{self, Backoff, Jitter};
use unwedge::sse::{self, Event, Phase, Status};
use unwedge::supervise::Heartbeat;
use unwedge::{Body, BoxError, Client, breaker};

/// A larger event is left out. Its stream goes on.
const LARGEST: usize = 64 << 10;
/// So many events are known again when a server sends more than it was asked for.
const REMEMBERED: usize = 10_000;

/// Reads one server's events until the program ends. Where it fails for good it is started again, and goes on behind the
/// last event that was taken over, with what the failed stream remembers: no event is handled twice.
pub(crate) async fn follow(
    runner: Arc<Runner>,
    server: Arc<Server>,
    heart: Heartbeat,
) -> Result<(), BoxError> {
    let mut stream = match server.takes_stream() {
        Some(stream) => stream,
        None => connect(&runner, &server)?,
    };
    let mut status = stream.subscribe();
    let mut line = Line { runner: &runner, server: &server, last: stream.status(), since: None };
    loop {
        let parked = heart.parked("an event comes when something happens");
        let next = tokio::select! {
            biased;
            () = heart.cancelled() => return Ok(()),
            Ok(()) = status.changed() => {
                line.is(status.borrow_and_update().clone());
                continue;
            }
            next = stream.next() => next,
        };
        drop(parked);
        // What it says of itself may have changed in that very poll.
        line.is(stream.status());
        match next {
            Some(Ok(event)) => {
                let id = Arc::clone(&event.id);
                runner.receives(&server, event);
                server.taken_over(&id);
            }
            Some(Err(error)) if error.is_too_large() => {
                runner.book.received(&server.name, "", None);
                runner.book.dropped(&server.name, "", Dropped::TooLarge, &error.to_string());
            }
            Some(Err(error)) => {
                stream.reopen();
                server.keeps(stream);
                return Err(error.into());
            }
            None => {
                let _parked = heart.parked("its server says that there are no more events");
                heart.cancelled().await;
                return Ok(());
            }
        }
    }
}

fn connect(runner: &Runner, server: &Server) -> Result<sse::EventStream, BoxError> {
    let settings = &runner.settings;
    let mut backoff = Backoff::exponential(settings.first_reconnect)
        .cap(settings.longest_reconnect)
        .jitter(Jitter::Proportional(0.25));
    if let Some(seed) = runner.seed {
        backoff = backoff.seed(seed);
    }
    // No more than 1 s +-25 % at first, as is promised: one runner has a few streams, no server has ten thousand runners.
    let reconnect = sse::Reconnect::from(backoff).spread(Duration::ZERO).skip_duplicates(REMEMBERED);
    // A stream is one request at a time, with delays that grow: a circuit over it would only stretch them.
    let mut retries = retry::Settings::default();
    if let Some(seed) = runner.seed {
        let backoff = retries.get_backoff().clone().seed(seed);
        retries = retries.backoff(backoff);
    }
    let client =
        Client::builder().retry(retries).breaker(breaker::Settings::default().disabled(true)).build()?;
    let request = http::Request::get(&server.url).body(Body::empty())?;
    let stream = sse::Settings::default()
        .name(&*server.name)
        .reconnect(reconnect)
        .max_size(LARGEST, LARGEST)
        .last_event_id(server.position())
        .connect(client, request)?;
    Ok(stream)
}

impl Runner {
    fn receives(&self, server: &Server, event: Event) {
        let cluster = &server.name;
        let incident = match Incident::read(cluster, &event.id, event.data) {
            Ok(incident) => incident,
            Err((reason, why)) => {
                self.book.received(cluster, &event.id, None);
                return self.book.dropped(cluster, &event.id, reason, &why);
            }
        };
        self.book.received(cluster, &event.id, Some(incident.severity));
        if incident.severity < self.min_severity {
            return self.book.filtered(cluster, &incident);
        }
        let (severity, incident_id) = (incident.severity, incident.incident_id.clone());
        // Before the push: an agent may be at it before this line is over.
        let (event_id, summary) = (&*event.id, incident.summary.as_str());
        tracing::info!(cluster = &**cluster, event_id, incident_id, %severity, summary, "event");
        match self.queue.push(Arc::clone(cluster), incident) {
            Ok(_) => self.book.queued(cluster, &event.id, severity),
            Err(refused) => self.book.refused(cluster, &event.id, &refused.to_string()),
        }
        self.shows_depth(cluster);
    }
}

/// The connection of a stream, as it is shown outside.
struct Line<'a> {
    runner: &'a Runner,
    server: &'a Server,
    last: Status,
    since: Option<Instant>,
}

impl Line<'_> {
    /// Says what is new. Changes that came between two looks are told by the counts of the status.
    fn is(&mut self, now: Status) {
        let last = std::mem::replace(&mut self.last, now);
        let now = &self.last;
        let cluster = &*self.server.name;
        let causes = [(last.network, now.network), (last.server, now.server), (last.timeout, now.timeout)];
        for (reason, (before, after)) in meters::CAUSES.into_iter().zip(causes) {
            if after > before {
                count(meters::SSE_ERRORS, &[("cluster", cluster), ("reason", reason)], after - before);
            }
        }
        let again = now.connected - last.connected;
        // The first connection of this process is none that was made again.
        let first = u64::from(again > 0 && !self.server.met.swap(true, Ordering::Relaxed));
        count(meters::SSE_RECONNECTIONS, &[("cluster", cluster)], again - first);
        let (phase, cause) = (now.phase, now.cause);
        if again > 0 || phase != Phase::Connected {
            self.ends();
        }
        if phase == Phase::Connected && self.since.is_none() {
            self.since = Some(Instant::now());
            self.runner.connected.fetch_add(1, Ordering::Relaxed);
            meters::set(meters::SSE_ACTIVE, cluster, 1.0);
        }
        if again > 0 || phase != last.phase {
            let daemon = &self.runner.daemon;
            let cause = cause.filter(|_| phase != Phase::Connected).map(|cause| cause.as_str());
            let object = daemon.event("sse").with("cluster", cluster).with("state", phase.as_str());
            daemon.tell(&object.with("cause", cause));
        }
    }

    fn ends(&mut self) {
        let Some(since) = self.since.take() else { return };
        self.runner.connected.fetch_sub(1, Ordering::Relaxed);
        let cluster = &*self.server.name;
        meters::set(meters::SSE_ACTIVE, cluster, 0.0);
        histogram!(meters::SSE_DURATION, "cluster" => cluster.to_owned())
            .record(since.elapsed().as_secs_f64());
    }
}

/// However it ends: dropped, or in a panic.
impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.ends();
    }
}
