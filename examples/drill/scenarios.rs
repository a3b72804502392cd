//! The scenarios and their promises: the one table that the check reads, `--list` prints and the README shows.
//!
//! All times are milliseconds of the drill's own clock, on which one second outside takes 50 ms.

use crate::promise::Clause::{
    self, BackWithin, ErrorWithin, NoCallLost, NoPollCut, PerCall, StaysClosed, Wasted,
};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use unwedge::testing::{Peer, Reply, Script};

/// One second outside is 1/20 of a second here.
pub(crate) const FACTOR: u32 = 20;
/// How long each scenario is played.
pub(crate) const LENGTH: Duration = Duration::from_secs(8);

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) place: Place,
    /// So many of the agent's calls are made at once.
    pub(crate) callers: usize,
    /// From one call of the agent to the next, in milliseconds.
    pub(crate) every: u64,
    pub(crate) manner: Manner,
    pub(crate) stake: Stake,
    /// What the server does other than answering.
    pub(crate) acts: &'static [Act],
    /// Beside its calls the agent holds a long poll.
    pub(crate) polls: bool,
    /// Beside its calls the agent holds so many watches on which little happens.
    pub(crate) watches: usize,
    pub(crate) promise: &'static [Clause],
}

/// What the agent's connections lead to.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Server,
    /// A server that speaks HTTP/2.
    Http2,
    /// These servers behind one address, by what they do: each connection leads to the next.
    Replicas(&'static [&'static [Act]]),
    /// A server that closes each connection when it has answered. The agent is a process that has no descriptor left
    /// while the server would be out.
    #[cfg(unix)]
    FewFiles,
}

/// From one moment to another, in milliseconds.
pub(crate) struct Act {
    pub(crate) from: u64,
    pub(crate) to: u64,
    play: fn() -> Reply,
}

/// How the agent is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// The defaults: an answer or an error within the deadline.
    Prompt,
    /// A check-in that has to get through: many retries, long waits, a health check, refusals are waited out.
    Patient,
}

/// What is at stake, and with it what counts as recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stake {
    /// That the agent is served again when the server is back.
    Service,
    /// That each single call gets its answer.
    EveryCall,
    /// That the agent is told: the server never comes back.
    Error,
}

/// What most scenarios have in common.
const USUAL: Scenario = Scenario {
    name: "",
    about: "",
    place: Place::Server,
    callers: 1,
    every: 250,
    manner: Manner::Prompt,
    stake: Stake::EveryCall,
    acts: &[],
    polls: false,
    watches: 0,
    promise: &[],
};

#[rustfmt::skip]
pub(crate) static SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "accept-silence", about: "connections are accepted, nothing is ever answered",
        every: 250, manner: Manner::Prompt, stake: Stake::Service, polls: false,
        acts: &[Act { from: 600, to: 4600, play: Reply::silent }],
        promise: &[ErrorWithin(1600), BackWithin(3000), Wasted(10)],
        ..USUAL
    },
    Scenario {
        name: "headers-stall", about: "the response head arrives, its body never",
        every: 250, manner: Manner::Prompt, stake: Stake::Service, polls: false,
        acts: &[Act { from: 600, to: 4600, play: Reply::headers_then_hang }],
        promise: &[ErrorWithin(1600), BackWithin(3000), Wasted(10)],
        ..USUAL
    },
    Scenario {
        name: "restart-502", about: "502 while it goes down, refused connections, 502 while it comes up",
        every: 500, manner: Manner::Patient, stake: Stake::EveryCall, polls: false,
        acts: &[
            Act { from: 900, to: 2000, play: bad_gateway },
            Act { from: 2000, to: 3500, play: Reply::refuse },
            Act { from: 3500, to: 4600, play: bad_gateway },
        ],
        promise: &[NoCallLost, BackWithin(2000), Wasted(10)],
        ..USUAL
    },
    Scenario {
        name: "reset-mid-body", about: "every third response is reset in the middle of its body",
        every: 250, manner: Manner::Prompt, stake: Stake::EveryCall, polls: false,
        acts: &[Act { from: 0, to: 8000, play: every_third_is_torn }],
        promise: &[NoCallLost, PerCall(2)],
        ..USUAL
    },
    Scenario {
        name: "drip", about: "a body of a day, one byte at a time; it never comes back",
        every: 250, manner: Manner::Prompt, stake: Stake::Error, polls: false,
        acts: &[Act { from: 600, to: 8000, play: drip }],
        promise: &[ErrorWithin(1600), Wasted(14)],
        ..USUAL
    },
    Scenario {
        name: "broker", about: "control calls stall beside a long poll that may wait",
        every: 250, manner: Manner::Prompt, stake: Stake::Service, polls: true,
        acts: &[Act { from: 1100, to: 4600, play: Reply::headers_then_hang }],
        promise: &[NoPollCut, ErrorWithin(1600), BackWithin(3000)],
        ..USUAL
    },
    Scenario {
        name: "flapping", about: "up, away with its port refusing, up again, three times",
        every: 250, manner: Manner::Patient, stake: Stake::EveryCall, polls: false,
        acts: &[
            Act { from: 1100, to: 1850, play: Reply::refuse },
            Act { from: 3350, to: 4100, play: Reply::refuse },
            Act { from: 5600, to: 6350, play: Reply::refuse },
        ],
        promise: &[NoCallLost, BackWithin(1000), Wasted(8)],
        ..USUAL
    },
    Scenario {
        name: "retry-after", about: "503 with Retry-After: one that fits into the deadline, one that does not",
        every: 250, manner: Manner::Prompt, stake: Stake::Service, polls: false,
        acts: &[
            Act { from: 1100, to: 2100, play: in_one_second },
            Act { from: 3600, to: 6600, play: in_three_seconds },
        ],
        promise: &[ErrorWithin(200), BackWithin(600), Wasted(2)],
        ..USUAL
    },
    Scenario {
        name: "goodbye", about: "HTTP/2: after every 20th request the connection is ended by GOAWAY",
        place: Place::Http2, callers: 8,
        acts: &[Act { from: 0, to: 8000, play: goodbye_to_every_20th }],
        promise: &[NoCallLost, StaysClosed, PerCall(2)],
        ..USUAL
    },
    Scenario {
        name: "rolling-restart", about: "two servers behind one address are restarted, one after the other",
        place: Place::Replicas(&[
            &[Act { from: 1100, to: 2600, play: Reply::refuse }],
            &[Act { from: 4100, to: 5600, play: Reply::refuse }],
        ]),
        callers: 3,
        promise: &[NoCallLost, StaysClosed, PerCall(2)],
        ..USUAL
    },
    Scenario {
        name: "dead-replica", about: "one of three servers behind one address is away for good",
        place: Place::Replicas(&[&[], &[Act { from: 0, to: 8000, play: Reply::refuse }], &[]]),
        callers: 4,
        promise: &[NoCallLost, StaysClosed, PerCall(2)],
        ..USUAL
    },
    Scenario {
        name: "quiet-watch", about: "five watches on which nothing happens for a minute, beside lists",
        watches: 5,
        promise: &[NoPollCut, NoCallLost, StaysClosed],
        ..USUAL
    },
    #[cfg(unix)]
    Scenario {
        name: "descriptors", about: "the program itself has no file descriptor left for new connections",
        place: Place::FewFiles, stake: Stake::Service,
        acts: &[Act { from: 1100, to: 4600, play: answer_and_close }],
        promise: &[ErrorWithin(1600), BackWithin(600), StaysClosed],
        ..USUAL
    },
];

impl Scenario {
    /// A server that plays these acts. Its clock starts now.
    pub(crate) fn peer(&self, acts: &[Act], usual: fn() -> Reply) -> Peer {
        let mut script = Script::new();
        for act in acts {
            script = script.until(ms(act.from), usual()).until(ms(act.to), (act.play)());
        }
        // It holds the poll longer than the deadline of a call, and then has something to say.
        let peer = Peer::from(script.forever(usual())).on("/message", answer().after(HOLD));
        peer.on("/watch", Reply::sized(2).drip(1, HOLD))
    }

    pub(crate) fn every(&self) -> Duration {
        ms(self.every)
    }

    /// When the server is out, and whether it comes back; acts without a gap are one.
    pub(crate) fn outages(&self) -> Vec<(Duration, Duration)> {
        let mut outages: Vec<(Duration, Duration)> = Vec::new();
        let replicas: &[&[Act]] = if let Place::Replicas(all) = self.place { all } else { &[] };
        for act in replicas.iter().copied().flatten().chain(self.acts) {
            match outages.last_mut() {
                Some(last) if last.1 == ms(act.from) => last.1 = ms(act.to),
                _ => outages.push((ms(act.from), ms(act.to))),
            }
        }
        outages
    }

    /// The moments at which there is service again; with replicas there always was.
    pub(crate) fn returns(&self) -> Vec<Duration> {
        if matches!(self.place, Place::Replicas(_)) {
            return Vec::new();
        }
        self.outages().into_iter().map(|(_, to)| to).filter(|to| *to < LENGTH).collect()
    }

    pub(crate) fn promise(&self) -> String {
        self.promise.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }
}

/// How long the server holds a long poll: 50 s outside.
pub(crate) const HOLD: Duration = Duration::from_millis(2500);

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn answer() -> Reply {
    Reply::sized(2000)
}

pub(crate) fn answer_and_close() -> Reply {
    answer().closing()
}

/// GOAWAY of RFC 9113, section 6.8: nothing was wrong, and what is in flight was not processed.
const GOAWAY: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn goodbye_to_every_20th() -> Reply {
    let n = AtomicU32::new(1);
    Reply::by(move |_| {
        let last = n.fetch_add(1, Ordering::Relaxed).is_multiple_of(20);
        if last { Reply::raw(GOAWAY) } else { answer().after(ms(10)) }
    })
}

fn bad_gateway() -> Reply {
    Reply::status(502)
}

fn every_third_is_torn() -> Reply {
    let n = AtomicU32::new(1);
    Reply::by(move |_| {
        let torn = n.fetch_add(1, Ordering::Relaxed).is_multiple_of(3);
        if torn { answer().reset_after(1000) } else { answer() }
    })
}

fn drip() -> Reply {
    Reply::sized(86_400).drip(1, ms(50))
}

fn in_one_second() -> Reply {
    Reply::status(503).retry_after("1")
}

fn in_three_seconds() -> Reply {
    Reply::status(503).retry_after("3")
}
