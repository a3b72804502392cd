//! Retry: which outcomes are repeated, when, and how often. Back-off, budget, `Retry-After`.

pub(crate) mod after;
pub(crate) mod backoff;
pub(crate) mod budget;
pub(crate) mod claim;
pub(crate) mod classify;
pub(crate) mod free;
pub(crate) mod gate;
pub(crate) mod grpc;
pub(crate) mod head;
pub(crate) mod quota;
mod replay;

pub use backoff::{Backoff, Delays, Jitter};
pub use budget::Budget;
pub use classify::{Class, Evidence, Outcome, Repeat};
pub use head::RequestHead;
pub use replay::replay_empty;

pub use crate::options::Idempotent;

use crate::Error;
use crate::body::Replay;
use crate::duration::check;
use head::Classify;
use std::time::Duration;

/// Whether other calls wait too after a 429 (rate limit).
///
/// A 429 with `Retry-After`, or without it the reset time of `RateLimit`, closes a gate for calls with the same origin,
/// [`Group`](crate::Group), path (without query) and credential (`Authorization`, kept as a keyed hash). It stays closed
/// for that time, but at most 5 min; then one call probes. A call at a closed gate waits in phase `back_off`, at no cost
/// of an attempt or budget, if the wait fits its deadline. Otherwise it is refused at once, with kind
/// [`RetryAfter`](crate::ErrorKind::RetryAfter) and the time to come back. When the gate opens, the waiting calls start
/// spread over 1 s, or a tenth of the wait if that is longer, the nearest deadline first.
///
/// A 503 closes no gate, because it speaks for one replica (see [`retry_after_cap`](Settings::retry_after_cap)). A gate
/// does not count as a failure for the circuit breaker. An origin, or a group of it, has at most 1 024 gates; above that
/// the next one to open is dropped.
///
/// ```
/// use unwedge::retry::{Remember, Settings};
///
/// // An API whose responses have the rest of the quota in a header.
/// let settings = Settings::default().remember(Remember::Headers);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
#[doc(alias("rate_limit", "too_many_requests", "quota", "throttle"))]
pub enum Remember {
    /// Nothing: a 429 binds only its own call.
    Off,
    /// What a 429 says, for its path and credential.
    #[default]
    Path,
    /// What a 429 says, for its whole origin and group, whatever path and credential: for a server that counts by
    /// address.
    Origin,
    /// As `Path`, and what a good response says of a quota of which nothing remains: `RateLimit`, `RateLimit-Remaining`
    /// and `RateLimit-Reset`, or the same with `X-`, in seconds from now or from 1970. A reset above 5 min, and what
    /// cannot be read, is ignored.
    Headers,
}

/// Settings of retry: number of attempts, waits between them, and the retry budget.
///
/// | setting | default | why |
/// | --- | --- | --- |
/// | [`max_retries`](Settings::max_retries) | 3 | four attempts outlast a short restart; more need a longer total |
/// | [`backoff`](Settings::backoff) | full jitter over 500 ms, doubling, at most 10 s | spreads the clients of a server that comes back (AWS, "Exponential Backoff and Jitter") |
/// | [`budget`](Settings::budget) | 500 tokens, a retry costs 4, one token a second comes back | retries cannot multiply the load of an outage |
/// | [`retry_after_cap`](Settings::retry_after_cap) | 60 s, or the cap of the back-off if that is longer | a longer wait is the caller's decision |
/// | [`wait_when_refused`](Settings::wait_when_refused) | 3 s | the open waits of a short restart are shorter; in a longer outage calls are refused at once |
/// | [`remember`](Settings::remember) | of a path and credential | an earlier request would only use up the quota of others |
///
/// ```
/// use std::time::Duration;
/// use unwedge::retry::Settings;
///
/// let settings = Settings::default().max_retries(10);
/// assert_eq!((settings.get_max_retries(), settings.get_retry_after_cap()), (10, Duration::from_secs(60)));
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[must_use]
#[doc(alias("RetryPolicy", "RetryConfig"))]
pub struct Settings {
    pub(crate) max_retries: u32,
    pub(crate) backoff: Backoff,
    #[cfg_attr(feature = "serde", serde(with = "budget::maybe"))]
    pub(crate) budget: Option<Budget>,
    #[cfg_attr(feature = "serde", serde(with = "crate::duration::written::maybe"))]
    pub(crate) retry_after_cap: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(with = "crate::duration::written"))]
    pub(crate) wait_when_refused: Duration,
    pub(crate) remember: Remember,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) replay: Replay,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) classify: Option<Classify>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            max_retries: 3,
            backoff: Backoff::default(),
            budget: Some(Budget::default()),
            retry_after_cap: None,
            wait_when_refused: Duration::from_secs(3),
            remember: Remember::default(),
            replay: Replay::default(),
            classify: None,
        }
    }
}

impl Settings {
    /// How many attempts may follow the first. Default 3; 0 means one attempt, and nothing is cloned.
    #[doc(alias = "max_attempts")]
    pub fn max_retries(mut self, retries: u32) -> Settings {
        self.max_retries = retries;
        self
    }

    /// The waits between attempts. Default full jitter over 500 ms, doubling, at most 10 s.
    pub fn backoff(mut self, backoff: impl Into<Backoff>) -> Settings {
        self.backoff = backoff.into();
        self
    }

    /// The retry budget of an origin; `None` switches it off. Default 500 tokens.
    pub fn budget(mut self, budget: impl Into<Option<Budget>>) -> Settings {
        self.budget = budget.into();
        self
    }

    /// The longest `Retry-After` that a call waits for. If the wait is longer, or ends beyond the deadline, the call
    /// returns at once, with the wait that the server asked for. Default 60 s, or the cap of the back-off if that is longer.
    ///
    /// Exception: if the origin serves another request before a `Retry-After` is over, that header came from one replica
    /// only. For the next 5 min a `Retry-After` that is too long is ignored, and the usual back-off applies; the
    /// `Retry-After` of a 429 is never ignored.
    #[doc(alias = "retry_after")]
    pub fn retry_after_cap(mut self, cap: Duration) -> Settings {
        self.retry_after_cap = Some(cap);
        self
    }

    /// The longest refusal (open circuit, failed health check) that a call waits out. Default 3 s; zero for none, a long
    /// duration (10 years) for all that end before the deadline.
    ///
    /// A refused call waits until the refusal is over, plus up to 10 %, if that is at most this long and ends before its
    /// deadline. So does a call that may be repeated and whose own failure has opened the circuit, in place of its
    /// back-off. It waits as often as necessary, and spends no attempt and no budget on it. A call that has
    /// waited once comes back up to 10 % later than the others, in the middle of the next wait; 10/9 of what is left, which is
    /// the whole of that wait, is then compared with this limit. Any other call ends at once:
    /// with the refusal if it has made no attempt, otherwise with the outcome of its last attempt;
    /// [`Attempts::retry_in`](crate::Attempts::retry_in) or [`Error::retry_in`](crate::Error::retry_in) has the time to
    /// come back.
    ///
    /// 3 s is longer than each of the first three open waits of a breaker with its defaults (1 s, 1.5 s, 2.25 s), so that a
    /// restart of a few seconds costs no call. A longer wait saves hardly any more calls, and delays the callers of a dead
    /// server.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// // An agent that has half an hour for each call.
    /// let patient = unwedge::retry::Settings::default().wait_when_refused(Duration::from_secs(1800));
    /// let never = unwedge::retry::Settings::default().wait_when_refused(Duration::ZERO);
    /// ```
    pub fn wait_when_refused(mut self, longest: Duration) -> Settings {
        self.wait_when_refused = longest;
        self
    }

    /// Which other calls wait after a 429. Default those with the same path and credential; see [`Remember`].
    pub fn remember(mut self, remember: Remember) -> Settings {
        self.remember = remember;
        self
    }

    /// Whether a refusal that lasts so long is waited out.
    pub(crate) fn waits_out(&self, retry_in: Duration) -> bool {
        !self.wait_when_refused.is_zero() && retry_in <= self.wait_when_refused
    }

    /// How a request body of your own type is copied for another attempt. Bodies in memory need no help; for the body type
    /// of another client use [`replay_empty`], which repeats at least requests without a body.
    ///
    /// ```
    /// # struct Upload(std::path::PathBuf);
    /// let settings = unwedge::retry::Settings::default()
    ///     .replay_with::<Upload>(|upload| Some(Upload(upload.0.clone())));
    /// ```
    pub fn replay_with<B: 'static>(
        mut self,
        copy: impl Fn(&B) -> Option<B> + Send + Sync + 'static,
    ) -> Settings {
        self.replay = Replay::with(copy);
        self
    }

    /// A classifier of your own for responses and errors: `None` leaves an outcome to the rules of this crate. It also
    /// gets the request, without its body. Its class counts for retry, circuit breaker and health check alike.
    ///
    /// Exception: the end of a parked [`LongPoll`](crate::LongPoll) that a balancer may have caused is never a failure of
    /// the origin.
    ///
    /// It is called outside every lock. A panic in it reaches the caller, and no slot stays taken. With a classifier each
    /// call keeps a copy of the head of its request.
    ///
    /// ```
    /// use unwedge::retry::{Outcome, Repeat, Settings};
    ///
    /// // This API answers 404 for a job that is not scheduled yet.
    /// let settings = Settings::default().classify(|request, outcome| match outcome {
    ///     Outcome::Head(head) if head.status == 404 && request.uri().path().starts_with("/jobs/") => {
    ///         let mut class = outcome.class();
    ///         class.repeat = Repeat::IfIdempotent;
    ///         Some(class)
    ///     }
    ///     _ => None,
    /// });
    /// ```
    #[doc(alias("RetryableStrategy", "retry_if", "should_retry"))]
    pub fn classify(
        mut self,
        rules: impl Fn(&RequestHead<'_>, &Outcome<'_>) -> Option<Class> + Send + Sync + 'static,
    ) -> Settings {
        self.classify = Some(Classify::new(rules));
        self
    }

    /// How many attempts may follow the first.
    pub fn get_max_retries(&self) -> u32 {
        self.max_retries
    }

    /// The waits between attempts.
    pub fn get_backoff(&self) -> &Backoff {
        &self.backoff
    }

    /// The retry budget of an origin; `None` if it is switched off.
    pub fn get_budget(&self) -> Option<&Budget> {
        self.budget.as_ref()
    }

    /// The longest `Retry-After` that a call waits for: as set, or derived from the back-off.
    pub fn get_retry_after_cap(&self) -> Duration {
        self.retry_after_cap.unwrap_or_else(|| Duration::from_secs(60).max(self.backoff.at_most(u32::MAX)))
    }

    /// The longest refusal that a call waits out.
    pub fn get_wait_when_refused(&self) -> Duration {
        self.wait_when_refused
    }

    /// Which other calls wait after a 429.
    pub fn get_remember(&self) -> Remember {
        self.remember
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.backoff.check("the back-off of retries")?;
        if !self.wait_when_refused.is_zero() {
            check("the longest refusal that is waited out", self.wait_when_refused)?;
        }
        match self.retry_after_cap {
            Some(cap) => check("the cap on Retry-After", cap),
            None => Ok(()),
        }
    }
}
