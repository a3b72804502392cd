//! The settings of an event stream.

use super::parser::Sizes;
use super::reconnect::Reconnect;
use crate::duration::check;
use crate::error::Error;
use std::time::Duration;

pub(super) const SIZES: Sizes = Sizes { line: 1 << 20, event: 1 << 20 };
/// The longest silence of a stream that is connected again, and of one that is not: there nothing heals a wrong guess,
/// so that it is the limit of a stream elsewhere (`Limits::stream`).
const IDLE: Duration = Duration::from_secs(60);
const IDLE_ONCE: Duration = Duration::from_secs(600);

/// Settings of an event stream: reconnects, limits of silence and size, its name.
///
/// | setting | default | why |
/// | --- | --- | --- |
/// | [`reconnect`](Settings::reconnect) | requests that may be repeated, after 1 s doubling to 60 s: see [`Reconnect`] | a POST that is sent again may do its work twice |
/// | [`once`](Settings::once) | off | a GET reconnects |
/// | [`end_at`](Settings::end_at) | none | not every stream has an end |
/// | [`idle`](Settings::idle) | 60 s; 10 min for a request that is sent once | twice a usual heartbeat of 15 to 30 s, then three times the measured one; a stream that is not repeated would be lost by a limit that is too short |
/// | [`events_within`](Settings::events_within) | off | only you know how often events occur |
/// | [`max_size`](Settings::max_size) | 1 MiB for a line, 1 MiB for an event | memory is bounded |
/// | [`name`](Settings::name) | the origin | name of the stream in log and metrics |
/// | [`last_event_id`](Settings::last_event_id) | none | the place to resume after a restart of the program |
///
/// ```
/// use unwedge::sse::Settings;
///
/// let settings = Settings::default().name("prod-eu").once();
/// assert_eq!((settings.get_name(), settings.get_reconnect().get_again()), (Some("prod-eu"), Some(false)));
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[must_use]
pub struct Settings {
    pub(super) reconnect: Reconnect,
    pub(super) end_at: Option<String>,
    #[cfg_attr(feature = "serde", serde(with = "crate::duration::written::maybe"))]
    idle: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(with = "crate::duration::written::maybe"))]
    pub(super) events_within: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(rename = "max_size"))]
    pub(super) sizes: Sizes,
    pub(super) name: Option<String>,
    #[cfg_attr(feature = "serde", serde(rename = "last_event_id"))]
    pub(super) last_id: String,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            reconnect: Reconnect::default(),
            end_at: None,
            idle: None,
            events_within: None,
            sizes: SIZES,
            name: None,
            last_id: String::new(),
        }
    }
}

impl Settings {
    /// When and how the stream reconnects. `true` and `false` set only whether it does, for any request; a
    /// [`Backoff`](crate::retry::Backoff) sets the waits; a [`Reconnect`] sets everything. Default: it reconnects if the
    /// request may be repeated: GET and the other idempotent methods, a request with an `Idempotency-Key` or the mark
    /// [`Idempotent`](crate::retry::Idempotent).
    ///
    /// ```
    /// use unwedge::sse::Settings;
    ///
    /// // A POST that only subscribes may be sent again.
    /// let settings = Settings::default().reconnect(true);
    /// # let _ = settings;
    /// ```
    pub fn reconnect(mut self, how: impl Into<Reconnect>) -> Settings {
        let how = how.into();
        if how.only_whether {
            self.reconnect.repeat = how.repeat;
        } else {
            self.reconnect = how;
        }
        self
    }

    /// Sends the request once, whatever its method: the same as `reconnect(false)`, and the default for a POST.
    ///
    /// The stream ends with the response; a lost connection or silence is its last error. Before the response head
    /// arrives, a request that was provably not processed (no connection, 425, 429, a refusal by breaker or health check)
    /// is sent again up to three times, unless it has to wait for more than a minute, or than the longest back-off where that
    /// is more: so long a `Retry-After` or open circuit is its last error.
    ///
    /// ```
    /// use unwedge::sse::Settings;
    ///
    /// let settings = Settings::default().once().end_at("[DONE]");
    /// # let _ = settings;
    /// ```
    pub fn once(self) -> Settings {
        self.reconnect(false)
    }

    /// The data of an event that ends the stream: the event itself is not returned, and the stream does not reconnect.
    /// Default none. Language models send `"[DONE]"`.
    ///
    /// For a request that is sent once, a response that ends without this event is an error of kind `Transport`.
    ///
    /// ```no_run
    /// use unwedge::{Body, StackLayer, sse};
    /// # use hyper_util::{client::legacy::Client, rt::TokioExecutor};
    /// # use tower_layer::Layer;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let client = StackLayer::default().layer(Client::builder(TokioExecutor::new()).build_http::<Body>());
    /// let question = r#"{"stream":true,"messages":[{"role":"user","content":"why?"}]}"#;
    /// let request = http::Request::post("http://model.example/v1/chat").body(Body::full(question))?;
    /// let mut answer = sse::Settings::default().end_at("[DONE]").connect(client, request)?;
    /// while let Some(piece) = answer.next().await {
    ///     print!("{}", piece?.data);
    /// }
    /// # Ok(()) }
    /// ```
    #[doc(alias("language_model", "streaming_completion"))]
    pub fn end_at(mut self, data: impl Into<String>) -> Settings {
        self.end_at = Some(data.into());
        self
    }

    /// The longest silence: before the response headers, and between two bytes until the heartbeat interval of the server
    /// is known. Default 60 s; for a request that is sent once 10 min, and its heartbeat is not measured.
    pub fn idle(mut self, limit: Duration) -> Settings {
        self.idle = Some(limit);
        self
    }

    /// The longest time without an event; comments do not count. Default none. For servers that are known to send events
    /// regularly: it detects a server that still sends heartbeats but no events any more.
    pub fn events_within(mut self, limit: Duration) -> Settings {
        self.events_within = Some(limit);
        self
    }

    /// The most bytes of a line, and of the data, type and id of an event together. Default 1 MiB each.
    pub fn max_size(mut self, line: usize, event: usize) -> Settings {
        self.sizes = Sizes { line, event };
        self
    }

    /// The name of the stream in log and metrics, field `cluster`. Default the origin of the request.
    pub fn name(mut self, name: impl Into<String>) -> Settings {
        self.name = Some(name.into());
        self
    }

    /// The id after which the stream begins: the value of
    /// [`EventStream::last_event_id`](super::EventStream::last_event_id) before the program ended. Default none.
    pub fn last_event_id(mut self, id: impl Into<String>) -> Settings {
        self.last_id = id.into();
        self
    }

    /// When and how the stream reconnects.
    pub fn get_reconnect(&self) -> &Reconnect {
        &self.reconnect
    }

    /// The data of the event that ends the stream, where there is one.
    pub fn get_end_at(&self) -> Option<&str> {
        self.end_at.as_deref()
    }

    /// The longest silence; `None` if that depends on whether the request is repeated.
    pub fn get_idle(&self) -> Option<Duration> {
        self.idle
    }

    /// The longest time without an event; `None` if there is no limit.
    pub fn get_events_within(&self) -> Option<Duration> {
        self.events_within
    }

    /// The most bytes of a line and of an event.
    pub fn get_max_size(&self) -> (usize, usize) {
        (self.sizes.line, self.sizes.event)
    }

    /// The name in log and metrics; `None` for the origin of the request.
    pub fn get_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The id after which the stream begins, if there is one.
    pub fn get_last_event_id(&self) -> Option<&str> {
        Some(&*self.last_id).filter(|id| !id.is_empty())
    }

    pub(super) fn idle_of(&self, again: bool) -> Duration {
        self.idle.unwrap_or(if again { IDLE } else { IDLE_ONCE })
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        self.reconnect.check()?;
        if let Some(limit) = self.idle {
            check("the idle limit of an event stream", limit)?;
        }
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
    use crate::retry::Backoff;

    #[test]
    fn what_cannot_work_is_named_with_its_value_and_the_rule() {
        let second = Duration::from_secs(1);
        let of = Settings::default;
        let back = Reconnect::default;
        for (settings, words) in [
            (of().reconnect(Backoff::none()), "base 0 s is below 10 ms"),
            (of().reconnect(Backoff::exponential(2 * second).cap(second)), "cap 1 s is below base 2 s"),
            (of().idle(Duration::ZERO), "idle limit of an event stream is 0 s"),
            (of().idle(Duration::MAX), "10 years"),
            (of().events_within(Duration::ZERO), "event has to come is 0 s"),
            (of().max_size(0, 1), "bytes of a line of an event stream are 0"),
            (of().max_size(1, 0), "bytes of an event of an event stream are 0"),
            (of().reconnect(back().skip_duplicates(1_000_001)), "1000001 ids"),
            (of().reconnect(back().spread(Duration::MAX)), "spread of an event stream"),
            (of().last_event_id("a\nb"), "\"a\\nb\""),
        ] {
            let error = settings.check().unwrap_err();
            assert!(error.is_config() && error.to_string().contains(words), "{error}");
        }
        assert!(of().check().is_ok());
        let least = Backoff::constant(Duration::from_millis(10));
        assert!(of().reconnect(least).max_size(1, 1).last_event_id("\u{e9}").check().is_ok());
    }

    #[test]
    fn whether_it_connects_again_leaves_the_waits_as_they_are() {
        let waits = Backoff::constant(Duration::from_secs(7));
        let settings = Settings::default().reconnect(waits.clone()).reconnect(true);
        assert_eq!((settings.reconnect.repeat, &settings.reconnect.backoff), (Some(true), &waits));
        let settings = settings.once();
        assert_eq!((settings.reconnect.repeat, &settings.reconnect.backoff), (Some(false), &waits));
    }
}
