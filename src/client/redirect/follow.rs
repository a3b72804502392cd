//! The future of a call and of those that its redirects make of it.

use crate::body::Body;
use crate::client::Client;
use crate::client::attempt::Attempt;
use crate::client::redirect::next::next;
use crate::deadline::{Deadline, Timer};
use crate::error::Error;
use crate::stack::ResponseFuture;
use crate::stack::call::hop::{Hop, is_redirect};
use crate::stack::drain::Drain;
use http::{HeaderMap, Method, Request, Response, Uri};
use pin_project::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::Instant;

/// One hop after the other. What the first one needs is all there is until a redirect comes.
#[pin_project]
pub(crate) struct Following {
    client: Client,
    hops: Option<Box<Hops>>,
    #[pin]
    call: ResponseFuture<Attempt, Body>,
}

struct Hops {
    followed: u32,
    /// Where the call is now.
    method: Method,
    uri: Uri,
    leaving: Option<Leaving>,
}

/// What is left of a redirect is read before the next hop, so that its connection can be used again.
struct Leaving {
    drain: Drain<Body>,
    until: Instant,
    timer: Pin<Box<Timer>>,
    next: Option<(Request<Body>, Hop)>,
}

impl Following {
    #[inline]
    pub(crate) fn new(client: &Client, mut request: Request<Body>) -> Following {
        // Here and not in each hop, so that a redirect to another origin leaves behind what is not for it.
        add(request.headers_mut(), &client.0.headers);
        client.watch(request.uri());
        let hop = Hop { follows: client.0.redirects.follows, ..Hop::default() };
        let call = client.0.stack.hop(request, hop);
        Following { client: client.clone(), hops: None, call }
    }

    /// Method and URL of the last hop, where there was more than one.
    pub(crate) fn landed(&self) -> Option<(&Method, &Uri)> {
        self.hops.as_ref().map(|hops| (&hops.method, &hops.uri))
    }
}

/// Adds what is not there by that name.
fn add(headers: &mut HeaderMap, defaults: &HeaderMap) {
    for name in defaults.keys() {
        if !headers.contains_key(name) {
            for value in defaults.get_all(name) {
                headers.append(name.clone(), value.clone());
            }
        }
    }
}

impl Future for Following {
    type Output = Result<Response<Body>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if let Some(leaving) = this.hops.as_mut().and_then(|hops| hops.leaving.as_mut()) {
                let (request, hop) = ready!(leaving.poll(cx));
                this.client.watch(request.uri());
                this.call.set(this.client.0.stack.hop(request, hop));
                if let Some(hops) = this.hops {
                    // Dropped only now: what was not read goes with its connection.
                    hops.leaving = None;
                }
            }
            let followed = this.hops.as_ref().map_or(0, |hops| hops.followed);
            let response = match ready!(this.call.as_mut().poll(cx)) {
                Ok(response) => response,
                Err(mut error) => {
                    error.inner_mut().redirects = followed;
                    return Poll::Ready(Err(error));
                }
            };
            let (head, body) = response.into_parts();
            let left = if is_redirect(&head) { this.call.as_mut().leave() } else { None };
            let Some(left) = left else { return Poll::Ready(Ok(Response::from_parts(head, body))) };
            let attempts = body.attempts();
            let request = match next(this.client.0.redirects, followed, (left.head, left.body), &head) {
                Ok(request) => request,
                Err(mut error) => {
                    error.inner_mut().attempt = attempts.count;
                    return Poll::Ready(Err(error));
                }
            };
            *this.hops = Some(Box::new(Hops {
                followed: followed + 1,
                method: request.method().clone(),
                uri: request.uri().clone(),
                leaving: Some(Leaving::new(body, request, left.hop)),
            }));
        }
    }
}

impl Leaving {
    fn new(body: Body, request: Request<Body>, hop: Hop) -> Leaving {
        let drain = Drain::new(body, Instant::now());
        let until = Deadline::nearest(Some(drain.until), hop.ends).unwrap_or(drain.until);
        Leaving { drain, until, timer: Box::pin(Timer::default()), next: Some((request, hop)) }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Request<Body>, Hop)> {
        if self.drain.poll(cx).is_pending() {
            // Without a clock there is nothing to wait for; the next hop says so.
            let _ = ready!(self.timer.as_mut().poll(self.until, cx));
        }
        match self.next.take() {
            Some(next) => Poll::Ready(next),
            None => unreachable!("it is dropped when it was left"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `malloc` of glibc has at hand for each thread ends there; a larger block takes a lock and a search.
    #[test]
    fn the_one_allocation_of_a_call_has_at_most_1032_bytes() {
        let parts = (size_of::<Following>(), size_of::<ResponseFuture<Attempt, Body>>(), size_of::<Body>());
        assert!(parts.0 <= 1032, "{parts:?}");
    }
}
