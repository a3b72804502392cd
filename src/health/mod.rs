//! The health check before a call: one probe for all callers of an origin, its verdict kept for a while.

mod single_flight;
pub(crate) mod state;

pub(crate) use single_flight::{Answer, Ended, SingleFlight, Waiting};

use crate::Error;
use crate::duration::check;
use http::{StatusCode, Uri};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Marks a request as a health check, for those beneath who add to requests what their callers gave them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HealthCheck;

/// Settings of the health check: a small request that precedes calls to an origin.
///
/// It is off until a path is given, because a server without a health endpoint must not lose its clients.
///
/// | setting | default | why |
/// | --- | --- | --- |
/// | [`interval`](Settings::interval) | 30 s | one small request for all callers in that time |
/// | [`timeout`](Settings::timeout) | 5 s | a health endpoint that needs longer is not healthy |
/// | [`accept`](Settings::accept) | any 2xx | the same statuses as in most load balancers |
/// | [`mode`](Settings::mode) | on demand | an idle client sends nothing |
///
/// Durations must be above zero and at most ten years, and the path must begin with a slash; anything else is an error of
/// kind `Config` when the stack is built. The check is a `GET` through the same client. It has the attempt limit as well,
/// is not repeated, and serves all callers that wait for it.
///
/// ```
/// use http::StatusCode;
/// use std::time::Duration;
/// use unwedge::health::Settings;
///
/// let settings = Settings::new("/health").timeout(Duration::from_secs(2));
/// assert_eq!((settings.get_path(), settings.get_timeout()), ("/health", Duration::from_secs(2)));
/// assert!(settings.accepts(StatusCode::NO_CONTENT));
/// ```
#[derive(Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
#[must_use]
#[doc(alias("health_check", "healthcheck", "ping"))]
pub struct Settings {
    pub(crate) path: Arc<str>,
    #[cfg_attr(feature = "serde", serde(default = "interval", with = "crate::duration::written"))]
    pub(crate) interval: Duration,
    #[cfg_attr(feature = "serde", serde(default = "timeout", with = "crate::duration::written"))]
    pub(crate) timeout: Duration,
    #[cfg_attr(feature = "serde", serde(skip, default = "any_success"))]
    pub(crate) accept: Accept,
    #[cfg_attr(feature = "serde", serde(default))]
    pub(crate) mode: Mode,
}

type Accept = Arc<dyn Fn(StatusCode) -> bool + Send + Sync>;

fn interval() -> Duration {
    Duration::from_secs(30)
}

fn timeout() -> Duration {
    Duration::from_secs(5)
}

fn any_success() -> Accept {
    Arc::new(|status| status.is_success())
}

/// When a health check is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Mode {
    /// By the first caller that finds the verdict unknown or too old.
    #[default]
    OnDemand,
    /// The same, but an origin counts as healthy until an attempt fails.
    AfterFailure,
    /// By a task of the client for each origin, so that callers do not wait for a check: while it is made, the last verdict
    /// "healthy" still holds. Callers wait only where nothing better is known: the first call of an origin, and calls
    /// while a check shows whether an origin that was down is back. While a circuit is half-open the checks are its
    /// probes, so it closes again without a call. At most 64 origins; the others are checked on demand.
    /// A task that ended with its runtime starts again with the next call. A stack without a `Client` must run
    /// `Stack::keep_health_fresh` for this mode; until then checks are made on demand.
    Background,
}

impl Settings {
    /// Health checks at this path, for example `"/health"`, of every origin that is called.
    pub fn new(path: impl Into<Arc<str>>) -> Settings {
        Settings {
            path: path.into(),
            interval: interval(),
            timeout: timeout(),
            accept: any_success(),
            mode: Mode::OnDemand,
        }
    }

    /// How long a verdict "healthy" lasts, and at most a verdict "down". Default 30 s.
    pub fn interval(mut self, interval: Duration) -> Settings {
        self.interval = interval;
        self
    }

    /// How long the health check may take. Default 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Settings {
        self.timeout = timeout;
        self
    }

    /// Which statuses are healthy. Default any 2xx.
    pub fn accept(mut self, accept: impl Fn(StatusCode) -> bool + Send + Sync + 'static) -> Settings {
        self.accept = Arc::new(accept);
        self
    }

    /// When checks are made. Default on demand.
    pub fn mode(mut self, mode: Mode) -> Settings {
        self.mode = mode;
        self
    }

    /// The path of the health check.
    pub fn get_path(&self) -> &str {
        &self.path
    }

    /// How long a verdict "healthy" lasts.
    pub fn get_interval(&self) -> Duration {
        self.interval
    }

    /// How long the health check may take.
    pub fn get_timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether this status is healthy by the rule of [`accept`](Settings::accept).
    pub fn accepts(&self, status: StatusCode) -> bool {
        (self.accept)(status)
    }

    /// When checks are made.
    pub fn get_mode(&self) -> Mode {
        self.mode
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if !self.path.starts_with('/') {
            return Err(Error::config(format!(
                "the health path is {:?}: it must be a path that begins with a slash",
                self.path
            )));
        }
        if let Err(error) = self.path.parse::<Uri>() {
            return Err(Error::config(format!(
                "the health path is {:?}: behind its slash only what a URL can hold may stand ({error})",
                self.path
            )));
        }
        check("the interval of the health check", self.interval)?;
        check("the timeout of the health check", self.timeout)
    }

    /// What this status says: `Err` with the cause where it is not healthy.
    pub(crate) fn judge(&self, status: StatusCode) -> Result<(), String> {
        match status {
            _ if self.accepts(status) => Ok(()),
            // Not a server that is down, but a setting that is wrong.
            StatusCode::NOT_FOUND => Err("404, the path is not there".to_owned()),
            _ => Err(status.as_u16().to_string()),
        }
    }

    /// The health URL beside the one that is called.
    pub(crate) fn uri(&self, called: &Uri) -> Result<Uri, Error> {
        let mut parts = called.clone().into_parts();
        parts.path_and_query = self.path.parse().ok();
        Uri::from_parts(parts).map_err(|e| Error::config(format!("the health path {:?}: {e}", self.path)))
    }
}

impl From<&str> for Settings {
    fn from(path: &str) -> Settings {
        Settings::new(path)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("path", &self.path)
            .field("interval", &self.interval)
            .field("timeout", &self.timeout)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}
