//! What is nobody's fault: it is repeated at once and free, the first time in a call. Pure.

use super::classify::{Class, Evidence, Excuse, Repeat, class};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Version, response};
use std::time::Duration;

/// What a repetition costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Price {
    /// A wait, an attempt and its share of the budget.
    Full,
    /// An attempt; it leaves at once.
    Attempt,
    /// Nothing; it leaves at once.
    Nothing,
}

/// What one call was spared already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FreeRetries {
    stale: bool,
    unseen: bool,
    misdirected: bool,
}

impl FreeRetries {
    /// What this outcome comes to in this call. A server that refuses every stream must not be asked without a pause: from
    /// the second time on it is a failure like any other.
    pub(crate) fn judge(&mut self, class: Class, excuse: Excuse) -> (Class, Price) {
        match excuse {
            Excuse::None if class.repeat == Repeat::AtOnce => (class, Price::Attempt),
            Excuse::None => (class, Price::Full),
            Excuse::Pool => (class, Price::Attempt),
            Excuse::Stale if std::mem::replace(&mut self.stale, true) => (class, Price::Attempt),
            Excuse::Stale => (class, Price::Nothing),
            // Another connection said the same.
            Excuse::Misdirected if std::mem::replace(&mut self.misdirected, true) => {
                (Class { repeat: Repeat::Never, evidence: Evidence::Failure }, Price::Full)
            }
            Excuse::Misdirected | Excuse::Unseen if std::mem::replace(&mut self.unseen, true) => {
                (Class { evidence: Evidence::Failure, ..class }, Price::Full)
            }
            Excuse::Misdirected | Excuse::Unseen => (class, Price::Nothing),
        }
    }
}

/// What a reset or an end is worth that is no evidence because its connection was stale.
pub(crate) const STALE: Class = class(Repeat::AtOnce, Evidence::None);
/// What an answer is worth that shows that nobody looked at the request.
pub(crate) const UNSEEN: Class = class(Repeat::Always, Evidence::None);

/// A server that closes an idle connection says 408 to nobody. One that comes later has waited for this request.
const CROSSED: Duration = Duration::from_secs(1);

/// Whether this 408 crossed the request on its way: said at the end of an idle connection, not to the request.
pub(crate) fn closes_idle(head: &response::Parts, served_before: bool, took: Duration) -> bool {
    head.status == 408 && served_before && took <= CROSSED && ends(head.version, &head.headers)
}

/// Whether the connection ends with this answer.
fn ends(version: Version, headers: &HeaderMap) -> bool {
    let says = |option: &str| {
        let lines = headers.get_all(CONNECTION).iter().filter_map(|line| line.to_str().ok());
        lines.flat_map(|line| line.split(',')).any(|said| said.trim().eq_ignore_ascii_case(option))
    };
    match version {
        Version::HTTP_11 if says("close") => true,
        Version::HTTP_10 if !says("keep-alive") => true,
        // Without a length the body goes on to the end of the connection.
        Version::HTTP_10 | Version::HTTP_11 => {
            !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What these outcomes cost and say, one after the other in one call.
    fn one_call(excuses: &[Excuse]) -> Vec<(Repeat, Evidence, Price)> {
        let mut free = FreeRetries::default();
        let judged = excuses.iter().map(|excuse| {
            let class = if *excuse == Excuse::Stale { STALE } else { UNSEEN };
            let (class, price) = free.judge(class, *excuse);
            (class.repeat, class.evidence, price)
        });
        judged.collect()
    }

    #[test]
    fn what_nobody_looked_at_is_free_once_in_a_call_and_then_a_failure_like_any_other() {
        let free = (Repeat::Always, Evidence::None, Price::Nothing);
        let counts = (Repeat::Always, Evidence::Failure, Price::Full);
        assert_eq!(one_call(&[Excuse::Unseen; 3]), [free, counts, counts]);
        assert_eq!(one_call(&[Excuse::Misdirected, Excuse::Unseen]), [free, counts]);
        assert_eq!(one_call(&[Excuse::Unseen, Excuse::Misdirected]), [free, counts]);
    }

    #[test]
    fn a_second_connection_that_leads_elsewhere_ends_the_call() {
        let judged = one_call(&[Excuse::Misdirected; 2]);
        assert_eq!(judged[1], (Repeat::Never, Evidence::Failure, Price::Full));
    }

    #[test]
    fn a_stale_connection_costs_nothing_once_and_an_attempt_from_then_on() {
        let of = |price| (Repeat::AtOnce, Evidence::None, price);
        assert_eq!(
            one_call(&[Excuse::Stale; 3]),
            [of(Price::Nothing), of(Price::Attempt), of(Price::Attempt)]
        );
        let (stale, unseen) = (Excuse::Stale, Excuse::Unseen);
        assert!(
            one_call(&[stale, unseen]).iter().all(|(.., price)| *price == Price::Nothing),
            "each by itself"
        );
    }

    #[test]
    fn what_the_pool_gave_up_costs_an_attempt_and_no_wait() {
        let judged = one_call(&[Excuse::Pool; 4]);
        assert!(judged.iter().all(|one| *one == (Repeat::Always, Evidence::None, Price::Attempt)));
    }

    #[test]
    fn what_has_no_excuse_is_repeated_as_its_class_says() {
        let mut free = FreeRetries::default();
        assert_eq!(free.judge(UNSEEN, Excuse::None).1, Price::Full, "of a classifier, or of this machine");
        assert_eq!(free.judge(STALE, Excuse::None).1, Price::Attempt);
    }

    fn head(version: Version, status: u16, headers: &[(&str, &str)]) -> response::Parts {
        let mut head = http::Response::builder().version(version).status(status);
        for (name, value) in headers {
            head = head.header(*name, *value);
        }
        head.body(()).expect("a valid head").into_parts().0
    }

    #[test]
    fn a_408_at_the_end_of_a_connection_that_had_served_crossed_the_request() {
        let (one, old, two) = (Version::HTTP_11, Version::HTTP_10, Version::HTTP_2);
        let soon = Duration::from_secs(1);
        for (version, headers, ends) in [
            (one, &[("connection", "close"), ("content-length", "0")][..], true),
            (one, &[("connection", "x, Close"), ("content-length", "0")], true),
            (one, &[("content-length", "0")], false),
            (one, &[("connection", "keep-alive"), ("transfer-encoding", "chunked")], false),
            (one, &[], true),
            (old, &[("content-length", "0")], true),
            (old, &[("connection", "Keep-Alive"), ("content-length", "0")], false),
            (two, &[], false),
        ] {
            let head = head(version, 408, headers);
            assert_eq!(closes_idle(&head, true, soon), ends, "{version:?} {headers:?}");
            assert!(!closes_idle(&head, false, soon), "a fresh connection was not idle");
            assert!(!closes_idle(&head, true, soon + Duration::from_nanos(1)), "it waited for this request");
        }
        assert!(!closes_idle(&head(one, 503, &[("connection", "close")]), true, soon));
    }
}
