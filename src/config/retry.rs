//! How calls are repeated, as it stands in a file.

use super::period;
use crate::retry::{self, Backoff};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt::{self, Formatter};
use std::time::Duration;

/// See [`retry::Settings`](crate::retry::Settings).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Retry {
    /// The wait before the first retry. Default 500 ms.
    #[serde(with = "period")]
    pub initial_delay: Duration,
    /// The longest wait. Default 10 s, or the initial delay if that is longer.
    #[serde(with = "period::maybe")]
    pub max_delay: Option<Duration>,
    /// How many attempts may follow the first. Default 3.
    pub max_retries: u32,
    /// By how much each wait is longer than the one before. Default 2.
    pub backoff_multiplier: f64,
    /// How waits are spread. Default full.
    pub jitter: Jitter,
    /// The longest refusal that is waited out; `0s` for none. Default 3 s.
    #[serde(with = "period")]
    pub wait_when_refused: Duration,
    /// The longest `Retry-After` that is waited for. Default 60 s, or the longest wait if that is longer.
    #[serde(with = "period::maybe")]
    pub retry_after_cap: Option<Duration>,
    /// What is remembered of a 429: `path`, `origin`, `headers` or `off`. Default `path`.
    pub remember: retry::Remember,
    /// What retries may cost an origin.
    pub budget: Budget,
}

/// See [`retry::Jitter`](crate::retry::Jitter): a name, or a share for [`Proportional`](Jitter::Proportional).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Jitter {
    /// `none`: exactly the wait.
    None,
    /// `full`: anywhere below the wait.
    #[default]
    Full,
    /// `equal`: anywhere between half of the wait and the wait.
    Equal,
    /// `decorrelated`: grows by what was drawn.
    Decorrelated,
    /// A number from 0 to 1: so much of the wait longer or shorter.
    Proportional(f64),
}

/// See [`retry::Budget`](crate::retry::Budget).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Budget {
    /// Whether there is one. Default true.
    pub enabled: bool,
    /// Held by an origin at the start and at most. Default 500.
    pub tokens: u32,
    /// What a retry costs. Default 4.
    pub retry_cost: u32,
    /// What a success at the first try gives back. Default 1.
    pub refund: u32,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            initial_delay: Duration::from_millis(500),
            max_delay: None,
            max_retries: 3,
            backoff_multiplier: 2.0,
            jitter: Jitter::Full,
            wait_when_refused: Duration::from_secs(3),
            retry_after_cap: None,
            remember: retry::Remember::Path,
            budget: Budget::default(),
        }
    }
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { enabled: true, tokens: 500, retry_cost: 4, refund: 1 }
    }
}

impl Retry {
    /// As the stack takes them.
    pub fn settings(&self) -> retry::Settings {
        let jitter = match self.jitter {
            Jitter::None => retry::Jitter::None,
            Jitter::Full => retry::Jitter::Full,
            Jitter::Equal => retry::Jitter::Equal,
            Jitter::Decorrelated => retry::Jitter::Decorrelated,
            Jitter::Proportional(share) => retry::Jitter::Proportional(share),
        };
        let mut waits =
            Backoff::exponential(self.initial_delay).multiplier(self.backoff_multiplier).jitter(jitter);
        if let Some(cap) = self.max_delay {
            waits = waits.cap(cap);
        }
        let settings = retry::Settings::default()
            .max_retries(self.max_retries)
            .backoff(waits)
            .wait_when_refused(self.wait_when_refused)
            .remember(self.remember)
            .budget(self.budget.settings());
        match self.retry_after_cap {
            Some(cap) => settings.retry_after_cap(cap),
            None => settings,
        }
    }
}

impl Budget {
    /// As the stack takes them; `None` where there is none.
    pub fn settings(&self) -> Option<retry::Budget> {
        let Budget { enabled, tokens, retry_cost, refund } = *self;
        enabled.then(|| retry::Budget::default().tokens(tokens).retry_cost(retry_cost).refund(refund))
    }
}

impl Serialize for Jitter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Jitter::None => "none".serialize(serializer),
            Jitter::Full => "full".serialize(serializer),
            Jitter::Equal => "equal".serialize(serializer),
            Jitter::Decorrelated => "decorrelated".serialize(serializer),
            Jitter::Proportional(share) => share.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Jitter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrShare;
        impl Visitor<'_> for NameOrShare {
            type Value = Jitter;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("none, full, equal, decorrelated or a number from 0 to 1")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Jitter, E> {
                match text {
                    "none" => Ok(Jitter::None),
                    "full" => Ok(Jitter::Full),
                    "equal" => Ok(Jitter::Equal),
                    "decorrelated" => Ok(Jitter::Decorrelated),
                    // A variable or a flag is text.
                    other => match other.parse() {
                        Ok(share) => self.visit_f64(share),
                        Err(_) => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                    },
                }
            }

            fn visit_f64<E: de::Error>(self, share: f64) -> Result<Jitter, E> {
                match (0.0..=1.0).contains(&share) {
                    true => Ok(Jitter::Proportional(share)),
                    false => Err(E::invalid_value(de::Unexpected::Float(share), &self)),
                }
            }

            fn visit_u64<E: de::Error>(self, share: u64) -> Result<Jitter, E> {
                self.visit_f64(share as f64)
            }

            fn visit_i64<E: de::Error>(self, share: i64) -> Result<Jitter, E> {
                self.visit_f64(share as f64)
            }
        }
        deserializer.deserialize_any(NameOrShare)
    }
}
