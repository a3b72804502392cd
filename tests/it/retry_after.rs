//! What a server says about when to come back.

use crate::support::*;
use std::time::Duration;
use tokio::time::Instant;
use unwedge::retry::{Backoff, Jitter};
use unwedge::testing::{Peer, Reply};
use unwedge::{Attempts, Deadline, Limits, StackLayer, retry, within};

fn busy(after: &str) -> Peer {
    Peer::new().then(Reply::status(503).retry_after(after)).forever(Reply::ok("x"))
}

/// A stack whose deadline is in nobody's way.
fn patient(retry: retry::Settings) -> StackLayer {
    built(StackLayer::builder().limits(Limits::default().total(60 * MINUTE)).retry(retry))
}

/// When the second request came, under a stack with this back-off.
async fn waited(peer: &Peer, backoff: Duration) -> Duration {
    let answer = call(&stack(peer, &patient(every(backoff))), get("/")).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.body().attempts().retry_after, None, "it was waited for");
    peer.requests()[1].at
}

#[tokio::test(start_paused = true)]
async fn it_is_waited_for_and_spread_by_a_tenth_at_most() {
    let mut waits = Vec::new();
    for _ in 0..30 {
        let wait = waited(&busy("5"), Duration::ZERO).await;
        assert!((5 * SECOND..=5500 * MS + MS).contains(&wait), "{wait:?}");
        waits.push(wait);
    }
    waits.sort();
    waits.dedup();
    assert!(waits.len() > 5, "clients of one server do not come back together: {waits:?}");
}

#[tokio::test(start_paused = true)]
async fn a_longer_back_off_goes_before_it() {
    let wait = waited(&busy("2"), 8 * SECOND).await;
    assert!((8 * SECOND..=8800 * MS + MS).contains(&wait), "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_time_is_as_if_it_were_absent() {
    for garbage in ["", "-2", "abc", "1.5", "99999999999999999999", "+5", "5 s"] {
        assert_eq!(waited(&busy(garbage), 3 * SECOND).await, 3 * SECOND, "{garbage:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn zero_and_a_date_that_has_passed_ask_for_no_more_than_the_back_off() {
    for past in ["0", "Fri, 31 Dec 1999 23:59:59 GMT"] {
        assert_eq!(waited(&busy(past), 3 * SECOND).await, 3 * SECOND, "{past:?}");
        assert_eq!(waited(&busy(past), Duration::ZERO).await, Duration::ZERO, "{past:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_headers_the_first_counts() {
    let twice = Reply::status(503).retry_after("2").retry_after("30");
    let wait = waited(&Peer::new().then(twice).forever(Reply::ok("x")), Duration::ZERO).await;
    assert!((2 * SECOND..=2200 * MS + MS).contains(&wait), "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn beyond_the_deadline_the_answer_comes_back_at_once_with_the_wait_that_was_wanted() {
    let peer = Peer::new().forever(Reply::status(503).retry_after("5").after(28 * SECOND));
    let layer = built(StackLayer::builder().limits(Limits::default().attempt(29 * SECOND)));
    let start = Instant::now();
    let answer = call(&stack(&peer, &layer), get("/")).await.unwrap();
    assert_eq!((answer.status().as_u16(), start.elapsed()), (503, 28 * SECOND), "no sleep");
    assert_eq!(answer.body().attempts().retry_after, Some(5 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn beyond_a_scope_or_the_requests_own_deadline_it_comes_back_at_once_too() {
    let peer = Peer::new().forever(Reply::status(429).retry_after("5"));
    let service = stack(&peer, &built(exact()));
    let start = Instant::now();
    let scoped = within(3 * SECOND, call(&service, get("/"))).await.unwrap().unwrap();
    // On another path: this one is remembered.
    let own = call(&service, with(get("/own"), Deadline::after(3 * SECOND))).await.unwrap();
    for answer in [scoped, own] {
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.body().attempts().retry_after, Some(5 * SECOND));
    }
    assert_eq!((start.elapsed(), peer.request_count()), (Duration::ZERO, 2));
}

#[tokio::test(start_paused = true)]
async fn above_its_cap_the_answer_comes_back_at_once_with_the_uncapped_wait() {
    for (asked, wanted) in [("61", 61), ("3600", 3600), ("86400", 86_400), ("4000000000", 1 << 31)] {
        let peer = Peer::new().forever(Reply::status(503).retry_after(asked));
        let start = Instant::now();
        let service = stack(&peer, &patient(every(SECOND)));
        let answer = call(&service, get("/")).await.unwrap();
        assert_eq!((answer.status().as_u16(), peer.request_count()), (503, 1));
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(answer.body().attempts().retry_after, Some(Duration::from_secs(wanted)));
    }
}

#[tokio::test(start_paused = true)]
async fn exactly_its_cap_is_still_waited_for() {
    let wait = waited(&busy("60"), Duration::ZERO).await;
    assert!((60 * SECOND..=66 * SECOND + MS).contains(&wait), "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn a_longer_cap_of_the_back_off_or_one_of_its_own_moves_the_cap() {
    let backoff = Backoff::exponential(SECOND).cap(5 * MINUTE).jitter(Jitter::None);
    let peer = busy("120");
    let layer = patient(retry::Settings::default().backoff(backoff));
    assert_eq!(call(&stack(&peer, &layer), get("/")).await.unwrap().status(), 200);
    assert!((120 * SECOND..=132 * SECOND + MS).contains(&peer.requests()[1].at));

    let layer = patient(every(SECOND).retry_after_cap(4 * SECOND));
    let peer = busy("5");
    let answer = call(&stack(&peer, &layer), get("/")).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.body().attempts().retry_after), (503, Some(5 * SECOND)));
}

#[tokio::test(start_paused = true)]
async fn the_wanted_wait_belongs_to_the_last_answer() {
    let peer =
        Peer::new().then(Reply::status(503).retry_after("1")).forever(Reply::status(503).retry_after("600"));
    let answer = call(&stack(&peer, &patient(every(SECOND))), get("/")).await.unwrap();
    let attempts = answer.body().attempts();
    assert_eq!((attempts.count, attempts.retry_after), (2, Some(600 * SECOND)));
    assert_eq!(answer.extensions().get::<Attempts>(), Some(&attempts));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_repeated_for_another_reason_still_says_what_was_wanted() {
    let peer = Peer::new().forever(Reply::status(503).retry_after("7"));
    let no_retries = call(&stack(&peer, &once(Limits::default())), get("/")).await.unwrap();
    let not_idempotent = call(&stack(&peer, &patient(every(SECOND))), post("/")).await.unwrap();
    for answer in [no_retries, not_idempotent] {
        assert_eq!(answer.body().attempts().retry_after, Some(7 * SECOND));
    }
    assert_eq!(peer.request_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_date_ahead_is_a_wait_from_now() {
    let peer = Peer::new().forever(Reply::status(503).retry_after("Tue, 31 Dec 2999 23:59:59 GMT"));
    let start = Instant::now();
    let answer = call(&stack(&peer, &patient(every(SECOND))), get("/")).await.unwrap();
    // Nine hundred years and more are cut to the longest that a count of seconds may say.
    assert_eq!(answer.body().attempts().retry_after, Some(Duration::from_secs(1 << 31)));
    assert_eq!((start.elapsed(), peer.request_count()), (Duration::ZERO, 1));
}
