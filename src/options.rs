//! Options of one request, as its typed extensions.

use crate::duration::{check, human};
use crate::error::Error;
pub use crate::target::Label;
use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

/// A request extension: this request may be processed twice, whatever its method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "Idempotency-Key")]
pub struct Idempotent;

/// A request extension: the group of this request within its origin, for example a route or a tenant.
///
/// Each group has a circuit breaker, a retry budget and 429 gates of its own. So a broken route, or a tenant that used up
/// its quota, does not stop calls of the others. The verdict of the health check is shared by all groups of an origin.
///
/// Use few and lasting names: a route, a shard, a tenant; never an identifier of one request. An origin has at most
/// 1 024 groups; further ones share one that is shown as `(others)`.
///
/// ```
/// let request = http::Request::get("https://api.example/billing/invoices")
///     .extension(unwedge::Group::new("billing"))
///     .body(())?;
/// # Ok::<(), http::Error>(())
/// ```
///
/// # Errors
/// A call whose group has an empty name, or one above 64 bytes, returns kind `Config` before anything is sent.
#[derive(Clone)]
#[doc(alias("bulkhead", "tenant", "partition"))]
pub struct Group(Name);

#[derive(Clone)]
enum Name {
    Static(&'static str),
    // Cloned with each call, and so never a String.
    Owned(Arc<str>),
}

#[cfg(feature = "serde")]
impl serde::Serialize for Group {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Group {
    /// How long a name may be, in bytes.
    pub const LONGEST: usize = 64;

    /// The group of this name: 1 to 64 bytes.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Group {
        match name.into() {
            Cow::Borrowed(name) => Group(Name::Static(name)),
            Cow::Owned(name) => Group(Name::Owned(name.into())),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Name::Static(name) => name,
            Name::Owned(name) => name,
        }
    }

    /// The group of all that are too many.
    pub(crate) fn others() -> Group {
        Group(Name::Static("(others)"))
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let name = self.as_str();
        if name.is_empty() {
            return Err(Error::config(
                "the group of the request has an empty name: it must be 1 to 64 bytes",
            ));
        }
        if name.len() > Group::LONGEST {
            let cut = cut(name, Group::LONGEST);
            return Err(Error::config(format!(
                "the group name {cut:?}.. has {} bytes: it must be at most {}",
                name.len(),
                Group::LONGEST
            )));
        }
        Ok(())
    }
}

/// No more than this many bytes, and no half of a character (`str::floor_char_boundary` is too new).
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

impl From<&'static str> for Group {
    fn from(name: &'static str) -> Group {
        Group::new(name)
    }
}

impl From<String> for Group {
    fn from(name: String) -> Group {
        Group::new(name)
    }
}

impl PartialEq for Group {
    fn eq(&self, other: &Group) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Group {}

impl Hash for Group {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({:?})", self.as_str())
    }
}

/// A request extension: limits of this one call, in place of those of the stack.
///
/// Limits that are not set stay those of the stack. If only a shorter total is set, the attempt is at most two thirds of
/// it, and the idle limit at most the attempt, as in [`Limits`](crate::Limits). Each part uses only its own options: a
/// `RetryLayer` alone uses the number of retries and no limit.
///
/// ```
/// use std::time::Duration;
/// use unwedge::CallOptions;
///
/// // A report that takes up to 2 min, and that is not requested twice.
/// let request = http::Request::get("https://api.example/report")
///     .extension(
///         CallOptions::new()
///             .total(Duration::from_secs(120))
///             .attempt(Duration::from_secs(120))
///             .retries(0),
///     )
///     .body(())?;
/// # Ok::<(), http::Error>(())
/// ```
///
/// # Errors
/// A call with a limit of zero or above 10 years, or with an attempt above the total, returns kind `Config` before
/// anything is sent; the message names both values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "put it into the extensions of a request"]
pub struct CallOptions {
    pub(crate) attempt: Option<Duration>,
    pub(crate) total: Option<Duration>,
    pub(crate) idle: Option<Duration>,
    pub(crate) stream: Option<Duration>,
    pub(crate) retries: Option<u32>,
}

impl CallOptions {
    /// Options that change nothing.
    pub const fn new() -> CallOptions {
        CallOptions { attempt: None, total: None, idle: None, stream: None, retries: None }
    }

    /// One attempt, from the moment its request is sent to the last byte of a collected body. Must not exceed the total.
    pub const fn attempt(mut self, limit: Duration) -> CallOptions {
        self.attempt = Some(limit);
        self
    }

    /// The whole call: every attempt and wait, up to the end of the collected body. A long poll stays exempt.
    #[doc(alias = "timeout")]
    pub const fn total(mut self, limit: Duration) -> CallOptions {
        self.total = Some(limit);
        self
    }

    /// The longest silence inside the body while its reader waits.
    pub const fn idle(mut self, limit: Duration) -> CallOptions {
        self.idle = Some(limit);
        self
    }

    /// A body that streams, from the response head to its last byte. It replaces the total for a body that is handed over at
    /// the end of its attempt: see [`Collect`](crate::Collect).
    pub const fn stream(mut self, limit: Duration) -> CallOptions {
        self.stream = Some(limit);
        self
    }

    /// The number of retries after the first attempt; 0 sends the request once.
    pub const fn retries(mut self, retries: u32) -> CallOptions {
        self.retries = Some(retries);
        self
    }

    /// The limit of one attempt, if it is set for this call.
    ///
    /// ```
    /// let once = unwedge::CallOptions::new().retries(0);
    /// assert_eq!((once.get_retries(), once.get_attempt()), (Some(0), None));
    /// ```
    pub const fn get_attempt(&self) -> Option<Duration> {
        self.attempt
    }

    /// The limit of the whole call, if it is set for this call.
    pub const fn get_total(&self) -> Option<Duration> {
        self.total
    }

    /// The longest silence inside the body, if it is set for this call.
    pub const fn get_idle(&self) -> Option<Duration> {
        self.idle
    }

    /// The limit of a body that streams, if it is set for this call.
    pub const fn get_stream(&self) -> Option<Duration> {
        self.stream
    }

    /// The number of retries, if it is set for this call.
    pub const fn get_retries(&self) -> Option<u32> {
        self.retries
    }

    /// What is set here, else what is set there.
    pub(crate) fn or(self, other: CallOptions) -> CallOptions {
        CallOptions {
            attempt: self.attempt.or(other.attempt),
            total: self.total.or(other.total),
            idle: self.idle.or(other.idle),
            stream: self.stream.or(other.stream),
            retries: self.retries.or(other.retries),
        }
    }

    /// What is wrong by itself; the relation of attempt and total hangs on the stack as well.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let set = |name: &str, limit: Option<Duration>| limit.map_or(Ok(()), |limit| check(name, limit));
        set("the attempt limit of the request", self.attempt)?;
        set("the total limit of the request", self.total)?;
        set("the idle limit of the request", self.idle)?;
        set("the stream limit of the request", self.stream)
    }

    /// The attempt limit under this total, where the stack has those.
    pub(crate) fn attempt_within(&self, total: Duration, attempt: Duration) -> Result<Duration, Error> {
        match (self.attempt, self.total) {
            (Some(attempt), _) if attempt > total => Err(Error::config(format!(
                "the attempt limit of the request, {:#}, is above its total limit of {:#}: \
                 an attempt cannot outlast its call",
                human(attempt),
                human(total)
            ))),
            (Some(attempt), _) => Ok(attempt),
            (None, Some(total)) => Ok(attempt.min(total * 2 / 3)),
            (None, None) => Ok(attempt),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_group_is_its_name_however_it_was_made() {
        let (literal, made) = (Group::new("billing"), Group::new(String::from("billing")));
        assert_eq!(literal, made);
        assert_ne!(literal, Group::from("jobs"));
        assert_eq!(format!("{made} {made:?}"), "billing Group(\"billing\")");
    }

    #[test]
    fn a_group_name_has_1_to_64_bytes() {
        assert!(Group::new("x".repeat(64)).check().is_ok());
        let error = Group::new("x".repeat(65)).check().unwrap_err();
        assert!(error.is_config() && error.to_string().contains("has 65 bytes"), "{error}");
        // Cut in the middle of a character it would panic.
        let error = Group::new("\u{e4}".repeat(500)).check().unwrap_err();
        assert!(error.is_config() && error.to_string().contains("at most 64"), "{error}");
        assert!(Group::new("").check().unwrap_err().is_config());
    }

    #[test]
    fn a_zero_and_an_attempt_above_the_total_are_errors_that_name_both() {
        for options in [
            CallOptions::new().attempt(Duration::ZERO),
            CallOptions::new().total(Duration::ZERO),
            CallOptions::new().idle(Duration::MAX),
            CallOptions::new().stream(Duration::ZERO),
        ] {
            assert!(options.check().unwrap_err().is_config(), "{options:?}");
        }
        let error = CallOptions::new().attempt(6 * SECOND).attempt_within(5 * SECOND, SECOND).unwrap_err();
        let text = error.to_string();
        assert!(error.is_config() && text.contains("6 s") && text.contains("5 s"), "{text}");
    }

    #[test]
    fn a_shorter_total_alone_leaves_room_for_a_second_attempt() {
        let options = CallOptions::new().total(3 * SECOND);
        assert_eq!(options.attempt_within(3 * SECOND, 10 * SECOND).unwrap(), 2 * SECOND);
        assert_eq!(options.attempt_within(3 * SECOND, SECOND).unwrap(), SECOND);
    }

    #[test]
    fn what_is_set_wins_field_by_field() {
        let own = CallOptions::new().attempt(SECOND).retries(0);
        let more = CallOptions::new().attempt(2 * SECOND).idle(3 * SECOND);
        assert_eq!(own.or(more), CallOptions::new().attempt(SECOND).idle(3 * SECOND).retries(0));
    }
}
