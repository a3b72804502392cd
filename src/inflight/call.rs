//! A call in flight, in words.

use crate::error::Phase;
use crate::sync::Arc;
use std::fmt;
use std::time::Duration;

/// One call in flight, as seen by an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Call {
    /// The client that makes it: its name, or its number.
    pub client: Arc<str>,
    /// The method of the request.
    #[cfg_attr(feature = "serde", serde(serialize_with = "method"))]
    pub method: http::Method,
    /// The URL without credentials and query, or with its label in place of the path.
    pub url: String,
    /// What it is waiting for.
    pub phase: Phase,
    /// For how long it has been in this phase.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "in_phase_seconds", serialize_with = "crate::duration::written::seconds")
    )]
    pub in_phase: Duration,
    /// The attempt under way, from 1.
    pub attempt: u32,
    /// How many attempts there may be.
    pub attempts_allowed: u32,
    /// Since the call began.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "age_seconds", serialize_with = "crate::duration::written::seconds")
    )]
    pub age: Duration,
    /// Until its deadline; `None` for a long poll outside of any scope, and under a layer that has no deadline.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "deadline_in_seconds", serialize_with = "crate::duration::written::maybe_seconds")
    )]
    pub deadline_in: Option<Duration>,
    /// The reason of a long poll.
    pub long_poll: Option<String>,
    /// Whether the long poll gave up every bound of its own.
    pub unbounded: bool,
    /// The supervised subsystem whose task made the call.
    pub subsystem: Option<String>,
}

#[cfg(feature = "serde")]
fn method<S: serde::Serializer>(method: &http::Method, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(method.as_str())
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brief = crate::duration::brief;
        write!(f, "{} {}, ", self.method, self.url)?;
        if self.attempts_allowed > 1 {
            write!(f, "attempt {} of {}, ", self.attempt, self.attempts_allowed)?;
        }
        write!(f, "{} for {:#}", self.phase, brief(self.in_phase))?;
        match self.deadline_in {
            Some(left) => write!(f, ", deadline in {:#}", brief(left))?,
            None => f.write_str(", no deadline")?,
        }
        match &self.long_poll {
            Some(reason) => write!(f, " (long poll: {reason})"),
            None => Ok(()),
        }
    }
}
