//! Resilience for HTTP clients in long-running programs: **nothing waits forever**. Every call and every body has a
//! deadline, or a written reason why not.
//!
//! It is for agents, controllers, listeners and daemons that talk to a control plane for months unattended. They all fail
//! alike: the process is up, the probes are green, and one call has been waiting for six hours.
//!
//! ```text
//!  your call
//!     |
//!  deadline        30 s, or less if the request or an enclosing within() sets it
//!  retry           4 attempts, growing waits, Retry-After, a budget for each origin
//!  breaker         calls to an origin that is down are refused, with the time of the next try
//!  health check    off by default
//!  attempt limit   10 s, from the request to the last byte of a collected body
//!  collect         reads bodies up to 1 MiB into memory: a broken one is retried
//!  stall guard     10 s without a byte
//!     |
//!  your client     hyper-util's, or any tower service
//! ```
//!
//! # Quick start
#![cfg_attr(
    feature = "client",
    doc = r#"
A client with all of these parts:

```no_run
# #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), unwedge::Error> {
let client = unwedge::Client::new()?; // keep it: clones share connections and breakers
let jobs: Vec<String> = client.get("https://api.example.com/jobs").send().await?.json().await?;
# Ok(()) }
```
"#
)]
//!
//! The same parts over your own client, as a [tower](https://docs.rs/tower) layer:
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
//! A deadline around several calls, which every call inside sees and can only shorten:
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
//! [`manual::recipes`] has a whole program for each of many tasks.
//!
//! # The main items
//!
//! | name | purpose |
//! | --- | --- |
#![cfg_attr(
    feature = "client",
    doc = "| [`Client`], [`get`], [`Response`] | a client with timeouts by default |"
)]
//! | [`StackLayer`], [`Stack`] | the same for any client that is a tower service |
//! | [`Limits`] | time limits of a call and its parts |
//! | [`within`], [`Deadline`] | a deadline for everything inside; for one request, as its extension |
//! | [`Bounded`], [`vouch`] | a marker trait for APIs that accept only clients with a deadline |
//! | [`LongPoll`], [`long_poll!`] | the opt-out for a request that may wait for long, with its reason |
//! | [`CallOptions`], [`Collect`], [`Group`], [`Label`], [`retry::Idempotent`] | options of one request, as its extensions |
//! | [`Body`], [`Attempts`] | the body type; number, duration and waits of the attempts of a response |
//! | [`Error`], [`ErrorKind`], [`Phase`] | cause and place of a failure, with the outcomes of the earlier attempts |
//! | [`retry::Settings`], [`breaker::Settings`], [`health::Settings`] | settings of retry, circuit breaker and health check |
//! | [`breaker::Breaker`] | a circuit breaker for other work than HTTP calls |
#![cfg_attr(feature = "sse", doc = "| [`sse::EventStream`] | an event stream that reconnects by itself |")]
#![cfg_attr(
    feature = "supervise",
    doc = "| [`Supervisor`](supervise::Supervisor), [`Queue`](queue::Queue), [`Command`](child::Command) | loops that are restarted and watched; work that expires; child processes that end |"
)]
#![cfg_attr(
    feature = "admin",
    doc = "| [`Admin`](admin::Admin) | probes, metrics and a status page for all of it |"
)]
#![cfg_attr(
    feature = "config",
    doc = "| [`Layers`](config::Layers) | settings from a file, the environment and flags |"
)]
//! | [`manual`] | recipes, the order of the parts, the reasons of the defaults, the meaning of every error |
//!
//! # Settings
//!
//! Every settings type is a builder by value, and a setter is named after its setting. `get_x()` returns the value of
//! `x(..)`, as with [`std::process::Command`]: the set value or its default, or `None` if the value depends on more than
//! these settings. The getter of a setter with two values returns a pair. Closures have no getter.
//!
//! ```
//! use std::time::Duration;
//!
//! let settings = unwedge::retry::Settings::default().max_retries(10);
//! assert_eq!(settings.get_max_retries(), 10);
//! assert_eq!(settings.get_backoff().get_cap(), Duration::from_secs(10));
//! ```
//!
//! With the feature `serde` settings are serialized under the same names, durations as `30s`; an unknown name is an error.
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
//! | none | all of the above except the client |
//! | `client` (default) | `Client`: hyper with rustls and the platform's root certificates |
//! | `aws-lc-rs` (default), `ring` | the cryptography of `Client`; a provider installed for the process has precedence |
//! | `blocking` | `blocking::Client`: the client for programs without a runtime; brings `client` |
//! | `config` | settings from a file, the environment and flags, in layers; brings `serde` |
//! | `grpc` | `grpc`: the status of gRPC as evidence and as what callers are told, and its deadlines; without tonic in the tree |
//! | `metrics` | counts and durations through the `metrics` facade |
//! | `otel` | `otel`: the trace context of OpenTelemetry in the headers of each attempt |
//! | `reqwest` | the same stack as a middleware of reqwest, ready reqwest clients, and reqwest as a tower service; turns on no feature of reqwest |
//! | `reqwest-rustls` | the same with rustls and HTTP/2 of reqwest |
//! | `admin` | probes, JSON, metrics and a status page over HTTP; brings `supervise` |
//! | `serde` | `Serialize` and `Deserialize` for settings, `Serialize` for snapshots of circuits, calls and subsystems |
//! | `sse` | `sse`: event streams that reconnect by themselves, over any of these clients |
//! | `supervise` | supervision of the loops that make the calls: restarts, liveness, a watchdog, graceful shutdown, queues, child processes |
//! | `testing` | scripted servers that stall, break and answer wrongly, in memory and on real sockets, for your own tests |
//! | `full` | all of these |
//! | `cargo-unwedge` | nothing for the library: the program `cargo unwedge` of `cargo install`, see [`manual::lints`] |
//!
//! A feature adds API. None changes the behaviour of another feature or of another HTTP client, with one exception: a second
//! provider of rustls in the dependency tree makes plain rustls builders panic, see `ring`.
//!
//! # Requirements
//!
//! A tokio runtime of either flavour, with its timer enabled (and its I/O for the client); without a runtime a call that has
//! to wait returns an error of kind [`Config`](ErrorKind::Config). Log events go through `tracing`. Rust 1.87 or newer.
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
#[cfg(feature = "grpc")]
pub mod grpc;
pub mod inflight;
#[doc(hidden)]
pub mod longpoll;
pub mod manual;
#[cfg(feature = "metrics")]
pub mod metrics {
    //! Metrics through the [`metrics`](https://docs.rs/metrics) facade: names, labels and buckets.
    //!
    //! Install a recorder of your choice, then call [`record`]. The number of label values is bounded: origins beyond the
    //! first 200 of a stack share the label `other`, and non-standard methods are `_OTHER`.
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
#[cfg(feature = "otel")]
pub mod otel;
#[cfg(feature = "supervise")]
mod panics;
#[cfg(feature = "supervise")]
pub mod queue;
#[cfg(any(feature = "supervise", feature = "sse"))]
#[cfg_attr(
    not(all(feature = "admin", feature = "sse")),
    allow(dead_code, reason = "what registers itself is shown by the admin endpoints alone")
)]
mod registry;
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
