//! A testing kit: servers that stall, break or answer wrongly, for tests of clients.
//!
//! | item | purpose |
//! | --- | --- |
//! | [`Peer`] | a scripted server, HTTP/1.1 or HTTP/2 as the client begins, one line per behaviour, that records what arrived |
//! | [`Pipe`] | its in-memory connector for hyper-util's client, exact on a paused tokio clock |
//! | [`Pipe::serve`] | the same connector to your own hyper or axum service, so that its handlers run on the paused clock too |
//! | [`FaultServer`] | named faults on real loopback sockets, for clients in any language |
//! | [`assert_bounded`] | a test that every call of a client ends: it plays all faults that hang, and two of the program around the client |
//!
#![cfg_attr(
    feature = "client",
    doc = r#"
A test against a stalled server, which takes ten seconds of a clock that does not stand still for them:

```
use unwedge::{Client, testing::{Peer, Reply}};
# async fn checked() {
# #[allow(dead_code)]
// #[tokio::test(start_paused = true)]
async fn a_stalled_answer_is_asked_for_again() {
    let broker = Peer::new().then(Reply::headers_then_hang()).forever(Reply::ok("session-1"));
    let client = Client::builder().pipe(broker.pipe()).build().unwrap();
    let answer = client.get("http://broker.test/session").send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "session-1");
    assert_eq!(broker.request_count(), 2);
}
# a_stalled_answer_is_asked_for_again().await
# }
# tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(checked());
```
"#
)]
//!
//! The same for any other client, with an hour of patience and none of its wall time:
//!
//! ```
//! # use std::time::Duration;
//! # use http_body_util::Empty;
//! # use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! # use tokio::time::{Instant, timeout};
//! use unwedge::testing::{Peer, Reply};
//!
//! # const HOUR: Duration = Duration::from_secs(3600);
//! # async fn checked() {
//! // #[tokio::test(start_paused = true)]
//! # #[allow(dead_code)]
//! async fn a_stalled_server_costs_one_request_and_no_connection() {
//!     let peer = Peer::new().forever(Reply::headers_then_hang());
//!     let client = Client::builder(TokioExecutor::new()).build::<_, Empty<&[u8]>>(peer.pipe());
//!     let response = client.get("http://broker.test/session".parse().unwrap()).await.unwrap();
//!     let body = http_body_util::BodyExt::collect(response.into_body());
//!     assert!(timeout(HOUR, body).await.is_err(), "a plain client waits for ever");
//!     tokio::task::yield_now().await; // the peer hears that the client has left
//!     assert_eq!((peer.request_count(), peer.open_connections()), (1, 0));
//! }
//! # a_stalled_server_costs_one_request_and_no_connection().await
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(checked());
//! ```
//!
//! Everything is bounded: connections end with their peer, at the latest; records keep the first 10 000 requests and
//! 32 MiB of their bodies; a request that has begun has ten minutes to arrive; a peer serves 4096 connections at once
//! and turns further ones away. A client that shuts down its sending half counts as gone.

mod answer;
mod bounded;
#[cfg(feature = "client")]
mod client;
mod faults;
mod http2;
mod listen;
mod peer;
mod pipe;
mod record;
mod reply;
mod request;
mod script;
mod serve;
mod service;
mod state;
mod wire;

pub use answer::Cut;
pub use bounded::{
    HasBounds, Report, assert_bounded, assert_bounded_real, assert_bounded_real_within, assert_bounded_within,
};
pub use faults::{Counts, Expect, Fault, FaultServer};
pub use peer::Peer;
pub use pipe::{Pipe, PipeStream};
pub use record::Received;
pub use reply::Reply;
pub use script::Script;

#[cfg(test)]
mod tests;
