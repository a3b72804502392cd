//! The connections of a client, by a pool of our own over `hyper::client::conn`.
//!
//! It stands in the place of hyper-util's legacy client, which has announced its end, and which knows neither slots nor
//! age: it hands any number of requests to one HTTP/2 connection, where those beyond the limit of the server wait unseen
//! and are lost with it; it can neither be emptied nor told that a connection is worth nothing any more, but by poison that
//! others see when they are on it already; who led a connect takes all with them who wait for it; and twelve idle
//! connections that went stale cost twelve attempts. hyper-util's `client::pool` parts keep one connection (`singleton`)
//! or many (`cache`) behind a service each, with nothing to say which one a call takes, which is what this is about. Of
//! hyper-util stay executor, timer, connectors and the proxy matcher.
//!
//! ```text
//! Pool      the origins of a client, and who closes what is idle
//! Site      one origin: a lock around Origin, calls that wait, connects that go on in tasks
//! Origin ◆  which call takes which connection, when another is opened, when one is left
//! Entry  ◆  one connection: its slots, its age, what its server said of it
//! Lease     a connection in the hands of a call; given back when it is dropped, at any moment
//! Leaving   connections that no call uses any more, until they have ended
//! ```
//!
//! - **A slot comes before the hand-over.** What HTTP/2 connections say is read as it passes (`Streams`): a request is
//!   handed over once the settings are there and a stream is free. Until then it is unsent, waits in phase `Ready`, and
//!   says nothing about the server. Where all connections are full another one is opened.
//! - **What was not sent comes back whole**, and goes out on another connection.
//! - **Calls that end soon share nothing with those that may park**: long polls, event streams and requests with
//!   `Collect::never()` have connections of their own on HTTP/2. On HTTP/1 each call has one to itself anyway.
//! - **A connection is left** when it is old, when its server says so (`Keep-Alive: timeout=N`, GOAWAY, 421), when the
//!   machine has slept, when a call waited in vain and no other heard a word meanwhile; and it takes no further short call
//!   while bodies lie in it that nobody reads.
//! - **A connection at its age is kept until there is another one.** Where none can be made, or not within a second, it serves
//!   again for ten seconds, up to twice its age: what fails to connect is no outage of what is connected.
//! - **A connect belongs to no call.** It goes on when its call is given up, for a second where nobody else waits, and whoever
//!   waits is told what it died of. One that takes longer than that is not all that is waited for: a later call begins one of its own, and where
//!   streams are shared another one begins beside it.
//! - **A silent connection makes others suspect.** Where not a byte came for a call on HTTP/1 that had served before, those
//!   that were idle when it began are left, unless one as old has served meanwhile.

mod checkout;
mod connection;
mod dial;
mod dialer;
mod hint;
mod lease;
mod leaving;
mod link;
mod origin;
mod place;
mod settings;
mod site;
mod steps;
mod unread;

pub(super) use connection::Rules;
pub(super) use dialer::HEAD;
pub(super) use lease::Lease;
pub use settings::Connections;

use crate::body::Body;
use crate::error::{BoxError, Error};
use crate::inflight::{AskPool, came_back, taken};
use crate::retry::backoff::Rng;
use crate::reuse::{Fresh, Parked};
use crate::suspend::{WallClock, Watch};
use crate::sync::{Mutex, lock};
use crate::telemetry;
use crate::transport::connect::Connector;
use crate::transport::versions::{Http1, Http2};
use checkout::Checkout;
use connection::{Kind, Wish};
use dialer::Dialer;
use http::header::{ACCEPT, HOST};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::{Body as _, Incoming};
use site::Site;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

/// A connection that never served is replaced once by itself: whoever closes each one at once is an error to be told.
const FRESH_ONES: u32 = 1;
/// So seldom it is looked for what is idle, at least.
const SWEEP: Duration = Duration::from_secs(50);
/// And so often at most.
const PAUSE: Duration = Duration::from_secs(1);

type Key = (Scheme, Authority);

/// The connections of a client; all of them are left behind when the machine has slept.
pub(super) struct Pool {
    sites: Arc<Sites>,
    watch: Watch,
}

#[derive(Debug)]
struct Sites {
    by_key: Mutex<HashMap<Key, Arc<Site>>>,
    dialer: Arc<Dialer>,
    rules: Rules,
    /// The task that closes what is idle.
    sweeper: Mutex<Option<AbortHandle>>,
}

/// The response of a request, and what is left of its connection for the body.
pub(super) type Answer = (Response<Incoming>, Option<Lease>);
/// hyper's future of a response has no name, so that this one needs a box.
pub(super) type Answering = Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send>>;

impl Pool {
    pub(super) fn new(
        connector: Connector,
        spoken: (Http1, Http2),
        (rules, rng): (Rules, Rng),
        wall: WallClock,
    ) -> Pool {
        let dialer = Arc::new(Dialer::new(connector, spoken, rules, rng));
        let (by_key, sweeper) = (Mutex::default(), Mutex::default());
        Pool { sites: Arc::new(Sites { by_key, dialer, rules, sweeper }), watch: Watch::new(wall) }
    }

    pub(super) fn connector(&self) -> &Connector {
        self.sites.dialer.connector()
    }

    /// Tells what connections there are; empty once the pool is gone.
    pub(super) fn teller(&self) -> AskPool {
        let sites = Arc::downgrade(&self.sites);
        Box::new(move || {
            let all = sites.upgrade().map(|sites| sites.all()).unwrap_or_default();
            let now = Instant::now();
            all.iter().flat_map(|site| site.pooled(now)).collect()
        })
    }

    /// Sends this request on a connection of its origin.
    pub(super) fn request(&self, mut request: Request<Body>) -> Result<Answering, Error> {
        if let Some(gap) = self.watch.slept() {
            telemetry::log::slept(gap);
            self.sites.leave_all();
        }
        let site = self.sites.of(&mut request)?;
        self.sites.sweep_later();
        let wish = wish(&mut request);
        Ok(Box::pin(exchange(site, request, wish)))
    }
}

/// What this request needs of its connection.
fn wish(request: &mut Request<Body>) -> Wish {
    let fresh = request.extensions_mut().remove::<Fresh>().is_some();
    let streams = |accept: &HeaderValue| {
        let accept = accept.as_bytes();
        accept.len() >= 17 && accept[..17].eq_ignore_ascii_case(b"text/event-stream")
    };
    let parked = request.extensions_mut().remove::<Parked>().is_some()
        || request.headers().get(ACCEPT).is_some_and(streams);
    Wish { kind: if parked { Kind::Parked } else { Kind::Prompt }, fresh }
}

async fn exchange(site: Arc<Site>, mut request: Request<Body>, wish: Wish) -> Result<Answer, Error> {
    let uri = request.uri().clone();
    let is_head = request.method() == Method::HEAD;
    let mut fresh_ones = 0;
    loop {
        let mut lease = Checkout::new(&site, wish).await?;
        let Some(card) = lease.card().map(Arc::clone) else { unreachable!("it was just given") };
        let many = card.streams().is_some();
        if !many {
            request.headers_mut().entry(HOST).or_insert_with(|| site.host.clone());
            let form = form(request.method(), &uri, card.connected.is_proxied());
            *request.uri_mut() = form;
        }
        taken();
        let mut failed = match lease.send(request).await {
            Ok(mut response) => {
                card.connected.get_extras(response.extensions_mut());
                let (status, version) = (response.status(), response.version());
                if status == StatusCode::REQUEST_TIMEOUT {
                    // What is asked of it: whether it was said at the end of an idle connection.
                    response.extensions_mut().insert(card.meter.clone());
                }
                let ended = is_head && many || response.body().is_end_stream();
                let lease = lease.answered((&status, version, response.headers()), ended);
                return Ok((response, lease));
            }
            Err(failed) => failed,
        };
        let served = card.meter.was_reused();
        match failed.take_message() {
            Some(unsent) if served || fresh_ones < FRESH_ONES => {
                fresh_ones += u32::from(!served);
                came_back();
                request = unsent;
                request.uri_mut().clone_from(&uri);
                // The connection takes no more.
                lease.leave();
            }
            message => {
                let unsent = message.is_some();
                if served && !many && !unsent {
                    lease.was_stale();
                }
                let error = Error::from(BoxError::from(card.lost(failed.into_error(), unsent)));
                if error.inner().fault.unprocessed {
                    lease.leave();
                }
                return Err(error);
            }
        }
    }
}

/// What stands in the first line of a request of HTTP/1.
fn form(method: &Method, uri: &Uri, proxied: bool) -> Uri {
    let mut parts = http::uri::Parts::default();
    if *method == Method::CONNECT {
        parts.authority = uri.authority().cloned();
    } else if proxied {
        return uri.clone();
    } else {
        parts.path_and_query = Some(uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")));
    }
    Uri::from_parts(parts).unwrap_or_default()
}

impl Sites {
    fn of(&self, request: &mut Request<Body>) -> Result<Arc<Site>, Error> {
        let uri = request.uri();
        let (scheme, authority) = match (uri.scheme(), uri.authority()) {
            (Some(scheme), Some(authority)) => (scheme.clone(), authority.clone()),
            (None, Some(authority)) if request.method() == Method::CONNECT => {
                let secure = authority.port_u16() == Some(443);
                let key = (if secure { Scheme::HTTPS } else { Scheme::HTTP }, authority.clone());
                *request.uri_mut() = url(&key);
                key
            }
            _ => {
                return Err(Error::config(
                    "the URL of the request is not absolute: it names no server to connect to",
                ));
            }
        };
        let key = (scheme, authority);
        if let Some(site) = lock(&self.by_key).get(&key) {
            return Ok(Arc::clone(site));
        }
        let (uri, host) = (url(&key), host(&key));
        let site = Arc::new(Site::new(Arc::clone(&self.dialer), uri, host, self.rules));
        Ok(Arc::clone(lock(&self.by_key).entry(key).or_insert(site)))
    }

    fn all(&self) -> Vec<Arc<Site>> {
        lock(&self.by_key).values().map(Arc::clone).collect()
    }

    fn leave_all(&self) {
        for site in self.all() {
            site.with(Instant::now(), |origin| origin.retire_all());
            dial::go_on(&site);
        }
    }

    /// Sees to it that somebody closes what is idle, for as long as there is anything.
    fn sweep_later(self: &Arc<Self>) {
        {
            let sweeper = lock(&self.sweeper);
            if sweeper.as_ref().is_some_and(|task| !task.is_finished()) {
                return;
            }
        }
        let weak = Arc::downgrade(self);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        #[expect(clippy::disallowed_methods, reason = "its owner is the pool: aborted with its last handle")]
        let task = runtime.spawn(sweep(weak, self.rules.idle.clamp(PAUSE, SWEEP))).abort_handle();
        let before = lock(&self.sweeper).replace(task);
        if let Some(before) = before {
            before.abort();
        }
    }

    /// When to look again, while anything is left.
    fn sweep(&self, now: Instant) -> Option<Instant> {
        let within = |at: Instant| at.clamp(now + PAUSE, now + SWEEP);
        let mut next = None::<Instant>;
        for site in self.all() {
            let closes = site.with(now, |origin| origin.sweep(now));
            let at = within(closes.unwrap_or(now + SWEEP));
            // Whoever holds one is about to use it: here, in the table, and elsewhere.
            if !site.is_empty() || Arc::strong_count(&site) > 2 {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        lock(&self.by_key).retain(|_, site| Arc::strong_count(site) > 1 || !site.is_empty());
        let ends = self.dialer.leaving.sweep(now).map(within);
        next.into_iter().chain(ends).min()
    }
}

async fn sweep(sites: Weak<Sites>, every: Duration) {
    let mut next = Instant::now() + every;
    loop {
        sleep_until(next).await;
        let Some(sites) = sites.upgrade() else { return };
        let Some(at) = sites.sweep(Instant::now()) else { return };
        next = at;
    }
}

impl Drop for Sites {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.sweeper).take() {
            task.abort();
        }
    }
}

fn url((scheme, authority): &Key) -> Uri {
    let url = Uri::builder().scheme(scheme.clone()).authority(authority.clone()).path_and_query("/");
    url.build().unwrap_or_default()
}

/// What the `Host` of a request of HTTP/1 says.
fn host((scheme, authority): &Key) -> HeaderValue {
    let usual = match authority.port_u16() {
        None => true,
        Some(443) => *scheme == Scheme::HTTPS,
        Some(80) => *scheme == Scheme::HTTP,
        Some(_) => false,
    };
    let text = match authority.port_u16().filter(|_| !usual) {
        Some(port) => HeaderValue::try_from(format!("{}:{port}", authority.host())),
        None => HeaderValue::from_str(authority.host()),
    };
    text.unwrap_or(HeaderValue::from_static(""))
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("sites", &self.sites).finish_non_exhaustive()
    }
}
