//! The time that is left, and the number of the attempt, as request headers.

use crate::Error;
use crate::duration::LONGEST;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

#[cfg(test)]
mod tests;

const REMAINING: HeaderName = HeaderName::from_static("x-request-timeout-ms");
const GRPC: HeaderName = HeaderName::from_static("grpc-timeout");
const ATTEMPT: HeaderName = HeaderName::from_static("x-request-attempt");
/// What a server calls the answer to a request that came too late; see [`Late`].
pub(crate) const LATE: HeaderName = HeaderName::from_static("x-request-late");

/// Which request headers carry the time that is left, in whole milliseconds, and the number of the attempt.
///
/// | | default | why |
/// | --- | --- | --- |
/// | [`remaining`](Headers::remaining) | `x-request-timeout-ms` | no standard names one; this name says the unit and is the one most found in services that do it by hand |
/// | [`attempt`](Headers::attempt) | `x-request-attempt` | 1 for the first |
///
/// The time is relative, so that no two clocks have to agree; what the request spends on the wire is not subtracted.
/// [`envoy`](Headers::envoy) has the names of that proxy, [`grpc`](Headers::grpc) those of gRPC, which writes the time in
/// another way (`100m`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Headers {
    remaining: HeaderName,
    attempt: Option<HeaderName>,
    unit: Unit,
}

/// How the time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// Whole milliseconds, without a unit.
    Millis,
    /// At most eight digits and a letter.
    Letter,
}

impl Default for Headers {
    fn default() -> Headers {
        Headers { remaining: REMAINING, attempt: Some(ATTEMPT), unit: Unit::Millis }
    }
}

impl Headers {
    /// The names that Envoy gives to the services behind it: `x-envoy-expected-rq-timeout-ms` and
    /// `x-envoy-attempt-count`.
    ///
    /// To be read from an Envoy in front. One in between writes them anew, by its own timeouts and retries; to get
    /// through it use the default names.
    pub fn envoy() -> Headers {
        Headers {
            remaining: HeaderName::from_static("x-envoy-expected-rq-timeout-ms"),
            attempt: Some(HeaderName::from_static("x-envoy-attempt-count")),
            unit: Unit::Millis,
        }
    }

    /// The header of gRPC, `grpc-timeout`, and none with the number of the attempt.
    ///
    /// As libraries of gRPC do, what is left is rounded up when it is written, to the next millisecond but one: a channel that
    /// heeds the header itself then ends a call after its caller did, and not in the same instant. A server that reads it
    /// answers what comes too late with the status `DEADLINE_EXCEEDED`, in place of a 504.
    ///
    /// ```
    /// use unwedge::deadline::{Headers, Incoming, IncomingLayer};
    ///
    /// let layer = IncomingLayer::new(Incoming::default().headers(Headers::grpc()))?;
    /// # Ok::<(), unwedge::Error>(())
    /// ```
    pub fn grpc() -> Headers {
        Headers { remaining: GRPC, attempt: None, unit: Unit::Letter }
    }

    /// The header with the milliseconds that are left.
    pub fn remaining(mut self, name: HeaderName) -> Headers {
        (self.remaining, self.unit) = (name, Unit::Millis);
        self
    }

    /// The header with the number of the attempt; `None` leaves it out.
    pub fn attempt(mut self, name: impl Into<Option<HeaderName>>) -> Headers {
        self.attempt = name.into();
        self
    }

    /// The header with the milliseconds that are left.
    pub fn get_remaining(&self) -> &HeaderName {
        &self.remaining
    }

    /// The header with the number of the attempt; `None` where it is left out.
    pub fn get_attempt(&self) -> Option<&HeaderName> {
        self.attempt.as_ref()
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.remaining == GRPC && self.unit == Unit::Millis {
            return Err(Error::config(
                "the header with the remaining time is \"grpc-timeout\": that one is not in milliseconds, take Headers::grpc()",
            ));
        }
        if self.attempt.as_ref() == Some(&self.remaining) {
            return Err(Error::config(format!(
                "the header {:?} is to carry both the remaining time and the attempt: they need two names",
                self.remaining.as_str()
            )));
        }
        Ok(())
    }

    /// Writes what is left, where there is a bound, and the attempt. A shorter time that the request brought along
    /// stays: it was somebody's wish.
    pub(crate) fn write(&self, headers: &mut HeaderMap, left: Option<Duration>, attempt: u32) {
        // A map that is full goes without them: they are an offer, not a part of the request.
        if let Some(left) = left {
            let left = self.left(headers).map_or(left, |wished| wished.min(left));
            let value = match self.unit {
                Unit::Millis => millis(left),
                Unit::Letter => with_unit(left),
            };
            let _ = headers.try_insert(&self.remaining, value);
        }
        if let Some(name) = &self.attempt {
            let _ = headers.try_insert(name, attempt.into());
        }
    }

    /// What a request says is left of its time, at most ten years.
    ///
    /// Digits and nothing else: a sign, a fraction, a unit, words and a number that 64 bits cannot hold are as if the
    /// header were absent. Where it comes more than once the least counts: one that is added can only shorten.
    pub(crate) fn left(&self, headers: &HeaderMap) -> Option<Duration> {
        let values = headers.get_all(&self.remaining).iter();
        let least = match self.unit {
            Unit::Millis => values.filter_map(number).min().map(Duration::from_millis),
            Unit::Letter => values.filter_map(duration).min(),
        };
        least.map(|least| least.min(LONGEST))
    }

    /// Whether those who read them speak gRPC.
    pub(super) fn are_of_grpc(&self) -> bool {
        self.unit == Unit::Letter
    }

    /// Which attempt a request says it is, from 1; anything else is as if the header were absent.
    pub(crate) fn number(&self, headers: &HeaderMap) -> Option<u32> {
        let number = number(headers.get(self.attempt.as_ref()?)?)?;
        u32::try_from(number).ok().filter(|number| *number > 0)
    }
}

/// Cut off, never rounded up: nobody is promised time that is not there.
fn millis(left: Duration) -> HeaderValue {
    u64::try_from(left.as_millis()).unwrap_or(u64::MAX).into()
}

/// Rounded up, in the finest unit whose number has eight digits, but none below a millisecond.
fn with_unit(left: Duration) -> HeaderValue {
    const MOST: u128 = 99_999_999;
    let millis = left.as_nanos().div_ceil(1_000_000) + 1;
    let (number, unit) = [(1, 'm'), (1000, 'S'), (60_000, 'M'), (3_600_000, 'H')]
        .map(|(of, unit)| (millis.div_ceil(of), unit))
        .into_iter()
        .find(|(number, _)| *number <= MOST)
        .unwrap_or((MOST, 'H'));
    // Digits and a letter, so that there is always a value.
    HeaderValue::from_str(&format!("{number}{unit}")).unwrap_or(HeaderValue::from_static("0m"))
}

/// `100m`: one to eight digits and a letter. Anything else is as if the header were absent.
fn duration(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

fn number(value: &HeaderValue) -> Option<u64> {
    let digits = value.to_str().ok()?.trim_matches([' ', '\t']);
    // Not parse() alone: it would take "+5".
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// What became of a request that was late, as the server side says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// Nothing was done for it.
    Refused { left: Duration, least: Duration },
    /// It was begun, and given up when its time was over.
    CutOff { limit: Duration },
}

const REFUSED: &str = "refused";

impl Late {
    pub(crate) fn value(self) -> HeaderValue {
        let text = match self {
            Late::Refused { left, least } => {
                format!("{REFUSED}; left-ms={}; least-ms={}", left.as_millis(), least.as_millis())
            }
            Late::CutOff { limit } => format!("cut-off; limit-ms={}", limit.as_millis()),
        };
        // Letters and digits only, so that there is always a value.
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(REFUSED))
    }

    /// Whether an answer says that nothing was done, because its request came too late.
    pub(crate) fn refused(answer: &HeaderMap) -> bool {
        answer.get(LATE).is_some_and(|value| value.as_bytes().starts_with(REFUSED.as_bytes()))
    }
}
