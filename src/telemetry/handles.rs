//! Series of one origin that every call moves: looked up by name once, and kept.

use super::meter::End;
use super::names::{ATTEMPTS, BUDGET, CALL_DURATION, LONG_POLL_DURATION, LONG_POLLS, Labels};
use super::subject::Subject;
use crate::options::Group;
use crate::origin::Origin;
use ::metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use http::{Method, StatusCode};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// Origins of a stack that have series of their own; all others share those of `other`.
const ORIGINS: usize = 200;
const OTHER: &str = "other";
/// What a server may make of its statuses must not make series without end.
const KEPT: usize = 64;

type Ended = (&'static str, Option<StatusCode>, Option<&'static str>, bool);

pub(super) struct Handles {
    origin: Origin,
    pub(super) of: Subject,
    attempts: Mutex<Vec<(&'static str, Counter)>>,
    durations: Mutex<Vec<(Ended, Histogram)>>,
    budget: OnceLock<Gauge>,
    long_polls: OnceLock<Gauge>,
}

/// The origins of one stack that have series of their own: the first that are called.
#[derive(Default)]
pub(super) struct Known(Mutex<HashSet<Arc<str>>>);

impl Known {
    /// The labels of an origin, or of a group of it: a group counts as one more.
    pub(super) fn labels(&self, origin: &Arc<str>, group: Option<&Group>) -> (Arc<str>, Option<Group>) {
        let name = match group {
            None => Arc::clone(origin),
            // No origin has a blank in it.
            Some(group) => format!("{origin} {group}").into(),
        };
        let mut known = lock(&self.0);
        if known.len() >= ORIGINS && !known.contains(&name) {
            return (OTHER.into(), group.map(|_| Group::new(OTHER)));
        }
        known.insert(name);
        (Arc::clone(origin), group.cloned())
    }
}

impl Handles {
    pub(super) fn new(origin: &Origin, of: Subject) -> Handles {
        Handles {
            origin: origin.clone(),
            of,
            attempts: Mutex::default(),
            durations: Mutex::default(),
            budget: OnceLock::new(),
            long_polls: OnceLock::new(),
        }
    }

    pub(super) fn attempted(&self, outcome: &'static str) {
        let mut kept = lock(&self.attempts);
        let at = kept.iter().position(|(name, _)| *name == outcome).unwrap_or_else(|| {
            let labels: Labels = vec![("origin", self.of.label.to_string()), ("outcome", outcome.to_owned())];
            kept.push((outcome, counter!(ATTEMPTS.name, &labels)));
            kept.len() - 1
        });
        kept[at].1.increment(1);
    }

    pub(super) fn budget(&self, left: u32) {
        self.budget.get_or_init(|| gauge!(BUDGET.name, &self.of.labels())).set(left);
    }

    pub(super) fn long_poll(&self, more: f64) {
        let gauge = self
            .long_polls
            .get_or_init(|| gauge!(LONG_POLLS.name, &vec![("origin", self.of.label.to_string())]));
        gauge.increment(more);
    }

    pub(super) fn called(&self, method: &Method, end: End, long_poll: bool, took: Duration) {
        // Neither: its caller dropped it.
        let error = end.error.or(end.status.is_none().then_some("dropped"));
        let mut key = (known(method), end.status, error, long_poll);
        let mut kept = lock(&self.durations);
        if kept.len() >= KEPT && !kept.iter().any(|(ended, _)| *ended == key) {
            key = ("_OTHER", None, Some(OTHER), long_poll);
        }
        let at = kept.iter().position(|(ended, _)| *ended == key).unwrap_or_else(|| {
            kept.push((key, self.duration(key)));
            kept.len() - 1
        });
        kept[at].1.record(took.as_secs_f64());
    }

    fn duration(&self, (method, status, error, long_poll): Ended) -> Histogram {
        let failed = status.filter(|status| status.is_client_error() || status.is_server_error());
        if long_poll {
            let outcome = error.unwrap_or(if failed.is_some() { "status" } else { "ok" });
            let labels: Labels = vec![("origin", self.of.label.to_string()), ("outcome", outcome.to_owned())];
            return histogram!(LONG_POLL_DURATION.name, &labels);
        }
        let (address, port) = match &*self.of.label {
            OTHER => (OTHER.to_owned(), String::from("0")),
            _ => (self.origin.host().to_owned(), self.origin.port().to_string()),
        };
        let mut labels: Labels = vec![
            ("http.request.method", method.to_owned()),
            ("server.address", address),
            ("server.port", port),
        ];
        // An attribute is left out where there is nothing to say, as OpenTelemetry wants it.
        if let Some(status) = status {
            labels.push(("http.response.status_code", status.as_str().to_owned()));
        }
        if let Some(error) =
            error.map(str::to_owned).or_else(|| failed.map(|status| status.as_str().to_owned()))
        {
            labels.push(("error.type", error));
        }
        histogram!(CALL_DURATION.name, &labels)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Methods that a caller makes up are one.
fn known(method: &Method) -> &'static str {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::CONNECT,
        Method::TRACE,
    ];
    const NAMES: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.iter().position(|known| known == method).map_or("_OTHER", |at| NAMES[at])
}
