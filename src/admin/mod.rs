//! What a program that runs unattended shows of itself over HTTP: probes, JSON, metrics, and a page for people.
//!
//! ```no_run
//! use std::time::Duration;
//! use unwedge::admin::Admin;
//! use unwedge::supervise::{Supervisor, ctrl_c};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), unwedge::Error> {
//! let stack = unwedge::StackLayer::default(); // or a Client, or the middleware of reqwest
//! let mut crew = Supervisor::new();
//! crew.spawn("relay", Duration::from_secs(60), |heart| async move {
//!     while heart.rest(Duration::from_secs(30)).await {
//!         heart.progress();
//!     }
//! });
//!
//! let admin = Admin::new(&crew)
//!     .breakers(stack.breakers())
//!     .calls(stack.in_flight())
//!     .expect(["relay"], Duration::from_secs(120))
//!     .serve("127.0.0.1:0")
//!     .await?;
//! println!("{}", admin.url()); // http://127.0.0.1:40123
//!
//! let report = crew.run_until(ctrl_c(), Duration::from_secs(10)).await?;
//! drop(admin); // up to here /healthz answers 503, so that nothing new is sent this way
//! report.exit();
//! # }
//! ```
//!
//! | path | what it says |
//! | --- | --- |
//! | `/healthz` | 200; 503 while the crew is being ended. Never fails for an open circuit |
//! | `/healthz?strict` | also 503, with `{"stale":[names]}`, where an expected subsystem is stale: for an orchestrator that restarts what only looks alive |
//! | `/readyz` | 200, or 503 with what is not ready |
//! | `/admin` | the status page |
//! | `/admin/liveness` | every subsystem, as JSON |
//! | `/admin/breakers` | every circuit breaker, as JSON |
//! | `/admin/calls` | the calls in flight, oldest first, as JSON |
//! | `/admin/queues` | every [queue](crate::queue) of the process: depth, oldest item, what expired, its valve, as JSON |
//! | `/admin/streams` | every [event stream](crate::sse): state, last event, next try, as JSON |
//! | `/admin/processes` | every [child process](crate::child): command, pid, age and limit, as JSON |
//! | `/metrics` | the text that Prometheus reads, with feature `metrics` |
//! | `POST /admin/breakers/open`, `POST /admin/breakers/release` | with [`commands`](Admin::commands): forces a circuit open, closes it again |
//!
//! # Who may see it
//! There is no login: whoever can connect can read all of it, with URLs (without credentials and queries), reasons and
//! the messages of panics. [`serve`](Admin::serve) therefore takes an address, and the one to take is on loopback. Where
//! probes and scrapes come from outside, as in a pod, merge [`probes`](Admin::probes) into a server of your own and keep
//! the rest on loopback. A server on loopback answers only to IP addresses and `localhost` as its name, so that no web
//! page that a browser on the same machine has open can read it by way of a host name of its own.
//!
//! # What comes from outside
//! Heads are read up to 16 KiB, 64 fields and 5 s, the body of a command up to 4 KiB and 5 s. There are at most 64
//! connections: the oldest gives way to a new one, so that idle ones cannot keep a probe out. At most 8 pages are live
//! at a time. All text is escaped, and the page loads and runs nothing but itself.

mod command;
mod connection;
mod expect;
mod exposition;
mod health;
mod history;
mod json;
mod page;
mod program;
mod rendered;
mod reply;
mod routes;
#[cfg(feature = "metrics")]
mod scrape;
mod serve;
mod state;
mod text;

#[cfg(feature = "metrics")]
pub use scrape::{Scrape, prometheus, prometheus_builder};
pub use serve::Serving;
pub use state::Circuits;

use crate::Error;
use crate::duration::check;
use crate::inflight::InFlight;
use crate::supervise::Supervisor;
use expect::{Check, Expected};
use state::{Parts, State};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A token that is shorter can be guessed.
const TOKEN: usize = 16;

/// What is shown, and where. See the [module](self).
#[must_use = "nothing is shown before router() or serve()"]
#[doc(alias("healthz", "readyz", "liveness_probe", "readiness_probe", "dashboard"))]
pub struct Admin(Parts);

impl Admin {
    /// Shows this crew. Call it before the crew runs: the timeline of the page begins here.
    pub fn new(crew: &Supervisor) -> Admin {
        Admin(Parts {
            liveness: crew.liveness(),
            readiness: crew.readiness(),
            events: crew.events(),
            circuits: Vec::new(),
            calls: Vec::new(),
            checks: Vec::new(),
            closed: Vec::new(),
            expected: None,
            token: None,
            scrape: None,
            program: None,
        })
    }

    /// What the page calls this program, with its version. Default the name of its executable, without one.
    ///
    /// ```
    /// # use unwedge::{admin::Admin, supervise::Supervisor};
    /// # let crew = Supervisor::new();
    /// let admin = Admin::new(&crew).program(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    /// # drop(admin);
    /// ```
    pub fn program(mut self, name: &str, version: &str) -> Admin {
        self.0.program = Some(format!("{name} {version}").trim().to_owned());
        self
    }

    /// Shows these circuit breakers too: those of a stack, or a [`Breaker`](crate::breaker::Breaker) of its own. May be
    /// called for each.
    pub fn breakers(mut self, circuits: impl Into<Circuits>) -> Admin {
        self.0.circuits.push(circuits.into());
        self
    }

    /// Shows the calls in flight of this stack too. May be called for each.
    pub fn calls(mut self, calls: InFlight) -> Admin {
        self.0.calls.push(calls);
        self
    }

    /// Names the subsystems that have to be healthy, as [`Liveness::is_healthy`](crate::supervise::Liveness::is_healthy) understands it. Where nobody is named,
    /// every subsystem of the crew has to be, each by its own threshold.
    ///
    /// An empty list and a threshold of zero are errors of [`router`](Admin::router).
    pub fn expect<N: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = N>,
        stale_after: Duration,
    ) -> Admin {
        self.0.expected = Some(Expected { names: names.into_iter().map(Into::into).collect(), stale_after });
        self
    }

    /// Not ready unless the circuit of this origin, or the breaker of this name, is closed. An origin that was never
    /// called has no breaker yet, and counts as closed. Default: open circuits do not make a program unready.
    pub fn ready_when_closed(mut self, origin: impl Into<String>) -> Admin {
        self.0.closed.push(origin.into());
        self
    }

    /// Not ready while this returns an error, which is shown.
    ///
    /// It is asked by every probe and, while somebody looks at the page, twice a second. It runs on a thread of the
    /// runtime and must not block. A panic in it counts as an error.
    pub fn check(
        mut self,
        name: impl Into<String>,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Admin {
        self.0.checks.push(Check { name: name.into(), ask: Box::new(check) });
        self
    }

    /// Lets whoever has this token force a circuit open, and release it. Off by default.
    ///
    /// ```sh
    /// curl -H "authorization: Bearer $TOKEN" --data-urlencode origin=https://api.example \
    ///      http://127.0.0.1:8081/admin/breakers/open
    /// ```
    ///
    /// Further fields choose a `group`, and the `client` (see [`StackBuilder::name`](crate::stack::StackBuilder::name)) where
    /// several talk to one origin; without it all of them are told.
    ///
    /// A token that is shorter than 16 bytes is an error of [`router`](Admin::router).
    pub fn commands(mut self, token: impl Into<String>) -> Admin {
        // Read from a file it ends in a line break, which no header can.
        self.0.token = Some(token.into().trim().to_owned());
        self
    }

    /// What `/metrics` answers: the handle that [`prometheus`] returned, or one of your own.
    #[cfg(feature = "metrics")]
    pub fn metrics(mut self, scrape: impl Into<Scrape>) -> Admin {
        self.0.scrape = Some(Arc::new(scrape.into()));
        self
    }

    /// All endpoints, to be merged into a router of your own.
    ///
    /// Your server then has to bound what [`serve`](Admin::serve) bounds: heads, connections, and the time they take.
    /// Called inside a runtime, it collects from then on what the timeline of the page shows; outside, from the first
    /// request on. It stops when the last clone of the router is gone.
    ///
    /// ```
    /// # use unwedge::{admin::Admin, supervise::Supervisor};
    /// # let crew = Supervisor::new();
    /// let app = axum::Router::<()>::new().merge(Admin::new(&crew).router()?);
    /// # Ok::<_, unwedge::Error>(())
    /// ```
    ///
    /// # Errors
    /// Kind `Config`: an expectation of nobody, a stale threshold of zero or above 10 years, a check whose name is blank
    /// or taken, a token that is too short.
    pub fn router(self) -> Result<axum::Router, Error> {
        Ok(routes::all(self.state()?))
    }

    /// `/healthz`, `/readyz` and `/metrics` alone, for a server that others can reach.
    ///
    /// # Errors
    /// As [`router`](Admin::router).
    pub fn probes(self) -> Result<axum::Router, Error> {
        Ok(routes::probes(self.state()?))
    }

    /// Serves all endpoints on this address, and bounds what comes from outside, until the returned handle is dropped.
    /// Port 0 takes a free one, and a port alone is one of loopback.
    ///
    /// # Errors
    /// As [`router`](Admin::router); and kind `Config` where `addr` is no `IP:PORT`, cannot be bound, or there is no
    /// runtime.
    pub async fn serve(self, addr: impl Into<Addr>) -> Result<Serving, Error> {
        let addr = addr.into().0?;
        serve::serve(addr, routes::served(self.state()?, addr.ip())).await
    }

    fn state(self) -> Result<Arc<State>, Error> {
        if let Some(expected) = &self.0.expected {
            if expected.names.is_empty() {
                return Err(Error::config("the list of expected subsystems is empty: name at least one"));
            }
            check("the stale threshold of the expected subsystems", expected.stale_after)?;
        }
        let mut names = HashSet::new();
        for check in &self.0.checks {
            if check.name.trim().is_empty() {
                return Err(Error::config("the name of a readiness check is blank: it is what /readyz says"));
            }
            if !names.insert(check.name.as_str()) {
                return Err(Error::config(format!("there are two readiness checks {:?}", check.name)));
            }
        }
        if let Some(token) = self.0.token.as_ref().filter(|token| token.len() < TOKEN) {
            return Err(Error::config(format!(
                "the token for commands has {} bytes: it needs {TOKEN}, or it can be guessed",
                token.len()
            )));
        }
        Ok(State::new(self.0))
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("expected", &self.0.expected)
            .field("commands", &self.0.token.is_some())
            .finish_non_exhaustive()
    }
}

/// Where to listen: an address, its text, or a port of loopback.
#[derive(Debug)]
pub struct Addr(Result<std::net::SocketAddr, Error>);

impl From<std::net::SocketAddr> for Addr {
    fn from(addr: std::net::SocketAddr) -> Addr {
        Addr(Ok(addr))
    }
}

/// This port of loopback.
impl From<u16> for Addr {
    fn from(port: u16) -> Addr {
        Addr(Ok((std::net::Ipv4Addr::LOCALHOST, port).into()))
    }
}

impl From<&str> for Addr {
    fn from(addr: &str) -> Addr {
        Addr(addr.parse().map_err(|_| {
            Error::config(format!("{addr:?} is no address to listen on: IP:PORT, like 127.0.0.1:0"))
        }))
    }
}
