//! What a call that may be redirected is told, and what it leaves for the call that follows it.

use crate::deadline::Deadline;
#[cfg(feature = "client")]
use crate::stack::call::Call;
use http::header::LOCATION;
use http::{Method, StatusCode, response};
#[cfg(feature = "client")]
use http::{Request, request};
#[cfg(feature = "client")]
use std::pin::Pin;
use tokio::time::Instant;
#[cfg(feature = "client")]
use tower_service::Service;

/// One of the calls that a redirected call is made of. Each is judged by its own origin; time is one for all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hop {
    /// Whether a redirect will be followed: its body is then not read, and the request is kept for the next hop.
    pub(crate) follows: bool,
    /// When the first of the calls began: the total limit counts from there.
    pub(crate) started: Option<Instant>,
    /// When the call has to be over.
    pub(crate) ends: Option<Instant>,
    /// The deadline of the scope that the first of the calls was made in.
    pub(crate) ambient: Option<Deadline>,
}

/// What is left of a call for the next hop.
#[cfg(feature = "client")]
#[derive(Debug)]
pub(crate) struct Left<B> {
    pub(crate) head: request::Parts,
    /// None where it was sent and cannot be sent again.
    pub(crate) body: Option<B>,
    pub(crate) hop: Hop,
}

/// A response that names another place for what was asked. Without a `Location` it is an answer like any other.
pub(crate) fn is_redirect(head: &response::Parts) -> bool {
    redirects(head.status) && head.headers.contains_key(LOCATION)
}

fn redirects(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

impl Hop {
    /// A tunnel is asked for at one place, and a long poll gave its reason for one.
    pub(in crate::stack) fn settle(&mut self, method: &Method, long_poll: bool) {
        self.follows &= !long_poll && method != Method::CONNECT;
    }
}

#[cfg(feature = "client")]
impl<S, B, R> Call<S, B, R>
where
    S: Service<Request<B>>,
{
    /// What the next hop is made of, once the call has ended with a redirect; none where it is not followed.
    pub(crate) fn leave(self: Pin<&mut Self>) -> Option<Left<B>>
    where
        B: 'static,
    {
        let this = self.project();
        let hop = Hop { ambient: *this.ambient, ..*this.hop };
        let (method, uri) = *this.redirected.take()?;
        let (head, body) = this.request.leave(method, uri)?;
        Some(Left { head, body, hop })
    }
}
