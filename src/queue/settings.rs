//! Settings of a queue: size and age limits.

use crate::Error;
use crate::duration::check;
use std::time::Duration;

/// Settings of a [`Queue`](crate::queue::Queue): size and age limits, and its name.
///
/// | setting | default | why |
/// | --- | --- | --- |
/// | [`max_age`](Settings::max_age) | 10 min | an answer to an older event is useless |
/// | [`capacity`](Settings::capacity) | 10 000 | memory is limited |
/// | [`per_key`](Settings::per_key) | 1 000 | one noisy key leaves room for others |
/// | [`valve`](Settings::valve) | off | only the application knows what share is an accident |
/// | [`name`](Settings::name) | `queue` | most programs have one |
///
/// ```
/// use std::time::Duration;
/// use unwedge::queue::Settings;
///
/// let settings = Settings::default().max_age(Duration::from_secs(60));
/// assert_eq!((settings.get_max_age(), settings.get_capacity()), (Duration::from_secs(60), 10_000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[must_use]
pub struct Settings {
    #[cfg_attr(feature = "serde", serde(with = "crate::duration::written"))]
    pub(super) max_age: Duration,
    pub(super) capacity: usize,
    pub(super) per_key: usize,
    pub(super) valve: Option<Valve>,
    // A label of metrics, which a file does not choose.
    #[cfg_attr(feature = "serde", serde(skip, default = "unnamed"))]
    pub(super) name: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct Valve {
    pub(super) share: f64,
    #[cfg_attr(feature = "serde", serde(with = "crate::duration::written"))]
    pub(super) window: Duration,
    #[cfg_attr(feature = "serde", serde(skip, default = "at_least"))]
    pub(super) at_least: u64,
}

const fn at_least() -> u64 {
    10
}

const fn unnamed() -> &'static str {
    "queue"
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            max_age: Duration::from_secs(600),
            capacity: 10_000,
            per_key: 1_000,
            valve: None,
            name: unnamed(),
        }
    }
}

impl Settings {
    /// The age limit of an item. An older one is never served. Default 10 min.
    #[doc(alias("ttl", "expiry"))]
    pub fn max_age(mut self, max_age: Duration) -> Settings {
        self.max_age = max_age;
        self
    }

    /// The maximum number of queued items of all keys together. Default 10 000.
    pub fn capacity(mut self, items: usize) -> Settings {
        self.capacity = items;
        self
    }

    /// The maximum number of queued items of one key. Default 1 000.
    pub fn per_key(mut self, items: usize) -> Settings {
        self.per_key = items;
        self
    }

    /// Guards against expiring too many items at once: raises an [`Alarm`](crate::queue::Alarm) instead, if more than `share`
    /// of at least ten items that left the queue in the last `window` would have expired. Default off.
    ///
    /// Items held back are not served and keep their place: [`drain`](crate::queue::Queue::drain) saves them. After one window
    /// without a drain they expire.
    pub fn valve(mut self, share: f64, window: Duration) -> Settings {
        self.valve = Some(Valve { share, window, at_least: at_least() });
        self
    }

    /// The name of the queue in metrics. Default `queue`.
    pub fn name(mut self, name: &'static str) -> Settings {
        self.name = name;
        self
    }

    /// The age limit of an item.
    pub fn get_max_age(&self) -> Duration {
        self.max_age
    }

    /// The maximum number of queued items of all keys together.
    pub fn get_capacity(&self) -> usize {
        self.capacity
    }

    /// The maximum number of queued items of one key.
    pub fn get_per_key(&self) -> usize {
        self.per_key
    }

    /// Share and window of the valve; `None` if there is no valve.
    pub fn get_valve(&self) -> Option<(f64, Duration)> {
        self.valve.map(|valve| (valve.share, valve.window))
    }

    /// The name of the queue in metrics.
    pub fn get_name(&self) -> &'static str {
        self.name
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        check("max_age", self.max_age)?;
        for (name, items) in [("capacity", self.capacity), ("per_key", self.per_key)] {
            if items == 0 {
                return Err(Error::config(format!("{name} is 0: a queue has to hold something")));
            }
        }
        if let Some(Valve { share, window, .. }) = self.valve {
            check("the window of the valve", window)?;
            if !(0.0..1.0).contains(&share) {
                return Err(Error::config(format!(
                    "the share of the valve is {share}: it must be at least 0 and below 1"
                )));
            }
        }
        Ok(())
    }
}
