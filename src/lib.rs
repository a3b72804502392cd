//! Resilience layers for HTTP clients in long-running programs: nothing waits forever.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
pub mod breaker;
#[cfg(feature = "client")]
pub mod client;
mod collect;
pub mod deadline;
mod duration;
pub mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod inflight;
#[doc(hidden)]
pub mod longpoll;
mod origin;
pub mod preflight;
pub mod retry;
pub mod stack;
mod stall;
mod sync;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
mod wire;

pub use body::{Attempts, Body};
#[cfg(feature = "client")]
pub use client::{Client, Response, get};
pub use collect::Collect;
pub use deadline::{Deadline, Limits, within};
pub use error::{BoxError, Error, ErrorKind, Phase};
pub use longpoll::LongPoll;
pub use origin::{Label, Origin};
pub use stack::{Stack, StackLayer};
