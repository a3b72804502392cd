//! Reconnects of an event stream: when, after which wait, from which responses.

use super::refusal::{Hook, Reconnection, Refusal};
use crate::duration::{LONGEST, human};
use crate::error::Error;
use crate::retry::{Backoff, Jitter};
use std::future::Future;
use std::time::Duration;

/// The responses after which a stream reconnects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Mode {
    /// For programs that run for months: it also reconnects after 408, 425, 429, 5xx (except 501, 505, 506, 508, 510 and
    /// 511) and refused certificates.
    #[default]
    Agent,
    /// By the WHATWG standard: every status except 200 and 204 is an error.
    Spec,
}

/// A shorter base would let a server that closes at once make a hot loop.
const SHORTEST_BASE: Duration = Duration::from_millis(10);
/// More ids than anybody has use for.
const MOST_IDS: usize = 1_000_000;

/// Settings of the reconnects of an event stream, for [`Settings::reconnect`](super::Settings::reconnect).
///
/// | setting | default | why |
/// | --- | --- | --- |
/// | reconnect (`true`, `false`) | if the request may be repeated: GET, an `Idempotency-Key`, [`Idempotent`](crate::retry::Idempotent) | a POST that is sent again may do its work twice |
/// | [`mode`](Reconnect::mode) | [`Mode::Agent`] | no person is needed after a 502 during a deployment |
/// | [`backoff`](Reconnect::backoff) | 1 s, doubling to 60 s, +-25 % | a restart costs seconds, an outage one request a minute |
/// | [`spread`](Reconnect::spread) | 3 s | the streams of a restarted server do not all return within half a second |
/// | [`skip_duplicates`](Reconnect::skip_duplicates) | off | not every server has unique ids |
/// | [`on_refusal`](Reconnect::on_refusal) | the stream ends | only you know how to renew a token |
///
/// ```
/// use std::time::Duration;
/// use unwedge::sse::{Mode, Reconnect};
///
/// let reconnect = Reconnect::default().spread(Duration::ZERO);
/// assert_eq!((reconnect.get_mode(), reconnect.get_spread()), (Mode::Agent, Duration::ZERO));
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[must_use]
pub struct Reconnect {
    #[cfg_attr(feature = "serde", serde(rename = "again"))]
    pub(super) repeat: Option<bool>,
    /// Made of a `bool`, which says nothing of the rest.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) only_whether: bool,
    pub(super) mode: Mode,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "waits"))]
    pub(super) backoff: Backoff,
    #[cfg_attr(feature = "serde", serde(with = "crate::duration::written"))]
    pub(super) spread: Duration,
    #[cfg_attr(feature = "serde", serde(rename = "skip_duplicates"))]
    pub(super) duplicates: usize,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) hook: Option<Hook>,
}

#[cfg(feature = "serde")]
fn waits<'de, D: serde::Deserializer<'de>>(written: D) -> Result<Backoff, D::Error> {
    crate::retry::backoff::written::over(written, Reconnect::default().backoff)
}

impl Default for Reconnect {
    fn default() -> Reconnect {
        Reconnect {
            repeat: None,
            only_whether: false,
            mode: Mode::default(),
            backoff: Backoff::exponential(Duration::from_secs(1))
                .cap(Duration::from_secs(60))
                .jitter(Jitter::Proportional(0.25)),
            spread: Duration::from_secs(3),
            duplicates: 0,
            hook: None,
        }
    }
}

/// Whether the stream connects again, whatever its request is.
impl From<bool> for Reconnect {
    fn from(again: bool) -> Reconnect {
        Reconnect { repeat: Some(again), only_whether: true, ..Reconnect::default() }
    }
}

/// The default with these waits.
impl From<Backoff> for Reconnect {
    fn from(backoff: Backoff) -> Reconnect {
        Reconnect::default().backoff(backoff)
    }
}

impl Reconnect {
    /// The responses after which the stream reconnects. Default [`Mode::Agent`].
    pub fn mode(self, mode: Mode) -> Reconnect {
        Reconnect { mode, only_whether: false, ..self }
    }

    /// The waits between two connects; a success resets them. Default 1 s, doubling to 60 s, +-25 % but never above 60 s.
    /// The base is at least 10 ms.
    ///
    /// A `retry:` field of the server replaces the base, within this base and the cap.
    pub fn backoff(self, backoff: impl Into<Backoff>) -> Reconnect {
        Reconnect { backoff: backoff.into(), only_whether: false, ..self }
    }

    /// Spreads the first wait after a connected stream is lost: it is drawn between the base and the base plus this, in place
    /// of the jitter of the back-off. Default 3 s, because a server that restarts loses all its streams at once; zero for
    /// none. The cap does not limit it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use unwedge::sse::{Reconnect, Settings};
    ///
    /// // Ten thousand agents: back over half a minute.
    /// let spread = Reconnect::default().spread(Duration::from_secs(30));
    /// let settings = Settings::default().reconnect(spread);
    /// # let _ = settings;
    /// ```
    pub fn spread(self, spread: Duration) -> Reconnect {
        Reconnect { spread, only_whether: false, ..self }
    }

    /// Remembers the ids of this many events, and skips events after a reconnect that were returned before it. Default 0:
    /// off. For servers with unique ids that replay more than necessary. Events without an id of their own, and ids above
    /// 1 KiB, are never skipped.
    pub fn skip_duplicates(self, ids: usize) -> Reconnect {
        Reconnect { duplicates: ids, only_whether: false, ..self }
    }

    /// A hook that is called before a response ends the stream for good: a status such as 401, 403, 404, 409 or 421, another
    /// content type (a login page), an unknown `Content-Encoding`. It may renew a token, and return the time of the next
    /// try and its headers; with `None` the stream ends with its error.
    ///
    /// From the second refusal in a row the wait is at least that of the back-off, so a hook that always returns zero makes no
    /// hot loop. The hook has 10 s, the default limit of an attempt. If it takes longer or panics, this is logged, and the
    /// stream ends.
    ///
    /// It also applies to requests that are sent once: by its return value the hook declares that the request may be sent
    /// again.
    ///
    /// ```
    /// use http::{HeaderValue, StatusCode, header::AUTHORIZATION};
    /// use std::time::Duration;
    /// use unwedge::sse::{Reconnection, Reconnect, Refusal, Settings};
    ///
    /// # async fn new_token() -> Option<HeaderValue> { None }
    /// let renew = |refusal: Refusal| async move {
    ///     match refusal.status() {
    ///         StatusCode::UNAUTHORIZED => {
    ///             let token = new_token().await?;
    ///             Some(Reconnection::after(Duration::ZERO).header(AUTHORIZATION, token))
    ///         }
    ///         // Not deployed yet.
    ///         StatusCode::NOT_FOUND => Some(Reconnection::after(Duration::from_secs(30))),
    ///         _ => None,
    ///     }
    /// };
    /// let settings = Settings::default().reconnect(Reconnect::default().on_refusal(renew));
    /// # let _ = settings;
    /// ```
    pub fn on_refusal<F, Fut>(self, hook: F) -> Reconnect
    where
        F: Fn(Refusal) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Option<Reconnection>> + Send + 'static,
    {
        Reconnect { hook: Some(Hook::new(hook)), only_whether: false, ..self }
    }

    /// Whether it reconnects; `None` if that depends on the request.
    pub fn get_again(&self) -> Option<bool> {
        self.repeat
    }

    /// The responses after which the stream reconnects.
    pub fn get_mode(&self) -> Mode {
        self.mode
    }

    /// The waits between two connects.
    pub fn get_backoff(&self) -> &Backoff {
        &self.backoff
    }

    /// The spread of the first wait after a connected stream is lost.
    pub fn get_spread(&self) -> Duration {
        self.spread
    }

    /// The number of remembered ids.
    pub fn get_skip_duplicates(&self) -> usize {
        self.duplicates
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        self.backoff.check("the back-off of an event stream")?;
        let base = self.backoff.get_base();
        if base < SHORTEST_BASE {
            return Err(Error::config(format!(
                "the back-off of an event stream: base {:#} is below {:#}, a server that closes at once would make it a hot loop",
                human(base),
                human(SHORTEST_BASE)
            )));
        }
        if self.spread > LONGEST {
            return Err(Error::config(format!(
                "the spread of an event stream is {:#}: the longest duration is 10 years",
                human(self.spread)
            )));
        }
        if self.duplicates > MOST_IDS {
            return Err(Error::config(format!(
                "{} ids of an event stream to remember are above the most, {MOST_IDS}",
                self.duplicates
            )));
        }
        Ok(())
    }
}
