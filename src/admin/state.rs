//! What all endpoints share.

use super::expect::{Check, Expected};
use super::exposition::Exposition;
use super::history::{History, Keeper};
use super::program::Program;
use super::rendered::Rendered;
use crate::breaker::{Breaker, Snapshot, Transition};
use crate::inflight::{Call, InFlight, OpenConnections};
use crate::options::Group;
use crate::stack::Breakers;
use crate::supervise::{Event, Liveness, Readiness, State as Doing, Subsystem, Verdict};
use http::Uri;
use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Circuit breakers to show: all those of a stack, or one alone.
#[derive(Clone)]
pub struct Circuits(CircuitSource);

#[derive(Clone)]
enum CircuitSource {
    Stack(Breakers),
    One(Breaker),
}

impl From<Breakers> for Circuits {
    fn from(breakers: Breakers) -> Circuits {
        Circuits(CircuitSource::Stack(breakers))
    }
}

impl From<Breaker> for Circuits {
    fn from(breaker: Breaker) -> Circuits {
        Circuits(CircuitSource::One(breaker))
    }
}

impl fmt::Debug for Circuits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.snapshot()).finish()
    }
}

impl Circuits {
    fn snapshot(&self) -> Vec<Snapshot> {
        match &self.0 {
            CircuitSource::Stack(breakers) => breakers.snapshot(),
            CircuitSource::One(breaker) => vec![breaker.snapshot()],
        }
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Transition> {
        match &self.0 {
            CircuitSource::Stack(breakers) => breakers.subscribe(),
            CircuitSource::One(breaker) => breaker.subscribe(),
        }
    }

    /// The breaker of this name and group, if it exists. Asking makes none: names come from outside.
    fn find(&self, name: &str, group: Option<&str>, client: Option<&str>) -> Option<Breaker> {
        let is = |breaker: &Breaker, name: &str| {
            **breaker.name() == *name
                && breaker.group().map(Group::as_str) == group
                && client.is_none_or(|client| breaker.client().is_some_and(|name| **name == *client))
        };
        match &self.0 {
            CircuitSource::One(breaker) => is(breaker, name).then(|| breaker.clone()),
            CircuitSource::Stack(breakers) => {
                let name = origin(name)?;
                breakers.all().find(|breaker| is(breaker, &name))
            }
        }
    }
}

/// A URL as its origin is written; `None` for what is no URL.
pub(super) fn origin(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    Some(crate::Origin::of(&uri).ok()?.to_string())
}

/// What is to be shown, before anything is.
pub(super) struct Parts {
    pub(super) liveness: Liveness,
    pub(super) readiness: Readiness,
    pub(super) events: broadcast::Receiver<Event>,
    pub(super) circuits: Vec<Circuits>,
    pub(super) calls: Vec<InFlight>,
    pub(super) checks: Vec<Check>,
    pub(super) closed: Vec<String>,
    pub(super) expected: Option<Expected>,
    pub(super) token: Option<String>,
    pub(super) scrape: Option<Arc<dyn Exposition>>,
    pub(super) program: Option<String>,
}

pub(crate) struct State {
    pub(super) liveness: Liveness,
    pub(super) readiness: Readiness,
    circuits: Vec<Circuits>,
    pub(super) calls: Vec<InFlight>,
    pub(super) checks: Vec<Check>,
    pub(super) closed: Vec<String>,
    pub(super) expected: Option<Expected>,
    pub(super) token: Option<String>,
    pub(super) scrape: Option<Arc<dyn Exposition>>,
    pub(super) history: Arc<History>,
    pub(super) page: Rendered,
    pub(super) program: Program,
    keeper: Keeper,
}

impl State {
    pub(super) fn new(parts: Parts) -> Arc<State> {
        let transitions = parts.circuits.iter().map(Circuits::subscribe).collect();
        let history = Arc::new(History::default());
        let state = State {
            keeper: Keeper::new(&history, parts.events, transitions),
            history,
            page: Rendered::default(),
            program: Program::new(parts.program),
            liveness: parts.liveness,
            readiness: parts.readiness,
            circuits: parts.circuits,
            calls: parts.calls,
            checks: parts.checks,
            closed: parts.closed,
            expected: parts.expected,
            token: parts.token,
            scrape: parts.scrape,
        };
        state.keep();
        Arc::new(state)
    }

    /// Begins to collect what happens, where that could not be done yet.
    pub(super) fn keep(&self) {
        self.keeper.start(self.scrape.as_deref());
    }

    /// All subsystems, and those that are expected and were never seen.
    pub(super) fn subsystems(&self) -> Vec<Subsystem> {
        let mut shown = self.liveness.snapshot();
        let Some(expected) = &self.expected else { return shown };
        let (_, stale) = self.liveness.is_healthy(&expected.names, expected.stale_after);
        for name in stale {
            match shown.iter_mut().find(|subsystem| subsystem.name == name) {
                Some(subsystem) => subsystem.stale = true,
                None => shown.push(Subsystem {
                    name,
                    last_tick_at: None,
                    last_tick_ago: None,
                    expected_every: None,
                    stale_after: Some(expected.stale_after),
                    stale: true,
                    verdict: Verdict::NeverSeen,
                    state: Doing::Working,
                    restarts: 0,
                    waits_for: None,
                    in_poll_for: None,
                    is_polled: false,
                }),
            }
        }
        shown
    }

    pub(super) fn breakers(&self) -> Vec<Snapshot> {
        self.circuits.iter().flat_map(Circuits::snapshot).collect()
    }

    /// All breakers of this name and group, or that of one client: several may talk to one origin.
    pub(super) fn find(&self, name: &str, group: Option<&str>, client: Option<&str>) -> Vec<Breaker> {
        self.circuits.iter().filter_map(|circuits| circuits.find(name, group, client)).collect()
    }

    /// The connections of all clients.
    pub(super) fn connections(&self) -> Vec<OpenConnections> {
        self.calls.iter().flat_map(InFlight::connections).collect()
    }

    /// The calls of all stacks, oldest first.
    pub(super) fn in_flight(&self) -> Vec<Call> {
        let mut calls: Vec<Call> = self.calls.iter().flat_map(InFlight::snapshot).collect();
        calls.sort_by_key(|call| Reverse(call.age));
        calls
    }
}
