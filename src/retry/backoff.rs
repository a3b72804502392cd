//! How long to wait before the next try: a growing ceiling, and jitter under it.
//!
//! Everything here is a value; the only state is the random generator that the caller passes in. Waits are whole
//! nanoseconds, drawn evenly.

use crate::Error;
use crate::duration::{LONGEST, human};
use rand::{RngExt, SeedableRng};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

#[cfg(feature = "serde")]
pub(crate) mod written;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod tests;

const DEFAULT_BASE: Duration = Duration::from_millis(500);
const DEFAULT_CAP: Duration = Duration::from_secs(10);

/// What jitter is drawn from: small, and the same series for the same seed on every platform.
pub(crate) type Rng = rand::rngs::Xoshiro256PlusPlus;

/// The waits between attempts: exponential back-off with jitter.
///
/// The n-th wait (n = 0 is the first) has the ceiling min(cap, base x multiplier^n); [`Jitter`] then draws the wait
/// itself. The cap comes before the jitter, so that waits of many clients do not pile up at the cap.
///
/// | setting | default | why |
/// | --- | --- | --- |
/// | base | 500 ms | unnoticed by a user, and enough after a lost packet |
/// | [`multiplier`](Backoff::multiplier) | 2.0 | the usual doubling: a server that stays down gets half as many retries after each step |
/// | [`cap`](Backoff::cap) | 10 s, or the base if that is longer | a third of the default total, so that one more wait still fits |
/// | [`jitter`](Backoff::jitter) | [`Jitter::Full`] | spreads clients that failed together over the whole wait |
/// | [`seed`](Backoff::seed) | none | every series is different |
///
/// A base of zero means no waits at all, whatever the other settings are.
///
/// ```
/// use std::time::Duration;
/// use unwedge::retry::{Backoff, Jitter};
///
/// let backoff = Backoff::exponential(Duration::from_secs(5))
///     .cap(Duration::from_secs(5 * 60))
///     .jitter(Jitter::None);
/// assert_eq!((backoff.get_multiplier(), backoff.get_jitter()), (2.0, Jitter::None));
/// let seconds: Vec<u64> = backoff.delays().map(|wait| wait.as_secs()).take(8).collect();
/// assert_eq!(seconds, [5, 10, 20, 40, 80, 160, 300, 300]);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
#[doc(alias("backoff", "ExponentialBackoff", "exponential_backoff"))]
pub struct Backoff {
    base: Duration,
    multiplier: f64,
    cap: Duration,
    jitter: Jitter,
    seed: Option<u64>,
}

/// How a wait is drawn from its ceiling `d`.
///
/// Jitter keeps clients that failed at the same moment from coming back at the same moment.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Jitter {
    /// Exactly `d`.
    None,
    /// Anywhere in `[0, d)`. Spreads best, and half the wait on average.
    Full,
    /// Anywhere in `[d/2, d)`: never less than half of the wait.
    Equal,
    /// Anywhere in `[base, 3 x previous]`, the upper end capped; the first wait in `[base, 3 x base]`.
    ///
    /// It grows from the previous draw, so the multiplier has no effect.
    Decorrelated,
    /// Anywhere in `[(1 - p) d, (1 + p) d]`, the upper end capped, so that the cap is never exceeded. `p` is between 0
    /// and 1: 0.25 is +-25 %.
    Proportional(f64),
}

impl Default for Backoff {
    /// 500 ms, doubling up to 10 s, full jitter.
    fn default() -> Self {
        Backoff::exponential(DEFAULT_BASE)
    }
}

/// The same wait every time, +-10 %, so that clients that failed together do not retry together.
/// [`Backoff::constant`] is exact.
impl From<Duration> for Backoff {
    fn from(wait: Duration) -> Self {
        Backoff::constant(wait).jitter(Jitter::Proportional(0.1))
    }
}

impl Backoff {
    /// Waits that start at `base` and double up to 10 s, or stay at `base` if that is longer, with full jitter.
    pub fn exponential(base: Duration) -> Self {
        Backoff { base, multiplier: 2.0, cap: base.max(DEFAULT_CAP), jitter: Jitter::Full, seed: None }
    }

    /// The same wait every time, without jitter. A bare `Duration` in the place of a back-off has 10 % jitter.
    pub fn constant(wait: Duration) -> Self {
        // Twice the wait is the most that proportional jitter asks for, and an end for the decorrelated one.
        let cap = wait.saturating_mul(2).min(LONGEST).max(wait);
        Backoff { base: wait, multiplier: 1.0, cap, jitter: Jitter::None, seed: None }
    }

    /// No wait at all.
    pub fn none() -> Self {
        Backoff::constant(Duration::ZERO)
    }

    /// The factor between one ceiling and the next: a finite number, at least 1.
    pub fn multiplier(mut self, multiplier: f64) -> Self {
        self.multiplier = multiplier;
        self
    }

    /// The longest wait: at least the base, at most ten years.
    pub fn cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// How the wait is drawn from its ceiling.
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Makes the waits reproducible, for tests and replays. The seed of a stack's retries also fixes the open waits of its
    /// breakers, unless they have a seed of their own.
    ///
    /// Never share a seed between clients in production: they would all retry at the same time.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The first ceiling.
    pub fn get_base(&self) -> Duration {
        self.base
    }

    /// The factor between one ceiling and the next.
    pub fn get_multiplier(&self) -> f64 {
        self.multiplier
    }

    /// The longest wait.
    pub fn get_cap(&self) -> Duration {
        self.cap
    }

    /// How the wait is drawn from its ceiling.
    pub fn get_jitter(&self) -> Jitter {
        self.jitter
    }

    /// The seed, if one is set.
    pub fn get_seed(&self) -> Option<u64> {
        self.seed
    }

    /// The waits one after the other, without end.
    ///
    /// With a [`seed`](Backoff::seed) every call gives the same series. Never panics: settings that a stack would refuse
    /// give waits too, none longer than the cap.
    pub fn delays(&self) -> Delays {
        Delays { backoff: self.clone(), rng: self.rng(), n: 0, previous: None }
    }

    /// min(cap, base x multiplier^n): the n-th wait without jitter, where n = 0 is the first.
    pub(crate) fn ceiling(&self, n: u32) -> Duration {
        let (base, cap) = (nanos(self.base), nanos(self.cap));
        // The cast saturates: infinity is u64::MAX, and NaN (zero times infinity) is zero.
        let grown = (base as f64 * power(self.multiplier, n)).round() as u64;
        // f64 rounds a base above 104 days; a ceiling below its base would make no sense.
        Duration::from_nanos(grown.max(base).min(cap))
    }

    /// The longest wait that `draw` can return for the n-th try.
    pub(crate) fn at_most(&self, n: u32) -> Duration {
        match self.jitter {
            Jitter::None | Jitter::Full | Jitter::Equal => self.ceiling(n),
            Jitter::Proportional(p) => {
                let d = nanos(self.ceiling(n));
                Duration::from_nanos(d.saturating_add(share(p, d)).min(nanos(self.cap)))
            }
            // Every draw may be three times the one before, the first included.
            Jitter::Decorrelated => Backoff { multiplier: 3.0, ..self.clone() }.ceiling(n.saturating_add(1)),
        }
    }

    /// The n-th wait. `previous` is the wait drawn before it, not what was slept in its place; only decorrelated jitter
    /// asks for it.
    pub(crate) fn draw(&self, n: u32, previous: Option<Duration>, rng: &mut Rng) -> Duration {
        let d = nanos(self.ceiling(n));
        if d == 0 {
            return Duration::ZERO;
        }
        let cap = nanos(self.cap);
        Duration::from_nanos(match self.jitter {
            Jitter::None => d,
            Jitter::Full => rng.random_range(0..d),
            Jitter::Equal => rng.random_range(d / 2..d),
            Jitter::Decorrelated => {
                let base = nanos(self.base).min(cap);
                // A retry that went without a wait is no reason to start below the base.
                let previous = previous.map_or(base, nanos).max(base);
                rng.random_range(base..=previous.saturating_mul(3).min(cap))
            }
            Jitter::Proportional(p) => {
                let delta = share(p, d);
                rng.random_range(d - delta..=d.saturating_add(delta).min(cap))
            }
        })
    }

    /// Whether a wait is always its ceiling.
    #[cfg(feature = "supervise")]
    pub(crate) fn is_exact(&self) -> bool {
        self.jitter == Jitter::None
    }

    /// The same growth from another base, which the cap binds.
    #[cfg(feature = "sse")]
    pub(crate) fn with_base(&self, base: Duration) -> Backoff {
        Backoff { base: base.min(self.cap), ..self.clone() }
    }

    /// The generator of one series: the same for every series when there is a seed.
    pub(crate) fn rng(&self) -> Rng {
        // Each state of hashing has keys of its own, the first of a thread from the system: enough to tell series apart.
        let seed = self.seed.unwrap_or_else(|| RandomState::new().hash_one(()));
        Rng::seed_from_u64(seed)
    }

    /// The seed of the others, where this one has none of its own.
    pub(crate) fn seeded_like(mut self, other: &Backoff) -> Backoff {
        self.seed = self.seed.or(other.seed);
        self
    }

    /// The rules between the settings. `what` names the back-off in the message.
    pub(crate) fn check(&self, what: &str) -> Result<(), Error> {
        for (name, value) in [("base", self.base), ("cap", self.cap)] {
            if value > LONGEST {
                let value = human(value);
                return Err(Error::config(format!(
                    "{what}: {name} {value:#} is above the longest duration, 10 years"
                )));
            }
        }
        if self.cap < self.base {
            let (cap, base) = (human(self.cap), human(self.base));
            return Err(Error::config(format!("{what}: cap {cap:#} is below base {base:#}")));
        }
        if !self.multiplier.is_finite() || self.multiplier < 1.0 {
            let multiplier = self.multiplier;
            return Err(Error::config(format!(
                "{what}: multiplier {multiplier} is not a finite number of at least 1"
            )));
        }
        match self.jitter {
            // Written so that NaN is outside as well.
            Jitter::Proportional(p) if !(0.0..=1.0).contains(&p) => {
                Err(Error::config(format!("{what}: proportional jitter {p} is not between 0 and 1")))
            }
            _ => Ok(()),
        }
    }
}

/// The waits of a [`Backoff`], one after the other, without end.
#[derive(Clone, Debug)]
#[must_use = "iterators are lazy"]
pub struct Delays {
    backoff: Backoff,
    rng: Rng,
    n: u32,
    previous: Option<Duration>,
}

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = self.backoff.draw(self.n, self.previous, &mut self.rng);
        self.n = self.n.saturating_add(1);
        self.previous = Some(wait);
        Some(wait)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

impl std::iter::FusedIterator for Delays {}

/// 64 bits of nanoseconds hold 584 years; what is longer (and refused by `check`) counts as that.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The part `p` of `d`, never more than `d`. The cast takes NaN and negative numbers as zero.
fn share(p: f64, d: u64) -> u64 {
    ((p * d as f64) as u64).min(d)
}

/// `x^n` by squaring: the same bits on every platform, which `powf` does not promise, and at most 32 rounds.
fn power(x: f64, mut n: u32) -> f64 {
    let (mut square, mut result) = (x, 1.0);
    while n > 0 {
        if n & 1 == 1 {
            result *= square;
        }
        square *= square;
        n >>= 1;
    }
    result
}
