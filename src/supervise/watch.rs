//! What silence is answered with.

/// What the watchdog does about a subsystem that is stale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
#[doc(alias = "watchdog")]
pub enum Watch {
    /// Nothing: it is shown as stale, and no more.
    Off,
    /// It says so, once, with what the subsystem waits for.
    #[default]
    Warn,
    /// It says so, drops the run under way at its next `.await`, and starts another by the policy.
    Enforce,
}
