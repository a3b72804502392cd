//! Keeps loops of callers from spinning: after refusals, and after long polls that ended at once.

pub(crate) mod polls;
pub(crate) mod refusals;
