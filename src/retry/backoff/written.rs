//! Back-off and jitter as they are written down.

use super::{Backoff, Jitter};
use crate::duration::written::maybe;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt::{self, Formatter};
use std::time::Duration;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, with = "maybe")]
    base: Option<Duration>,
    multiplier: Option<f64>,
    #[serde(default, with = "maybe")]
    cap: Option<Duration>,
    jitter: Option<Jitter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
}

/// What is absent is that of the default; the cap is never below the base for want of a word.
pub(crate) fn over<'de, D: Deserializer<'de>>(written: D, default: Backoff) -> Result<Backoff, D::Error> {
    let Written { base, multiplier, cap, jitter, seed } = Written::deserialize(written)?;
    let base = base.unwrap_or(default.base);
    Ok(Backoff {
        base,
        multiplier: multiplier.unwrap_or(default.multiplier),
        cap: cap.unwrap_or_else(|| default.cap.max(base)),
        jitter: jitter.unwrap_or(default.jitter),
        seed: seed.or(default.seed),
    })
}

impl<'de> Deserialize<'de> for Backoff {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Backoff, D::Error> {
        over(deserializer, Backoff::default())
    }
}

impl Serialize for Backoff {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Backoff { base, multiplier, cap, jitter, seed } = *self;
        let [base, cap] = [base, cap].map(Some);
        Written { base, multiplier: Some(multiplier), cap, jitter: Some(jitter), seed }.serialize(serializer)
    }
}

/// A name, or the share of [`Jitter::Proportional`].
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
                    // As exact as can be written.
                    true if share == 0.0 => Ok(Jitter::None),
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
