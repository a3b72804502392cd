//! How many connections there are, and for how long.

use super::connection::Rules;
use crate::duration::check;
use crate::error::Error;
use crate::retry::backoff::Rng;
use rand::SeedableRng;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const IDLE: Duration = Duration::from_secs(50);
/// A quarter of the descriptors that a process has by default.
const IDLE_PER_ORIGIN: usize = 256;
const AGE: Duration = Duration::from_secs(300);
const PER_ORIGIN: usize = 1024;
/// A connect counts as lost after so long at the least,
const LOST: Duration = Duration::from_secs(15);
/// .. and so long after its bound: nobody drives it.
const BEYOND: Duration = Duration::from_secs(5);

/// How many connections a client has to one origin, and for how long.
///
/// ```
/// use std::time::Duration;
/// use unwedge::client::{Client, Connections, Network};
///
/// // Behind a balancer that spreads connections, not requests.
/// let short = Connections::default().age(Duration::from_secs(60)).per_origin(200);
/// let client = Client::builder().network(Network::default().connections(short)).build()?;
/// # Ok::<(), unwedge::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[must_use]
pub struct Connections {
    #[cfg_attr(feature = "serde", serde(with = "crate::duration::written"))]
    idle: Duration,
    idle_per_origin: usize,
    #[cfg_attr(feature = "serde", serde(with = "crate::duration::written"))]
    age: Duration,
    per_origin: usize,
    seed: Option<u64>,
}

impl Default for Connections {
    fn default() -> Connections {
        Connections {
            idle: IDLE,
            idle_per_origin: IDLE_PER_ORIGIN,
            age: AGE,
            per_origin: PER_ORIGIN,
            seed: None,
        }
    }
}

impl Connections {
    /// How long a connection is kept without a call. Default 50 s: shorter than the minute or more that servers and
    /// balancers keep one, so that it is mostly the client that closes, and a request seldom meets a connection that is
    /// going away. A server that says less (`Keep-Alive: timeout=N`) is heeded.
    pub fn idle(mut self, idle: Duration) -> Connections {
        self.idle = idle;
        self
    }

    /// How many connections of one origin are kept without a call. Default 256: a burst of that many calls finds its
    /// connections again. None with 0: each connection of HTTP/1.1 then ends with its call.
    pub fn idle_per_origin(mut self, idle: usize) -> Connections {
        self.idle_per_origin = idle;
        self
    }

    /// How long a connection is used, give or take a tenth. Default 5 min, so that a changed address, a drained balancer
    /// or a renewed certificate is noticed under traffic. It ends between requests, once there is another one: what is on it
    /// goes on. Where no other can be made it serves for up to twice as long.
    pub fn age(mut self, age: Duration) -> Connections {
        self.age = age;
        self
    }

    /// How many connections lead to one origin at a time. Default 1024, the number of descriptors that a process has by
    /// default: more would fail where waiting for one that comes free does not. A call that waits for that is in phase
    /// `Ready`, and says nothing about the server. On HTTP/1 one in sixteen, and with two or more one at least, is kept for
    /// calls that end soon: long polls and event streams have the others.
    pub fn per_origin(mut self, connections: usize) -> Connections {
        self.per_origin = connections;
        self
    }

    /// What the spread of the age is drawn from. Default random; a fixed one makes tests repeatable.
    pub fn seed(mut self, seed: u64) -> Connections {
        self.seed = Some(seed);
        self
    }

    /// How long a connection is kept without a call.
    pub fn get_idle(&self) -> Duration {
        self.idle
    }

    /// How many connections of one origin are kept without a call.
    pub fn get_idle_per_origin(&self) -> usize {
        self.idle_per_origin
    }

    /// How long a connection is used.
    pub fn get_age(&self) -> Duration {
        self.age
    }

    /// How many connections lead to one origin at a time.
    pub fn get_per_origin(&self) -> usize {
        self.per_origin
    }

    /// What the spread of the age is drawn from; `None` where that is random.
    pub fn get_seed(&self) -> Option<u64> {
        self.seed
    }

    /// `connect` bounds each connect.
    ///
    /// # Errors
    /// Kind `Config` where nothing could be sent.
    pub(in crate::transport) fn rules(&self, connect: Duration) -> Result<(Rules, Rng), Error> {
        check("idle of connections", self.idle)?;
        check("age of connections", self.age)?;
        if self.per_origin == 0 {
            return Err(Error::config(
                "per_origin of connections is 0: no request could be sent, it must be 1 or more",
            ));
        }
        let Connections { idle, idle_per_origin, age, per_origin, seed } = *self;
        let rng = Rng::seed_from_u64(seed.unwrap_or_else(|| RandomState::new().hash_one(())));
        let lost = LOST.max(connect.saturating_add(BEYOND));
        Ok((Rules { idle, idle_per_origin, age, per_origin, lost }, rng))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_kept_and_what_cannot_work_is_refused() {
        let second = Duration::from_secs(1);
        let set = Connections::default().idle(second).idle_per_origin(0).age(2 * second).per_origin(3);
        let kept = (set.get_idle(), set.get_idle_per_origin(), set.get_age(), set.get_per_origin());
        assert_eq!(kept, (second, 0, 2 * second, 3));
        let (rules, rng) = set.seed(7).rules(second).unwrap();
        assert_eq!((rules.idle, rules.per_origin, rules.lost), (second, 3, 15 * second));
        let patient = set.rules(60 * second).unwrap().0;
        assert_eq!(patient.lost, 65 * second, "not before its bound");
        assert_eq!((rng, set.seed(7).get_seed()), (Rng::seed_from_u64(7), Some(7)));
        for (wrong, said) in [
            (set.idle(Duration::ZERO), "idle of connections"),
            (set.age(Duration::MAX), "age of connections"),
            (set.per_origin(0), "per_origin of connections is 0"),
        ] {
            let error = wrong.rules(second).unwrap_err();
            assert!(error.is_config() && error.to_string().contains(said), "{error}");
        }
    }
}
