//! The states of a call, and the requests that it sends.

use super::life::Life;
use super::wait::{Drain, Nearest};
use crate::body::{Replay, empty};
use crate::collect::Buffer;
use crate::error::Error;
use http::{Request, request, response};
use pin_project_lite::pin_project;
use tokio::time::Instant;

pin_project! {
    /// Where a call is.
    #[project = StateProj]
    pub(super) enum State<F, R> {
        // Asks for admission.
        Start,
        // Lets time pass, and reads what is left of a response that is thrown away.
        Wait { until: Instant, drain: Option<Drain<R>>, then: Then },
        // Waits for another caller's health check.
        Health,
        // Waits until the inner service is ready.
        Ready { probe: bool },
        // Waits for the answer to its own health check.
        Probe { #[pin] future: F },
        // Waits for a response head.
        Sent { #[pin] future: F },
        // Reads the body inside the attempt.
        Collect { reading: Option<(response::Parts, R)>, buffer: Buffer, limit: u64 },
        Done,
    }
}

/// What follows a wait.
#[derive(Clone, Copy)]
pub(super) enum Then {
    Start,
    Send,
}

impl<F, R> State<F, R> {
    pub(super) fn wait(until: Instant, drain: Option<Drain<R>>) -> State<F, R> {
        State::Wait { until, drain, then: Then::Start }
    }
}

/// What one turn of the loop came to, where it did not just go on.
pub(super) enum Next<R> {
    Pending(Nearest),
    /// The attempt is over: when the next begins, or the error of the call; and what is left of a response.
    Failed(Result<Instant, Error>, Option<Drain<R>>),
}

/// The request of this attempt; what is needed for another one stays behind.
#[inline]
pub(super) fn next<B: 'static>(
    life: &Life,
    kept: &mut Option<(request::Parts, B)>,
    redirected: &mut Option<Box<request::Parts>>,
) -> Request<B> {
    let Some((head, body)) = kept.take() else { unreachable!("no attempt begins without a request") };
    if life.may_repeat() || life.follows {
        match life.lane.shared.retry.replay.copy(&body) {
            Some(body) => *kept = Some((head.clone(), body)),
            None => {
                if life.may_repeat() {
                    life.lane.shared.say_unreplayable(Replay::name_of::<B>());
                }
                *redirected = life.follows.then(|| Box::new(head.clone()));
            }
        }
    }
    Request::from_parts(head, body)
}

/// The health check that goes before a request.
pub(super) fn health_check<B: 'static>(
    life: &Life,
    kept: &Option<(request::Parts, B)>,
) -> Result<Request<B>, Error> {
    let (Some(health), Some((head, _))) = (&life.lane.shared.health, kept) else {
        unreachable!("only a stack with a health check leads one, and before its request is sent");
    };
    let Some(body) = empty::<B>() else {
        return Err(Error::config(format!(
            "no health check can be sent: it is not known how an empty body of type {} is made",
            Replay::name_of::<B>()
        )));
    };
    let mut probe = Request::new(body);
    *probe.uri_mut() = health.uri(&head.uri)?;
    *probe.version_mut() = head.version;
    Ok(probe)
}
