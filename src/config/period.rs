//! Durations in settings: `5s`, and never a bare number.

use crate::duration::{human, parse};
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt::{self, Formatter};
use std::time::Duration;

struct Period(Duration);

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Period;
            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("a duration with its unit, as 250ms, 30s, 5m or 1h")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Period, E> {
                parse(text).map(Period).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// What `parse` reads again, whatever the duration.
fn text(duration: Duration) -> String {
    let shown = human(duration).to_string();
    if parse(&shown).ok() == Some(duration) {
        shown
    } else {
        format!("{}.{:09}s", duration.as_secs(), duration.subsec_nanos())
    }
}

pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    text(*duration).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Period::deserialize(deserializer).map(|period| period.0)
}

pub(super) mod maybe {
    use super::{Deserialize, Deserializer, Duration, Period, Serialize, Serializer, text};

    pub(in super::super) fn serialize<S: Serializer>(
        it: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        it.map(text).serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        it: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Period>::deserialize(it)?.map(|period| period.0))
    }
}
