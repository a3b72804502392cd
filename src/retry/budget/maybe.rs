//! A budget that may be switched off, as it is written down: `enabled: false` in a format that has no word for nothing.

use super::Budget;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    enabled: bool,
    tokens: u32,
    retry_cost: u32,
    refund: u32,
}

impl Default for Written {
    fn default() -> Written {
        Written::from(&Some(Budget::default()))
    }
}

impl From<&Option<Budget>> for Written {
    fn from(budget: &Option<Budget>) -> Written {
        let enabled = budget.is_some();
        let Budget { tokens, retry_cost, refund } = budget.clone().unwrap_or_default();
        Written { enabled, tokens, retry_cost, refund }
    }
}

pub(crate) fn serialize<S: Serializer>(budget: &Option<Budget>, serializer: S) -> Result<S::Ok, S::Error> {
    Written::from(budget).serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(it: D) -> Result<Option<Budget>, D::Error> {
    let Written { enabled, tokens, retry_cost, refund } = Written::deserialize(it)?;
    Ok(enabled.then_some(Budget { tokens, retry_cost, refund }))
}
