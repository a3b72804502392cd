//! The days: what is asked for, and what the server does meanwhile.

use crate::luck::{self, Draw};
use crate::verdict::{Clause, HALF, LIMITED, Margin, OPEN_WAIT, ORDINARY, THIRD};
use std::time::Duration;

/// A day on which most things work.
#[derive(Debug)]
pub(crate) struct Day {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Calls a second.
    pub(crate) rate: f64,
    /// How long calls are made, in seconds.
    pub(crate) length: f64,
    pub(crate) away: Away,
    pub(crate) server: Kind,
    pub(crate) margin: &'static Margin,
    pub(crate) clauses: &'static [Clause],
}

impl Day {
    /// How often the day has to be played for so many calls: each time with other luck and a fresh client.
    pub(crate) fn runs(&self, calls: u64) -> u64 {
        (calls as f64 / (self.rate * self.length)).ceil().max(1.0) as u64
    }
}

/// What the server is like.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// It answers, but for the times at which it is away.
    Sound,
    /// Each attempt meets a 503 with this probability.
    Failing(f64),
    /// One of so many replicas refuses connections, and each attempt meets one of them by chance.
    OneDead(u64),
    /// So many replicas, each away for ten seconds in its turn while the day says that it is restarted.
    Rolling(u64),
    /// So many answers a second and no burst: 503 beyond that.
    Limiter(u64),
    /// So many answers in each full minute: 429 with the wait to the next one beyond that.
    Quota(u64),
}

/// When the server is away, and how that looks. Times in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Away {
    Never,
    Once {
        from: f64,
        to: f64,
        looks: Looks,
    },
    /// So long up, so long away, again and again.
    Cycle {
        up: f64,
        down: f64,
        looks: Looks,
    },
    /// The same, where both are only the mean.
    AtRandom {
        up: f64,
        down: f64,
        looks: Looks,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looks {
    /// What is in flight is reset, then connections are refused.
    Refused,
    /// A proxy in front of it says 503.
    Unavailable,
    /// Answers come after 12 s, when nobody waits any more.
    Slow,
    /// Only a part of it is away: the server knows which.
    Partly,
}

impl Away {
    pub(crate) fn looks(self) -> Option<Looks> {
        match self {
            Away::Never => None,
            Away::Once { looks, .. } | Away::Cycle { looks, .. } | Away::AtRandom { looks, .. } => {
                Some(looks)
            }
        }
    }

    /// From when to when, in a day of this length.
    pub(crate) fn windows(self, length: f64, seed: u64) -> Vec<(Duration, Duration)> {
        let (up, down, drawn) = match self {
            Away::Never => return Vec::new(),
            Away::Once { from, to, .. } => return vec![(seconds(from), seconds(to))],
            Away::Cycle { up, down, .. } => (up, down, false),
            Away::AtRandom { up, down, .. } => (up, down, true),
        };
        let long = |mean: f64, n: u64, k: u64| match drawn {
            false => mean,
            true => -mean * (1.0 - luck::share(seed, Draw::Window, n, k)).ln(),
        };
        let mut windows = Vec::new();
        let mut at = 0.0;
        for n in 0.. {
            let from = at + long(up, n, 0);
            at = from + long(down, n, 1);
            if from >= length {
                break;
            }
            windows.push((seconds(from), seconds(at)));
        }
        windows
    }
}

pub(crate) fn seconds(n: f64) -> Duration {
    Duration::from_secs_f64(n)
}

const RESTART: Day = Day {
    name: "",
    about: "",
    rate: 10.0,
    length: 80.0,
    away: Away::Never,
    server: Kind::Sound,
    margin: &ORDINARY,
    clauses: &[],
};

const fn failing(name: &'static str, about: &'static str, share: f64, rate: f64) -> Day {
    // As long as a day may be for a caller of low rate, else as long as 50 000 calls take.
    let length = if rate < 1.0 { 86_400.0 } else { 50_000.0 / rate };
    let margin = match share {
        ..0.25 => &ORDINARY,
        ..0.4 => &THIRD,
        _ => &HALF,
    };
    Day { name, about, rate, length, server: Kind::Failing(share), margin, ..RESTART }
}

const fn restart(name: &'static str, about: &'static str, long: f64) -> Day {
    let away = Away::Once { from: 30.0, to: 30.0 + long, looks: Looks::Refused };
    Day { name, about, away, ..RESTART }
}

const fn dead(name: &'static str, about: &'static str, of: u64, margin: &'static Margin) -> Day {
    Day { name, about, rate: 50.0, length: 1000.0, server: Kind::OneDead(of), margin, ..RESTART }
}

const fn outage(name: &'static str, about: &'static str, rate: f64, clauses: &'static [Clause]) -> Day {
    let away = Away::Once { from: 60.0, to: 180.0, looks: Looks::Unavailable };
    Day { name, about, rate, length: 600.0, away, margin: &OPEN_WAIT, clauses, ..RESTART }
}

const fn flapping(name: &'static str, about: &'static str, rate: f64) -> Day {
    let away = Away::Cycle { up: 20.0, down: 5.0, looks: Looks::Refused };
    Day { name, about, rate, length: 600.0, away, ..RESTART }
}

const fn quota(name: &'static str, about: &'static str, rate: f64) -> Day {
    let clauses = &[Clause::Throttled(0.01)];
    Day { name, about, rate, length: 600.0, server: Kind::Quota(600), clauses, ..RESTART }
}

/// From the server's return to the first answer: the longest open wait, and the next call.
const BACK: Clause = Clause::BackWithin(17);

/// All days, in the order in which they are told.
pub(crate) const DAYS: &[Day] = &[
    failing("random-10", "a tenth of attempts fails, 50 calls a second", 0.1, 50.0),
    failing("random-20", "a fifth of attempts fails, 50 calls a second", 0.2, 50.0),
    failing("random-33", "a third of attempts fails, 50 calls a second", 1.0 / 3.0, 50.0),
    failing("random-50", "half of all attempts fail, 50 calls a second", 0.5, 50.0),
    failing("random-10-slow", "a tenth of attempts fails, a call a second", 0.1, 1.0),
    failing("random-20-slow", "a fifth of attempts fails, a call a second", 0.2, 1.0),
    failing("random-33-slow", "a third of attempts fails, a call a second", 1.0 / 3.0, 1.0),
    failing("random-50-slow", "half of all attempts fail, a call a second", 0.5, 1.0),
    failing("random-20-rare", "a fifth of attempts fails, a call each 10 s", 0.2, 0.1),
    failing("random-33-rare", "a third of attempts fails, a call each 10 s", 1.0 / 3.0, 0.1),
    outage("outage", "away for 2 of 10 min, 50 calls a second", 50.0, &[BACK, Clause::ShareInOutage(0.03)]),
    outage("outage-slow", "away for 2 of 10 min, a call a second", 1.0, &[BACK, Clause::SentInOutage(30)]),
    Day {
        name: "brownout",
        about: "answers take 12 s for 30 s, 20 calls a second",
        rate: 20.0,
        length: 120.0,
        away: Away::Once { from: 30.0, to: 60.0, looks: Looks::Slow },
        ..RESTART
    },
    restart("restart-0.3s", "away for 0.3 s, 10 calls a second", 0.3),
    restart("restart-2s", "away for 2 s, 10 calls a second", 2.0),
    restart("restart-8s", "away for 8 s, 10 calls a second", 8.0),
    restart("restart-20s", "away for 20 s, 10 calls a second", 20.0),
    flapping("flapping", "up 20 s, away 5 s, 20 calls a second", 20.0),
    flapping("flapping-slow", "up 20 s, away 5 s, a call a second", 1.0),
    Day {
        name: "flapping-rare",
        about: "up 20 s and away 2 s in the mean, a call each 10 s for a day",
        rate: 0.1,
        length: 86_400.0,
        away: Away::AtRandom { up: 20.0, down: 2.0, looks: Looks::Refused },
        ..RESTART
    },
    Day {
        name: "rolling-restart",
        about: "three replicas, away for 10 s one after the other, 20 calls a second",
        rate: 20.0,
        length: 120.0,
        away: Away::Once { from: 30.0, to: 60.0, looks: Looks::Partly },
        server: Kind::Rolling(3),
        ..RESTART
    },
    dead("one-of-five", "one of five replicas is dead, 50 calls a second", 5, &ORDINARY),
    dead("one-of-three", "one of three replicas is dead, 50 calls a second", 3, &THIRD),
    Day {
        name: "limiter",
        about: "503 above 50 answers a second, after an outage of 20 s; 75 calls a second",
        rate: 75.0,
        length: 100.0,
        away: Away::Once { from: 10.0, to: 30.0, looks: Looks::Refused },
        server: Kind::Limiter(50),
        margin: &LIMITED,
        ..RESTART
    },
    quota("quota-1.1", "429 above 600 answers a minute, a tenth more calls than that", 11.0),
    quota("quota-2", "429 above 600 answers a minute, twice as many calls", 20.0),
];
