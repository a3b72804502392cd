//! Settings and requests that cannot work: an error that names value and rule, before anything leaves.

use crate::support::*;
use std::time::Duration;
use tokio::time::Instant;
use unwedge::retry::{Backoff, Jitter};
use unwedge::stack::{AttemptLayer, DeadlineLayer, HealthCheckLayer, RetryLayer, StackBuilder, StallLayer};
use unwedge::testing::{Peer, Reply};
use unwedge::{Deadline, Error, Limits, LongPoll, StackLayer, health, retry, within};

const YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The message of the error that building this gives.
fn refused(stack: StackBuilder) -> String {
    let error = stack.build().expect_err("these settings cannot work");
    assert!(error.is_config() && !error.is_retriable());
    error.to_string()
}

fn limits(limits: Limits) -> StackBuilder {
    StackLayer::builder().limits(limits)
}

fn has(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

type Setter = fn(Limits, Duration) -> Limits;

const SETTERS: [(&str, Setter); 7] = [
    ("total", Limits::total),
    ("attempt", Limits::attempt),
    ("connect", Limits::connect),
    ("idle", Limits::idle),
    ("stream", Limits::stream),
    ("long-poll", Limits::long_poll),
    ("minimum progress", |limits, per| limits.min_progress(1, per)),
];

#[test]
fn a_limit_of_zero_is_none() {
    for (name, set) in SETTERS {
        let message = refused(limits(set(Limits::default(), Duration::ZERO)));
        has(&message, &[name, "0 s", "longer than zero"]);
    }
}

#[test]
fn ten_years_are_the_longest_that_is_taken() {
    for (name, set) in SETTERS {
        for beyond in [YEARS + Duration::from_nanos(1), Duration::MAX] {
            has(&refused(limits(set(Limits::default().total(YEARS), beyond))), &[name, "10 years"]);
        }
        assert!(limits(set(Limits::default().total(YEARS), YEARS)).build().is_ok(), "{name}");
    }
}

#[test]
fn an_attempt_longer_than_its_call_names_both() {
    has(&refused(limits(Limits::default().attempt(31 * SECOND))), &["31 s", "30 s"]);
    let both = Limits::default().total(5 * SECOND).attempt(6 * SECOND);
    has(&refused(limits(both)), &["attempt", "6 s", "total", "5 s"]);
    assert!(limits(Limits::default().total(5 * SECOND).attempt(5 * SECOND)).build().is_ok());
}

#[test]
fn a_schedule_that_makes_no_sense_is_refused() {
    let with = |backoff| StackLayer::builder().retry(retry::Settings::default().backoff(backoff));
    let base = Backoff::exponential(5 * SECOND);
    has(&refused(with(base.clone().cap(SECOND))), &["cap 1 s", "base 5 s"]);
    for multiplier in [0.5, f64::NAN, f64::INFINITY, -1.0] {
        has(&refused(with(base.clone().multiplier(multiplier))), &["multiplier", "at least 1"]);
    }
    for share in [-0.1, 1.1, f64::NAN] {
        has(&refused(with(base.clone().jitter(Jitter::Proportional(share)))), &["between 0 and 1"]);
    }
    has(&refused(with(Backoff::constant(YEARS + SECOND))), &["10 years"]);
    for cap in [Duration::ZERO, YEARS + SECOND] {
        let retry = retry::Settings::default().retry_after_cap(cap);
        has(&refused(StackLayer::builder().retry(retry)), &["Retry-After"]);
    }
    assert!(with(Backoff::none()).build().is_ok(), "no back-off is a back-off");
}

#[test]
fn a_health_check_that_cannot_be_asked_is_refused() {
    let health = |settings: health::Settings| refused(StackLayer::builder().health(settings));
    for path in ["health", "", "http://peer.test/health", "/he alth"] {
        has(&health(health::Settings::new(path)), &[&format!("{path:?}"), "slash"]);
    }
    for bad in [Duration::ZERO, YEARS + SECOND] {
        has(&health(health::Settings::new("/health").interval(bad)), &["interval"]);
        has(&health(health::Settings::new("/health").timeout(bad)), &["timeout"]);
    }
}

#[test]
fn the_layers_of_one_part_check_their_settings_too() {
    for bad in [Duration::ZERO, YEARS + SECOND] {
        assert!(DeadlineLayer::new(bad).unwrap_err().is_config());
        assert!(AttemptLayer::new(bad).unwrap_err().is_config());
        assert!(StallLayer::new(Limits::default().idle(bad)).unwrap_err().is_config());
    }
    let backwards = Backoff::exponential(5 * SECOND).cap(SECOND);
    assert!(RetryLayer::new(retry::Settings::default().backoff(backwards)).unwrap_err().is_config());
    assert!(HealthCheckLayer::new("health").unwrap_err().is_config());
}

/// What a stack says to this request, and that nothing of it left.
async fn said(request: http::Request<http_body_util::Full<bytes::Bytes>>) -> String {
    let peer = Peer::new().forever(Reply::ok("x"));
    let layer = StackLayer::default();
    let start = Instant::now();
    let error: Error = call(&stack(&peer, &layer), request).await.unwrap_err();
    assert!(error.is_config() && !error.is_retriable(), "{error:?}");
    assert_eq!((peer.connects(), start.elapsed(), error.attempts()), (0, Duration::ZERO, 0));
    assert!(layer.in_flight().is_empty());
    error.to_string()
}

#[tokio::test(start_paused = true)]
async fn a_url_that_leads_nowhere_sends_nothing() {
    let to = |uri: &str| http::Request::get(uri).body(Default::default()).unwrap();
    has(&said(to("/jobs?token=s3cret")).await, &["/jobs", "absolute"]);
    assert!(!said(to("/jobs?token=s3cret")).await.contains("s3cret"));
    has(&said(to("ftp://peer.test/file")).await, &["ftp", "http or https"]);
    has(&said(to("peer.test:80")).await, &["absolute"]);
    has(&said(to("*")).await, &["absolute"]);
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_without_a_reason_or_with_an_impossible_hold_sends_nothing() {
    for blank in ["", " ", "\t\n"] {
        has(&said(with(get("/"), LongPoll::because(blank))).await, &["reason", "blank"]);
        assert!(LongPoll::because_owned(blank.to_owned()).unwrap_err().is_config());
    }
    let parked = || LongPoll::because("jobs are parked");
    has(&said(with(get("/"), parked().up_to(Duration::ZERO))).await, &["hold", "0 s"]);
    has(&said(with(get("/"), parked().up_to(YEARS + SECOND))).await, &["hold", "10 years"]);
    has(&said(with(get("/"), parked().up_to(Duration::MAX))).await, &["hold", "10 years"]);
}

#[tokio::test(start_paused = true)]
async fn a_scope_without_a_length_or_beyond_ten_years_runs_nothing() {
    for bad in [Duration::ZERO, YEARS + SECOND, Duration::MAX] {
        let peer = Peer::new().forever(Reply::ok("x"));
        let service = stack(&peer, &StackLayer::default());
        let error = within(bad, call(&service, get("/"))).await.unwrap_err();
        assert!(error.is_config());
        assert_eq!(peer.connects(), 0);
    }
    let peer = Peer::new().forever(Reply::ok("x"));
    let service = stack(&peer, &StackLayer::default());
    let endless = with(get("/"), Deadline::after(Duration::MAX));
    assert_eq!(within(YEARS, call(&service, endless)).await.unwrap().unwrap().status(), 200);
}
