//! Durations in settings as they are written down: `5s`, and never a bare number.

use super::{human, parse};
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt::{self, Formatter};
use std::time::Duration;

pub(crate) struct Written(pub(crate) Duration);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Written;
            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("a duration with its unit, as 250ms, 30s, 5m or 1h")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Written, E> {
                parse(text).map(Written).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// What `parse` reads again, whatever the duration.
impl Serialize for Written {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shown = human(self.0).to_string();
        if parse(&shown).ok() == Some(self.0) {
            shown.serialize(serializer)
        } else {
            format!("{}.{:09}s", self.0.as_secs(), self.0.subsec_nanos()).serialize(serializer)
        }
    }
}

pub(crate) fn serialize<S: Serializer>(it: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    Written(*it).serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Written::deserialize(deserializer).map(|written| written.0)
}

/// For one that may be absent.
pub(crate) mod maybe {
    use super::{Deserialize, Deserializer, Duration, Serialize, Serializer, Written};

    pub(crate) fn serialize<S: Serializer>(it: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        it.map(Written).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(it: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Written>::deserialize(it)?.map(|written| written.0))
    }
}

/// What is shown of a duration to programs: seconds, to the millisecond.
pub(crate) fn seconds<S: Serializer>(it: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(it.as_millis() as f64 / 1000.0)
}

/// The same of one that may be absent.
pub(crate) fn maybe_seconds<S: Serializer>(it: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    it.map(|it| it.as_millis() as f64 / 1000.0).serialize(serializer)
}
