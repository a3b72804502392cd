//! Whose circuit breaker and calls a line or series is about.

use crate::error::Error;
use crate::options::Group;
use crate::sync::{Arc, Mutex, lock};
use std::collections::HashSet;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// What stands for all that are too many to have a label of their own.
pub(super) const OTHER: &str = "other";
/// Origins of a stack that have series of their own; all others share those of `other`. So do those of all stacks that share
/// one label.
const ORIGINS: usize = 200;

/// The labels of one series.
pub(super) type LabelSet = Vec<(&'static str, String)>;

/// Which of the clients of this program: of several that talk to one origin each has state of its own.
#[derive(Clone, Debug)]
pub(crate) struct ClientName {
    name: Arc<str>,
    /// The name, or what it shares with others.
    label: Arc<str>,
    is_given: bool,
}

/// How long a name may be, in bytes.
const LONGEST: usize = 64;
/// Clients without a name that have series of their own: a program that makes one for each call must not make series
/// without end.
const NUMBERED: u64 = 100;

impl ClientName {
    /// As its programmer calls it.
    pub(crate) fn given(name: Arc<str>) -> Result<ClientName, Error> {
        let fault = if name.trim().is_empty() {
            "is blank".to_owned()
        } else if name.len() > LONGEST {
            format!("has {} bytes: it must be at most {LONGEST}", name.len())
        } else if name.chars().any(char::is_control) {
            "has a control character in it".to_owned()
        } else if name.bytes().all(|byte| byte.is_ascii_digit()) {
            "is a number: those are given to clients without a name".to_owned()
        } else {
            return Ok(ClientName { label: Arc::clone(&name), name, is_given: true });
        };
        let shown: String = name.chars().take(LONGEST).collect();
        Err(Error::config(format!("the name of the client, {shown:?}, {fault}")))
    }

    /// The next number: 1 for the first client of the process that has no name.
    pub(crate) fn numbered() -> ClientName {
        static LAST: AtomicU64 = AtomicU64::new(0);
        ClientName::number(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn number(number: u64) -> ClientName {
        let name: Arc<str> = number.to_string().into();
        ClientName {
            label: if number > NUMBERED { OTHER.into() } else { Arc::clone(&name) },
            name,
            is_given: false,
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// For the log, where a number says nothing.
    pub(super) fn if_given(&self) -> Option<&str> {
        self.is_given.then_some(&*self.name)
    }

    pub(super) fn label(&self) -> (&'static str, String) {
        ("client", self.label.to_string())
    }

    fn is_one_of_many(&self) -> bool {
        !self.is_given && &*self.label == OTHER
    }

    /// Whether this origin of a client has series of its own beside those of a stack, which has counted its origins.
    #[cfg(feature = "metrics")]
    pub(super) fn shows(&self, origin: &str) -> bool {
        !self.is_one_of_many() || Known::of_many().knows(origin.into())
    }
}

/// An origin, or a group of it, and what stands for them in metrics. A breaker outside of a stack has a name in place of
/// the origin, and no client.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) origin: Arc<str>,
    pub(crate) group: Option<Group>,
    pub(crate) client: Option<ClientName>,
    /// The origin, or what it shares with others.
    pub(super) label: Arc<str>,
    /// The group, likewise.
    pub(super) group_label: Option<Group>,
}

impl Subject {
    pub(crate) fn named(name: Arc<str>) -> Subject {
        Subject { label: Arc::clone(&name), group_label: None, origin: name, group: None, client: None }
    }

    pub(crate) fn client(&self) -> Option<Arc<str>> {
        self.client.as_ref().map(|client| Arc::clone(client.name()))
    }

    /// The labels of a series about this.
    pub(super) fn labels(&self) -> LabelSet {
        let mut labels = self.of_origin();
        labels.extend(self.group_label.as_ref().map(|group| ("group", group.to_string())));
        labels
    }

    /// The labels of a series about its origin, whatever the group.
    pub(super) fn of_origin(&self) -> LabelSet {
        let mut labels = vec![("origin", self.label.to_string())];
        labels.extend(self.client.as_ref().map(ClientName::label));
        labels
    }

    /// The same, and one more.
    pub(super) fn and(&self, name: &'static str, value: impl Into<String>) -> LabelSet {
        let mut labels = self.of_origin();
        labels.push((name, value.into()));
        labels
    }
}

/// The labels of one stack: what it is called, and which of its origins have labels of their own.
pub(crate) struct Labels {
    pub(crate) client: ClientName,
    known: Known,
}

/// Origins and groups that have labels of their own: the first that were called. Clones share them.
#[derive(Clone, Default)]
struct Known(Arc<Mutex<HashSet<Arc<str>>>>);

impl Known {
    /// Those of all clients that share a label: a program that makes one for each origin must not make series without
    /// end.
    fn of_many() -> Known {
        static MANY: LazyLock<Known> = LazyLock::new(Known::default);
        MANY.clone()
    }

    fn knows(&self, name: Arc<str>) -> bool {
        let mut known = lock(&self.0);
        if known.len() >= ORIGINS && !known.contains(&name) {
            return false;
        }
        known.insert(name);
        true
    }
}

impl Labels {
    pub(crate) fn new(client: ClientName) -> Labels {
        let known = if client.is_one_of_many() { Known::of_many() } else { Known::default() };
        Labels { client, known }
    }

    /// This origin or group, with labels of its own as long as there are not too many of them.
    pub(crate) fn of(&self, origin: Arc<str>, group: Option<&Group>) -> Subject {
        let is_known = self.knows(&origin, group);
        let client = Some(self.client.clone());
        let (label, group_label) = match is_known {
            true => (Arc::clone(&origin), group.cloned()),
            false => (OTHER.into(), group.map(|_| Group::new(OTHER))),
        };
        Subject { origin, group: group.cloned(), client, label, group_label }
    }

    /// A group counts as one more origin.
    fn knows(&self, origin: &Arc<str>, group: Option<&Group>) -> bool {
        let name = match group {
            None => Arc::clone(origin),
            // No origin has a blank in it.
            Some(group) => format!("{origin} {group}").into(),
        };
        self.known.knows(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_short_line_and_no_number() {
        for name in ["scheduler", "event relay", "\u{e4}", "2nd", &"x".repeat(64)] {
            assert_eq!(**ClientName::given(name.into()).unwrap().name(), *name);
        }
        for (name, why) in [
            ("", "is blank"),
            (" ", "is blank"),
            ("a\nb", "control character"),
            ("17", "is a number"),
            (&*"\u{e4}".repeat(500), "has 1000 bytes"),
        ] {
            let error = ClientName::given(name.into()).unwrap_err();
            assert!(error.is_config() && error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn without_a_name_it_is_a_number_and_of_many_the_rest_share_a_label() {
        let (one, next) = (ClientName::numbered(), ClientName::numbered());
        let number = |of: &ClientName| of.name().parse::<u64>().unwrap();
        assert!(number(&one) < number(&next));
        assert_eq!((next.if_given(), ClientName::given("a".into()).unwrap().if_given()), (None, Some("a")));
        assert_eq!(
            [100, 101].map(|number| ClientName::number(number).label().1),
            ["100".to_owned(), "other".to_owned()]
        );
        assert_eq!(**ClientName::number(101).name(), *"101");
    }

    #[test]
    fn clients_that_share_a_label_share_the_bound_of_origins_and_each_other_one_has_its_own() {
        // A client for each tenant, and one origin for each client.
        let own = |client: ClientName, tenant: u64| {
            let origin = format!("http://tenant-{tenant}.test").into();
            *Labels::new(client).of(origin, None).label != *OTHER
        };
        let shared = (0..1_000).filter(|&n| own(ClientName::number(1_000 + n), n)).count();
        assert!(shared <= ORIGINS, "{shared} of 1000");
        let numbered = (1..=NUMBERED).filter(|&n| own(ClientName::number(n), n)).count();
        let named = (0..300).filter(|&n| own(ClientName::given(format!("tenant {n}").into()).unwrap(), n));
        assert_eq!((numbered, named.count()), (100, 300));
        // What one has, it keeps.
        let one = Labels::new(ClientName::number(1));
        let labels = (0..250).map(|n| one.of(format!("http://{n}.test").into(), None)).collect::<Vec<_>>();
        assert_eq!(labels.iter().filter(|subject| *subject.label != *OTHER).count(), ORIGINS);
        assert_eq!(*one.of("http://7.test".into(), None).label, *"http://7.test");
    }

    #[cfg(feature = "metrics")]
    #[test]
    fn of_clients_that_share_a_label_no_more_origins_show_their_connections() {
        let shown = |first: u64| {
            let shows = |n: &u64| ClientName::number(first + n).shows(&format!("http://pool-{n}.test"));
            (0..1_000).filter(shows).count()
        };
        assert!(shown(5_000) <= ORIGINS);
        assert_eq!(
            (0..300).filter(|n| ClientName::number(7).shows(&format!("http://{n}.test"))).count(),
            300
        );
    }
}
