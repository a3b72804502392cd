//! What an event says, and what is wrong with one that says nothing. Pure.

use serde::Deserialize;
use std::fmt::{self, Display, Formatter};

/// The longest id that an agent gets in its environment.
const LONGEST_ID: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    pub(crate) const ALL: [Severity; 3] = [Severity::Info, Severity::Warning, Severity::Critical];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }

    pub(crate) fn read(text: &str) -> Option<Severity> {
        Severity::ALL.into_iter().find(|severity| severity.as_str() == text)
    }
}

/// Why an event leads to no agent run although nothing was too late, too full or too mild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// No JSON, or not with the fields that it needs.
    Invalid,
    TooLarge,
    /// Of a cluster that this stream does not speak for.
    UnknownCluster,
    /// Agents fail one after the other, and the next would too.
    CircuitOpen,
}

impl Dropped {
    pub(crate) const ALL: [Dropped; 4] =
        [Dropped::Invalid, Dropped::TooLarge, Dropped::UnknownCluster, Dropped::CircuitOpen];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Dropped::Invalid => "invalid",
            Dropped::TooLarge => "too_large",
            Dropped::UnknownCluster => "unknown_cluster",
            Dropped::CircuitOpen => "circuit_open",
        }
    }
}

/// One event that is to be handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Incident {
    pub(crate) event_id: String,
    pub(crate) incident_id: String,
    pub(crate) severity: Severity,
    pub(crate) summary: String,
    /// The event's data as it came: what the agent reads.
    pub(crate) data: String,
}

#[derive(Deserialize)]
struct Payload {
    cluster: String,
    severity: Severity,
    incident_id: String,
    #[serde(default)]
    summary: String,
}

impl Incident {
    /// Reads an event of the stream that speaks for `cluster`.
    pub(crate) fn read(cluster: &str, event_id: &str, data: String) -> Result<Incident, (Dropped, String)> {
        let Payload { cluster: of, severity, incident_id, summary } =
            serde_json::from_str(&data).map_err(|error| (Dropped::Invalid, error.to_string()))?;
        if of != cluster {
            let why = format!("it is of {of:?}, and this is the stream of {cluster:?}");
            return Err((Dropped::UnknownCluster, why));
        }
        // It goes into the environment of a process.
        let fits = !incident_id.is_empty() && incident_id.len() <= LONGEST_ID;
        if !fits || incident_id.contains(char::is_control) {
            let why = format!("incident_id must be 1 to {LONGEST_ID} bytes without control characters");
            return Err((Dropped::Invalid, why));
        }
        Ok(Incident { event_id: event_id.to_owned(), incident_id, severity, summary, data })
    }
}

impl Display for Severity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
