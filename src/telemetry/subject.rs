//! Whose circuit breaker and calls a line or series is about.

use crate::options::Group;
use std::sync::Arc;

/// An origin, or a group of it, and what stands for them in metrics. A breaker outside of a stack has a name in place of
/// the origin.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) origin: Arc<str>,
    pub(crate) group: Option<Group>,
    /// The origin, or what it shares with others.
    pub(crate) label: Arc<str>,
    /// The group, likewise.
    #[cfg(feature = "metrics")]
    pub(crate) group_label: Option<Group>,
}

impl Subject {
    pub(crate) fn named(name: Arc<str>) -> Subject {
        Subject::of((Arc::clone(&name), name), (None, None))
    }

    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted"))]
    pub(super) fn of(
        (origin, label): (Arc<str>, Arc<str>),
        (group, group_label): (Option<Group>, Option<Group>),
    ) -> Subject {
        Subject {
            origin,
            group,
            label,
            #[cfg(feature = "metrics")]
            group_label,
        }
    }

    /// The labels of a series about this.
    #[cfg(feature = "metrics")]
    pub(super) fn labels(&self) -> super::names::Labels {
        let mut labels = vec![("origin", self.label.to_string())];
        labels.extend(self.group_label.as_ref().map(|group| ("group", group.to_string())));
        labels
    }
}
