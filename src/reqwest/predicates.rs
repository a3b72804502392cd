//! Questions to the errors of reqwest and its middlewares.

use super::cause::cause;
use crate::error::Error;
use std::error::Error as StdError;
use std::time::Duration;

/// What a call died of, asked of the error that a client of [`unwedge::reqwest`](crate::reqwest) returns.
///
/// An error of the stack is one of a middleware, and `is_timeout()` and `is_connect()` of such an error are false whatever
/// happened: an arm that asks them still compiles, and never matches again. These have names of their own, because
/// the others would go before them. Where something else failed than the stack, they say what reqwest says of it.
///
/// ```
/// use unwedge::reqwest::ErrorExt;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
/// # let url = format!("http://{}/", listener.local_addr().unwrap());
/// # drop(listener);
/// # let stack = unwedge::StackLayer::builder().retry(unwedge::retry::Settings::default().max_retries(0)).build().unwrap();
/// # let client = unwedge::reqwest::builder().stack(stack).build().unwrap();
/// match client.get(url).send().await {
///     Ok(response) => println!("{}", response.status()),
///     Err(error) if error.was_refused() => println!("known to be down, come back in {:?}", error.retry_in()),
///     Err(error) if error.was_timeout() => println!("too slow: {error}"),
///     Err(error) => {
///         assert!(error.was_connect()); // error.is_connect() is false
///         assert!(error.is_retriable());
///     }
/// }
/// # }
/// ```
///
/// For all else there is [`cause`], which gives the [`Error`] itself. The trait is sealed: it grows with new questions.
pub trait ErrorExt: sealed::Asked {
    /// Whether a time limit ended it: [`Error::is_timeout`].
    fn was_timeout(&self) -> bool {
        self.unwedged().map_or_else(|| self.own_timeout(), Error::is_timeout)
    }

    /// Whether no connection could be made: [`Error::is_connect`].
    fn was_connect(&self) -> bool {
        self.unwedged().map_or_else(|| self.own_connect(), Error::is_connect)
    }

    /// Whether the call was turned away without anything being sent: by an open circuit, a health check or a wait that the
    /// server had asked for. See [`Error::is_refused`].
    fn was_refused(&self) -> bool {
        self.unwedged().is_some_and(Error::is_refused)
    }

    /// Whether the circuit breaker refused it: [`Error::is_open`].
    fn was_open(&self) -> bool {
        self.unwedged().is_some_and(Error::is_open)
    }

    /// Whether a later call may succeed: [`Error::is_retriable`]. False where the stack knows nothing of it.
    fn is_retriable(&self) -> bool {
        self.unwedged().is_some_and(Error::is_retriable)
    }

    /// When the next call has a chance, where that is known: [`Error::retry_in`].
    fn retry_in(&self) -> Option<Duration> {
        self.unwedged().and_then(Error::retry_in)
    }
}

impl ErrorExt for reqwest_middleware::Error {}

/// Of a body that streamed.
impl ErrorExt for ::reqwest::Error {}

mod sealed {
    use super::{Error, StdError, cause};

    /// What is asked, and how it answers by itself.
    pub trait Asked: StdError + Sized + 'static {
        fn own_timeout(&self) -> bool;

        fn own_connect(&self) -> bool;

        fn unwedged(&self) -> Option<&Error> {
            cause(self)
        }
    }

    impl Asked for reqwest_middleware::Error {
        fn own_timeout(&self) -> bool {
            self.is_timeout()
        }

        fn own_connect(&self) -> bool {
            self.is_connect()
        }
    }

    impl Asked for ::reqwest::Error {
        fn own_timeout(&self) -> bool {
            self.is_timeout()
        }

        fn own_connect(&self) -> bool {
            self.is_connect()
        }
    }
}
