//! The words of queues.

use crate::duration::compact::compact;
use crate::duration::human;
use crate::telemetry::names::QUEUE_EXPIRED;
use crate::telemetry::sink::count;
use std::fmt::Display;
use std::time::Duration;

/// An item that waited too long. Its key comes from outside, and is in no label.
pub(crate) fn expired(queue: &str, cluster: &str, event_id: &str, age: Duration, max_age: Duration) {
    say!(warn, cluster, event_id, age = %human(age), max_age = %human(max_age), "event expired");
    count(&QUEUE_EXPIRED, || vec![("queue", queue.to_owned())]);
}

/// More would expire than the valve lets pass.
pub(crate) fn held(alarm: &dyn Display) {
    say!(error, "{}", compact(alarm));
}
