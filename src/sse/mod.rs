//! Event streams (`text/event-stream`, WHATWG HTML section 9.2) that reconnect by themselves.
//!
//! [`Settings::connect`] makes an [`EventStream`] over any client of this crate. It returns events until the server ends
//! the stream for good. It detects silence, reconnects with growing waits, resumes by `Last-Event-ID`, and reports its
//! state in the log and by [`subscribe`](EventStream::subscribe).
//!
//! ```no_run
//! use std::time::Duration;
//! use unwedge::{Body, StackLayer, sse};
//! # use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! # use tower_layer::Layer;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let client = StackLayer::default().layer(Client::builder(TokioExecutor::new()).build_http::<Body>());
//! let request = http::Request::get("http://events.example/stream").body(Body::empty())?;
//! let mut events = sse::Settings::default().name("prod-eu").connect(client, request)?;
//! while let Some(event) = events.next().await {
//!     match event {
//!         Ok(event) => println!("{}: {}", event.event, event.data),
//!         Err(error) if error.is_too_large() => eprintln!("one event less: {error}"),
//!         Err(error) => return Err(error.into()),
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! # What bounds it
//!
//! | wait | limit |
//! | --- | --- |
//! | response headers | the limits of the client for one attempt, and [`idle`](Settings::idle) |
//! | silence between two bytes | [`idle`](Settings::idle), 60 s; after two heartbeat comments three times their longest interval, at least 3 s and at most the longer of 10 min and `idle` |
//! | time between two events | [`events_within`](Settings::events_within), off by default; comments are not events |
//! | reconnect | the back-off: 1 s, doubling to 60 s, +-25 % but never above 60 s |
//! | reconnect after a refusal or `Retry-After` | that wait if it is longer, at most 5 min |
//!
//! Only time in which the reader waits for an event counts: a slow reader gets its events, not an error. The stream as a
//! whole has no limit. It ends when it is dropped, at the shutdown of its [supervisor](crate::supervise), with an enclosing [`within`](crate::within), or at a
//! [`Deadline`](crate::Deadline) in the extensions of the request. A `within` around a single [`next`](EventStream::next) ends
//! that wait only, and keeps the connection.
//!
//! # What is sent again
//!
//! A request that may be repeated: GET and the other idempotent methods, a request with an `Idempotency-Key` or the
//! [`Idempotent`](crate::retry::Idempotent) mark, and any request with [`reconnect(true)`](Settings::reconnect). Any other,
//! such as a POST to a language model, is sent once, and so is a GET with [`once`](Settings::once): the stream ends with its
//! response, and a lost connection or silence is its last error. Before the response head arrives, a request that was
//! provably not processed is sent again, up to three times.
//!
//! # What ends it
//!
//! For a stream that reconnects:
//!
//! | answer | [`Mode::Agent`] | [`Mode::Spec`] |
//! | --- | --- | --- |
//! | 200 and `text/event-stream` | read | read |
//! | 200 and another type, or an unknown `Content-Encoding` | error | error |
//! | 204 | the end, without an error | the end |
//! | 408, 425, 429, and 5xx except 501, 505, 506, 508, 510 and 511 | reconnect | error |
//! | any other status | error | error |
//! | end or loss of the connection, silence, a refusal by breaker or health check | reconnect | reconnect |
//! | a refused certificate | reconnect: certificates are renewed | error |
//! | an event with the data of [`end_at`](Settings::end_at) | the end, without an error | the end |
//! | an invalid setting, a redirect that is not followed, a head above its cap | error | error |
//! | shutdown of the supervised loop that reads it | error of kind `Cancelled` | the same |
//!
//! Before a response ends the stream with an error, [`on_refusal`](Reconnect::on_refusal) gets it: the hook may renew a token
//! and return the time of the next try. The error has the status and the beginning of the body
//! ([`Error::body`](crate::Error::body)), which is not logged. For a status [`is_retriable`](crate::Error::is_retriable) is
//! true exactly if [`Mode::Agent`] reconnects.
//!
//! In a loop under a [`Supervisor`](crate::supervise::Supervisor) the stream ends at the shutdown by itself, as soon as no
//! event is ready: events that have arrived are returned first. A request that is sent once is work under way, and has the
//! grace of the shutdown like any other call; only its waits between two tries end at once.
//!
//! An event above its size limit is skipped, with an error of kind `TooLarge`; the stream goes on after it.
//!
//! Each connect is one attempt of the client, without retries and without the `idle` and `stream` limits. Its circuit
//! breaker counts it like any other call: a success at the response headers.

mod cadence;
mod open;
mod parser;
mod recent_ids;
mod reconnect;
mod refusal;
mod settings;
mod state;
mod stream;
mod verdict;

pub use parser::Event;
pub use reconnect::{Mode, Reconnect};
pub use refusal::{Reconnection, Refusal};
pub use settings::Settings;
pub use state::{Cause, Phase, Status};
pub use stream::EventStream;

#[cfg(any(test, fuzzing))]
pub(crate) use parser::{Item, Parser, Sizes};

/// The parser alone, for measurements: whatever the bytes are, they are read to the end.
///
/// Gives the number of events, and the number of bytes of their data.
#[doc(hidden)]
#[must_use]
pub fn read_all(chunks: &[bytes::Bytes]) -> (usize, usize) {
    let mut parser = parser::Parser::new(settings::SIZES, "".into());
    let (mut events, mut bytes) = (0, 0);
    for chunk in chunks {
        let mut chunk = chunk.clone();
        while let Some(item) = parser.next(&mut chunk) {
            if let parser::Item::Event { event, .. } = std::hint::black_box(item) {
                events += 1;
                bytes += event.data.len();
            }
        }
    }
    (events, bytes)
}
