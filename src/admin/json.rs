//! The same for programs: what each path answers, in the words of what is shown.

use super::expect::NotReady;
use crate::breaker::Snapshot;
use crate::duration::written::seconds;
use crate::inflight::{Call, OpenConnections};
use crate::registry::{PROCESSES, ProcessView, QUEUES, QueueView, STREAMS, StreamView};
use crate::supervise::Subsystem;
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;

/// Calls beyond these are only counted: the oldest are the ones to look at.
const MOST: usize = 1000;

#[derive(Serialize)]
pub(super) struct Liveness {
    pub(super) subsystems: Vec<Subsystem>,
    #[serde(rename = "watchdog_lag_seconds", serialize_with = "seconds")]
    pub(super) lag: Duration,
}

#[derive(Serialize)]
pub(super) struct Breakers {
    pub(super) breakers: Vec<Snapshot>,
}

#[derive(Serialize)]
pub(super) struct Calls {
    total: usize,
    calls: Vec<Call>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    connections: Vec<OpenConnections>,
}

impl Calls {
    pub(super) fn new(mut calls: Vec<Call>, mut connections: Vec<OpenConnections>) -> Calls {
        let total = calls.len();
        calls.truncate(MOST);
        connections.truncate(MOST);
        Calls { total, calls, connections }
    }
}

#[derive(Serialize)]
pub(super) struct Queues {
    queues: Vec<QueueView>,
}

#[derive(Serialize)]
pub(super) struct Streams {
    streams: Vec<StreamView>,
}

#[derive(Serialize)]
pub(super) struct Processes {
    processes: Vec<ProcessView>,
}

impl Queues {
    pub(super) fn now() -> Queues {
        Queues { queues: QUEUES.look(Instant::now()) }
    }
}

impl Streams {
    pub(super) fn now() -> Streams {
        Streams { streams: STREAMS.look(Instant::now()) }
    }
}

impl Processes {
    pub(super) fn now() -> Processes {
        Processes { processes: PROCESSES.look(Instant::now()) }
    }
}

#[derive(Serialize)]
pub(super) struct Readiness {
    ready: bool,
    not_ready: Vec<NotReady>,
}

impl Readiness {
    pub(super) fn new(lacks: Vec<NotReady>) -> Readiness {
        Readiness { ready: lacks.is_empty(), not_ready: lacks }
    }
}

#[derive(Serialize)]
pub(super) struct Health {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) stale: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<&'static str>,
}

/// What became of a command.
#[derive(Serialize)]
pub(super) struct Commanded<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<&'static str>,
    pub(super) origin: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) phase: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client: Option<&'a str>,
}
