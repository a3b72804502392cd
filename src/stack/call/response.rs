//! What the inner service answers with.

use http::Response;

mod sealed {
    pub trait Sealed {}
    impl<R> Sealed for http::Response<R> {}
}

/// An [`http::Response`] with a body of any type; nothing else is one. It lets a
/// [`ResponseFuture`](crate::stack::ResponseFuture) be named without the type of that body.
pub trait HttpResponse: sealed::Sealed {
    /// The body.
    type Body;
}

impl<R> HttpResponse for Response<R> {
    type Body = R;
}
