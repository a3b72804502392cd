//! The words, levels and names of everything that is logged, traced and measured.
//!
//! `log` has the words, `spans` those of traces, `names` the table of metrics, `record` what is counted and when, `sink` where it goes. The recorder
//! of the `metrics` facade is one such place; without it, or before it is asked for, there is none.

/// One line for the log. What the subscriber does with it must cost nobody anything else: where it panics, as where a
/// value does that is shown, the work that was told of goes on.
macro_rules! say {
    ($level:ident, $($line:tt)*) => {
        $crate::sync::shielded(|| tracing::$level!($($line)*))
    };
}

mod causes;
#[cfg(feature = "metrics")]
pub(crate) mod facade;
#[cfg(feature = "supervise")]
pub(crate) mod gauges;
mod labels;
pub(crate) mod log;
#[cfg_attr(
    not(feature = "metrics"),
    expect(dead_code, unreachable_pub, reason = "only a recorder reads the whole table")
)]
pub(crate) mod names;
mod record;
mod sink;
pub(crate) mod spans;

pub(crate) use labels::{ClientName, Labels, Subject};
pub(crate) use log::{
    Endpoint, breaker, failed, gate_closed, recovered, retry, too_many_groups, unbounded, unreplayable,
};
pub(crate) use record::{Meter, leases_expired};
pub(crate) use sink::End;
