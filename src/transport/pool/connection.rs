//! One connection, and whether it is worth another call. Pure.

use std::time::Duration;
use tokio::time::Instant;

/// How a peer that speaks HTTP/2 is given up that does not say so: its settings are the first thing it has to send.
pub(super) const SETTINGS_WITHIN: Duration = Duration::from_secs(5);

/// How long a connection may have to do with a call that has its answer: with an upload that the server does not read.
const TURNS_WITHIN: Duration = Duration::from_secs(10);

/// What a connection is spoken to through. Nothing here may wait or call back.
pub(super) trait Link {
    /// It has ended.
    fn is_closed(&self) -> bool;
    /// It takes a request now. Asked of a connection that carries one at a time.
    fn is_ready(&self) -> bool;
    /// Bodies that nobody reads stand in the way of others. Asked of one that carries many.
    fn is_clogged(&self, now: Instant) -> bool;
    /// The same connection, for one more request. Asked of one that carries many.
    fn share(&self) -> Self;
}

/// What a pool does with its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) struct Rules {
    /// So long one is kept without a call.
    pub(super) idle: Duration,
    /// So many of one origin are kept without a call.
    pub(super) idle_per_origin: usize,
    /// So long one is used.
    pub(super) age: Duration,
    /// So many lead to one origin.
    pub(super) per_origin: usize,
    /// No connect takes so long: nobody drives the runtime that it was begun in.
    pub(super) lost: Duration,
}

/// How long a call may hold what it shares with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It ends soon.
    Prompt,
    /// It may wait for long, or never end.
    Parked,
}

/// What a call needs of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) kind: Kind,
    /// Not one that was idle when the attempt before failed.
    pub(super) fresh: bool,
}

/// How many requests a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carries {
    /// One at a time (HTTP/1).
    One,
    /// As many streams as its peer allows (HTTP/2), all of calls of one kind. No limit where it has not said so yet.
    Many { kind: Kind, limit: Option<u32> },
}

/// A connection of the pool.
#[derive(Debug)]
pub(super) struct Entry<L> {
    /// Told apart from those that had its place before.
    pub(super) serial: u64,
    /// None while it is lent to the one call that it carries, and once it is left to end.
    pub(super) link: Option<L>,
    pub(super) carries: Carries,
    /// Calls that are on it.
    pub(super) calls: u32,
    pub(super) opened: Instant,
    /// From then on it takes calls only where no other can be made; see [`lean`](super::origin::Origin).
    pub(super) dies: Instant,
    /// The call that has it to itself is one that may park.
    pub(super) parked: bool,
    /// Since when there has been no call on it.
    pub(super) idle: Option<Instant>,
    /// When it last came back from a call that had its answer: of those that carry one at a time.
    pub(super) served: Option<Instant>,
    /// So long its server keeps it without a call.
    pub(super) keeps: Option<Duration>,
    /// Since when its task has had something to do before the next call; see [`Back::Turning`](super::origin::Back).
    pub(super) turning: Option<Instant>,
    /// It was idle when another one turned out to have been stale.
    pub(super) doubtful: bool,
    /// No call begins on it any more; those that are on it end there.
    pub(super) retired: bool,
}

impl<L: Link> Entry<L> {
    /// When it is to be closed, if no call comes; for one that no call has.
    pub(super) fn closes(&self, rules: &Rules) -> Option<Instant> {
        let kept = self.keeps.map_or(rules.idle, |keeps| keeps.min(rules.idle));
        let closes = self.idle.map(|idle| idle + kept);
        closes.or_else(|| self.turning.map(|since| since + TURNS_WITHIN))
    }

    /// Whether it is at its age.
    pub(super) fn is_aged(&self, now: Instant) -> bool {
        now >= self.dies
    }

    /// Whether it takes a call, where those at their age do until this moment.
    pub(super) fn serves(&self, leans: Option<Instant>, now: Instant) -> bool {
        !self.is_aged(now) || leans.is_some_and(|until| now < until)
    }

    /// It is used no longer than this, whatever becomes of connects: twice its age.
    fn ends(&self) -> Instant {
        self.dies + self.dies.saturating_duration_since(self.opened)
    }

    /// Whether no call may begin on it any more.
    pub(super) fn is_over(&self, rules: &Rules, now: Instant) -> bool {
        let mute = matches!(self.carries, Carries::Many { limit: None, .. });
        self.retired
            || now >= self.dies && now >= self.ends()
            || self.link.as_ref().is_some_and(Link::is_closed)
            || self.closes(rules).is_some_and(|closes| now >= closes)
            || mute && now >= self.opened + SETTINGS_WITHIN
    }

    /// Whether it is of this kind, and a slot is free.
    pub(super) fn has_slot(&self, wish: Wish, now: Instant) -> bool {
        let Carries::Many { kind, limit: Some(limit) } = self.carries else { return false };
        kind == wish.kind
            && self.calls < limit
            && !(wish.fresh && self.doubtful)
            // A parked call waits with the bodies of its kind.
            && !(kind == Kind::Prompt && self.link.as_ref().is_some_and(|link| link.is_clogged(now)))
    }
}
