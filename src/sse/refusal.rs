//! What the caller is shown before a response ends a stream for good, and what it may answer.

use crate::duration::LONGEST;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// A response that would end the event stream for good: see
/// [`Reconnect::on_refusal`](super::Reconnect::on_refusal).
pub struct Refusal {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) retry_after: Option<Duration>,
    pub(super) in_a_row: u32,
}

impl Refusal {
    /// The status; 200 where the content type or coding is the trouble.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The response's headers; none where a proxy refused the connection.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The beginning of the body: at most 4 KiB, read for at most 1 s.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// What the server asks to wait, uncapped, where it does.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// How many refusals there have been since the stream was last connected, this one included.
    pub fn in_a_row(&self) -> u32 {
        self.in_a_row
    }
}

/// Without header values and body, which may carry secrets.
impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("status", &self.status)
            .field("retry_after", &self.retry_after)
            .field("in_a_row", &self.in_a_row)
            .finish_non_exhaustive()
    }
}

/// The answer to a [`Refusal`]: when to come back, and what is to be sent then.
#[must_use]
pub struct Reconnection {
    pub(super) after: Duration,
    pub(super) headers: HeaderMap,
}

impl Reconnection {
    /// Come back after this wait; zero is at once. More than 10 years are taken as 10 years.
    pub fn after(wait: Duration) -> Reconnection {
        Reconnection { after: wait.min(LONGEST), headers: HeaderMap::new() }
    }

    /// A header of this and all later requests of the stream, in place of one of the same name.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Reconnection {
        self.headers.insert(name, value);
        self
    }
}

/// Without header values, which may carry secrets.
impl fmt::Debug for Reconnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconnection").field("after", &self.after).finish_non_exhaustive()
    }
}

pub(super) type Asking = Pin<Box<dyn Future<Output = Option<Reconnection>> + Send>>;

/// The caller's own code.
#[derive(Clone)]
pub(super) struct Hook(Arc<dyn Fn(Refusal) -> Asking + Send + Sync>);

impl Hook {
    pub(super) fn new<F, Fut>(hook: F) -> Hook
    where
        F: Fn(Refusal) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Option<Reconnection>> + Send + 'static,
    {
        Hook(Arc::new(move |refusal| Box::pin(hook(refusal))))
    }

    pub(super) fn ask(&self, refusal: Refusal) -> Asking {
        (self.0)(refusal)
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}
