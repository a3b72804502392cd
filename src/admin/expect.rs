//! What has to hold for a program that is ready, and what may be missing.

use std::fmt;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Expected {
    pub(super) names: Vec<String>,
    pub(super) stale_after: Duration,
}

pub(super) struct Check {
    pub(super) name: String,
    pub(super) ask: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
}

/// Something for which the program is not ready.
#[derive(serde::Serialize)]
pub(super) struct NotReady {
    /// `crew`, `subsystem`, `breaker` or `check`.
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) reason: String,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.as_str() {
            "" => write!(f, "{}: {}", self.kind, self.reason),
            name => write!(f, "{} {name}: {}", self.kind, self.reason),
        }
    }
}
