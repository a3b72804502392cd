//! The settings of a stack, key for key.

use super::keys::{self, Keys};
use crate::stack::StackBuilder;
use crate::{Limits, StackLayer, breaker, health, retry};
use serde::{Deserialize, Serialize};

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
/// keys are errors. A section holds the settings of that part, under the keys that such files have:
///
/// | key | setting |
/// | --- | --- |
/// | `limits.*` | the setter of [`Limits`] of that name; `min_progress: { bytes, per }` |
/// | `retry.max_retries`, `wait_when_refused`, `retry_after_cap`, `remember` | the setter of [`retry::Settings`] of that name |
/// | `retry.initial_delay`, `max_delay`, `backoff_multiplier`, `jitter` | base, cap, multiplier and jitter of its [`backoff`](retry::Settings::backoff) |
/// | `retry.budget.enabled`, `tokens`, `retry_cost`, `refund` | its [`budget`](retry::Settings::budget) |
/// | `circuit_breaker.failure_threshold` | [`failures`](breaker::Settings::failures) |
/// | `circuit_breaker.timeout`, `max_timeout`, `backoff_multiplier`, `jitter` | base, cap, multiplier and jitter of [`open`](breaker::Settings::open) |
/// | `circuit_breaker.half_open_max_calls`, `close_after` | [`half_open`](breaker::Settings::half_open) |
/// | `circuit_breaker.ratio.*`, `lease`, `hang_after`, `overdue_after`, `disabled` | the setter of [`breaker::Settings`] of that name |
/// | `health_check.enabled`, `path`, `interval`, `timeout`, `mode` | whether there is one (where it has a path), and [`health::Settings`]; enabled without a path it asks `/health` |
///
/// A jitter is a name (`none`, `full`, `equal`, `decorrelated`) or a share from 0 to 1.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Resilience {
    /// How long a call and its parts may take.
    pub limits: Limits,
    /// How calls are repeated.
    #[serde(with = "repeated")]
    pub retry: retry::Settings,
    /// When an origin is left alone.
    #[serde(with = "left_alone")]
    pub circuit_breaker: breaker::Settings,
    /// How an origin is asked for its health, where it is.
    #[serde(with = "asked")]
    pub health_check: Option<health::Settings>,
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
        let Resilience { limits, retry, circuit_breaker, health_check } = self.clone();
        let builder = StackLayer::builder().limits(limits).retry(retry).breaker(circuit_breaker);
        match health_check {
            Some(check) => builder.health(check),
            None => builder,
        }
    }
}

const RETRY: Keys = &[
    ("initial_delay", &["backoff", "base"]),
    ("max_delay", &["backoff", "cap"]),
    ("backoff_multiplier", &["backoff", "multiplier"]),
    ("jitter", &["backoff", "jitter"]),
    ("max_retries", &["max_retries"]),
    ("wait_when_refused", &["wait_when_refused"]),
    ("retry_after_cap", &["retry_after_cap"]),
    ("remember", &["remember"]),
    ("budget", &["budget"]),
];

const CIRCUIT_BREAKER: Keys = &[
    ("failure_threshold", &["failures"]),
    ("timeout", &["open", "base"]),
    ("max_timeout", &["open", "cap"]),
    ("backoff_multiplier", &["open", "multiplier"]),
    ("jitter", &["open", "jitter"]),
    ("half_open_max_calls", &["half_open", "max_calls"]),
    ("close_after", &["half_open", "close_after"]),
    ("ratio", &["ratio"]),
    ("lease", &["lease"]),
    ("hang_after", &["hang_after"]),
    ("overdue_after", &["overdue_after"]),
    ("disabled", &["disabled"]),
];

const HEALTH_CHECK: Keys = &[
    ("enabled", &["enabled"]),
    ("path", &["path"]),
    ("interval", &["interval"]),
    ("timeout", &["timeout"]),
    ("mode", &["mode"]),
];

mod repeated {
    use super::{RETRY, keys, retry::Settings};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(settings: &Settings, block: S) -> Result<S::Ok, S::Error> {
        keys::write(settings, RETRY, block)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(block: D) -> Result<Settings, D::Error> {
        keys::read(block, RETRY)
    }
}

mod left_alone {
    use super::{CIRCUIT_BREAKER, breaker::Settings, keys};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(settings: &Settings, block: S) -> Result<S::Ok, S::Error> {
        keys::write(settings, CIRCUIT_BREAKER, block)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(block: D) -> Result<Settings, D::Error> {
        keys::read(block, CIRCUIT_BREAKER)
    }
}

/// A check that may be switched off, in a format that has no word for nothing.
mod asked {
    use super::{HEALTH_CHECK, health::Settings, keys};
    use crate::config::read::Reader;
    use crate::config::tree::{Node, Value};
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize)]
    struct Check<'a> {
        enabled: bool,
        #[serde(flatten)]
        settings: Option<&'a Settings>,
    }

    pub(super) fn serialize<S: Serializer>(check: &Option<Settings>, block: S) -> Result<S::Ok, S::Error> {
        Check { enabled: check.is_some(), settings: check.as_ref() }.serialize(block)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(block: D) -> Result<Option<Settings>, D::Error> {
        let mut block = keys::renamed(Node::deserialize(block)?, HEALTH_CHECK).map_err(D::Error::custom)?;
        let mut enabled = None;
        if let Value::Table(entries) = &mut block.value {
            entries.retain(|_, node| !matches!(node.value, Value::Null));
            if let Some(node) = entries.remove("enabled") {
                let read = bool::deserialize(Reader(&node));
                enabled = Some(read.map_err(|fault| D::Error::custom(fault.beneath("enabled")))?);
            }
            enabled = enabled.or(Some(entries.contains_key("path")));
            let usual = || Node { value: Value::Text("/health".to_owned()), place: None };
            entries.entry("path".to_owned()).or_insert_with(usual);
        }
        let settings = Settings::deserialize(Reader(&block)).map_err(D::Error::custom)?;
        Ok(enabled.unwrap_or_default().then_some(settings))
    }
}
