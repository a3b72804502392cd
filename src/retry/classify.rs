//! What an outcome means: whether it is worth repeating, and what it says about the origin. Pure.

use crate::deadline::Late;
use crate::error::{Error, ErrorKind, Phase, may_pass};
use http::{Extensions, HeaderMap, Method, StatusCode};

/// The class of an outcome: whether to repeat the request, and what the outcome says about the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Class {
    /// Whether another attempt makes sense.
    pub repeat: Repeat,
    /// What it says about the health of the origin.
    pub evidence: Evidence,
}

impl Class {
    /// A class with this rule of repetition and this evidence about the origin.
    ///
    /// ```
    /// use unwedge::retry::{Class, Evidence, Outcome, Repeat};
    ///
    /// // This API answers 404 for a job that is not scheduled yet.
    /// let settings = unwedge::retry::Settings::default().classify(|_, outcome| match outcome {
    ///     Outcome::Head(head) if head.status == 404 => Some(Class::new(Repeat::IfIdempotent, Evidence::Success)),
    ///     _ => None,
    /// });
    /// ```
    pub const fn new(repeat: Repeat, evidence: Evidence) -> Class {
        Class { repeat, evidence }
    }
}

/// Whether another attempt makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Repeat {
    /// Keep the outcome.
    Never,
    /// Repeat it if the request may be processed twice: an idempotent method (RFC 9110, 9.2.2), an
    /// `Idempotency-Key`, or the [`Idempotent`](super::Idempotent) mark.
    IfIdempotent,
    /// Repeat any request: the server has provably not processed this one.
    Always,
    /// Like `IfIdempotent`, at once and free of the budget: the connection was at fault, not the server.
    AtOnce,
}

/// The evidence of an attempt about the health of the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Evidence {
    /// The server is alive.
    Success,
    /// The server is not healthy.
    Failure,
    /// The server is throttling: counted in the failure ratio, neutral to the run of failures.
    Throttled,
    /// No evidence.
    None,
}

/// Why an outcome says nothing about the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excuse {
    /// There is none, or a repetition has to wait all the same.
    None,
    /// A connection that had served before went away.
    Stale,
    /// Nobody looked at the request: the server said so, or was closing an idle connection.
    Unseen,
    /// A connection that leads elsewhere (421).
    Misdirected,
    /// The connection pool gave up, before anything was sent.
    Pool,
}

/// The outcome of an attempt, to be classified: see [`Settings::classify`](super::Settings::classify).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Outcome<'a> {
    /// A response head.
    Head(&'a http::response::Parts),
    /// An error of the attempt.
    Error(&'a Error),
}

pub(crate) const fn class(repeat: Repeat, evidence: Evidence) -> Class {
    Class { repeat, evidence }
}

impl Outcome<'_> {
    /// The class by the rules of this crate.
    #[inline]
    pub fn class(&self) -> Class {
        match self {
            // The caller gave it too little time, and has none to give to another attempt.
            Outcome::Head(head) if head.status == 504 && Late::refused(&head.headers) => {
                class(Repeat::Never, Evidence::None)
            }
            Outcome::Head(head) => of_status(head.status),
            Outcome::Error(error) => of_error(error),
        }
    }

    /// Why it says nothing about the server, where the rules of this crate say so and it is not the server that a
    /// repetition has to wait for.
    pub(crate) fn excuse(&self) -> Excuse {
        let error = match self {
            Outcome::Head(head) if head.status == 421 => return Excuse::Misdirected,
            Outcome::Head(_) => return Excuse::None,
            Outcome::Error(error) => error,
        };
        let fault = error.inner().fault;
        match error.kind() {
            _ if fault.caller => Excuse::None,
            ErrorKind::Connect if fault.pool => Excuse::Pool,
            ErrorKind::Transport if fault.unseen => Excuse::Unseen,
            ErrorKind::Transport if fault.unprocessed => Excuse::None,
            ErrorKind::Transport if fault.reused => Excuse::Stale,
            ErrorKind::Unhealthy { .. } if fault.probe && fault.reused => Excuse::Pool,
            _ => Excuse::None,
        }
    }
}

#[inline]
fn of_status(status: StatusCode) -> Class {
    match status.as_u16() {
        429 | 425 => class(Repeat::Always, Evidence::Throttled),
        // It came on a connection that leads elsewhere; another one may lead to the right place.
        421 => class(Repeat::Always, Evidence::None),
        600.. => class(Repeat::Never, Evidence::Failure),
        _ if may_pass(status) => class(Repeat::IfIdempotent, Evidence::Failure),
        _ => class(Repeat::Never, Evidence::Success),
    }
}

fn of_error(error: &Error) -> Class {
    let fault = error.inner().fault;
    let nothing = class(Repeat::Never, Evidence::None);
    match error.kind() {
        // Also a stall or a deadline, where the request's body is another call's response.
        _ if fault.caller => nothing,
        ErrorKind::Connect if fault.pool || fault.local => class(Repeat::Always, Evidence::None),
        ErrorKind::Connect | ErrorKind::Transport if fault.certificate => {
            class(Repeat::Never, Evidence::Failure)
        }
        // A proxy that says so once will say so again.
        ErrorKind::Connect if !error.is_retriable() => class(Repeat::Never, Evidence::Failure),
        ErrorKind::Connect => class(Repeat::Always, Evidence::Failure),
        ErrorKind::Transport if fault.unseen => class(Repeat::Always, Evidence::None),
        ErrorKind::Transport if fault.unprocessed => class(Repeat::Always, Evidence::Failure),
        ErrorKind::Transport if fault.reused => class(Repeat::AtOnce, Evidence::None),
        ErrorKind::Transport | ErrorKind::Stall => class(Repeat::IfIdempotent, Evidence::Failure),
        ErrorKind::Attempt => match error.phase() {
            // It waited for a connection of its own pool, or for an address: nothing was sent, and nobody was asked.
            Some(phase) if phase.asks_nobody() => class(Repeat::Always, Evidence::None),
            // Nothing was sent either: only those who make connections say so.
            Some(Phase::Connect | Phase::Tls) => class(Repeat::Always, Evidence::Failure),
            _ => class(Repeat::IfIdempotent, Evidence::Failure),
        },
        // Nothing of the request was sent, so that a POST may follow as well.
        ErrorKind::Unhealthy { .. } if fault.probe && (fault.reused || fault.local) => {
            class(Repeat::Always, Evidence::None)
        }
        ErrorKind::Unhealthy { .. } if fault.probe => class(Repeat::Always, Evidence::Failure),
        ErrorKind::TooLarge if error.phase() != Some(Phase::Body) => class(Repeat::Never, Evidence::Failure),
        _ => nothing,
    }
}

/// Whether the request may be processed twice (RFC 9110, 9.2.2).
#[inline]
pub(crate) fn is_idempotent(method: &Method, headers: &HeaderMap, extensions: &Extensions) -> bool {
    let safe_to_repeat = matches!(
        *method,
        Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS | Method::TRACE
    );
    safe_to_repeat
        || headers.contains_key("idempotency-key")
        || extensions.get::<super::Idempotent>().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn every_status_is_judged_by_the_table() {
        for code in 100..=999 {
            let class = of_status(StatusCode::from_u16(code).unwrap());
            let (repeat, evidence) = match code {
                429 | 425 => (Repeat::Always, Evidence::Throttled),
                421 => (Repeat::Always, Evidence::None),
                501 | 505 | 506 | 508 | 510 | 511 => (Repeat::Never, Evidence::Success),
                408 | 500..=599 => (Repeat::IfIdempotent, Evidence::Failure),
                100..=499 => (Repeat::Never, Evidence::Success),
                _ => (Repeat::Never, Evidence::Failure),
            };
            assert_eq!((class.repeat, class.evidence), (repeat, evidence), "{code}");
        }
    }

    #[test]
    fn a_refused_connection_is_repeated_for_every_method_and_a_reset_only_when_idempotent() {
        let of = |kind: io::ErrorKind| {
            let error: crate::BoxError = io::Error::from(kind).into();
            of_error(&Error::from(error))
        };
        assert_eq!(of(io::ErrorKind::ConnectionRefused), class(Repeat::Always, Evidence::Failure));
        assert_eq!(of(io::ErrorKind::ConnectionReset), class(Repeat::IfIdempotent, Evidence::Failure));
    }

    #[test]
    fn idempotent_is_what_the_method_the_key_or_the_mark_says() {
        let judged = |request: http::request::Builder| {
            let request = request.body(()).unwrap();
            is_idempotent(request.method(), request.headers(), request.extensions())
        };
        let request = |method: &str| http::Request::builder().method(method).uri("http://a/");
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"] {
            assert!(judged(request(method)), "{method}");
        }
        for method in ["POST", "PATCH", "CONNECT", "BREW"] {
            assert!(!judged(request(method)), "{method}");
        }
        assert!(judged(request("POST").header("Idempotency-Key", "k")));
        assert!(judged(request("POST").extension(super::super::Idempotent)));
    }

    #[test]
    fn every_kind_of_error_is_judged_by_what_is_known_of_it() {
        use crate::error::Fault;
        const WAIT: std::time::Duration = std::time::Duration::from_secs(1);
        let unhealthy = ErrorKind::Unhealthy { since: WAIT, retry_in: WAIT };
        let of = |kind, fault: fn(&mut Fault)| {
            let mut error = Error::new(kind, "");
            fault(&mut error.inner_mut().fault);
            let class = of_error(&error);
            (class.repeat, class.evidence)
        };
        use {Evidence as E, Repeat as R};
        for (kind, fault, expected) in [
            (ErrorKind::Connect, (|_| ()) as fn(&mut Fault), (R::Always, E::Failure)),
            (ErrorKind::Connect, |f| f.pool = true, (R::Always, E::None)),
            (ErrorKind::Connect, |f| f.local = true, (R::Always, E::None)),
            (ErrorKind::Connect, |f| f.certificate = true, (R::Never, E::Failure)),
            (ErrorKind::Transport, |_| (), (R::IfIdempotent, E::Failure)),
            (ErrorKind::Transport, |f| f.certificate = true, (R::Never, E::Failure)),
            (ErrorKind::Transport, |f| f.unprocessed = true, (R::Always, E::Failure)),
            (ErrorKind::Transport, |f| (f.unprocessed, f.unseen) = (true, true), (R::Always, E::None)),
            (ErrorKind::Transport, |f| f.local = true, (R::IfIdempotent, E::Failure)),
            (ErrorKind::Transport, |f| f.reused = true, (R::AtOnce, E::None)),
            (ErrorKind::Stall, |_| (), (R::IfIdempotent, E::Failure)),
            (ErrorKind::Stall, |f| f.reused = true, (R::IfIdempotent, E::Failure)),
            (ErrorKind::Attempt, |_| (), (R::IfIdempotent, E::Failure)),
            (unhealthy, |_| (), (R::Never, E::None)),
            (unhealthy, |f| f.reused = true, (R::Never, E::None)),
            (unhealthy, |f| f.probe = true, (R::Always, E::Failure)),
            (unhealthy, |f| (f.probe, f.reused) = (true, true), (R::Always, E::None)),
            (unhealthy, |f| (f.probe, f.local) = (true, true), (R::Always, E::None)),
            (ErrorKind::TooLarge, |_| (), (R::Never, E::Failure)),
            (ErrorKind::Deadline, |_| (), (R::Never, E::None)),
            (ErrorKind::Open { retry_in: WAIT }, |_| (), (R::Never, E::None)),
            (ErrorKind::Config, |_| (), (R::Never, E::None)),
            (ErrorKind::Cancelled, |_| (), (R::Never, E::None)),
        ] {
            assert_eq!(of(kind, fault), expected, "{kind}");
        }
        for (phase, repeat, evidence) in [
            (Phase::Ready, R::Always, E::None),
            (Phase::Resolve, R::Always, E::None),
            (Phase::Connect, R::Always, E::Failure),
            (Phase::Tls, R::Always, E::Failure),
            (Phase::Headers, R::IfIdempotent, E::Failure),
            (Phase::Body, R::IfIdempotent, E::Failure),
        ] {
            let late = Error::new(ErrorKind::Attempt, "").at(phase);
            assert_eq!(of_error(&late), class(repeat, evidence), "{phase}");
        }
        let body = Error::new(ErrorKind::TooLarge, "").at(Phase::Body);
        assert_eq!(of_error(&body), class(Repeat::Never, Evidence::None), "more than its reader wanted");
        let mut proxy = Error::new(ErrorKind::Connect, "a proxy said no");
        proxy.inner_mut().status = Some(StatusCode::FORBIDDEN);
        assert_eq!(of_error(&proxy), class(Repeat::Never, Evidence::Failure));
    }

    #[test]
    fn a_504_that_says_that_the_caller_was_late_is_no_evidence() {
        let late = Late::CutOff { limit: std::time::Duration::from_secs(1) };
        let refused =
            Late::Refused { left: std::time::Duration::ZERO, least: std::time::Duration::from_secs(1) };
        for (status, late, expected) in [
            (504, Some(refused), (Repeat::Never, Evidence::None)),
            (504, Some(late), (Repeat::IfIdempotent, Evidence::Failure)),
            (504, None, (Repeat::IfIdempotent, Evidence::Failure)),
            (503, Some(refused), (Repeat::IfIdempotent, Evidence::Failure)),
        ] {
            let mut head = http::Response::builder().status(status);
            if let Some(late) = late {
                head = head.header("x-request-late", late.value());
            }
            let class = Outcome::Head(&head.body(()).unwrap().into_parts().0).class();
            assert_eq!((class.repeat, class.evidence), expected, "{status} {late:?}");
        }
    }

    #[test]
    fn what_breaks_in_the_callers_own_body_says_nothing_about_the_server() {
        for kind in [ErrorKind::Transport, ErrorKind::Stall, ErrorKind::Connect] {
            let mut error = Error::new(kind, "");
            error.inner_mut().fault.caller = true;
            assert_eq!(of_error(&error), class(Repeat::Never, Evidence::None), "{kind}");
        }
    }
}
