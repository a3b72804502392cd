//! Event streams (`text/event-stream`, WHATWG HTML section 9.2) that connect again by themselves.
//!
//! [`Settings::connect`] makes an [`EventStream`] over any client of this crate. It reads events until the server says
//! that there will be no more; between them it does what a person would do: notices silence, connects again with
//! growing waits, says where it was (`Last-Event-ID`), and tells what happened in the log and by
//! [`subscribe`](EventStream::subscribe).
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
//! | wait | bound |
//! | --- | --- |
//! | for the response headers | the limits of the stack beneath for one attempt, and [`idle`](Settings::idle) whatever is beneath |
//! | between two bytes | [`idle`](Settings::idle), 60 s, until the server's heartbeat is learnt: from two comments on three times its longest interval, between 3 s and 10 min |
//! | between two events | [`events_within`](Settings::events_within), off by default: comments do not count for it |
//! | before a reconnect | the back-off: 1 s, doubling to 60 s, +-25 % but never above 60 s |
//! | after a refusal or `Retry-After` | that wait where it is longer, at most 5 min |
//!
//! Only time in which somebody waits for an event counts: a reader that comes back late finds its events, not an error.
//! The stream as a whole has no limit: an enclosing [`within`](crate::within) or dropping it ends it, and a
//! [`Deadline`](crate::Deadline) among the extensions of the request. A `within` around a single
//! [`next`](EventStream::next) ends that wait and leaves the connection as it is.
//!
//! # What is sent again
//!
//! A request that may be repeated: GET and the other idempotent methods, one with an `Idempotency-Key` or the
//! [`Idempotent`](crate::retry::Idempotent) mark, and whatever [`reconnect(true)`](Settings::reconnect) says. Any other,
//! such as the POST that asks a language model, is sent once, and so is a GET with [`once`](Settings::once): the end of
//! its answer is the end of the stream, its loss and its silence are the last error. Until its response head is there,
//! what the server has provably not processed is sent again, up to three times.
//!
//! # What ends it
//!
//! For a stream that connects again:
//!
//! | answer | [`Mode::Agent`] | [`Mode::Spec`] |
//! | --- | --- | --- |
//! | 200 and `text/event-stream` | read | read |
//! | 200 and another type, or a coding that nobody here can undo | error | error |
//! | 204 | the end, without an error | the end |
//! | what a call repeats: 408, 425, 429, 5xx but for 501, 505 and their like | connect again | error |
//! | any other status | error | error |
//! | end or loss of the connection, silence, a refusal by breaker or health check | connect again | connect again |
//! | a certificate that is refused | connect again: certificates are renewed | error |
//! | an event with the data of [`end_at`](Settings::end_at) | the end, without an error | the end |
//! | a setting, a redirect that is not followed, a head above its cap, shutdown | error | error |
//!
//! What [`on_refusal`](Reconnect::on_refusal) is for: an answer that would be an error is shown to the caller first, who
//! may renew a token and say when to come back. The error has the status and the beginning of the body
//! ([`Error::body`](crate::Error::body)), which no log shows. [`is_retriable`](crate::Error::is_retriable) of a status
//! is true exactly where [`Mode::Agent`] connects again.
//!
//! An event above its size limit is skipped and said by an error of kind `TooLarge`; the stream goes on after it.
//!
//! Each connect is one attempt for the stack beneath, without retries of its own and without the `idle` and `stream`
//! limits, and counts for its circuit breaker like any other call: a success at the response headers.

mod cadence;
mod open;
mod parser;
mod recent_ids;
mod reconnect;
mod refusal;
mod settings;
mod status;
mod stream;
mod verdict;

pub use parser::Event;
pub use reconnect::{Mode, Reconnect};
pub use refusal::{ComeBack, Refusal};
pub use settings::Settings;
pub use status::{Cause, Phase, Status};
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
