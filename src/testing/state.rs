//! What a peer, its pipes and its tasks share.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Reply;
use super::record::{Log, Received};
use super::reply::Act;
use super::request::Head;
use super::script::{Away, Script};

/// Connections served at once; further ones are turned away.
pub(super) const MAX_CONNECTIONS: usize = 4096;

/// What a connect meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Serve,
    Silent,
    Hang,
    Refuse,
}

#[derive(Debug)]
pub(super) struct Book {
    start: Instant,
    pub(super) main: Script,
    pub(super) routes: Vec<(String, Script)>,
    pub(super) log: Log,
}

#[derive(Debug, Default)]
pub(super) struct Tasks {
    pub(super) connections: JoinSet<()>,
    listeners: JoinSet<()>,
}

#[derive(Debug)]
pub(super) struct State {
    book: Mutex<Book>,
    /// `None` once the peer is dropped.
    tasks: Mutex<Option<Tasks>>,
    pub(super) knocks: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) open: AtomicUsize,
    /// A request arrived.
    pub(super) news: Notify,
    /// The server went or came, not by the clock.
    pub(super) changed: Notify,
}

impl State {
    pub(super) fn new() -> State {
        let book =
            Book { start: Instant::now(), main: Script::new(), routes: Vec::new(), log: Log::default() };
        State {
            book: Mutex::new(book),
            tasks: Mutex::new(Some(Tasks::default())),
            knocks: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            news: Notify::new(),
            changed: Notify::new(),
        }
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tasks(&self) -> MutexGuard<'_, Option<Tasks>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a listener as long as the peer lives.
    pub(super) fn spawn_listener(&self, listener: impl Future<Output = ()> + Send + 'static) {
        if let Some(tasks) = self.tasks().as_mut() {
            tasks.listeners.spawn(listener);
        }
    }

    pub(super) fn knocked(&self) {
        self.knocks.fetch_add(1, Ordering::AcqRel);
    }

    /// What the script says to a connect; a reply to a connect is used up by it.
    pub(super) fn door(&self) -> Door {
        let mut book = self.book();
        let now = book.start.elapsed();
        let door = match book.main.peek(now).map(|reply| &reply.act) {
            Some(Act::Refuse) => Door::Refuse,
            Some(Act::ConnectHang) => Door::Hang,
            Some(Act::Silent) => Door::Silent,
            _ => Door::Serve,
        };
        if door != Door::Serve {
            book.main.take(now);
        }
        door
    }

    /// Whether the server is away by the clock, in times of the clock.
    pub(super) fn away(&self) -> (Away, Instant) {
        let book = self.book();
        (book.main.away(book.start.elapsed()), book.start)
    }

    /// When the server goes away next.
    pub(super) fn goes_away(&self) -> Option<Instant> {
        match self.away() {
            (Away::From(t), start) => start.checked_add(t),
            // It went between the accept and now.
            (Away::Now { .. }, _) => Some(Instant::now()),
            (Away::Not, _) => None,
        }
    }

    /// Records a request by its head and finds the reply.
    pub(super) fn arrived(&self, head: &Head, connection: u64) -> (u64, Received, Reply) {
        let mut received = received(head, connection);
        let mut book = self.book();
        received.at = book.start.elapsed();
        let reply = book.reply(&received);
        received.ran_out = reply.is_none();
        let id = book.log.push(received.clone());
        // The reply may have been the last before the server is away for good.
        let away = matches!(book.main.away(received.at), Away::Now { .. });
        drop(book);
        self.news.notify_waiters();
        if away {
            self.changed.notify_waiters();
        }
        let reply = reply.unwrap_or_else(|| {
            let line =
                format!("the peer's script has nothing left for {} {}\n", received.method, received.target);
            Reply::status(500).header("content-type", "text/plain").body(line)
        });
        (id, received, reply)
    }

    /// Records a request that came too late to be answered.
    pub(super) fn arrived_late(&self, head: &Head, connection: u64) {
        {
            let mut book = self.book();
            let at = book.start.elapsed();
            let mut received = received(head, connection);
            received.at = at;
            book.log.push(received);
        }
        self.news.notify_waiters();
    }

    /// The body of request `id` has arrived, or as much of it as came.
    pub(super) fn body(&self, id: u64, received: &Received) {
        self.book().log.body(id, received);
    }

    pub(super) fn reset(&self) {
        let connections = self.tasks().as_mut().map(|tasks| std::mem::take(&mut tasks.connections));
        drop(connections);
        {
            let mut book = self.book();
            book.start = Instant::now();
            book.main.rewind();
            book.routes.iter_mut().for_each(|(_, script)| script.rewind());
            book.log.clear();
        }
        self.knocks.store(0, Ordering::Release);
        self.connections.store(0, Ordering::Release);
        self.changed.notify_waiters();
    }
}

impl Book {
    fn reply(&mut self, received: &Received) -> Option<Reply> {
        let now = received.at;
        let own = self.routes.iter_mut().find(|(pattern, _)| fits(pattern, received));
        own.map_or(&mut self.main, |(_, script)| script).take(now)
    }
}

fn fits(pattern: &str, received: &Received) -> bool {
    let (method, path) = match pattern.split_once(' ') {
        Some((method, path)) => (Some(method), path),
        None => (None, pattern),
    };
    let path = match path.strip_suffix('*') {
        Some(start) => received.path().starts_with(start),
        None => received.path() == path,
    };
    path && method.is_none_or(|m| received.method.as_str().eq_ignore_ascii_case(m))
}

fn received(head: &Head, connection: u64) -> Received {
    Received {
        method: head.method.clone(),
        version: head.version,
        target: head.target.clone(),
        headers: head.headers.clone(),
        body: Bytes::new(),
        body_len: 0,
        complete: head.body.is_empty(),
        connection,
        at: Duration::ZERO,
        ran_out: false,
    }
}

/// A connection that is counted as open.
pub(super) struct Open {
    pub(super) state: Arc<State>,
    pub(super) number: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.state.open.fetch_sub(1, Ordering::AcqRel);
    }
}
