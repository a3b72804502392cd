//! The request of a call: what goes out, and what is kept of it for another attempt.

use super::life::Life;
use crate::body::{Replay, empty};
use crate::deadline::Deadline;
use crate::error::Error;
use http::{Extensions, HeaderMap, Request, Version};
#[cfg(feature = "client")]
use http::{Method, Uri, request};
use tokio::time::Instant;

/// What goes out next; while an attempt is under way, what is needed for the one after it.
pub(super) enum Outgoing<B> {
    /// As the caller made it.
    First(Request<B>),
    /// Method and URL of the others stand in the table of calls in flight; to clone them here as well would cost
    /// every call that is never repeated.
    Again {
        version: Version,
        headers: HeaderMap,
        extensions: Extensions,
        body: B,
    },
    /// For the place that a redirect names alone: the body cannot be sent again.
    #[cfg_attr(not(feature = "client"), expect(dead_code, reason = "the client follows redirects"))]
    Headless {
        version: Version,
        headers: HeaderMap,
        extensions: Extensions,
    },
    Nothing,
}

impl<B: 'static> Outgoing<B> {
    pub(super) fn is_some(&self) -> bool {
        matches!(self, Outgoing::First(_) | Outgoing::Again { .. })
    }

    fn version(&self) -> Version {
        match self {
            Outgoing::First(request) => request.version(),
            Outgoing::Again { version, .. } | Outgoing::Headless { version, .. } => *version,
            Outgoing::Nothing => Version::default(),
        }
    }

    /// The request of this attempt, which has begun; what is needed for another one stays behind.
    #[inline]
    pub(super) fn next(&mut self, life: &Life, now: Instant) -> Request<B> {
        if !matches!(self, Outgoing::First(_)) {
            self.again(life);
        }
        // Changed in place and moved out once: a request is large.
        let Outgoing::First(request) = self else { unreachable!("no attempt begins without a request") };
        let kept = keep(life, request);
        propagate(life, request, now);
        let Outgoing::First(request) = std::mem::replace(self, kept) else {
            unreachable!("it was there a line above")
        };
        request
    }

    /// Makes what was kept a request once more.
    #[cold]
    fn again(&mut self, life: &Life) {
        if let Outgoing::Again { version, headers, extensions, body } =
            std::mem::replace(self, Outgoing::Nothing)
        {
            let mut request = Request::new(body);
            *request.method_mut() = life.method.clone();
            *request.uri_mut() = life.uri();
            *request.version_mut() = version;
            *request.headers_mut() = headers;
            *request.extensions_mut() = extensions;
            *self = Outgoing::First(request);
        }
    }

    /// What a redirect makes the next request of; without the body where that cannot be sent again.
    #[cfg(feature = "client")]
    pub(super) fn leave(&mut self, method: Method, uri: Uri) -> Option<(request::Parts, Option<B>)> {
        let mut left = Request::new(());
        let (version, headers, extensions, body) = match std::mem::replace(self, Outgoing::Nothing) {
            Outgoing::Again { version, headers, extensions, body } => {
                (version, headers, extensions, Some(body))
            }
            Outgoing::Headless { version, headers, extensions } => (version, headers, extensions, None),
            Outgoing::First(_) | Outgoing::Nothing => return None,
        };
        (*left.method_mut(), *left.uri_mut(), *left.version_mut()) = (method, uri, version);
        (*left.headers_mut(), *left.extensions_mut()) = (headers, extensions);
        Some((left.into_parts().0, body))
    }

    /// The health check that goes before it.
    pub(super) fn health_check(&self, life: &Life) -> Result<Request<B>, Error> {
        let Some(health) = &life.lane.shared.health else {
            unreachable!("only a stack with a health check leads one");
        };
        let Some(body) = empty::<B>() else {
            return Err(Error::config(format!(
                "no health check can be sent: it is not known how an empty body of type {} is made",
                Replay::name_of::<B>()
            )));
        };
        let mut probe = Request::new(body);
        *probe.uri_mut() = health.uri(&life.uri())?;
        *probe.version_mut() = self.version();
        Ok(probe)
    }
}

/// What is needed of this request for another attempt, or for the place that a redirect names.
#[inline]
fn keep<B: 'static>(life: &Life, request: &Request<B>) -> Outgoing<B> {
    if !life.may_repeat() && !life.follows {
        return Outgoing::Nothing;
    }
    let copy = life.lane.shared.retry.replay.copy(request.body());
    if copy.is_none() && life.may_repeat() {
        life.lane.shared.say_unreplayable(Replay::name_of::<B>());
    }
    if copy.is_none() && !life.follows {
        return Outgoing::Nothing;
    }
    let version = request.version();
    let (headers, extensions) = (request.headers().clone(), request.extensions().clone());
    match copy {
        Some(body) => Outgoing::Again { version, headers, extensions, body },
        None => Outgoing::Headless { version, headers, extensions },
    }
}

/// Says in the headers how long this attempt is waited for, where the stack was told to.
#[inline]
fn propagate<B>(life: &Life, request: &mut Request<B>, now: Instant) {
    let Some(headers) = &life.lane.shared.propagate else { return };
    let ends = Deadline::nearest(life.attempt_ends().map(|(at, _)| at), life.deadline);
    let left = ends.map(|at| at.saturating_duration_since(now));
    headers.write(request.headers_mut(), left, life.attempt);
}
