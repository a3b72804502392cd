//! Series of one origin that every call moves: looked up by name once, and kept.

use crate::options::Group;
use crate::origin::Origin;
use crate::sync::{Arc, made, shielded};
use crate::telemetry::OTHER;
use crate::telemetry::labels::{ClientName, Subject};
use crate::telemetry::names::{ATTEMPTS, BUDGET, CALL_DURATION, LONG_POLL_DURATION, LONG_POLLS, Labels};
use crate::telemetry::record::End;
use ::metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use http::{Method, StatusCode};
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// Origins of a stack that have series of their own; all others share those of `other`.
const ORIGINS: usize = 200;
/// What a server may make of its statuses must not make series without end.
const KEPT: usize = 64;

type Ended = (&'static str, Option<StatusCode>, Option<&'static str>, bool);

pub(super) struct Handles {
    origin: Origin,
    pub(super) of: Subject,
    attempts: Series<&'static str, Counter>,
    durations: Series<Ended, Histogram>,
    budget: OnceLock<Gauge>,
    long_polls: OnceLock<Gauge>,
}

/// Series by what they are of. The recorder is asked for one, and told, without the lock: it is the user's.
struct Series<K, H>(Mutex<Vec<(K, H)>>);

impl<K: PartialEq + Copy, H: Clone> Series<K, H> {
    fn new() -> Series<K, H> {
        Series(Mutex::new(Vec::new()))
    }

    /// The series of this key; where there are `KEPT` of others already, of `rest`.
    fn get(&self, key: K, rest: K, make: impl FnOnce(K) -> H) -> H {
        let mut key = key;
        {
            let kept = lock(&self.0);
            let find = |key| kept.iter().find(|(known, _)| *known == key).map(|(_, series)| series.clone());
            if let Some(series) = find(key) {
                return series;
            }
            if kept.len() >= KEPT {
                key = rest;
                if let Some(series) = find(key) {
                    return series;
                }
            }
        }
        let made = make(key);
        let mut kept = lock(&self.0);
        // Two may make one at once: a recorder gives them the same.
        if !kept.iter().any(|(known, _)| *known == key) {
            kept.push((key, made.clone()));
        }
        made
    }
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
            attempts: Series::new(),
            durations: Series::new(),
            budget: OnceLock::new(),
            long_polls: OnceLock::new(),
        }
    }

    pub(super) fn attempted(&self, outcome: &'static str) {
        shielded(|| self.attempts.get(outcome, OTHER, |outcome| self.attempt(outcome)).increment(1));
    }

    fn attempt(&self, outcome: &'static str) -> Counter {
        counter!(ATTEMPTS.name, &self.of.and("outcome", outcome))
    }

    pub(super) fn budget(&self, left: u32) {
        shielded(|| made(&self.budget, || gauge!(BUDGET.name, &self.of.labels())).set(left));
    }

    pub(super) fn long_poll(&self, more: f64) {
        let make = || gauge!(LONG_POLLS.name, &self.of.of_origin());
        shielded(|| made(&self.long_polls, make).increment(more));
    }

    pub(super) fn called(&self, method: &Method, end: End, long_poll: bool, took: Duration) {
        // Neither: its caller dropped it.
        let error = end.error.or(end.status.is_none().then_some("dropped"));
        let key = (known(method), end.status, error, long_poll);
        let rest = ("_OTHER", None, Some(OTHER), long_poll);
        shielded(|| self.durations.get(key, rest, |key| self.duration(key)).record(took.as_secs_f64()));
    }

    fn duration(&self, (method, status, error, long_poll): Ended) -> Histogram {
        let failed = status.filter(|status| status.is_client_error() || status.is_server_error());
        if long_poll {
            let outcome = error.unwrap_or(if failed.is_some() { "status" } else { "ok" });
            return histogram!(LONG_POLL_DURATION.name, &self.of.and("outcome", outcome));
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
        labels.extend(self.of.client.as_ref().map(ClientName::label));
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
