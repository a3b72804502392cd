//! The states of a call.

use crate::collect::Buffer;
use crate::error::Error;
use crate::stack::call::timers::Nearest;
use crate::stack::drain::Drain;
use http::response;
use pin_project::pin_project;
use tokio::time::Instant;

/// Where a call is.
#[pin_project(project = StateProj)]
pub(in crate::stack) enum State<F, R> {
    // Asks for admission.
    Start,
    // Lets time pass, and reads what is left of a response that is thrown away.
    Wait {
        until: Instant,
        drain: Option<Drain<R>>,
        then: Then,
    },
    // Waits for another caller's health check.
    Health,
    // Waits until the inner service is ready.
    Ready {
        probe: bool,
        since: Instant,
    },
    // Waits for the answer to its own health check.
    Probe {
        #[pin]
        future: F,
    },
    // Waits for a response head.
    Sent {
        #[pin]
        future: F,
    },
    // Reads the body inside the attempt.
    Collect {
        reading: Option<(response::Parts, R)>,
        buffer: Buffer,
        limit: u64,
    },
    Done,
}

/// What follows a wait.
pub(in crate::stack) enum Then {
    Start,
    Send,
    /// A refusal that was not told at once.
    Refuse(Error),
}

impl<F, R> State<F, R> {
    pub(in crate::stack) fn ready(probe: bool, since: Instant) -> State<F, R> {
        State::Ready { probe, since }
    }

    /// Told at this moment.
    pub(in crate::stack) fn refuse(until: Instant, error: Error) -> State<F, R> {
        State::Wait { until, drain: None, then: Then::Refuse(error) }
    }

    pub(in crate::stack) fn wait(until: Instant, drain: Option<Drain<R>>) -> State<F, R> {
        State::Wait { until, drain, then: Then::Start }
    }
}

/// What one turn of the loop came to, where it did not just go on.
pub(in crate::stack) enum Next<R> {
    Pending(Nearest),
    /// The attempt is over: when the next begins, or the error of the call; and what is left of a response.
    Failed(Result<Instant, Error>, Option<Drain<R>>),
}
