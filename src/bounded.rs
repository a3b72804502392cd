//! The promise that every call ends, as a trait, and the word of somebody for a service that cannot make it.

use crate::longpoll::macros::says_something;
use std::task::{Context, Poll};
use tower_service::Service;

/// A marker trait: a service whose every call ends, because a deadline covers the whole call.
///
/// Require it in an API that must not accept a client without a deadline. [`Client`](crate::client::Client) implements it,
/// and so do the services of [`StackLayer`](crate::StackLayer) and [`DeadlineLayer`](crate::stack::DeadlineLayer), but not
/// a [`Part`](crate::stack::Part) such as retry alone. It is sealed: for a service that is bounded by other means use
/// [`vouch`].
///
/// It covers a call up to its response. A body that streams has the limits of [`Limits`](crate::Limits).
///
/// ```
/// use http::{Request, Response};
/// use tower_service::Service;
/// use unwedge::{Body, Bounded, Error};
///
/// async fn register(
///     mut client: impl Service<Request<Body>, Response = Response<Body>, Error = Error> + Bounded,
/// ) -> Result<(), Error> {
///     let request = Request::put("https://broker.example/agents/7").body(Body::empty());
///     client.call(request.expect("a valid request")).await?;
///     Ok(())
/// }
/// # #[cfg(feature = "client")]
/// # fn takes_ours(client: unwedge::Client) { drop(register(client)) }
/// ```
///
/// It is sealed:
///
/// ```compile_fail,E0277
/// struct Mine;
/// impl unwedge::Bounded for Mine {}
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no deadline: its calls can wait forever",
    label = "nothing says that a call through this ends",
    note = "use `unwedge::Client`, or make `unwedge::StackLayer` or `unwedge::stack::DeadlineLayer` the outermost layer",
    note = "if something else bounds every call, say what: `unwedge::vouch(service, \"reason\")`"
)]
pub trait Bounded: Sealed {}

/// Keeps others from implementing [`Bounded`]. It is not exported.
pub trait Sealed {}

impl<S: Bounded + ?Sized> Sealed for &mut S {}
#[diagnostic::do_not_recommend]
impl<S: Bounded + ?Sized> Bounded for &mut S {}
impl<S: Bounded + ?Sized> Sealed for Box<S> {}
#[diagnostic::do_not_recommend]
impl<S: Bounded + ?Sized> Bounded for Box<S> {}

/// Declares another service as [`Bounded`], with a reason.
///
/// Nothing verifies the reason; the lint lists each place with it for review.
///
/// ```
/// # #[derive(Clone)] struct Metrics;
/// use unwedge::vouch;
///
/// let service = vouch(Metrics, "writes to a pipe in memory and never waits");
/// assert_eq!(service.reason(), "writes to a pipe in memory and never waits");
/// ```
///
/// # Panics
/// Where the reason is blank. In a const that does not compile:
///
/// ```compile_fail
/// const SERVICE: unwedge::Vouched<()> = unwedge::vouch((), " ");
/// ```
#[track_caller]
pub const fn vouch<S>(service: S, reason: &'static str) -> Vouched<S> {
    assert!(says_something(reason), "the reason to vouch for a service is blank: say what bounds its calls");
    Vouched { service, reason }
}

/// A service declared as bounded by [`vouch`]. Calls, responses and errors pass through unchanged.
#[derive(Clone, Debug)]
pub struct Vouched<S> {
    service: S,
    reason: &'static str,
}

impl<S> Vouched<S> {
    /// The reason why every call ends.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// The service alone.
    pub fn into_inner(self) -> S {
        self.service
    }
}

impl<S> Sealed for Vouched<S> {}
#[diagnostic::do_not_recommend]
impl<S> Bounded for Vouched<S> {}

impl<S: Service<R>, R> Service<R> for Vouched<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.service.call(request)
    }
}
