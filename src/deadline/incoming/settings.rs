//! What a server makes of what its callers say.

use crate::Error;
use crate::deadline::header::Headers;
use crate::duration::{LONGEST, check, human};
use std::time::Duration;

/// A request extension that [`IncomingLayer`](crate::deadline::IncomingLayer) sets: which attempt of its caller this request is, from 1.
///
/// It is what the caller says, and good for logs.
///
/// ```
/// use unwedge::deadline::AttemptNumber;
///
/// fn attempt<B>(request: &http::Request<B>) -> Option<u32> {
///     request.extensions().get::<AttemptNumber>().copied().map(AttemptNumber::get)
/// }
/// let request = http::Request::builder().extension(AttemptNumber::new(2)).body(())?;
/// assert_eq!(attempt(&request), Some(2));
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptNumber(u32);

impl AttemptNumber {
    /// As the layer would set it: for tests of what stands behind it.
    pub const fn new(number: u32) -> AttemptNumber {
        AttemptNumber(number)
    }

    /// From 1.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// What a server makes of the time that its callers say is left.
///
/// | setting | default | why |
/// | --- | --- | --- |
/// | [`headers`](Incoming::headers) | `x-request-timeout-ms`, `x-request-attempt` | what [`Headers`] writes by default |
/// | [`refuse_below`](Incoming::refuse_below) | only what has no time left at all | how long the work takes is not known here |
/// | [`at_most`](Incoming::at_most) | none | a server that serves streams and long polls knows its own limits |
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Incoming {
    pub(super) headers: Headers,
    pub(super) least: Duration,
    pub(super) most: Option<Duration>,
}

impl Incoming {
    /// Which headers are read. Default [`Headers::default`].
    pub fn headers(mut self, headers: Headers) -> Incoming {
        self.headers = headers;
        self
    }

    /// A request with less time than this left is refused: give the time below which an answer cannot be ready.
    /// Default zero, where only a request whose time has passed is refused.
    pub fn refuse_below(mut self, least: Duration) -> Incoming {
        self.least = least;
        self
    }

    /// The longest that any request may take, whatever its caller says, and also where it says nothing. Default none.
    pub fn at_most(mut self, most: Duration) -> Incoming {
        self.most = Some(most);
        self
    }

    /// Which headers are read.
    pub fn get_headers(&self) -> &Headers {
        &self.headers
    }

    /// Below how much time left a request is refused.
    pub fn get_refuse_below(&self) -> Duration {
        self.least
    }

    /// The longest that any request may take; `None` where its caller alone says.
    pub fn get_at_most(&self) -> Option<Duration> {
        self.most
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        self.headers.check()?;
        if self.least > LONGEST {
            check("the time below which requests are refused", self.least)?;
        }
        let Some(most) = self.most else { return Ok(()) };
        check("the most that a request may take", most)?;
        if self.least >= most {
            return Err(Error::config(format!(
                "requests with less than {:#} left are refused and none may take more than {:#}: nothing would be served",
                human(self.least),
                human(most)
            )));
        }
        Ok(())
    }
}
