//! The stages of a call, each with a file of its own for what is done in it.
//!
//! ```text
//! Start -> Ready -> Sent -> Collect        nothing goes wrong
//! Start -> Ready -> Probe -> Wait -> Ready it makes the health check
//! Start -> Health -> Ready                 another call makes it
//! Sent, Collect, Probe, .. -> Wait -> Start   the attempt has failed and is repeated
//! ```

mod collect;
mod health;
mod pending;
mod probe;
mod ready;
mod sent;
mod start;
mod wait;

use crate::body::Body;
use crate::collect::Buffer;
use crate::error::Error;
use crate::stack::call::timers::Timer;
use crate::stack::drain::Drain;
use http::{Request, Response, response};
use pin_project::pin_project;
use tokio::time::Instant;

/// Where a call is. `F` is the future of the inner service, `R` the body of its responses, `B` that of its requests.
#[pin_project(project = StageProj)]
pub(super) enum Stage<F, R, B> {
    /// Before an attempt. It asks for admission: at the gates, at the circuit breaker, and whether there has to be a
    /// health check. It is never pending here. `request` is what goes out next, where it is made already: it stands in the
    /// room that the future of the inner service takes.
    Start { request: Option<Request<B>> },
    /// Nothing is under way. It lets time pass up to `until`, and reads what is left of a response that is thrown away,
    /// so that its connection can be used again. `then` says what follows.
    Wait { until: Instant, drain: Option<Drain<R>>, then: Then },
    /// Admitted. It waits for the health check that another call makes.
    Health,
    /// Admitted, and checked where that is needed. It waits, since `since`, until the inner service is ready; what is
    /// sent then is its health check (`check`) or its request.
    Ready { check: bool, since: Instant },
    /// Its health check has left. It waits for the answer.
    Probe {
        #[pin]
        future: F,
    },
    /// Its request has left. It waits for the response head.
    Sent {
        #[pin]
        future: F,
    },
    /// The response head is there and good. It reads the body, as far as that belongs to the attempt. `reading` is taken
    /// when the response is handed over.
    Collect { reading: Option<(response::Parts, R)>, buffer: Buffer },
    /// The call has ended, and its caller knows.
    Done,
}

/// What follows a wait.
pub(super) enum Then {
    /// Another attempt.
    Start,
    /// The request whose health check has passed.
    Send,
    /// A refusal that was not told at once.
    Refuse(Error),
}

impl<F, R, B> Stage<F, R, B> {
    /// Before an attempt for which everything was kept that it is made of.
    pub(super) fn start() -> Stage<F, R, B> {
        Stage::Start { request: None }
    }

    /// What the caller made, before the first attempt.
    #[inline]
    pub(super) fn first(&self) -> Option<&Request<B>> {
        match self {
            Stage::Start { request } => request.as_ref(),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn ready(check: bool, since: Instant) -> Stage<F, R, B> {
        Stage::Ready { check, since }
    }

    /// Told at this moment.
    pub(super) fn refuse(until: Instant, error: Error) -> Stage<F, R, B> {
        Stage::Wait { until, drain: None, then: Then::Refuse(error) }
    }

    /// Another attempt at this moment.
    pub(super) fn wait(until: Instant, drain: Option<Drain<R>>) -> Stage<F, R, B> {
        Stage::Wait { until, drain, then: Then::Start }
    }
}

/// What a stage came to.
pub(super) enum Step {
    /// A stage was entered, which goes on at once.
    Next,
    /// It can do nothing but wait, for this long at most.
    Pending(Option<(Instant, Timer)>),
    /// The call is over.
    Done(Result<Response<Body>, Error>),
}
