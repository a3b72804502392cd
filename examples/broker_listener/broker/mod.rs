//! A broker to listen to: the same protocol over the testing kit's server, and a journal that survives it.

mod desk;
mod journal;

use crate::Options;
use crate::common::Stop;
use crate::common::daemon::{Daemon, Done};
use crate::common::output::millis;
use desk::Desk;
use journal::{Entry, Journal};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use unwedge::testing::{Peer, Received, Reply};

/// It ends when it is dropped.
pub(crate) struct Broker {
    url: String,
    shop: Arc<Shop>,
    _peer: Peer,
}

struct Shop {
    books: Mutex<Books>,
    hold: Duration,
    /// Every so many control calls one is left without an answer.
    stall: Option<NonZeroU64>,
    control_calls: AtomicU64,
    /// Where its events are said, if it is a program of its own.
    daemon: Option<Daemon>,
}

struct Books {
    desk: Desk,
    journal: Journal,
    queued: u64,
    acquired: u64,
}

impl Broker {
    pub(crate) fn start(at: SocketAddr, options: &Options, daemon: Option<Daemon>) -> Result<Broker, Stop> {
        let journal = Journal::open(options.journal.as_deref());
        let (journal, past) = journal.map_err(|error| Stop::usage(format!("--journal: {error}")))?;
        let desk = Desk::new(past, options.job_every, options.jobs, Instant::now());
        let books = Mutex::new(Books { desk, journal, queued: 0, acquired: 0 });
        let (hold, stall) = (options.hold, options.stall);
        let shop = Arc::new(Shop { books, hold, stall, control_calls: AtomicU64::new(0), daemon });
        let reply = |of: fn(&Shop, &Received) -> Reply| {
            let shop = Arc::clone(&shop);
            Reply::by(move |request| of(&shop, request))
        };
        let control = |of: fn(&Shop, &Received) -> Reply| {
            let shop = Arc::clone(&shop);
            Reply::by(move |request| if shop.stalls() { Reply::hang() } else { of(&shop, request) })
        };
        let peer = Peer::new()
            .on("POST /token", control(Shop::token))
            .on("POST /session", control(Shop::session))
            .on("GET /message", reply(Shop::message))
            .on("POST /acquire", control(Shop::acquire))
            .on("DELETE /session/*", reply(Shop::leave))
            .forever(Reply::status(404));
        let at = peer.listen_on(at).map_err(|error| Stop::listen("--broker", at, error))?;
        Ok(Broker { url: format!("http://{at}"), shop, _peer: peer })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn done(&self) -> Done {
        let books = self.shop.books();
        Done::new(true).count("queued", books.queued).count("acquired", books.acquired)
    }
}

impl Shop {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stalls(&self) -> bool {
        let before = self.control_calls.fetch_add(1, Ordering::Relaxed);
        self.stall.is_some_and(|stall| (before + 1).is_multiple_of(stall.get()))
    }

    fn token(&self, _: &Received) -> Reply {
        object(&json!({ "token": self.books().desk.name("token", None) }))
    }

    fn session(&self, request: &Received) -> Reply {
        let key = request.header("idempotency-key");
        self.known(request, |books| object(&json!({ "session": books.desk.name("session", key) })))
    }

    /// Parks the request until there is a job, and no longer than the hold.
    fn message(&self, request: &Received) -> Reply {
        let session = request.query().and_then(|query| query.strip_prefix("session=")).unwrap_or_default();
        self.known(request, |books| {
            if !books.desk.knows("session", session) {
                return Reply::status(404);
            }
            let mut entries = Vec::new();
            let delivery = books.desk.deliver(Instant::now(), self.hold, &mut entries);
            if books.write(&entries).is_err() {
                return Reply::status(500);
            }
            let wait = delivery.map_or(self.hold, |delivery| delivery.after);
            if let Some(daemon) = self.daemon.as_ref().filter(|_| !wait.is_zero()) {
                daemon.tell(&daemon.event("parked").with("session", session).with("for_ms", millis(wait)));
            }
            match delivery {
                Some(delivery) => {
                    let id = delivery.job;
                    object(&json!({ "id": id, "job": format!("job-{id}") })).after(wait)
                }
                None => Reply::long_poll(wait),
            }
        })
    }

    fn acquire(&self, request: &Received) -> Reply {
        let body: Option<Value> = serde_json::from_slice(&request.body).ok();
        let job = body.as_ref().and_then(|body| body["job"].as_str()?.strip_prefix("job-")?.parse().ok());
        let Some(job) = job else { return Reply::status(400).body("no job\n") };
        let key = request.header("idempotency-key").unwrap_or_default();
        self.known(request, |books| {
            let mut entries = Vec::new();
            let status = books.desk.acquire(job, key, &mut entries);
            if books.write(&entries).is_err() {
                return Reply::status(500);
            }
            if let Some(daemon) = self.daemon.as_ref().filter(|_| !entries.is_empty()) {
                daemon.tell(&daemon.event("acquired").with("id", format!("job-{job}")));
            }
            Reply::status(status.as_u16())
        })
    }

    fn leave(&self, request: &Received) -> Reply {
        let session = request.path().trim_start_matches("/session/");
        self.known(request, |books| {
            books.desk.forget("session", session);
            Reply::status(204)
        })
    }

    /// For those alone whose token is known.
    fn known(&self, request: &Received, answer: impl FnOnce(&mut Books) -> Reply) -> Reply {
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let mut books = self.books();
        match token {
            Some(token) if books.desk.knows("token", token) => answer(&mut books),
            _ => Reply::status(401),
        }
    }
}

impl Books {
    fn write(&mut self, entries: &[Entry]) -> std::io::Result<()> {
        let acquired = entries.iter().filter(|entry| matches!(entry, Entry::Acquired(..))).count() as u64;
        self.acquired += acquired;
        self.queued += entries.len() as u64 - acquired;
        let written = self.journal.write(entries);
        if let Err(error) = &written {
            tracing::error!("the journal cannot be written: {error}");
        }
        written
    }
}

fn object(object: &Value) -> Reply {
    Reply::ok(object.to_string()).header("content-type", "application/json")
}
