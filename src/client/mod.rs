//! An HTTP client with deadline, retries, circuit breaker and stall guard by default.
//!
//! This file has the type itself; `builder` its settings, `methods` and `request` the construction of a request, `sending`
//! its way out.

mod attempt;
mod background;
#[cfg(feature = "blocking")]
pub mod blocking;
mod builder;
mod methods;
mod redirect;
mod request;
mod response;
mod sending;
mod stack_of;
mod status;
pub(crate) mod url;

pub use crate::transport::connect::stream::TokioStream;
pub use crate::transport::connect::tls::Tls;
pub use crate::transport::network::Network;
pub use crate::transport::pool::Connections;
pub use crate::transport::versions::{Http1, Http2};
pub use attempt::{Attempt, AttemptBody, AttemptFuture};
pub use builder::ClientBuilder;
pub use methods::get;
pub use redirect::Redirects;
pub use request::RequestBuilder;
pub use response::Response;
pub use sending::{ResponseFuture, Sending};
pub use url::IntoUrl;

use crate::bounded::{Bounded, Sealed};
use crate::inflight::InFlight;
use crate::stack::{Bounds, Breakers, Event, Stack};
use background::Background;
use http::{HeaderMap, Uri};
use std::fmt;
use std::sync::Arc;
use tokio::sync::broadcast;

/// An HTTP client whose every call ends: deadline, retry, circuit breaker and stall guard over a pool of connections.
///
/// Clones are cheap and share everything: connections, breakers, budgets and the table of calls in flight. Make one
/// and keep it.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), unwedge::Error> {
/// let client = unwedge::Client::new()?;
/// let jobs: Vec<String> = client.get("https://api.example.com/jobs").send().await?.json().await?;
/// # Ok(()) }
/// ```
///
/// It needs a tokio runtime of either flavour with timer and I/O enabled; without one a call returns an error of kind
/// `Config`. It spawns one or two tasks for each connection, one that closes idle connections, and one for each background
/// health check; each runs on the runtime of the call that started it. A client may outlive its runtime: connections that
/// ended with the runtime are replaced.
#[derive(Clone)]
pub struct Client(Arc<Parts>);

/// What all clones share: each call holds one, and counts but one owner.
struct Parts {
    stack: Stack<Attempt>,
    redirects: Redirects,
    /// What every request brings, where it brings nothing of its own by that name.
    headers: HeaderMap,
    /// With health checks in the background.
    background: Option<Background>,
}

impl Client {
    /// The circuit breakers of all origins.
    pub fn breakers(&self) -> Breakers {
        self.0.stack.breakers()
    }

    /// The calls in flight.
    pub fn in_flight(&self) -> InFlight {
        self.0.stack.in_flight()
    }

    /// Subscribes to the events of this client's calls from now on; each hop of a redirect is a call of its own: see
    /// [`StackLayer::subscribe`](crate::StackLayer::subscribe).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), unwedge::Error> {
    /// # use unwedge::testing::{Peer, Reply};
    /// # let peer = Peer::new().forever(Reply::ok("fine"));
    /// use unwedge::stack::EventKind;
    ///
    /// let client = unwedge::Client::builder().name("scheduler")
    /// #   .pipe(peer.pipe())
    ///     .build()?;
    /// let mut events = client.subscribe();
    /// client.get("http://api.example/jobs").send().await?;
    /// let event = events.try_recv().expect("an attempt was made");
    /// assert_eq!((&*event.client, &*event.origin, event.attempt), ("scheduler", "http://api.example", 1));
    /// assert!(matches!(event.kind, EventKind::Attempt { status: Some(status), .. } if status == 200));
    /// # Ok(()) }
    /// ```
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.stack.subscribe()
    }

    /// Sees to it that the origin of this URL is checked, where health checks run in the background.
    fn watch(&self, uri: &Uri) {
        if let Some(background) = &self.0.background {
            background.watch(&self.0.stack, uri);
        }
    }

    /// The longest time that a call can take, computed from the settings.
    pub fn bounds(&self) -> Bounds {
        self.0.stack.bounds()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("bounds", &self.bounds()).finish_non_exhaustive()
    }
}

impl Sealed for Client {}
#[diagnostic::do_not_recommend]
impl Bounded for Client {}
impl Sealed for &Client {}
#[diagnostic::do_not_recommend]
impl Bounded for &Client {}

#[cfg(test)]
mod tests;
