//! Redirects: each hop is a call of its own for the stack, judged by its own origin, under one deadline.

mod follow;
mod location;
mod next;

pub(super) use follow::Following;

/// The redirect rules of a [`Client`](crate::Client), for
/// [`ClientBuilder::redirects`](crate::client::ClientBuilder::redirects).
///
/// Followed are 301, 302, 303, 307 and 308 with a `Location`; every other 3xx is returned as it is. A redirected call is one
/// call for you, and one call per hop for the stack: each hop has the circuit breaker, the budget and the health check of
/// its own origin, and its own retries. The total limit, the deadline of the request and the scope cover all hops together.
///
/// * After 303, and after 301 or 302 to a POST, the next request is a GET (HEAD stays HEAD), without the body and its headers.
///   Otherwise method and body stay.
/// * To another origin (scheme, host, port) no `Authorization`, `Cookie`, `Proxy-Authorization`, `Host` and no header
///   marked as sensitive is sent, and no body.
/// * A redirect from https to http is not followed.
/// * Credentials in a `Location` are not used, a fragment is not sent.
/// * A redirect that is not followed, for one of these reasons or because of the limit, is an error of kind
///   [`Redirect`](crate::ErrorKind::Redirect). It is never repeated.
/// * A redirect of a long poll is returned as it is, because its reason holds for one place only.
///
/// Nothing stops a server from redirecting to an address inside your network: see the
/// [manual](crate::manual::failure_modes).
///
/// ```
/// use unwedge::Client;
/// use unwedge::client::Redirects;
///
/// let at_home = Client::builder().redirects(Redirects::same_origin().limit(3)).build()?;
/// let by_hand = Client::builder().redirects(Redirects::none()).build()?;
/// # Ok::<(), unwedge::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[doc(alias = "follow_redirects")]
pub struct Redirects {
    follows: bool,
    same_origin: bool,
    limit: u32,
}

/// A chain that is longer is a loop (the Fetch standard allows 20; no API needs more than a few).
const LIMIT: u32 = 10;

impl Redirects {
    /// All, up to 10 for a call. The default.
    pub const fn follow() -> Redirects {
        Redirects { follows: true, same_origin: false, limit: LIMIT }
    }

    /// Those to the same scheme, host and port, up to 10 for a call; one to another origin is an error.
    pub const fn same_origin() -> Redirects {
        Redirects { follows: true, same_origin: true, limit: LIMIT }
    }

    /// None: a 3xx is returned as it is.
    pub const fn none() -> Redirects {
        Redirects { follows: false, same_origin: false, limit: LIMIT }
    }

    /// The maximum number of redirects for one call; one more is an error, so with 0 every redirect is an error.
    pub const fn limit(mut self, hops: u32) -> Redirects {
        self.limit = hops;
        self
    }

    /// The most that are followed for one call; 0 also where none are followed and none is an error.
    ///
    /// ```
    /// use unwedge::client::Redirects;
    ///
    /// assert_eq!((Redirects::default().get_limit(), Redirects::none().get_limit()), (10, 0));
    /// ```
    pub const fn get_limit(&self) -> u32 {
        if self.follows { self.limit } else { 0 }
    }
}

impl Default for Redirects {
    fn default() -> Redirects {
        Redirects::follow()
    }
}
