//! Series of one origin that every call moves: looked up by name once, and kept.

use crate::origin::Origin;
use crate::sync::{Mutex, lock, made, shielded};
use crate::telemetry::labels::{ClientName, LabelSet, OTHER, Subject};
use crate::telemetry::names::{ATTEMPTS, BUDGET, CALL_DURATION, LONG_POLL_DURATION};
use crate::telemetry::sink::{End, OriginSink};
use crate::telemetry::spans::{self, address, known};
use ::metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use http::{Method, StatusCode};
use std::sync::OnceLock;
use std::time::Duration;

/// What a server may make of its statuses must not make series without end.
const KEPT: usize = 64;

/// Method, status, error, and whether it was a long poll.
type Ended = (&'static str, Option<StatusCode>, Option<&'static str>, bool);

pub(super) struct OriginSeries {
    origin: Origin,
    of: Subject,
    attempts: Series<&'static str, Counter>,
    durations: Series<Ended, Histogram>,
    budget: OnceLock<Gauge>,
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

impl OriginSeries {
    pub(super) fn new(origin: &Origin, of: &Subject) -> OriginSeries {
        OriginSeries {
            origin: origin.clone(),
            of: of.clone(),
            attempts: Series::new(),
            durations: Series::new(),
            budget: OnceLock::new(),
        }
    }

    fn attempt(&self, outcome: &'static str) -> Counter {
        counter!(ATTEMPTS.name, &self.of.and("outcome", outcome))
    }

    fn duration(&self, (method, status, error, long_poll): Ended) -> Histogram {
        let failed = status.filter(|status| status.is_client_error() || status.is_server_error());
        if long_poll {
            let outcome = error.unwrap_or(if failed.is_some() { "status" } else { "ok" });
            return histogram!(LONG_POLL_DURATION.name, &self.of.and("outcome", outcome));
        }
        let (host, port) = match &*self.of.label {
            OTHER => (OTHER.to_owned(), String::from("0")),
            _ => (address(&self.origin).to_owned(), self.origin.port().to_string()),
        };
        let mut labels: LabelSet =
            vec![("http.request.method", method.to_owned()), ("server.address", host), ("server.port", port)];
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

impl OriginSink for OriginSeries {
    fn called(&self, method: &Method, end: End, long_poll: bool, took: Duration) {
        // Neither: its caller dropped it.
        let error = end.error.or(end.status.is_none().then_some("dropped"));
        let key = (known(method), end.status, error, long_poll);
        let rest = (spans::OTHER, None, Some(OTHER), long_poll);
        shielded(|| self.durations.get(key, rest, |key| self.duration(key)).record(took.as_secs_f64()));
    }

    fn attempted(&self, outcome: &'static str) {
        shielded(|| self.attempts.get(outcome, OTHER, |outcome| self.attempt(outcome)).increment(1));
    }

    fn budget(&self, left: u32) {
        shielded(|| made(&self.budget, || gauge!(BUDGET.name, &self.of.labels())).set(left));
    }
}
