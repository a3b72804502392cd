//! The settings of a stack, key for key.

use super::{Retry, period};
use crate::retry::Backoff;
use crate::stack::StackBuilder;
use crate::{StackLayer, breaker, health, retry};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The settings of a stack as they stand in a file. What is absent has the default of the crate.
///
/// ```yaml
/// resilience:
///   limits: { total: 30m }
///   retry: { initial_delay: 5s, max_delay: 5m, max_retries: 10, backoff_multiplier: 2.0 }
///   circuit_breaker: { failure_threshold: 5, timeout: 30s, half_open_max_calls: 3 }
///   health_check: { enabled: true, interval: 30s, timeout: 5s }
/// ```
///
/// It goes as a field into the settings of an application, or is read by itself; see [`Layers`](super::Layers). Unknown
/// keys are errors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Resilience {
    /// How long a call and its parts may take.
    pub limits: Limits,
    /// How calls are repeated.
    pub retry: Retry,
    /// When an origin is left alone.
    pub circuit_breaker: CircuitBreaker,
    /// How an origin is asked for its health.
    pub health_check: HealthCheck,
}

/// See [`crate::Limits`]; what is absent follows from what is there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// The whole call.
    #[serde(with = "period::maybe")]
    pub total: Option<Duration>,
    /// One attempt.
    #[serde(with = "period::maybe")]
    pub attempt: Option<Duration>,
    /// Making a connection.
    #[serde(with = "period::maybe")]
    pub connect: Option<Duration>,
    /// Silence within a body.
    #[serde(with = "period::maybe")]
    pub idle: Option<Duration>,
    /// A body too big to collect.
    #[serde(with = "period::maybe")]
    pub stream: Option<Duration>,
    /// A long poll that names no hold.
    #[serde(with = "period::maybe")]
    pub long_poll: Option<Duration>,
    /// The largest body that belongs to its attempt, in bytes.
    pub collect: Option<u64>,
    /// The least that a body must deliver. Default off.
    pub min_progress: Option<MinProgress>,
}

/// See [`crate::Limits::min_progress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MinProgress {
    /// So many bytes,
    pub bytes: u64,
    /// in every such span.
    #[serde(with = "period")]
    pub per: Duration,
}

/// See [`breaker::Settings`](crate::breaker::Settings).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CircuitBreaker {
    /// Opens after this many failures in a row, or more where failures are usual. Default 5.
    pub failure_threshold: u32,
    /// How long it stays open at first. Default 1 s.
    #[serde(with = "period")]
    pub timeout: Duration,
    /// How long it stays open at most, growing by half up to it. Default 15 s, or the timeout if that is longer; equal to
    /// the timeout keeps it constant.
    #[serde(with = "period::maybe")]
    pub max_timeout: Option<Duration>,
    /// The share by which that is longer or shorter at random. Default 0.1; 0 for none.
    pub jitter: f64,
    /// How many calls try a half-open circuit at once, after the first has succeeded. Default 3.
    pub half_open_max_calls: u32,
    /// How many of them have to succeed. Default 1.
    pub close_after: u32,
}

/// See [`health::Settings`](crate::health::Settings).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HealthCheck {
    /// Whether there is one. Default: where a path is given.
    pub enabled: Option<bool>,
    /// What is asked. Default `/health`.
    pub path: Option<String>,
    /// How long an answer is believed. Default 30 s.
    #[serde(with = "period")]
    pub interval: Duration,
    /// How long it may take. Default 5 s.
    #[serde(with = "period")]
    pub timeout: Duration,
}

impl Default for CircuitBreaker {
    fn default() -> CircuitBreaker {
        CircuitBreaker {
            failure_threshold: 5,
            timeout: Duration::from_secs(1),
            max_timeout: None,
            jitter: 0.1,
            half_open_max_calls: 3,
            close_after: 1,
        }
    }
}

impl Default for HealthCheck {
    fn default() -> HealthCheck {
        HealthCheck {
            enabled: None,
            path: None,
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
        }
    }
}

impl Resilience {
    /// The stack that these settings describe; its [`build`](StackBuilder::build) checks how they go together.
    ///
    /// ```
    /// let settings = unwedge::config::Resilience::default();
    /// let layer = settings.builder().build()?;
    /// # Ok::<(), unwedge::Error>(())
    /// ```
    pub fn builder(&self) -> StackBuilder {
        let mut builder = StackLayer::builder()
            .limits(self.limits.settings())
            .retry(self.retry.settings())
            .breaker(self.circuit_breaker.settings());
        if let Some(health) = self.health_check.settings() {
            builder = builder.health(health);
        }
        builder
    }
}

impl Limits {
    /// As the stack takes them.
    pub fn settings(&self) -> crate::Limits {
        let mut limits = crate::Limits::default();
        if let Some(total) = self.total {
            limits = limits.total(total);
        }
        if let Some(attempt) = self.attempt {
            limits = limits.attempt(attempt);
        }
        if let Some(connect) = self.connect {
            limits = limits.connect(connect);
        }
        if let Some(idle) = self.idle {
            limits = limits.idle(idle);
        }
        if let Some(stream) = self.stream {
            limits = limits.stream(stream);
        }
        if let Some(long_poll) = self.long_poll {
            limits = limits.long_poll(long_poll);
        }
        if let Some(collect) = self.collect {
            limits = limits.collect(collect);
        }
        if let Some(MinProgress { bytes, per }) = self.min_progress {
            limits = limits.min_progress(bytes, per);
        }
        limits
    }
}

impl CircuitBreaker {
    /// As the stack takes them.
    pub fn settings(&self) -> breaker::Settings {
        let cap = self.max_timeout.unwrap_or_else(|| self.timeout.max(Duration::from_secs(15)));
        let jitter =
            if self.jitter == 0.0 { retry::Jitter::None } else { retry::Jitter::Proportional(self.jitter) };
        breaker::Settings::default()
            .failures(self.failure_threshold)
            .open(Backoff::exponential(self.timeout).multiplier(1.5).cap(cap).jitter(jitter))
            .half_open(self.half_open_max_calls, self.close_after)
    }
}

impl HealthCheck {
    /// As the stack takes them; `None` where there is no check.
    pub fn settings(&self) -> Option<health::Settings> {
        if !self.enabled.unwrap_or(self.path.is_some()) {
            return None;
        }
        let path = self.path.as_deref().unwrap_or("/health");
        Some(health::Settings::new(path).interval(self.interval).timeout(self.timeout))
    }
}
