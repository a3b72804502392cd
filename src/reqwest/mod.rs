//! The same stack for those who stay with reqwest: as a middleware, as ready clients, and as a tower service.
//!
//! | you have | you write |
//! | --- | --- |
//! | nothing yet, or `reqwest::Client::new()` | [`client()`], a `ClientWithMiddleware` with all defaults |
//! | settings of your own | [`builder()`] |
//! | a `reqwest::Client` that is set up already | [`ResilienceMiddleware`] as its outermost middleware |
//! | tower layers | [`Service`] under a [`StackLayer`](crate::StackLayer) |
//!
//! ```no_run
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = unwedge::reqwest::client();
//! match client.get("https://api.example.com/jobs").send().await {
//!     Ok(response) => println!("{}", response.text().await?),
//!     Err(error) => match unwedge::reqwest::cause(&error) {
//!         // GET https://api.example.com/jobs: no response headers after 10 s (attempt 3 of 4; before: ..)
//!         Some(why) => eprintln!("{why}"),
//!         None => eprintln!("{error}"),
//!     },
//! }
//! # Ok(()) }
//! ```
//!
//! Options of one request are extensions, as everywhere:
//!
//! ```no_run
//! # async fn poll() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use unwedge::long_poll;
//!
//! let poll = long_poll!("the broker parks this request until a job arrives").up_to(Duration::from_secs(60));
//! let client = unwedge::reqwest::client();
//! let job = client.get("https://broker.example/message").with_extension(poll).send().await?;
//! # Ok(()) }
//! ```
//!
//! Where an API demands [`Bounded`](crate::Bounded), the tower service under a stack is. A `ClientWithMiddleware` does
//! not show whether a stack is in it, so that somebody has to [`vouch`](crate::vouch) for it, which the lint lists:
//!
//! ```
//! use http::{Request, Response};
//! use tower_layer::Layer;
//! use tower_service::Service;
//! use unwedge::{Body, Bounded, StackLayer, vouch};
//!
//! fn over_http(service: impl Service<Request<Body>, Response = Response<Body>> + Bounded) {}
//! fn over_reqwest(client: impl Service<reqwest::Request, Response = reqwest::Response> + Bounded) {}
//!
//! over_http(StackLayer::default().layer(unwedge::reqwest::builder().service()?));
//! over_reqwest(vouch(unwedge::reqwest::client(), "all of its calls go through the stack of unwedge"));
//! # Ok::<(), unwedge::Error>(())
//! ```
//!
//! # What is different from `Client`
//!
//! Some of what a call meets happens inside reqwest, where nobody can look:
//!
//! - Redirects are followed by reqwest, beneath the stack: a redirected call is one attempt, judged by the origin it
//!   was sent to. A loop is one error of kind `Redirect`, never repeated.
//! - Of redirects the inner client of [`builder()`] follows up to 10, none from https to http. To another origin reqwest
//!   sends no `Authorization`, `Cookie` or `Proxy-Authorization`. What it would send there is an error of kind
//!   `Redirect`, where `Client` leaves it behind: a request body, a header marked as sensitive, and those credentials
//!   in the next redirect within the other origin. Headers that are set beneath the stack, by `default_headers` or
//!   another middleware, cannot be seen: keep secrets out of them, or set a redirect policy of your own.
//! - A pooled connection that was closed under a request cannot be told from one that never worked. An end before any
//!   byte of the response is taken for the first in the first attempt of a call, where another call has heard from the
//!   origin within the last second: it is repeated at once and does not count. Otherwise it is repeated after a back-off,
//!   and the failure counts.
//! - What a server refused on one HTTP/2 connection is repeated where reqwest chooses, on the same one too.
//! - The size of a response head and the number of 1xx responses have reqwest's caps, which are higher or none.
//! - After the machine has slept (the wall clock is more than 30 s ahead of the monotonic one, looked at once a second) a
//!   new inner client takes the place of the old one, with connections of its own. [`builder()`] makes it for calls
//!   that begin after that by `get()`, `post()`, `request()` and the like of [`client()`] and of what
//!   [`build`](ClientBuilder::build) and [`service`](ClientBuilder::service) return. It cannot for
//!   `ClientWithMiddleware::execute`, for settings given by [`inner`](ClientBuilder::inner), which are used up, and for a
//!   client of your own under [`ResilienceMiddleware`] or [`Service`]: their idle connections stay in use until they fail.
//! - Resolving, connecting and the TLS handshake are one phase, `connect`, once they failed, and part of `headers`
//!   while they last.

mod builder;
mod cause;
mod chain;
mod convert;
mod middleware;
mod predicates;
mod redirects;
mod renewed;
mod service;
mod shared;
#[cfg(test)]
mod tests;
mod transport;

pub use builder::ClientBuilder;
pub use cause::cause;
pub use middleware::{ResilienceMiddleware, Unwedge};
pub use predicates::ErrorExt;
pub use service::{Sent, Service};

#[cfg(feature = "reqwest-rustls")]
pub use crate::tls::Tls;

use ::reqwest::{IntoUrl, Response};
use reqwest_middleware::ClientWithMiddleware;

/// A client with all defaults. All callers of this function share it, with its connections, breakers and budgets, so
/// that it also serves where a fallback is made anew for each call.
///
/// ```
/// # use reqwest_middleware::ClientWithMiddleware;
/// # fn send(configured: Option<ClientWithMiddleware>) {
/// let client = configured.unwrap_or_else(unwedge::reqwest::client);
/// # }
/// ```
///
/// The inner client is that of [`builder()`]. It is made at the first call, which reads the root certificates of the
/// platform: some milliseconds. For handles on its breakers make one of your own by [`builder()`].
///
/// Where that fails with feature `reqwest-rustls`, because a machine has no root certificate or a process no descriptor
/// to read them, the client trusts none: its https calls fail, which a warning says, and 10 s later the next call of this
/// function tries again.
///
/// # Panics
/// Where reqwest cannot make a client of its defaults, as [`reqwest::Client::new`](::reqwest::Client::new) does: without
/// feature `reqwest-rustls` the TLS of your choice decides. [`get`] and [`ClientBuilder::build`] return that error.
pub fn client() -> ClientWithMiddleware {
    shared::get_or_makeshift().unwrap_or_else(|error| panic!("no default client: {error}"))
}

/// A client with settings of your own.
pub fn builder() -> ClientBuilder {
    ClientBuilder::default()
}

/// A GET request by [`client()`], in place of `reqwest::get`.
///
/// ```no_run
/// # async fn call() -> Result<(), Box<dyn std::error::Error>> {
/// let text = unwedge::reqwest::get("https://api.example.com/").await?.text().await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// A URL that cannot be read is an error of reqwest's; see [`cause`] for all others. Kind `Config` where reqwest cannot make
/// the client, for example on a machine without root certificates; the next call tries again.
///
/// # Cancellation safety
/// It may be dropped at any moment, like every [`ResponseFuture`](crate::stack::ResponseFuture).
pub async fn get<U: IntoUrl>(url: U) -> reqwest_middleware::Result<Response> {
    shared::get().map_err(reqwest_middleware::Error::middleware)?.get(url).send().await
}
