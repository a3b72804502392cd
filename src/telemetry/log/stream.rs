//! The words of event streams.

use crate::duration::compact::compact;
use crate::duration::human;
use crate::error::{Error, ErrorKind};
use crate::telemetry::names::{STREAM_CONNECTS, STREAM_LOSSES};
use crate::telemetry::sink::count;
use std::time::Duration;

/// It is connected: at first, and again after it was lost.
pub(crate) fn connected(cluster: &str, attempt: u32) {
    say!(info, cluster, attempt, "event stream connected");
    count(&STREAM_CONNECTS, || vec![("stream", cluster.to_owned())]);
}

/// It is not connected, and will be tried again after the wait.
pub(crate) fn lost(cluster: &str, cause: &'static str, attempt: u32, wait: Duration, error: &Error) {
    say!(warn, cluster, cause, attempt, wait = %human(wait), error = compact(error), "event stream lost");
    count(&STREAM_LOSSES, || vec![("stream", cluster.to_owned()), ("cause", cause.to_owned())]);
}

/// It has ended for good: without an error where the server said so, and without a failure where the program ends.
pub(crate) fn ended(cluster: &str, error: Option<&Error>) {
    match error {
        None => say!(info, cluster, "event stream ended by the server"),
        // Nothing has failed.
        Some(error) if error.kind() == ErrorKind::Cancelled => {
            say!(info, cluster, "event stream ended by the shutdown");
        }
        Some(error) => say!(error, cluster, error = compact(error), "event stream ended"),
    }
}

/// The caller's hook was to say what follows a refusal, and did not.
pub(crate) fn hook_failed(cluster: &str, why: &str) {
    say!(warn, cluster, why = compact(&why), "event stream: the hook for refusals failed");
}

/// An event was thrown away because of its size.
pub(crate) fn too_large(cluster: &str, error: &Error) {
    say!(warn, cluster, error = compact(error), "event above its size limit");
}
