//! Looks at a stack from outside: its breaker and what it logs.

use crate::support::{SECOND, call, get};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tower_service::Service;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use unwedge::breaker::{Breaker, Phase, Settings, Transition};
use unwedge::retry::{self, Backoff, Jitter};
use unwedge::stack::StackBuilder;
use unwedge::testing::Peer;
use unwedge::{Body, Error, StackLayer};

/// The breaker of the one origin that these tests call.
pub(crate) fn breaker(layer: &StackLayer) -> Breaker {
    layer.breakers().of(&"http://peer.test/".parse().unwrap()).unwrap()
}

pub(crate) fn phase(layer: &StackLayer) -> Phase {
    breaker(layer).snapshot().phase
}

/// The phase, and how many failures in a row.
pub(crate) fn state(layer: &StackLayer) -> (Phase, u32) {
    let now = breaker(layer).snapshot();
    (now.phase, now.consecutive_failures)
}

/// The usual waits of an open circuit, exactly.
pub(crate) fn steady() -> Settings {
    Settings::default().open(Backoff::exponential(5 * SECOND).cap(60 * SECOND).jitter(Jitter::None))
}

/// Calls that are not repeated and wait for nothing, so that each is one piece of evidence.
pub(crate) fn each_once(settings: Settings) -> StackBuilder {
    StackLayer::builder().retry(sent_once()).breaker(settings)
}

/// No call is repeated, and none waits for anything.
pub(crate) fn sent_once() -> retry::Settings {
    retry::Settings::default().max_retries(0).wait_when_refused(Duration::ZERO)
}

pub(crate) fn judged(settings: Settings) -> StackLayer {
    each_once(settings).build().unwrap()
}

/// So many calls, one after the other, whatever comes of them.
pub(crate) async fn calls<S>(service: &S, n: usize)
where
    S: Service<Request<Full<Bytes>>, Response = Response<Body>, Error = Error> + Clone,
{
    for _ in 0..n {
        let _ = call(service, get("/")).await;
    }
}

/// Lets everything run that can run without time passing.
pub(crate) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// How many requests for the health endpoint, and how many others.
pub(crate) fn health_and_others(peer: &Peer) -> (usize, usize) {
    let all = peer.requests();
    let health = all.iter().filter(|r| r.path() == "/health").count();
    (health, all.len() - health)
}

/// The transitions since the last look.
pub(crate) fn told(news: &mut Receiver<Transition>) -> Vec<(Phase, Phase)> {
    std::iter::from_fn(|| news.try_recv().ok()).map(|t| (t.from, t.to)).collect()
}

/// What was logged on this thread: `LEVEL message field=value ..`, and spans as `span name field=value ..`.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Listens until the guard is dropped.
    pub(crate) fn listen() -> (Log, tracing::subscriber::DefaultGuard) {
        // With one dispatcher alive, tracing asks that of the thread which happens to meet a span first, and remembers
        // for all threads that nobody listens. With more it asks them all.
        static OTHERS: OnceLock<[tracing::Dispatch; 2]> = OnceLock::new();
        OTHERS.get_or_init(|| [(); 2].map(|()| tracing::Dispatch::new(Log::default())));
        let log = Log::default();
        let guard = tracing::subscriber::set_default(log.clone());
        (log, guard)
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// The lines of this crate with this text in them, and its spans as they began.
    pub(crate) fn with(&self, text: &str) -> Vec<String> {
        let begins = |line: &String| !line.starts_with("record ");
        self.lines().into_iter().filter(|line| begins(line) && line.contains(text)).collect()
    }

    /// What was recorded of spans later, with this text in it.
    pub(crate) fn recorded(&self, text: &str) -> Vec<String> {
        self.lines().into_iter().filter(|line| line.starts_with("record ") && line.contains(text)).collect()
    }

    fn note(&self, meta: &Metadata<'_>, line: Line) {
        if meta.target().starts_with("unwedge") {
            self.0.lock().unwrap().push(line.0);
        }
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = Line(format!("span {}", span.metadata().name()));
        span.record(&mut line);
        self.note(span.metadata(), line);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut line = Line("record".to_owned());
        values.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.note(event.metadata(), line);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
