//! Where what is counted goes: to nobody, until a recorder is told of it.
//!
//! A recorder is the user's code: it is called where nothing is locked, and where it panics the work goes on.

use crate::origin::Origin;
use crate::telemetry::labels::{LabelSet, Subject};
use crate::telemetry::names::Metric;
use http::{Method, StatusCode};
use std::sync::OnceLock;
use std::time::Duration;

/// How a call ended, as far as it is known. Neither is: its caller dropped it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct End {
    pub(crate) status: Option<StatusCode>,
    pub(crate) error: Option<&'static str>,
}

/// Who counts.
pub(super) trait Sink: Send + Sync {
    /// One more.
    fn count(&self, metric: &Metric, labels: LabelSet);

    fn set(&self, metric: &Metric, labels: LabelSet, value: f64);

    fn add(&self, metric: &Metric, labels: LabelSet, difference: f64);

    fn observe(&self, metric: &Metric, labels: LabelSet, seconds: f64);

    /// The series of one origin that every call moves, to be kept.
    fn origin(&self, origin: &Origin, of: &Subject) -> Box<dyn OriginSink>;
}

/// Who counts the calls to one origin.
pub(super) trait OriginSink: Send + Sync {
    fn called(&self, method: &Method, end: End, long_poll: bool, took: Duration);

    fn attempted(&self, outcome: &'static str);

    /// Tokens that are left for retries.
    fn budget(&self, left: u32);
}

/// Set once. While it is empty nothing is counted, and each question costs one load.
pub(super) static SINK: OnceLock<&'static dyn Sink> = OnceLock::new();

#[inline]
pub(super) fn sink() -> Option<&'static dyn Sink> {
    SINK.get().copied()
}

pub(super) fn count(metric: &Metric, labels: impl FnOnce() -> LabelSet) {
    if let Some(sink) = sink() {
        sink.count(metric, labels());
    }
}

pub(super) fn set(metric: &Metric, labels: impl FnOnce() -> LabelSet, value: f64) {
    if let Some(sink) = sink() {
        sink.set(metric, labels(), value);
    }
}

pub(super) fn add(metric: &Metric, labels: impl FnOnce() -> LabelSet, difference: f64) {
    if let Some(sink) = sink() {
        sink.add(metric, labels(), difference);
    }
}

pub(super) fn observe(metric: &Metric, labels: impl FnOnce() -> LabelSet, seconds: f64) {
    if let Some(sink) = sink() {
        sink.observe(metric, labels(), seconds);
    }
}
