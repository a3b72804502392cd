//! The scripted server.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use super::record::Received;
use super::script::Script;
use super::state::State;
use super::{Pipe, Reply, listen};

/// A scripted server that records what arrives.
///
/// It speaks HTTP/1.1, and HTTP/2 with a client that begins so (prior knowledge); see [`Reply`] for what a behaviour is
/// there. There is no TLS.
///
/// Each call adds one behaviour. A request uses up one reply, except where [`Script`] says otherwise:
///
/// ```
/// use unwedge::testing::{Peer, Reply};
///
/// let peer = Peer::new()
///     .then(Reply::status(502))
///     .then(Reply::hang())
///     .on("/health", Reply::status(204))
///     .on("POST /jobs/*", Reply::ok("done"))
///     .forever(Reply::ok("body"));
/// ```
///
/// Clients reach it in memory through [`pipe`](Peer::pipe), on a real socket after [`listen`](Peer::listen), or by both. The
/// clock of [`until`](Peer::until) and [`flap`](Peer::flap) starts with [`new`](Peer::new). Dropping the peer ends every
/// connection and stops listening. When the script is used up, it answers 500, and [`ran_out`](Peer::ran_out) is true.
#[derive(Debug)]
#[must_use = "a peer that is dropped refuses every connection"]
#[doc(alias("MockServer", "wiremock"))]
pub struct Peer {
    state: Arc<State>,
    alive: watch::Sender<()>,
}

impl Default for Peer {
    fn default() -> Peer {
        Peer::new()
    }
}

impl From<Script> for Peer {
    fn from(script: Script) -> Peer {
        Peer::new().script(|_| script)
    }
}

/// The script.
impl Peer {
    /// A peer without a script.
    pub fn new() -> Peer {
        Peer { state: Arc::new(State::new()), alive: watch::Sender::new(()) }
    }

    /// The next request gets this reply.
    pub fn then(self, reply: Reply) -> Peer {
        self.script(|s| s.then(reply))
    }

    /// The next `n` requests get this reply.
    pub fn times(self, n: u32, reply: Reply) -> Peer {
        self.script(|s| s.times(n, reply))
    }

    /// Every request gets this reply until `t`; see [`Script::until`].
    pub fn until(self, t: Duration, reply: Reply) -> Peer {
        self.script(|s| s.until(t, reply))
    }

    /// Every further request gets this reply.
    pub fn forever(self, reply: Reply) -> Peer {
        self.script(|s| s.forever(reply))
    }

    /// Is up and down in turn, by the clock; see [`Script::flap`].
    ///
    /// # Panics
    ///
    /// When both durations are zero.
    #[track_caller]
    pub fn flap(self, up: (Duration, Reply), down: (Duration, Reply)) -> Peer {
        self.script(|s| s.flap(up, down))
    }

    /// Requests for `pattern` have a script of their own: a reply for ever, or a [`Script`].
    ///
    /// A pattern is a path without its query; a `*` at its end stands for any rest; a method may stand before it, as in
    /// `"DELETE /session/*"`. The first pattern that fits is taken. Replies to connects belong into the main script:
    /// here [`Reply::refuse`] is a reset.
    pub fn on(self, pattern: &str, script: impl Into<Script>) -> Peer {
        let script = script.into();
        self.state.book().routes.push((pattern.to_owned(), script));
        self
    }

    fn script(self, f: impl FnOnce(Script) -> Script) -> Peer {
        {
            let mut book = self.state.book();
            book.main = f(std::mem::take(&mut book.main));
        }
        self
    }
}

/// The ways in.
impl Peer {
    /// An in-memory connector to this peer. It is cheap; all of them lead to the same peer.
    #[must_use]
    pub fn pipe(&self) -> Pipe {
        Pipe::new(self.state.clone(), self.alive.subscribe())
    }

    /// Listens on a free port of 127.0.0.1, on real sockets. May be called more than once.
    ///
    /// # Errors
    ///
    /// When no port can be had, or outside of a tokio runtime.
    pub fn listen(&self) -> io::Result<SocketAddr> {
        self.listen_on((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Listens on this address; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// When the address cannot be had, named in the message, or outside of a tokio runtime.
    pub fn listen_on(&self, addr: SocketAddr) -> io::Result<SocketAddr> {
        listen::start(&self.state, addr)
    }
}

/// What arrived.
impl Peer {
    /// The requests that arrived, in order; at most the first 10 000.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.state.book().log.kept().to_vec()
    }

    /// How many requests arrived.
    #[must_use]
    pub fn request_count(&self) -> u64 {
        self.state.book().log.count()
    }

    /// How many connections were accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::Acquire)
    }

    /// The number of connects, including those that were refused or left hanging. On real sockets the kernel refuses by
    /// itself, so this is the number of accepted ones.
    #[must_use]
    pub fn connects(&self) -> u64 {
        self.state.knocks.load(Ordering::Acquire)
    }

    /// How many connections are open now.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.state.open.load(Ordering::Acquire)
    }

    /// Whether a request came after the script was used up.
    #[must_use]
    pub fn ran_out(&self) -> bool {
        self.state.book().log.ran_out()
    }

    /// Waits until `n` requests have arrived, for at most `within`, and returns whether they have.
    pub async fn arrived(&self, n: u64, within: Duration) -> bool {
        let all = async {
            loop {
                let news = self.state.news.notified();
                if self.request_count() >= n {
                    return;
                }
                news.await;
            }
        };
        tokio::time::timeout(within, all).await.is_ok()
    }

    /// Resets the peer: empty counts and records, scripts at their beginning, the clock at zero, open connections ended. It goes on to
    /// listen.
    pub fn reset(&self) {
        self.state.reset();
    }
}

impl Pipe {
    /// Addresses with this host lead to another peer, for tests with several origins.
    #[must_use]
    pub fn host(mut self, host: &str, peer: &Peer) -> Pipe {
        self.hosts.push((host.into(), peer.pipe().main));
        self
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Taken out first: a task that ends takes the lock as well.
        let tasks = self.state.tasks().take();
        drop(tasks);
    }
}
