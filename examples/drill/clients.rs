//! The three clients: two of what careful code has today, and unwedge.

mod plain;
mod plain_retry;

use crate::scenarios::{FACTOR, HOLD, Manner};
use http::StatusCode;
use plain::Plain;
use plain_retry::PlainRetry;
use std::time::Duration;
use unwedge::client::Network;
use unwedge::retry::{Backoff, Jitter};
use unwedge::{Client, Error, Limits, breaker, health, long_poll, retry};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Plain,
    PlainRetry,
    Unwedge,
}

/// What unwedge grants a long poll on top of its hold.
const GRACE: Duration = Duration::from_secs(5);

impl Which {
    pub(crate) const ALL: [Which; 3] = [Which::Plain, Which::PlainRetry, Which::Unwedge];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Which::Plain => "plain",
            Which::PlainRetry => "plain_retry",
            Which::Unwedge => "unwedge",
        }
    }

    /// The longest that a call may take by what this client was told.
    pub(crate) fn bound(self, manner: Manner, poll: bool) -> Duration {
        match self {
            _ if poll => HOLD + GRACE,
            Which::Plain => plain::bound(manner),
            Which::PlainRetry => plain_retry::bound(manner),
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
    Plain(Box<Plain>),
    PlainRetry(PlainRetry),
    Unwedge(Client),
}

impl Caller {
    /// What a client does not take of its settings, in its own words.
    pub(crate) fn new(which: Which, manner: Manner, http2: bool) -> Result<Caller, String> {
        Ok(match which {
            Which::Plain => Caller::Plain(Box::new(Plain::new(manner, http2))),
            Which::PlainRetry => Caller::PlainRetry(PlainRetry::new(manner, http2)?),
            Which::Unwedge => Caller::Unwedge(unwedge(manner, http2).map_err(|error| error.to_string())?),
        })
    }

    pub(crate) async fn call(&self, ask: Ask, url: &str) -> Result<(), Trouble> {
        let plain = |_| Trouble { refused: false, retry_in: None };
        match self {
            Caller::Plain(client) => client.call(ask, url).await.map_err(plain),
            Caller::PlainRetry(client) => client.call(ask, url).await.map_err(plain),
            Caller::Unwedge(client) => call(client, ask, url).await,
        }
    }
}

/// No answer, for whatever reason.
struct Failed;

/// The defaults of the crate, or for a patient agent those of one that checks in every few minutes, both at 1:20 but for
/// the second of quiet before a circuit opens, which is no setting. Its
/// back-off ends at 20 s instead of 5 min, for which the drill is too short.
fn unwedge(manner: Manner, http2: bool) -> Result<Client, Error> {
    let limits =
        Limits::default().total(manner.total()).attempt(outside(10)).connect(outside(5)).idle(outside(10));
    let backoff = |base, cap| Backoff::exponential(outside(base)).cap(outside(cap));
    let breaker = breaker::Settings::default().hang_after(outside(1)).lease(outside(11));
    let open = backoff(1, 15).multiplier(1.5).jitter(Jitter::Proportional(0.1));
    let network = Network::default().no_proxy();
    let network = if http2 { network.http2_only() } else { network };
    let client = Client::builder().limits(limits).network(network);
    match manner {
        Manner::Prompt => {
            let half_a_second = Backoff::exponential(outside(1) / 2).cap(outside(10));
            client.retry(retry::Settings::default().backoff(half_a_second)).breaker(breaker.open(open))
        }
        Manner::Patient => {
            let patient = backoff(5, 20).jitter(Jitter::None);
            let retry =
                retry::Settings::default().max_retries(10).backoff(patient).wait_when_refused(outside(1800));
            let health = health::Settings::new("/health").interval(outside(30)).timeout(outside(5));
            client
                .retry(retry)
                .breaker(breaker.open(Backoff::constant(outside(30))).half_open(3, 1))
                .health(health)
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
        return Err(Trouble { refused: false, retry_in: attempts.retry_in });
    }
    Ok(())
}

fn says_no(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}
