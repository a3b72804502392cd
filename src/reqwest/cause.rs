//! What is inside the errors of reqwest and its middlewares.

use super::convert::foreign;
use crate::error::Error;
use std::error::Error as StdError;
use std::fmt;
use std::io;

/// The [`Error`] of this crate inside an error of reqwest-middleware, of reqwest (a body that streamed), or of anything
/// around them. `source()` alone does not reach it, because a middleware error skips its own first cause.
///
/// None where something else failed: a URL that reqwest could not read, or a middleware above this crate's.
///
/// ```
/// use unwedge::ErrorKind;
/// use unwedge::reqwest::cause;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
/// # let url = format!("http://{}/", listener.local_addr().unwrap());
/// # drop(listener);
/// # let stack = unwedge::StackLayer::builder().retry(unwedge::retry::Settings::default().max_retries(0)).build().unwrap();
/// # let client = unwedge::reqwest::builder().stack(stack).build().unwrap();
/// let error = client.get(url).send().await.expect_err("nobody listens there");
/// let why = cause(&error).expect("it failed under the stack");
/// assert_eq!(why.kind(), ErrorKind::Connect);
/// assert!(why.is_retriable());
/// # }
/// ```
pub fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(own) = error.downcast_ref::<Error>() {
            return Some(own);
        }
        next = below(error);
    }
    None
}

/// What an error was caused by, also where its `source()` leaves a step out.
fn below<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    if let Some(reqwest_middleware::Error::Middleware(any)) = error.downcast_ref() {
        return any.chain().next();
    }
    match error.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as _),
        None => error.source(),
    }
}

/// The error of an attempt as one of this crate, classified by its whole chain of causes.
pub(super) fn flatten(error: reqwest_middleware::Error) -> Error {
    match error {
        // The error of the call names its target, without what must not be shown.
        reqwest_middleware::Error::Reqwest(error) => foreign(error.without_url()),
        reqwest_middleware::Error::Middleware(any) => match any.downcast::<Error>() {
            Ok(own) => own,
            Err(any) => foreign(WholeCause(any.into())),
        },
    }
}

/// A middleware error whose `source()` leaves nothing out.
#[derive(Debug)]
struct WholeCause(reqwest_middleware::Error);

impl fmt::Display for WholeCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for WholeCause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        below(&self.0)
    }
}

/// Whether reqwest's own timer for the whole request ended it: by its words, because the type is its secret.
pub(super) fn is_own_timer(error: &reqwest_middleware::Error) -> bool {
    let reqwest_middleware::Error::Reqwest(error) = error else { return false };
    // A connect that took too long says the same.
    !error.is_connect()
        && error.source().is_some_and(|source| {
            !source.is::<io::Error>()
                && source.source().is_none()
                && source.to_string() == "operation timed out"
        })
}
