//! What a call that may be redirected is told.

use crate::deadline::Deadline;
use http::header::LOCATION;
use http::{Method, StatusCode, response};
use tokio::time::Instant;

/// One of the calls that a redirected call is made of. Each is judged by its own origin; time is one for all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hop {
    /// Whether a redirect will be followed: its body is then not read, and the request is kept for the next hop.
    pub(crate) follows: bool,
    /// When the first of the calls began: the total limit counts from there.
    pub(crate) started: Option<Instant>,
    /// When the call has to be over.
    #[cfg_attr(not(feature = "client"), expect(dead_code, reason = "Client waits between hops"))]
    pub(crate) ends: Option<Instant>,
    /// The deadline of the scope that the first of the calls was made in; of a later one whatever binds the first to the
    /// last byte of its body.
    pub(crate) ambient: Option<Deadline>,
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
    pub(super) fn settle(&mut self, method: &Method, long_poll: bool) {
        self.follows &= !long_poll && method != Method::CONNECT;
    }
}
