//! The request of a call: what goes out, and what is kept of it for another attempt.

use crate::body::{Replay, empty};
use crate::collect::Collect;
use crate::deadline::{Deadline, Headers};
use crate::error::Error;
use crate::reuse::{Fresh, Parked};
use crate::stack::call::state::CallState;
use crate::telemetry::spans::Traced;
use http::{Extensions, HeaderMap, Request, Uri, Version};
use tokio::time::Instant;

/// What goes out next; while an attempt is under way, what is needed for the one after it.
///
/// Two fields, not two cases of one type: a request is large, and is moved out once without that anything of its size
/// is written in its place.
pub(super) struct Outgoing<B> {
    /// As the caller made it, or made again.
    next: Option<Request<B>>,
    pub(super) kept: Option<Kept<B>>,
}

/// Method and URL are known from the [`Facts`](crate::stack::call::facts::Facts) of the call.
pub(super) struct Kept<B> {
    pub(super) version: Version,
    /// Its URL was without an origin: somebody beneath adds that.
    pub(super) relative: bool,
    pub(super) headers: HeaderMap,
    pub(super) extensions: Extensions,
    /// None where it cannot be sent again: the rest is for the place that a redirect names.
    pub(super) body: Option<B>,
}

impl<B> Outgoing<B> {
    #[inline]
    pub(super) fn new(request: Request<B>) -> Outgoing<B> {
        Outgoing { next: Some(request), kept: None }
    }

    /// What the caller made, before the first attempt.
    #[inline]
    pub(super) fn first(&self) -> Option<&Request<B>> {
        self.next.as_ref()
    }
}

impl<B: 'static> Outgoing<B> {
    /// The request of this attempt, which has begun, to be [taken](Outgoing::take); what is needed for another one
    /// stays behind.
    #[inline]
    pub(super) fn prepare(&mut self, call: &CallState, now: Instant) {
        if self.next.is_none() {
            self.next = self.again(call);
        }
        if let Some(request) = &mut self.next {
            self.kept = keep(call, request);
            if call.attempts.fresh {
                request.extensions_mut().insert(Fresh);
            }
            let streams = |request: &Request<B>| {
                request.extensions().get::<Collect>().is_some_and(|collect| *collect == Collect::never())
            };
            if call.limits.long_poll.is_some() || call.limits.endless || streams(request) {
                request.extensions_mut().insert(Parked);
            }
            if call.attempts.span.is_some() {
                request.extensions_mut().insert(Traced);
            }
            propagate(call, request, now);
        }
    }

    /// What was prepared.
    #[inline]
    pub(super) fn take(&mut self) -> Request<B> {
        self.next.take().unwrap_or_else(|| unreachable!("no attempt begins without a request"))
    }

    /// Makes what was kept a request once more.
    #[cold]
    fn again(&mut self, call: &CallState) -> Option<Request<B>> {
        let Kept { version, relative, headers, extensions, body } = self.kept.take()?;
        let mut request = Request::new(body?);
        *request.method_mut() = call.facts.target.method.clone();
        *request.uri_mut() = call.facts.target.uri.clone();
        if relative {
            *request.uri_mut() = without_origin(request.uri());
        }
        *request.version_mut() = version;
        *request.headers_mut() = headers;
        *request.extensions_mut() = extensions;
        Some(request)
    }

    /// Whether there is something to send, or to send again.
    pub(super) fn is_some(&self) -> bool {
        self.next.is_some() || self.kept.as_ref().is_some_and(|kept| kept.body.is_some())
    }

    fn version(&self) -> Version {
        let next = self.next.as_ref().map(Request::version);
        next.or_else(|| Some(self.kept.as_ref()?.version)).unwrap_or_default()
    }

    /// The health check that goes before it.
    pub(super) fn health_check(&self, call: &CallState) -> Result<Request<B>, Error> {
        let Some(health) = &call.context().health else {
            unreachable!("only a stack with a health check leads one");
        };
        let Some(body) = empty::<B>() else {
            return Err(Error::config(format!(
                "no health check can be sent: it is not known how an empty body of type {} is made; \
                 .replay_with(retry::replay_empty(Body::empty)), with the Body of that client, says how",
                Replay::name_of::<B>()
            )));
        };
        let mut probe = Request::new(body);
        *probe.uri_mut() = health.uri(&call.facts.target.uri)?;
        *probe.version_mut() = self.version();
        if call.attempts.fresh {
            probe.extensions_mut().insert(Fresh);
        }
        Ok(probe)
    }
}

/// What is needed of this request for another attempt, or for the place that a redirect names.
#[inline]
fn keep<B: 'static>(call: &CallState, request: &Request<B>) -> Option<Kept<B>> {
    if !call.attempts.may_repeat(call.context()) && !call.facts.follows {
        return None;
    }
    let body = call.context().retry.replay.copy(request.body());
    if body.is_none() && call.attempts.may_repeat(call.context()) {
        call.context().say_unreplayable(Replay::name_of::<B>());
    }
    if body.is_none() && !call.facts.follows {
        return None;
    }
    let version = request.version();
    // A map that is made costs less than an empty one that is cloned.
    let headers = if request.headers().is_empty() { HeaderMap::new() } else { request.headers().clone() };
    let extensions = request.extensions().clone();
    let relative = request.uri().authority().is_none();
    Some(Kept { version, relative, headers, extensions, body })
}

fn without_origin(uri: &Uri) -> Uri {
    uri.path_and_query().cloned().map(Uri::from).unwrap_or_default()
}

/// Says in the headers how long this attempt is waited for, where the stack was told to.
#[inline]
fn propagate<B>(call: &CallState, request: &mut Request<B>, now: Instant) {
    if call.facts.grpc {
        let left = call.limits.last_byte(call.context()).map(|at| at.saturating_duration_since(now));
        Headers::grpc().write(request.headers_mut(), left, call.attempts.number);
    }
    let Some(headers) = &call.context().propagate else { return };
    let attempt = call.limits.attempt(call.context()).map(|limit| call.attempts.began + limit);
    let ends = Deadline::nearest(attempt, call.limits.deadline);
    let left = ends.map(|at| at.saturating_duration_since(now));
    headers.write(request.headers_mut(), left, call.attempts.number);
}
