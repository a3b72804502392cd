//! The reactions of the watchdog.

/// The reaction of the watchdog to a stale subsystem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
#[doc(alias = "watchdog")]
pub enum Watch {
    /// None: the subsystem is only shown as stale.
    Off,
    /// One log line, with the call in which the subsystem hangs.
    #[default]
    Warn,
    /// The same log line; then the run is dropped at its next `.await`, and restarted by the policy.
    Enforce,
}
