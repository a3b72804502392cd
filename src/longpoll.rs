//! The opt-out: a request that may wait for long says why.

use crate::Error;
use crate::duration::{LONGEST, human};
use std::sync::Arc;
use std::time::Duration;

/// How much longer than its hold a long poll may take: a client whose limit equals the server's hold loses the race.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// Marks a request as a long poll: the server parks it until it has data.
///
/// Put it into the request's extensions, or use `RequestBuilder::long_poll`. A long poll is exempt from the total, from
/// the attempt limit, and from the detection of hangs (`hang_after`, `overdue_after`). The connect limit, health check,
/// circuit breaker, keep-alive, an enclosing [`within`](crate::within) and a per-request [`Deadline`](crate::Deadline)
/// still apply. While it runs it is listed in the in-flight table with its reason.
///
/// The wait for the response head is limited to [`up_to`](LongPoll::up_to) plus 5 s, or without it to
/// `Limits::long_poll` (10 min). Only [`unbounded`](LongPoll::unbounded) removes that limit. The body is handed over at
/// the head; each silence in it has the same limit, and `Limits::stream` does not apply, so a watch that is quiet for
/// minutes can be a long poll.
///
/// If a balancer ends a poll after 1 s or more (408, 502, 503 or 504 without `Retry-After`, or the end of the connection),
/// that says nothing about the origin: it is returned as it is and not repeated. There is a minimum gap between polls of
/// the same path: 100 ms after one that ended within 100 ms without data, and the first step of the back-off (100 ms to
/// 1 s) after an error or a status of 400 and above.
///
/// ```
/// use std::time::Duration;
/// use unwedge::long_poll;
///
/// let request = http::Request::get("https://broker.example/message")
///     .extension(long_poll!("the broker parks GetMessage until a job arrives").up_to(Duration::from_secs(50)))
///     .body(())?;
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "put it into the extensions of a request"]
#[doc(alias("long_polling", "no_timeout"))]
pub struct LongPoll {
    reason: Reason,
    hold: Option<Duration>,
    unbounded: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reason {
    Static(&'static str),
    Owned(Arc<str>),
}

impl LongPoll {
    /// A long poll for this reason.
    ///
    /// Prefer [`long_poll!`](crate::long_poll), with which a blank reason does not compile. Here a blank reason makes the call
    /// return an error of kind `Config` before anything is sent.
    pub const fn because(reason: &'static str) -> LongPoll {
        LongPoll { reason: Reason::Static(reason), hold: None, unbounded: false }
    }

    /// A long poll for a reason that is only known at run time.
    ///
    /// # Errors
    /// Kind `Config` where the reason is blank.
    pub fn because_owned(reason: String) -> Result<LongPoll, Error> {
        if is_blank(&reason) {
            return Err(blank());
        }
        Ok(LongPoll { reason: Reason::Owned(reason.into()), hold: None, unbounded: false })
    }

    /// The longest time for which the server holds the request. The head, and each next byte of the body, may take 5 s more,
    /// so that the client never times out just when the server answers.
    pub const fn up_to(mut self, hold: Duration) -> LongPoll {
        self.hold = Some(hold);
        self
    }

    /// Removes the limit; an enclosing [`within`](crate::within) still ends the poll.
    pub const fn unbounded(mut self) -> LongPoll {
        self.unbounded = true;
        self
    }

    /// The reason given.
    pub fn reason(&self) -> &str {
        match &self.reason {
            Reason::Static(reason) => reason,
            Reason::Owned(reason) => reason,
        }
    }

    /// The longest time for which the server holds the request, if it is set.
    pub const fn get_up_to(&self) -> Option<Duration> {
        self.hold
    }

    /// Whether the limit was removed.
    pub fn is_unbounded(&self) -> bool {
        self.unbounded
    }

    /// How long the head may take, and each silence in the body, `limit` being that of the stack.
    pub(crate) fn bound(&self, limit: Duration) -> Option<Duration> {
        match (self.unbounded, self.hold) {
            (true, _) => None,
            (false, Some(hold)) => Some(hold + GRACE),
            (false, None) => Some(limit),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if is_blank(self.reason()) {
            return Err(blank());
        }
        match self.hold {
            Some(Duration::ZERO) => {
                Err(Error::config("the hold of a long poll is 0 s: it must be longer than zero"))
            }
            Some(hold) if hold > LONGEST => Err(Error::config(format!(
                "the hold of a long poll is {:#}: the longest duration is 10 years",
                human(hold)
            ))),
            _ => Ok(()),
        }
    }
}

fn blank() -> Error {
    Error::config("the reason of a long poll is blank: say why this request may wait for long")
}

fn is_blank(reason: &str) -> bool {
    reason.trim().is_empty()
}

#[doc(hidden)]
pub mod macros {
    /// What `long_poll!` asserts at compile time.
    #[must_use]
    pub const fn says_something(reason: &str) -> bool {
        let bytes = reason.as_bytes();
        let mut n = 0;
        while n < bytes.len() {
            if !bytes[n].is_ascii_whitespace() {
                return true;
            }
            n += 1;
        }
        false
    }
}

/// A [`LongPoll`] whose reason is checked by the compiler: a blank one does not compile.
///
/// ```compile_fail
/// let wish = unwedge::long_poll!("  ");
/// ```
#[macro_export]
macro_rules! long_poll {
    ($reason:expr) => {
        const {
            assert!(
                $crate::longpoll::macros::says_something($reason),
                "a long poll needs a reason: say why this request may wait for long"
            );
            $crate::LongPoll::because($reason)
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_hold_plus_grace_or_the_ceiling_or_nothing() {
        let ceiling = Duration::from_secs(600);
        let poll = LongPoll::because("jobs are parked");
        assert_eq!(poll.bound(ceiling), Some(ceiling));
        assert_eq!(poll.clone().up_to(Duration::from_secs(30)).bound(ceiling), Some(Duration::from_secs(35)));
        assert_eq!(poll.up_to(Duration::from_secs(30)).unbounded().bound(ceiling), None);
    }

    #[test]
    fn a_blank_reason_and_an_impossible_hold_are_configuration_errors() {
        assert!(LongPoll::because(" \t").check().unwrap_err().is_config());
        assert!(LongPoll::because_owned(String::new()).unwrap_err().is_config());
        let poll = LongPoll::because("jobs are parked");
        assert!(poll.clone().up_to(Duration::ZERO).check().unwrap_err().is_config());
        let error = poll.clone().up_to(LONGEST + Duration::from_secs(1)).check().unwrap_err();
        assert!(error.to_string().contains("10 years"), "{error}");
        assert!(poll.check().is_ok());
    }
}
