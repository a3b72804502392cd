//! What a call that ended with a redirect leaves for the call that follows it.

use crate::stack::call::future::ResponseFuture;
use crate::stack::call::hop::Hop;
use crate::stack::call::request::{Kept, Outgoing, Redirected};
use crate::stack::call::response::HttpResponse;
use http::{HeaderMap, Method, Request, Uri, request};
use std::pin::Pin;
use tower_service::Service;

/// The request that a redirect answered, and what its hop was told.
#[derive(Debug)]
pub(crate) struct NextHop<B> {
    pub(crate) head: request::Parts,
    /// None where it was sent and cannot be sent again.
    pub(crate) body: Option<B>,
    pub(crate) hop: Hop,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
    S::Response: HttpResponse,
{
    /// What the next hop is made of, once the call has ended with a redirect; none where it is not followed.
    pub(crate) fn leave(self: Pin<&mut Self>) -> Option<NextHop<B>>
    where
        B: 'static,
    {
        let running = self.project().running.project();
        let Redirected { method, uri, hop } = *running.redirected.take()?;
        let (head, body) = running.request.leave(method, uri)?;
        Some(NextHop { head, body, hop })
    }
}

impl<B> Outgoing<B> {
    /// What a redirect makes the next request of; without the body where that cannot be sent again.
    fn leave(&mut self, method: Method, uri: Uri) -> Option<(request::Parts, Option<B>)> {
        let Kept { version, headers, extensions, body, .. } = self.kept.take()?;
        let headers = headers.map_or_else(HeaderMap::new, |headers| *headers);
        let mut left = Request::new(());
        (*left.method_mut(), *left.uri_mut(), *left.version_mut()) = (method, uri, version);
        (*left.headers_mut(), *left.extensions_mut()) = (headers, extensions);
        Some((left.into_parts().0, body))
    }
}
