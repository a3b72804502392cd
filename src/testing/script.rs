//! What a peer answers, request by request and by the clock. Pure: time is an argument.

use std::time::Duration;

use super::Reply;

/// A sequence of replies: one after the other, by the clock, or the same for ever.
///
/// A step is used up by a request; [`until`](Script::until) is used up by time. When nothing is left, the peer answers
/// 500 and [`Peer::ran_out`](super::Peer::ran_out) is true.
///
/// A server that restarts: killed after a second, away for two, still warming up for one more:
///
/// ```
/// use std::time::Duration;
/// use unwedge::testing::{Peer, Reply, Script};
///
/// const SECOND: Duration = Duration::from_secs(1);
/// let restart = Script::new()
///     .until(SECOND, Reply::ok("before"))
///     .until(3 * SECOND, Reply::refuse())
///     .until(4 * SECOND, Reply::status(502))
///     .forever(Reply::ok("after"));
/// let peer = Peer::from(restart);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Script {
    steps: Vec<Step>,
    at: usize,
    used: u32,
}

#[derive(Clone, Debug)]
enum Step {
    Times(u32, Reply),
    Until(Duration, Reply),
    Forever(Reply),
    Flap { up: (Duration, Reply), down: (Duration, Reply) },
}

/// Whether the server is away at a moment, as if its process were not running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Away {
    /// Away now, and back at this time if ever.
    Now { until: Option<Duration> },
    /// There now, and away from this time on.
    From(Duration),
    /// There, and no time is known at which it goes.
    Not,
}

impl Script {
    /// An empty script.
    pub fn new() -> Script {
        Script::default()
    }

    /// The next request gets this reply.
    pub fn then(self, reply: Reply) -> Script {
        self.times(1, reply)
    }

    /// The next `n` requests get this reply.
    pub fn times(mut self, n: u32, reply: Reply) -> Script {
        self.steps.push(Step::Times(n, reply));
        self
    }

    /// Every request gets this reply until `t` since the start of the peer.
    ///
    /// With [`Reply::refuse`] the server is away until then, as if its process were not running: open connections end
    /// when that time begins, and on a real socket nothing listens.
    pub fn until(mut self, t: Duration, reply: Reply) -> Script {
        self.steps.push(Step::Until(t, reply));
        self
    }

    /// Every further request gets this reply.
    pub fn forever(mut self, reply: Reply) -> Script {
        self.steps.push(Step::Forever(reply));
        self
    }

    /// Flaps by the clock, for ever: `up` for the first duration since the start of the peer, then `down` for the
    /// second, and again. With [`Reply::refuse`] as `down` the server is away in between, as with
    /// [`until`](Script::until).
    ///
    /// # Panics
    ///
    /// When both durations are zero.
    #[track_caller]
    pub fn flap(mut self, up: (Duration, Reply), down: (Duration, Reply)) -> Script {
        assert!(
            up.0.max(down.0) > Duration::ZERO,
            "a peer cannot flap every 0 s: give flap() a duration above zero"
        );
        self.steps.push(Step::Flap { up, down });
        self
    }

    /// The reply that a request at `now` gets, without using it up.
    pub(super) fn peek(&mut self, now: Duration) -> Option<&Reply> {
        while let Some(step) = self.steps.get(self.at) {
            let over = match step {
                Step::Times(n, _) => self.used >= *n,
                Step::Until(t, _) => now >= *t,
                Step::Forever(_) | Step::Flap { .. } => false,
            };
            if !over {
                break;
            }
            self.at += 1;
            self.used = 0;
        }
        Some(match self.steps.get(self.at)? {
            Step::Times(_, reply) | Step::Until(_, reply) | Step::Forever(reply) => reply,
            Step::Flap { up, down } if into(up, down, now) < up.0 => &up.1,
            Step::Flap { down, .. } => &down.1,
        })
    }

    /// The reply for a request at `now`.
    pub(super) fn take(&mut self, now: Duration) -> Option<Reply> {
        let reply = self.peek(now)?.clone();
        if let Some(Step::Times(..)) = self.steps.get(self.at) {
            self.used += 1;
        }
        Some(reply)
    }

    /// Whether the server is away at `now`, and when that changes. Only steps by the clock and for ever say so: a
    /// refusal that is to be used up by a connect has to be there to be used.
    pub(super) fn away(&self, now: Duration) -> Away {
        let (away, mut end) = self.stretch(now);
        // Every step has at most two stretches that differ.
        for _ in 0..2 * self.steps.len() {
            let Some(t) = end else { break };
            let (refuses, next) = self.stretch(t);
            match (away, refuses) {
                (true, false) => return Away::Now { until: Some(t) },
                (false, true) => return Away::From(t),
                _ => end = next,
            }
        }
        if away { Away::Now { until: None } } else { Away::Not }
    }

    /// Whether the clock says "away" at `t`, and when the clock speaks next.
    fn stretch(&self, t: Duration) -> (bool, Option<Duration>) {
        for (i, step) in self.steps.iter().enumerate().skip(self.at) {
            match step {
                Step::Times(n, _) if i == self.at && self.used >= *n => {}
                Step::Times(..) => return (false, None),
                Step::Until(end, _) if t >= *end => {}
                Step::Until(end, reply) => return (reply.refuses(), Some(*end)),
                Step::Forever(reply) => return (reply.refuses(), None),
                Step::Flap { up, down } => {
                    let at = into(up, down, t);
                    let (reply, end) =
                        if at < up.0 { (&up.1, up.0) } else { (&down.1, up.0.saturating_add(down.0)) };
                    return (reply.refuses(), t.checked_add(end - at));
                }
            }
        }
        (false, None)
    }

    pub(super) fn rewind(&mut self) {
        self.at = 0;
        self.used = 0;
    }
}

/// How far `now` is into the current period of a flapping server.
fn into(up: &(Duration, Reply), down: &(Duration, Reply), now: Duration) -> Duration {
    let period = up.0.saturating_add(down.0).as_nanos();
    // The remainder is below the period, and the period is a sum of two durations that a test waits for.
    Duration::from_nanos(u64::try_from(now.as_nanos() % period).unwrap_or(u64::MAX))
}

impl From<Reply> for Script {
    /// The same reply for ever.
    fn from(reply: Reply) -> Script {
        Script::new().forever(reply)
    }
}
