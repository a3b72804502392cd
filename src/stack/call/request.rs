//! The request of a call: what goes out, and what is kept of it for another attempt.

use crate::body::{Replay, empty};
use crate::collect::Collect;
use crate::deadline::{Deadline, Headers};
use crate::error::Error;
use crate::health::HealthCheck;
use crate::reuse::{Fresh, Parked};
use crate::stack::call::hop::Hop;
use crate::stack::call::state::CallState;
use crate::target::Target;
use crate::telemetry::spans::Traced;
use http::{Extensions, HeaderMap, Method, Request, Uri, Version};
use tokio::time::Instant;

/// What is needed for the next attempt, while one is under way or while it has to be waited for.
pub(super) struct Outgoing<B> {
    pub(super) kept: Option<Kept<B>>,
}

/// Method and URL are known from the [`target`](CallState::target) of the call.
pub(super) struct Kept<B> {
    pub(super) version: Version,
    /// Its URL was without an origin: somebody beneath adds that.
    pub(super) relative: bool,
    /// None where there are none, as in most requests.
    pub(super) headers: Option<Box<HeaderMap>>,
    pub(super) extensions: Extensions,
    /// None where it cannot be sent again: the rest is for the place that a redirect names.
    pub(super) body: Option<B>,
}

/// A request that a redirect answered, while its call still knows of it.
#[cfg_attr(not(feature = "client"), expect(dead_code, reason = "Client follows redirects"))]
pub(super) struct Redirected {
    pub(super) method: Method,
    pub(super) uri: Uri,
    /// What the call that follows it is told.
    pub(super) hop: Hop,
}

impl Redirected {
    pub(super) fn of(call: &CallState) -> Redirected {
        let (Target { method, uri, .. }, limits) = (call.target(), &call.limits);
        let hop = Hop {
            follows: call.facts.follows,
            started: Some(limits.started),
            ends: limits.deadline,
            ambient: limits.hard_deadline.map(Deadline::at),
        };
        Redirected { method, uri, hop }
    }
}

impl<B> Default for Outgoing<B> {
    fn default() -> Outgoing<B> {
        Outgoing { kept: None }
    }
}

impl<B> Outgoing<B> {
    /// Takes a request apart that cannot be sent yet.
    #[cold]
    pub(super) fn park(&mut self, request: Request<B>) {
        let (head, body) = request.into_parts();
        self.kept = Some(Kept {
            version: head.version,
            relative: head.uri.authority().is_none(),
            headers: (!head.headers.is_empty()).then(|| Box::new(head.headers)),
            extensions: head.extensions,
            body: Some(body),
        });
    }
}

impl<B: 'static> Outgoing<B> {
    /// The request of this attempt, which has begun, is made ready to be sent; what is needed for another one stays here.
    #[inline]
    pub(super) fn prepare(&mut self, request: &mut Request<B>, call: &CallState, now: Instant) {
        self.kept = keep(call, request);
        if call.attempts.fresh {
            request.extensions_mut().insert(Fresh);
        }
        let streams = |request: &Request<B>| {
            request.extensions().get::<Collect>().is_some_and(|collect| *collect == Collect::never())
        };
        if call.limits.long_poll().is_some() || call.limits.endless() || streams(request) {
            request.extensions_mut().insert(Parked);
        }
        if call.attempts.span.is_some() {
            request.extensions_mut().insert(Traced);
        }
        propagate(call, request, now);
    }

    /// Makes what was kept a request once more.
    #[cold]
    pub(super) fn again(&mut self, call: &CallState) -> Option<Request<B>> {
        let Kept { version, relative, headers, extensions, body } = self.kept.take()?;
        let mut request = Request::new(body?);
        let Target { method, uri, .. } = call.target();
        *request.method_mut() = method;
        *request.uri_mut() = if relative { without_origin(&uri) } else { uri };
        *request.version_mut() = version;
        if let Some(headers) = headers {
            *request.headers_mut() = *headers;
        }
        *request.extensions_mut() = extensions;
        Some(request)
    }

    /// Whether there is something to send, or to send again.
    pub(super) fn is_some(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.body.is_some())
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
        *probe.uri_mut() = health.uri(&call.target().uri)?;
        *probe.version_mut() = self.kept.as_ref().map(|kept| kept.version).unwrap_or_default();
        probe.extensions_mut().insert(HealthCheck);
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
    let headers = (!request.headers().is_empty()).then(|| Box::new(request.headers().clone()));
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
