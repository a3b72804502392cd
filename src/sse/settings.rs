//! The settings of an event stream.

use super::parser::Sizes;
use super::stream::EventStream;
use crate::Body;
use crate::duration::{check, human};
use crate::error::Error;
use crate::retry::{Backoff, Jitter};
use http::{Request, Response};
use std::time::Duration;
use tower_service::Service;

/// Which answers a stream comes back from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// What a program wants that runs for months: 5xx, 408, 425, 429 and refused certificates are tried again.
    #[default]
    Agent,
    /// What the WHATWG standard says: every status but 200 and 204 is an error.
    Spec,
}

pub(super) const SIZES: Sizes = Sizes { line: 1 << 20, event: 1 << 20 };
/// A shorter base would let a server that closes at once make a hot loop.
const SHORTEST_BASE: Duration = Duration::from_millis(10);
/// More ids than anybody has use for.
const MOST_IDS: usize = 1_000_000;

/// How an event stream connects, waits and reads.
///
/// | setting | default | why |
/// | --- | --- | --- |
/// | [`mode`](Settings::mode) | [`Mode::Agent`] | a 502 while the server is rebuilt is no reason to need a human |
/// | [`backoff`](Settings::backoff) | 1 s, doubling to 60 s, +-25 % | a restart costs seconds, an outage one request a minute |
/// | [`idle`](Settings::idle) | 60 s | twice the usual heartbeat of 15 to 30 s; learnt from the server as soon as it has one |
/// | [`events_within`](Settings::events_within) | off | nobody but you knows how often something happens |
/// | [`max_size`](Settings::max_size) | 1 MiB for a line, 1 MiB for an event | memory is bounded whatever comes |
/// | [`skip_duplicates`](Settings::skip_duplicates) | off | not every server's ids are unique |
/// | [`name`](Settings::name) | the origin | says in log and metrics which stream it is |
/// | [`last_event_id`](Settings::last_event_id) | none | where to go on after a restart of the program |
#[derive(Clone, Debug)]
#[must_use]
pub struct Settings {
    pub(super) mode: Mode,
    pub(super) backoff: Backoff,
    pub(super) idle: Duration,
    pub(super) events_within: Option<Duration>,
    pub(super) sizes: Sizes,
    pub(super) duplicates: usize,
    pub(super) name: Option<String>,
    pub(super) last_id: String,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            mode: Mode::default(),
            backoff: Backoff::exponential(Duration::from_secs(1))
                .cap(Duration::from_secs(60))
                .jitter(Jitter::Proportional(0.25)),
            idle: Duration::from_secs(60),
            events_within: None,
            sizes: SIZES,
            duplicates: 0,
            name: None,
            last_id: String::new(),
        }
    }
}

impl Settings {
    /// Which answers the stream comes back from. Default [`Mode::Agent`].
    pub fn mode(mut self, mode: Mode) -> Settings {
        self.mode = mode;
        self
    }

    /// The waits between two connects; the first again after every success. Default 1 s, doubling to 60 s, +-25 % and
    /// never above 60 s. The base is at least 10 ms.
    ///
    /// A `retry:` of the server replaces the base, but is never taken below this base or above the cap.
    pub fn backoff(mut self, backoff: impl Into<Backoff>) -> Settings {
        self.backoff = backoff.into();
        self
    }

    /// The longest silence: for the response headers, and between two bytes until the heartbeat of the server is
    /// learnt. Default 60 s.
    pub fn idle(mut self, limit: Duration) -> Settings {
        self.idle = limit;
        self
    }

    /// The longest time without an event; comments do not count. Default none. For servers that are known to have
    /// something to say: one whose feed died behind a heart that still beats is left when it is reached.
    pub fn events_within(mut self, limit: Duration) -> Settings {
        self.events_within = Some(limit);
        self
    }

    /// The most bytes of a line, and of the data, type and id of an event together. Default 1 MiB each.
    pub fn max_size(mut self, line: usize, event: usize) -> Settings {
        self.sizes = Sizes { line, event };
        self
    }

    /// Remembers the ids of this many events, and does not hand out again after a reconnect what was handed out before
    /// it. Default 0: off. For servers whose ids are unique and that send too much rather than too little. Events
    /// without an id of their own, and ids above 1 KiB, always pass.
    pub fn skip_duplicates(mut self, ids: usize) -> Settings {
        self.duplicates = ids;
        self
    }

    /// The name of the stream in log and metrics, field `cluster`. Default the origin of the request.
    pub fn name(mut self, name: impl Into<String>) -> Settings {
        self.name = Some(name.into());
        self
    }

    /// The id to begin with: what [`EventStream::last_event_id`] said before the program ended. Default none.
    pub fn last_event_id(mut self, id: impl Into<String>) -> Settings {
        self.last_id = id.into();
        self
    }

    /// The stream. Nothing is sent before somebody waits for its first event.
    ///
    /// Any service of this crate will do: a [`Stack`](crate::Stack), a `Client`, or one of the layers over a client of
    /// your own. `Accept`, `Cache-Control` and `Accept-Encoding` are set where the request does not bring them,
    /// `Last-Event-ID` wherever there is one; one that the request brings is the id to begin with. Wishes among the extensions of the request hold for every connect.
    ///
    /// # Errors
    /// Kind `Config`: a limit of zero or above ten years, a back-off whose base is below 10 ms or whose parts do not
    /// fit together, a size of zero, an id that no header can carry, a URL without host, a body that cannot be sent
    /// again at a reconnect.
    pub fn connect<S, B>(mut self, service: S, request: Request<B>) -> Result<EventStream, Error>
    where
        S: Service<Request<B>, Response = Response<Body>, Error = Error> + Clone + Send + 'static,
        S::Future: Send + 'static,
        B: Send + 'static,
    {
        if let (true, Some(id)) = (self.last_id.is_empty(), request.headers().get("last-event-id")) {
            self.last_id = String::from_utf8_lossy(id.as_bytes()).into_owned();
        }
        self.check()?;
        EventStream::new(self, service, request)
    }

    fn check(&self) -> Result<(), Error> {
        self.backoff.check("the back-off of an event stream")?;
        let (base, _) = self.backoff.range();
        if base < SHORTEST_BASE {
            return Err(Error::config(format!(
                "the back-off of an event stream: base {:#} is below {:#}, a server that closes at once would make it a hot loop",
                human(base),
                human(SHORTEST_BASE)
            )));
        }
        check("the idle limit of an event stream", self.idle)?;
        if let Some(limit) = self.events_within {
            check("the time within which an event has to come", limit)?;
        }
        for (what, bytes) in [("a line", self.sizes.line), ("an event", self.sizes.event)] {
            if bytes == 0 {
                return Err(Error::config(format!(
                    "the most bytes of {what} of an event stream are 0: must be at least 1"
                )));
            }
        }
        if self.duplicates > MOST_IDS {
            return Err(Error::config(format!(
                "{} ids of an event stream to remember are above the most, {MOST_IDS}",
                self.duplicates
            )));
        }
        if http::HeaderValue::from_bytes(self.last_id.as_bytes()).is_err() {
            return Err(Error::config(format!(
                "the last event id {:?} has characters that no header can carry",
                self.last_id
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_named_with_its_value_and_the_rule() {
        let second = Duration::from_secs(1);
        let of = Settings::default;
        for (settings, words) in [
            (of().backoff(Duration::ZERO), "base 0 s is below 10 ms"),
            (of().backoff(Backoff::exponential(2 * second).cap(second)), "cap 1 s is below base 2 s"),
            (of().idle(Duration::ZERO), "idle limit of an event stream is 0 s"),
            (of().idle(Duration::MAX), "10 years"),
            (of().events_within(Duration::ZERO), "event has to come is 0 s"),
            (of().max_size(0, 1), "bytes of a line of an event stream are 0"),
            (of().max_size(1, 0), "bytes of an event of an event stream are 0"),
            (of().skip_duplicates(1_000_001), "1000001 ids"),
            (of().last_event_id("a\nb"), "\"a\\nb\""),
        ] {
            let error = settings.check().unwrap_err();
            assert!(error.is_config() && error.to_string().contains(words), "{error}");
        }
        assert!(of().check().is_ok());
        assert!(
            of().backoff(Duration::from_millis(10)).max_size(1, 1).last_event_id("\u{e9}").check().is_ok()
        );
    }
}
