//! When the next attempt leaves, and when none does.

use crate::support::*;
use crate::watch::Log;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use unwedge::retry::{Backoff, Jitter};
use unwedge::testing::{Peer, Reply};
use unwedge::{Deadline, ErrorKind, Limits, StackLayer, retry, within};

/// 5 s, doubling to 5 min, ten times, as an agent checks in.
fn check_in() -> retry::Settings {
    let backoff = Backoff::exponential(5 * SECOND).cap(5 * MINUTE).jitter(Jitter::None);
    retry::Settings::default().max_retries(10).backoff(backoff)
}

fn seconds(peer: &Peer) -> Vec<u64> {
    times(peer).iter().map(Duration::as_secs).collect()
}

#[tokio::test(start_paused = true)]
async fn ten_retries_double_their_waits_up_to_the_cap_and_then_the_last_outcome_is_returned() {
    let peer = Peer::new().forever(Reply::status(503).body("down for work"));
    let layer = built(StackLayer::builder().limits(Limits::default().total(30 * MINUTE)).retry(check_in()));
    let answer = call(&stack(&peer, &layer), get("/")).await;
    assert_eq!(whole(answer).await.unwrap(), (503, "down for work".into()));
    let at = seconds(&peer);
    let waits: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300, 300]);
    assert_eq!(peer.requests().last().unwrap().at, Duration::from_secs(1515), "to the millisecond");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_does_not_fit_into_the_deadline_is_not_slept() {
    let peer = Peer::new().forever(Reply::status(503));
    let layer = built(StackLayer::builder().retry(check_in()));
    let start = Instant::now();
    let answer = call(&stack(&peer, &layer), get("/")).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(seconds(&peer), [0, 5, 15]);
    assert_eq!(start.elapsed(), 15 * SECOND, "the wait of 20 s would end beyond the 30 s of the call");
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_cannot_fit_is_said_once_when_the_stack_is_built() {
    let (log, _guard) = Log::listen();
    let layer = StackLayer::builder().retry(check_in()).build().unwrap();
    let said = "10 retries configured, about 2 fit into the total of 30 s";
    assert_eq!(log.with("configured"), [format!("WARN {said}")]);
    assert_eq!(layer.bounds().warning().as_deref(), Some(said));
    assert_eq!((layer.bounds().retries, layer.bounds().retries_that_fit), (10, 2));
    assert!(layer.bounds().to_string().ends_with(&format!("\n  does not fit   {said}")));
    StackLayer::builder().build().unwrap();
    assert_eq!(log.with("configured").len(), 1, "the defaults fit");
}

#[tokio::test(start_paused = true)]
async fn without_retries_there_is_one_attempt() {
    let peer = Peer::new().forever(Reply::status(503));
    assert_eq!(call(&stack(&peer, &once(Limits::default())), get("/")).await.unwrap().status(), 503);
    assert_eq!(peer.request_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_own_deadline_is_nearer_than_the_next_attempt_returns_at_once() {
    let peer = Peer::new().forever(Reply::status(503));
    let layer = built(StackLayer::builder().retry(every(2 * SECOND)));
    let start = Instant::now();
    let request = with(get("/"), Deadline::after(SECOND));
    assert_eq!(call(&stack(&peer, &layer), request).await.unwrap().status(), 503);
    assert_eq!((start.elapsed(), peer.request_count()), (Duration::ZERO, 1));
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_is_nearer_than_the_next_attempt_returns_at_once() {
    let peer = Peer::new().forever(Reply::refuse());
    let layer = built(StackLayer::builder().retry(every(2 * SECOND)));
    let service = stack(&peer, &layer);
    let start = Instant::now();
    let error = within(SECOND, call(&service, get("/"))).await.unwrap().unwrap_err();
    assert!(error.is_connect(), "the last result, not the deadline: {error}");
    assert_eq!((start.elapsed(), peer.connects()), (Duration::ZERO, 1));
}

#[tokio::test(start_paused = true)]
async fn a_back_off_that_is_put_under_a_scope_later_ends_with_the_scope() {
    let peer = Peer::new().forever(Reply::status(503));
    let service = stack(&peer, &built(StackLayer::builder().retry(every(2 * SECOND))));
    let mut call = Box::pin(call(&service, get("/")));
    assert!(timeout(500 * MS, &mut call).await.is_err(), "it waits for its second attempt");
    let start = Instant::now();
    let error = within(SECOND, &mut call).await.unwrap_err();
    assert!(error.is_deadline());
    assert_eq!((start.elapsed(), peer.request_count()), (SECOND, 1));
}

#[tokio::test(start_paused = true)]
async fn the_attempt_limit_does_not_count_the_waits_and_the_total_does() {
    let limits = Limits::default().attempt(SECOND);
    let peer = Peer::new().forever(Reply::hang());
    let layer =
        built(StackLayer::builder().limits(limits.clone().total(8 * SECOND)).retry(every(5 * SECOND)));
    let start = Instant::now();
    let error = call(&stack(&peer, &layer), get("/")).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Attempt, 2));
    assert_eq!((seconds(&peer), start.elapsed()), (vec![0, 6], 7 * SECOND), "both had their full second");

    let peer = Peer::new().forever(Reply::hang());
    let layer = built(StackLayer::builder().limits(limits.total(6500 * MS)).retry(every(5 * SECOND)));
    let start = Instant::now();
    let error = call(&stack(&peer, &layer), get("/")).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Deadline, 2));
    assert_eq!((seconds(&peer), start.elapsed()), (vec![0, 6], 6500 * MS));
}

#[tokio::test(start_paused = true)]
async fn the_default_waits_are_drawn_below_a_doubling_half_second() {
    for _ in 0..20 {
        let peer = Peer::new().forever(Reply::status(503));
        call(&stack(&peer, &built(StackLayer::builder())), get("/")).await.unwrap();
        let at = times(&peer);
        assert_eq!(at.len(), 4);
        for (pair, ceiling) in at.windows(2).zip([500 * MS, SECOND, 2 * SECOND]) {
            // A timer of tokio is at most a millisecond late.
            assert!(pair[1] - pair[0] <= ceiling + MS, "{at:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_seed_makes_two_layers_wait_alike() {
    let mut series = Vec::new();
    for seed in [7, 7, 8] {
        let peer = Peer::new().forever(Reply::status(503));
        let retry = retry::Settings::default().backoff(Backoff::default().seed(seed));
        call(&stack(&peer, &built(StackLayer::builder().retry(retry))), get("/")).await.unwrap();
        series.push(times(&peer));
    }
    assert_eq!(series[0], series[1]);
    assert_ne!(series[0], series[2]);
}

#[tokio::test(start_paused = true)]
async fn no_back_off_means_no_time_at_all_between_attempts() {
    let peer = Peer::new().forever(Reply::reset());
    let start = Instant::now();
    let error = call(&stack(&peer, &built(exact())), get("/")).await.unwrap_err();
    assert_eq!((error.attempts(), peer.request_count()), (4, 4));
    assert_eq!(start.elapsed(), Duration::ZERO);
}
