//! Time limits: the [`Limits`] of a stack, the [`Deadline`] of a scope, and its propagation to the next server
//! ([`Headers`], [`IncomingLayer`]).

mod header;
mod incoming;
mod limits;
mod oneshot;
mod scope;
mod timer;
mod turn;

pub use header::Headers;
pub(crate) use header::Late;
pub use incoming::{AttemptNumber, Incoming, IncomingFuture, IncomingLayer, IncomingService};
pub use limits::Limits;
pub(crate) use limits::Resolved;
pub use scope::{Deadline, Detached, Within, within};
pub(crate) use scope::{Scope, outside, under};
#[cfg(feature = "supervise")]
pub(crate) use timer::sleep_until;
pub(crate) use timer::{Timer, before};
pub use turn::turn;
