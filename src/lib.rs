//! Resilience for HTTP clients in long-running programs: **nothing waits forever**. Every call and every body has a
//! deadline, or a written reason why not.
//!
//! For agents, controllers, listeners and daemons that talk to a control plane for months with nobody near them. Their
//! failure is always the same one: the process is up, the probes are green, and one call has been waiting for six hours.
//!
//! ```text
//!  your call
//!     |
//!  deadline        30 s, or less where the request or an enclosing within() says so
//!  retry           4 attempts, growing waits, Retry-After, a budget for each origin
//!  breaker         an origin that does not answer is left alone; a refusal says until when
//!  health check    off until it has a path
//!  attempt limit   10 s, from the request to the last byte that is collected
//!  collect         bodies up to 1 MiB are read in here: one that breaks is retried
//!  stall guard     10 s without a byte
//!     |
//!  your client     hyper-util's, or any tower service
//! ```
//!
//! # Quick start
#![cfg_attr(
    feature = "client",
    doc = r#"
A client with all of that on:

```no_run
# #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), unwedge::Error> {
let client = unwedge::Client::new()?; // keep it: clones share connections and breakers
let jobs: Vec<String> = client.get("https://api.example.com/jobs").send().await?.json().await?;
# Ok(()) }
```
"#
)]
//!
//! The same over a client that you have already, as a [tower](https://docs.rs/tower) layer:
//!
//! ```no_run
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use tower_layer::Layer;
//! use tower_service::Service;
//! use unwedge::{Body, StackLayer};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
//! let mut client = StackLayer::default().layer(client);
//!
//! let request = http::Request::get("http://api.example.com/jobs").body(Body::empty())?;
//! let response = client.call(request).await?;
//! # Ok(()) }
//! ```
//!
//! A deadline around more than one call, which every call inside sees and can only shorten:
//!
//! ```
//! use std::time::Duration;
//! use unwedge::within;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! let sweep = within(Duration::from_secs(300), async {
//!     // every call, sleep and nested scope in here ends in time
//! });
//! sweep.await.expect("done within five minutes");
//! # }
//! ```
//!
//! One whole program for each task: [`manual::recipes`].
//!
//! # The paved path
//!
//! | name | what it is |
//! | --- | --- |
#![cfg_attr(
    feature = "client",
    doc = "| [`Client`], [`get`], [`Response`] | a client that is bounded before you set anything |"
)]
//! | [`StackLayer`], [`Stack`] | the same for any client that is a tower service |
//! | [`Limits`] | how long a call and its parts may take |
//! | [`within`], [`Deadline`] | a deadline for everything inside; for one request, as its extension |
//! | [`Bounded`], [`vouch`] | what an API demands that wants no client without a deadline |
//! | [`LongPoll`], [`long_poll!`] | the opt-out of a request that may wait, with its reason |
//! | [`CallOptions`], [`Collect`], [`Group`], [`Label`], [`retry::Idempotent`] | options of one request, as its extensions |
//! | [`Body`], [`Attempts`] | the one body type, and how a response came about |
//! | [`Error`], [`ErrorKind`], [`Phase`] | what failed, where, and what the attempts before died of |
//! | [`retry::Settings`], [`breaker::Settings`], [`health::Settings`] | how calls are repeated, when an origin is left alone, how it is asked for its health |
//! | [`breaker::Breaker`] | a circuit breaker for anything else |
//! | [`manual`] | why the order, why the defaults, what every error means |
//!
//! # Settings
//!
//! Every settings type is a builder by value: a setter has the name of what it sets. What `x(..)` sets, `get_x()` reads
//! back, as with [`std::process::Command`]: what is in force where that follows from the settings alone, otherwise
//! `None`; a setter of two values gives a pair back. What was given as code has no getter.
//!
//! ```
//! use std::time::Duration;
//!
//! let settings = unwedge::retry::Settings::default().max_retries(10);
//! assert_eq!(settings.get_max_retries(), 10);
//! assert_eq!(settings.get_backoff().get_cap(), Duration::from_secs(10));
//! ```
//!
//! With feature `serde` they are written and read under the same names, durations as `30s`; an unknown name is an error.
#![cfg_attr(
    feature = "serde",
    doc = r##"
```
let settings: unwedge::retry::Settings = serde_json::from_str(r#"{ "backoff": { "base": "5s", "cap": "5m" } }"#)?;
assert_eq!(settings.get_backoff().get_base().as_secs(), 5);
# Ok::<(), serde_json::Error>(())
```
"##
)]
//!
//! # Features
//!
//! | feature | what it adds |
//! | --- | --- |
//! | none | all of the above but the client |
//! | `client` (default) | `Client`: hyper with rustls and the roots of the platform |
//! | `aws-lc-rs` (default), `ring` | the cryptography of `Client`; one that the process installed goes before both |
//! | `blocking` | `blocking::Client`: the client for programs without a runtime; brings `client` |
//! | `config` | settings from a file, the environment and flags, in layers |
//! | `metrics` | counts and durations through the `metrics` facade |
//! | `reqwest` | the same stack as a middleware of reqwest, ready reqwest clients, and reqwest as a tower service; turns on no feature of reqwest |
//! | `reqwest-rustls` | the same with rustls and HTTP/2 of reqwest |
//! | `admin` | probes, JSON, metrics and a status page over HTTP; brings `supervise` |
//! | `serde` | `Serialize` and `Deserialize` for settings, `Serialize` for what is shown of circuits, calls and subsystems |
//! | `sse` | `sse`: event streams that connect again by themselves, over any of these clients |
//! | `supervise` | supervision of the loops above the calls: restarts, liveness, a watchdog, an orderly end, queues, child processes |
//! | `testing` | scripted servers that stall, break and lie, in memory and on real sockets, for your own tests |
//! | `full` | all of these |
//!
//! A feature adds API and changes no behaviour, and none changes a client that is not of this crate.
//!
//! # What it needs
//!
//! A tokio runtime of either flavour, with its timer on (and its I/O for the client); without a runtime a call that has to wait
//! returns an error of kind [`Config`](ErrorKind::Config). What happens is logged through `tracing`. Rust 1.87 or newer.
#![cfg_attr(docsrs, feature(doc_cfg))]
// The manual is one for all features: where some are off, what it names of them is plain text.
#![cfg_attr(not(feature = "full"), allow(rustdoc::broken_intra_doc_links))]

#[cfg(feature = "admin")]
pub mod admin;
mod body;
mod bounded;
pub mod breaker;
#[cfg(feature = "client")]
pub mod client;
mod collect;
#[cfg(feature = "config")]
pub mod config;
mod coop;
pub mod deadline;
pub mod duration;
pub mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod inflight;
#[doc(hidden)]
pub mod longpoll;
pub mod manual;
#[cfg(feature = "metrics")]
pub mod metrics {
    //! What is counted, through the [`metrics`](https://docs.rs/metrics) facade: names, labels and buckets.
    //!
    //! Install a recorder of your choice, then call [`record`]. Which labels there are is bounded: origins beyond the
    //! first 200 of a stack share the label `other`, methods that a caller makes up are `_OTHER`.
    //!
    //! [`manual::metrics`](crate::manual::metrics) lists all of them.
    pub use crate::telemetry::facade::record;
    pub use crate::telemetry::names::{Kind, METRICS, Metric};
}
#[cfg(feature = "supervise")]
pub mod child;
pub mod health;
mod options;
mod origin;
#[cfg(feature = "supervise")]
mod panics;
#[cfg(feature = "supervise")]
pub mod queue;
#[cfg(feature = "reqwest")]
pub mod reqwest;
pub mod retry;
mod reuse;
#[cfg(any(feature = "admin", feature = "client", feature = "reqwest"))]
mod runtime;
#[cfg(feature = "sse")]
pub mod sse;
pub mod stack;
mod stall;
#[cfg(feature = "supervise")]
pub mod supervise;
#[cfg(any(feature = "client", feature = "reqwest"))]
mod suspend;
mod sync;
mod target;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(any(feature = "client", feature = "reqwest-rustls"))]
mod tls;
#[cfg(feature = "client")]
mod transport;

pub use body::{Attempts, Body};
pub use bounded::{Bounded, Vouched, vouch};
#[cfg(feature = "blocking")]
#[doc(inline)]
pub use client::blocking;
#[cfg(feature = "client")]
pub use client::{Client, Response, get};
pub use collect::Collect;
pub use deadline::{Deadline, Limits, within};
pub use error::{BoxError, Error, ErrorKind, Phase};
pub use longpoll::LongPoll;
pub use options::{CallOptions, Group, Label};
pub use origin::Origin;
pub use stack::{Stack, StackLayer};

/// The examples of the README, compiled and run with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
