//! What goes into a queue and what comes out of it.

use crate::duration::human;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// Something that waited in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Item<K, V> {
    /// The key it was pushed under.
    pub key: K,
    /// What was pushed.
    pub value: V,
    /// How many were accepted by this queue up to it; never given twice.
    pub number: u64,
    /// How long it has waited.
    pub age: Duration,
}

/// An item that waited too long.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expired<K, V> {
    /// The item, for its owner to report or to keep.
    pub item: Item<K, V>,
    /// How old it could have become.
    pub max_age: Duration,
}

/// What one sweep did.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "the expired items are in it, and the alarm"]
#[non_exhaustive]
pub struct Swept<K, V> {
    /// What was too old, in the order of arrival. Counted and logged already.
    pub expired: Vec<Expired<K, V>>,
    /// Raised in place of expiring anything.
    pub alarm: Option<Alarm>,
}

/// More would expire than the valve lets pass.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Alarm {
    /// How many expired in the last window or would now.
    pub would_expire: u64,
    /// Of how many that left the queue in that window, or would now.
    pub of: u64,
    /// The share that may expire.
    pub share: f64,
    /// How many are held back. They keep their place and are not served.
    pub held: u64,
    /// For how long the valve has been holding. After a whole window it gives way.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "held_seconds", serialize_with = "crate::duration::written::seconds")
    )]
    pub held_for: Duration,
    /// The window.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "window_seconds", serialize_with = "crate::duration::written::seconds")
    )]
    pub window: Duration,
}

impl Display for Alarm {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Alarm { would_expire, of, share, held, .. } = self;
        let window = human(self.window);
        write!(
            f,
            "{would_expire} of {of} items would have expired in {window:#}, more than a share of {share}: {held} held"
        )
    }
}

/// Why an item was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Why {
    /// The queue is full.
    Full,
    /// This key has its share of the queue.
    KeyFull,
    /// The queue is closed.
    Closed,
}

/// An item that was not accepted, handed back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused<K, V> {
    /// The key it was pushed under.
    pub key: K,
    /// What was pushed.
    pub value: V,
    /// Why.
    pub why: Why,
}

impl<K: Display, V> Display for Refused<K, V> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match self.why {
            Why::Full => write!(f, "the queue is full: nothing accepted for {key}"),
            Why::KeyFull => write!(f, "{key} has as many items in the queue as one key may"),
            Why::Closed => write!(f, "the queue is closed: nothing accepted for {key}"),
        }
    }
}

impl<K: Display + fmt::Debug, V: fmt::Debug> std::error::Error for Refused<K, V> {}

/// What became of everything that was ever pushed. At every moment
/// `pushed = served + expired + refused + dropped + drained + waiting`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Counts {
    /// Offered to the queue.
    pub pushed: u64,
    /// Handed out by a pop.
    pub served: u64,
    /// Too old, handed back by a sweep.
    pub expired: u64,
    /// Not accepted, handed back by the push.
    pub refused: u64,
    /// Discarded by choice.
    pub dropped: u64,
    /// Handed back by a drain.
    pub drained: u64,
    /// Still in the queue.
    pub waiting: u64,
}
