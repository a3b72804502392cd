//! Which redirects the inner client follows: those that `Client` follows, where reqwest can keep to its rules.

use crate::error::{Error, ErrorKind};
use ::reqwest::redirect::{Action, Attempt, Policy};
use ::reqwest::{Request, StatusCode};
use http::Method;
use http::header::{AUTHORIZATION, COOKIE, HeaderName, PROXY_AUTHORIZATION, WWW_AUTHENTICATE};
use std::cell::Cell;
use std::future::Future;
use tokio::task::futures::TaskLocalFuture;

/// Redirects that are followed in one call.
const LIMIT: usize = 10;

/// What reqwest takes out of the hop to another origin. The hop after that, within the other origin, has it again.
const CREDENTIALS: [HeaderName; 5] =
    [AUTHORIZATION, COOKIE, HeaderName::from_static("cookie2"), PROXY_AUTHORIZATION, WWW_AUTHENTICATE];

tokio::task_local! {
    /// reqwest asks its policy inside the future of the request, and tells it nothing of the request.
    static CARRIED: Carried;
}

/// What a request has with it that is for its own origin alone.
#[derive(Debug)]
pub(super) struct Carried {
    credentials: bool,
    /// Headers marked as sensitive, which are nothing special to reqwest.
    sensitive: bool,
    is_post: bool,
    body: Cell<bool>,
}

impl Carried {
    fn of(request: &Request) -> Carried {
        let headers = request.headers();
        let is_credential = |name: &HeaderName| CREDENTIALS.contains(name);
        Carried {
            credentials: headers.keys().any(is_credential),
            sensitive: headers.iter().any(|(name, value)| value.is_sensitive() && !is_credential(name)),
            is_post: request.method() == Method::POST,
            body: Cell::new(request.body().is_some()),
        }
    }

    /// What must not be sent where this redirect leads, if anything.
    fn held_back(&self, to: &Attempt<'_>) -> Option<&'static str> {
        match to.status() {
            StatusCode::SEE_OTHER => self.body.set(false),
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND if self.is_post => self.body.set(false),
            _ => {}
        }
        let there = to.url().origin();
        let first = to.previous().first().is_none_or(|url| url.origin() == there);
        let same = to.previous().last().is_none_or(|url| url.origin() == there);
        if !same && self.body.get() {
            Some("a request body is not sent to another origin")
        } else if !first && self.sensitive {
            Some("a header marked as sensitive is not sent to another origin")
        } else if !first && same && self.credentials {
            Some("the credentials of the request would be sent to another origin")
        } else {
            None
        }
    }
}

/// The sending of a request, in which [`policy`] knows what it carries.
pub(super) type Sending<F> = TaskLocalFuture<Carried, F>;

pub(super) fn sending<F: Future>(request: Request, send: impl FnOnce(Request) -> F) -> Sending<F> {
    CARRIED.scope(Carried::of(&request), send(request))
}

pub(super) fn policy() -> Policy {
    Policy::custom(follow)
}

/// What may not be shown of a URL is not known here: only its origin is.
fn follow(attempt: Attempt<'_>) -> Action {
    let followed = attempt.previous().len().saturating_sub(1);
    let secure = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
    let why = if followed >= LIMIT {
        format!("{followed} were followed, and the limit is {LIMIT}")
    } else if secure && attempt.url().scheme() == "http" {
        "it leads from https to http".to_owned()
    } else if let Some(why) = CARRIED.try_with(|carried| carried.held_back(&attempt)).ok().flatten() {
        why.to_owned()
    } else {
        return attempt.follow();
    };
    let (status, to) = (attempt.status().as_u16(), attempt.url().origin().ascii_serialization());
    let mut error =
        Error::new(ErrorKind::Redirect, format!("redirect ({status}) to {to} not followed: {why}"));
    error.inner_mut().redirects = u32::try_from(followed).unwrap_or(u32::MAX);
    attempt.error(error)
}
