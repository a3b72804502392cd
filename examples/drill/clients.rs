//! The two clients: what careful code has today, and unwedge.

use crate::scenarios::{FACTOR, HOLD, Manner, ms};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use unwedge::retry::{Backoff, Jitter};
use unwedge::{Client, Error, Limits, breaker, long_poll, preflight, retry};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Plain,
    Unwedge,
}

/// How often the plain client tries, and how long it waits in between: 1 s outside.
const TRIES: u32 = 3;
const WAIT: Duration = Duration::from_millis(50);
/// What unwedge grants a long poll on top of its hold.
const GRACE: Duration = Duration::from_secs(5);

impl Which {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Which::Plain => "plain",
            Which::Unwedge => "unwedge",
        }
    }

    /// The longest that a call may take by what this client was told.
    pub(crate) fn bound(self, manner: Manner, poll: bool) -> Duration {
        match self {
            _ if poll => HOLD + GRACE,
            Which::Plain => TRIES * manner.total() + (TRIES - 1) * WAIT,
            Which::Unwedge => manner.total(),
        }
    }
}

/// What the agent asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// A call of the control plane that may be repeated.
    Work,
    /// The server says something when there is something to say.
    Poll,
}

/// Why there is no answer.
pub(crate) struct Trouble {
    /// Nothing was sent.
    pub(crate) refused: bool,
    /// When to come back, where the client knows.
    pub(crate) retry_in: Option<Duration>,
}

impl Manner {
    /// The deadline of a call. The plain client has the same for its response head.
    pub(crate) fn total(self) -> Duration {
        match self {
            Manner::Prompt => outside(30),
            Manner::Patient => outside(30 * 60),
        }
    }
}

/// Seconds outside on the drill's clock.
fn outside(seconds: u64) -> Duration {
    Duration::from_secs(seconds) / FACTOR
}

#[derive(Clone)]
pub(crate) enum Caller {
    Plain(Arc<Plain>),
    Unwedge(Client),
}

impl Caller {
    pub(crate) fn new(which: Which, manner: Manner) -> Result<Caller, Error> {
        Ok(match which {
            Which::Plain => Caller::Plain(Arc::new(Plain::new(manner.total()))),
            Which::Unwedge => Caller::Unwedge(unwedge(manner)?),
        })
    }

    pub(crate) async fn call(&self, ask: Ask, url: &str) -> Result<(), Trouble> {
        match self {
            Caller::Plain(plain) => {
                plain.call(ask, url).await.map_err(|_| Trouble { refused: false, retry_in: None })
            }
            Caller::Unwedge(client) => call(client, ask, url).await,
        }
    }

    /// Which attempt is under way, for the live view.
    pub(crate) fn attempt(&self) -> Option<u32> {
        match self {
            Caller::Plain(plain) => Some(plain.trying.load(Ordering::Relaxed)).filter(|attempt| *attempt > 0),
            Caller::Unwedge(client) => {
                let calls = client.in_flight().snapshot();
                calls.iter().find(|call| call.long_poll.is_none()).map(|call| call.attempt)
            }
        }
    }
}

/// The defaults of the crate, or for a patient agent those of one that checks in every few minutes, both at 1:20. Its
/// back-off ends at 20 s instead of 5 min, for which the drill is too short.
fn unwedge(manner: Manner) -> Result<Client, Error> {
    let limits =
        Limits::default().total(manner.total()).attempt(outside(10)).connect(outside(5)).idle(outside(10));
    let backoff = |base, cap| Backoff::exponential(outside(base)).cap(outside(cap));
    let breaker = breaker::Settings::default().hang_after(outside(1)).lease(outside(16));
    let open = backoff(5, 60).jitter(Jitter::Proportional(0.1));
    let client = Client::builder().limits(limits);
    match manner {
        Manner::Prompt => {
            let half_a_second = Backoff::exponential(outside(1) / 2).cap(outside(10));
            client.retry(retry::Settings::default().backoff(half_a_second)).breaker(breaker.open(open))
        }
        Manner::Patient => {
            let patient = backoff(5, 20).jitter(Jitter::None);
            let retry = retry::Settings::default().max_retries(10).backoff(patient).wait_when_refused(true);
            let health = preflight::Settings::new("/health").interval(outside(30)).timeout(outside(5));
            client.retry(retry).breaker(breaker.open(outside(30)).half_open(3, 1)).health(health)
        }
    }
    .build()
}

async fn call(client: &Client, ask: Ask, url: &str) -> Result<(), Trouble> {
    let request = match ask {
        Ask::Work => client.get(url),
        Ask::Poll => {
            client.get(url).long_poll(long_poll!("the broker parks it until there is a job").up_to(HOLD))
        }
    };
    let trouble = |error: Error| Trouble { refused: error.attempts() == 0, retry_in: error.retry_in() };
    let response = request.send().await.map_err(trouble)?;
    let (status, attempts) = (response.status(), response.attempts());
    response.bytes().await.map_err(trouble)?;
    if says_no(status) {
        return Err(Trouble { refused: false, retry_in: attempts.retry_after });
    }
    Ok(())
}

fn says_no(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// hyper-util's client, used with care: a limit on the wait for the response head, three tries, a pause between them.
pub(crate) struct Plain {
    client: legacy::Client<HttpConnector, Full<Bytes>>,
    total: Duration,
    trying: AtomicU32,
}

/// No answer, for whatever reason.
struct Failed;

impl Plain {
    fn new(total: Duration) -> Plain {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(ms(250)));
        connector.set_nodelay(true);
        #[allow(
            clippy::disallowed_methods,
            reason = "the client to compare with: its one timeout is around each call"
        )]
        let client = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Plain { client, total, trying: AtomicU32::new(0) }
    }

    async fn call(&self, ask: Ask, url: &str) -> Result<(), Failed> {
        let response = match ask {
            Ask::Work => self.tried(url).await,
            // Every careful author exempts the long poll from the limit.
            Ask::Poll => self.client.request(request(url)?).await.map_err(|_| Failed),
        }?;
        let status = response.status();
        let read = response.into_body().collect().await;
        if ask == Ask::Work {
            self.trying.store(0, Ordering::Relaxed);
        }
        match read {
            Ok(_) if !says_no(status) => Ok(()),
            _ => Err(Failed),
        }
    }

    async fn tried(&self, url: &str) -> Result<Response<Incoming>, Failed> {
        for attempt in 1..=TRIES {
            self.trying.store(attempt, Ordering::Relaxed);
            match timeout(self.total, self.client.request(request(url)?)).await {
                Ok(Ok(response)) if attempt == TRIES || !says_no(response.status()) => return Ok(response),
                _ if attempt < TRIES => sleep(WAIT).await,
                _ => {}
            }
        }
        self.trying.store(0, Ordering::Relaxed);
        Err(Failed)
    }
}

fn request(url: &str) -> Result<Request<Full<Bytes>>, Failed> {
    Request::get(url).body(Full::default()).map_err(|_| Failed)
}
