//! What a call that is given up, or merely hangs about, says of the server.

use crate::support::*;
use crate::watch::*;
use std::pin::pin;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tower::limit::ConcurrencyLimit;
use tower_layer::Layer;
use unwedge::breaker::{Phase, Ratio};
use unwedge::retry::{Evidence, Outcome};
use unwedge::stack::RequestHead;
use unwedge::testing::{Peer, Reply};
use unwedge::{ErrorKind, StackLayer, within};

#[tokio::test(start_paused = true)]
async fn five_calls_that_an_outer_timeout_cut_off_open_the_circuit() {
    let peer = Peer::new().forever(Reply::silent());
    let layer = judged(steady());
    let service = stack(&peer, &layer);
    for n in 0..5 {
        assert_eq!(state(&layer), (Phase::Closed, n));
        assert!(timeout(2 * SECOND, call(&service, get("/"))).await.is_err());
    }
    assert_eq!(phase(&layer), Phase::Open);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_had_no_time_says_nothing_whoever_cut_it_off() {
    let peer = Peer::new().times(4, Reply::status(500)).forever(Reply::hang());
    let layer = judged(steady());
    let service = stack(&peer, &layer);
    calls(&service, 4).await;
    for _ in 0..20 {
        assert!(timeout(50 * MS, call(&service, get("/"))).await.is_err());
        let ended = within(50 * MS, call(&service, get("/"))).await;
        assert!(ended.is_err() || ended.unwrap().unwrap_err().is_deadline());
    }
    assert_eq!(state(&layer), (Phase::Closed, 4));
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_ends_over_healthy_calls_is_no_failure_and_over_hung_ones_it_is() {
    for (answer, after) in [(Reply::ok("").after(200 * MS), Phase::Closed), (Reply::hang(), Phase::Open)] {
        let peer = Peer::new().forever(answer);
        let layer = judged(steady());
        let service = stack(&peer, &layer);
        let mut workers = JoinSet::new();
        for n in 0..8 {
            let service = service.clone();
            workers.spawn(async move {
                sleep(n * 25 * MS).await;
                let _ = within(5 * SECOND, async { while call(&service, get("/")).await.is_ok() {} }).await;
            });
        }
        workers.join_all().await;
        assert_eq!(phase(&layer), after);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_silence_is_measured_by_the_slowest_success_of_the_last_minute() {
    let peer = Peer::new().times(10, Reply::ok("").after(2 * SECOND)).forever(Reply::hang());
    let layer = judged(steady());
    let service = stack(&peer, &layer);
    calls(&service, 10).await;
    for _ in 0..5 {
        assert!(timeout(1200 * MS, call(&service, get("/"))).await.is_err());
        assert!(timeout(3999 * MS, call(&service, get("/"))).await.is_err());
    }
    assert_eq!(state(&layer), (Phase::Closed, 0));
    // A minute later that pace is forgotten.
    sleep(64 * SECOND).await;
    for _ in 0..5 {
        assert!(timeout(1200 * MS, call(&service, get("/"))).await.is_err());
    }
    assert_eq!(phase(&layer), Phase::Open);
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_bytes_flow_says_nothing() {
    let drip = Reply::sized(100).drip(1, SECOND / 2);
    let peer = Peer::new().times(4, Reply::status(500)).forever(drip);
    let layer = judged(steady());
    let service = stack(&peer, &layer);
    calls(&service, 4).await;
    for _ in 0..5 {
        assert!(timeout(7 * SECOND, call(&service, get("/"))).await.is_err());
    }
    assert_eq!(state(&layer), (Phase::Closed, 4));
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_loses_after_a_second_says_nothing() {
    let peer = Peer::new().forever(Reply::ok("").after(2 * SECOND));
    let layer = judged(steady().failures(1));
    let service = stack(&peer, &layer);
    for _ in 0..5 {
        let mut first = pin!(call(&service, get("/")));
        if timeout(SECOND, &mut first).await.is_err() {
            let second = pin!(call(&service, get("/")));
            tokio::select! {
                biased;
                answer = &mut first => assert!(answer.is_ok()),
                _ = second => panic!("the first call began a second earlier"),
            }
        }
    }
    assert_eq!(state(&layer), (Phase::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn a_probe_dropped_early_gives_its_place_back_and_one_dropped_late_is_a_hang() {
    let peer = Peer::new().times(5, Reply::status(500)).forever(Reply::hang());
    let layer = judged(steady());
    let service = stack(&peer, &layer);
    calls(&service, 5).await;
    sleep(5 * SECOND).await;
    for _ in 0..10 {
        assert!(timeout(10 * MS, call(&service, get("/"))).await.is_err());
        let now = breaker(&layer).snapshot();
        assert_eq!((now.phase, now.probes_in_flight, now.probes_passed), (Phase::HalfOpen, 0, 0));
    }
    assert!(timeout(1500 * MS, call(&service, get("/"))).await.is_err());
    assert_eq!(phase(&layer), Phase::Open);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_deadline_falls_into_silence_is_a_hang_only_if_it_had_time() {
    let peer = Peer::new().forever(Reply::silent());
    for (deadline, run) in [(900 * MS, 0), (1100 * MS, 1), (5 * SECOND, 1)] {
        let layer = judged(steady());
        let service = stack(&peer, &layer);
        let ended = within(deadline, call(&service, get("/"))).await;
        assert!(ended.is_err() || ended.unwrap().unwrap_err().is_deadline());
        assert_eq!(state(&layer), (Phase::Closed, run), "{deadline:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_overdue_call_counts_once_and_before_it_has_ended() {
    let peer = Peer::new().forever(Reply::silent());
    let layer = judged(steady().overdue_after(3 * SECOND));
    let service = stack(&peer, &layer);
    let mut crowd = JoinSet::new();
    for _ in 0..5 {
        let service = service.clone();
        crowd.spawn(async move { call(&service, get("/")).await.map(drop) });
    }
    sleep(3 * SECOND - MS).await;
    assert_eq!(state(&layer), (Phase::Closed, 0));
    sleep(2 * MS).await;
    let now = breaker(&layer).snapshot();
    assert_eq!((now.phase, now.in_phase_for), (Phase::Open, MS));
    assert!(crowd.try_join_next().is_none(), "not one call has ended");

    // Its failure does not count again, its success ends the run.
    let peer = Peer::new().times(3, Reply::hang()).forever(Reply::ok("").after(4 * SECOND));
    let layer = judged(steady().overdue_after(3 * SECOND));
    let service = stack(&peer, &layer);
    calls(&service, 3).await;
    assert_eq!(state(&layer), (Phase::Closed, 3));
    let mut late = pin!(call(&service, get("/")));
    assert!(timeout(3500 * MS, &mut late).await.is_err());
    assert_eq!(state(&layer), (Phase::Closed, 4));
    assert!(late.await.is_ok());
    assert_eq!(state(&layer), (Phase::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_overdue_when_the_circuit_has_opened_still_end() {
    let peer = Peer::new().times(9, Reply::hang()).forever(Reply::ok("").after(4 * SECOND));
    let layer = judged(steady().overdue_after(3 * SECOND));
    let service = stack(&peer, &layer);
    let start = Instant::now();
    let mut crowd = JoinSet::new();
    for _ in 0..10 {
        let service = service.clone();
        crowd.spawn(async move { call(&service, get("/")).await.is_ok() });
    }
    let done = crowd.join_all().await;
    assert_eq!((done.iter().filter(|ok| **ok).count(), start.elapsed()), (1, 10 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_users_classifier_says_what_is_a_failure() {
    let peer = Peer::new().forever(Reply::status(404));
    let rules = |_: &RequestHead<'_>, outcome: &Outcome<'_>| match outcome {
        Outcome::Head(head) if head.status == 404 => {
            let mut class = outcome.class();
            class.evidence = Evidence::Failure;
            Some(class)
        }
        _ => None,
    };
    let layer = each_once(steady()).retry(sent_once().classify(rules)).build().unwrap();
    calls(&stack(&peer, &layer), 5).await;
    assert_eq!(phase(&layer), Phase::Open);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_never_sent_says_nothing_of_the_server() {
    let peer = Peer::new().forever(Reply::ok(""));
    let layer = judged(steady().failures(1));
    let service = layer.layer(ConcurrencyLimit::new(plain(&peer), 0));
    assert!(timeout(5 * SECOND, call(&service, get("/"))).await.is_err());
    assert_eq!(state(&layer), (Phase::Closed, 0), "given up while it waited until the service was ready");
    let error = call(&service, get("/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    assert_eq!(error.phase(), Some(unwedge::Phase::Ready));
    assert_eq!(state(&layer), (Phase::Closed, 0));
    assert_eq!(peer.request_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_over_a_limited_service_refuses_all_clones_within_a_tenth_of_a_second_for_ever() {
    let peer = Peer::new().times(5, Reply::status(500)).forever(Reply::ok(""));
    let layer: StackLayer = judged(steady());
    let a = layer.layer(ConcurrencyLimit::new(plain(&peer), 1));
    let b = a.clone();
    calls(&a, 5).await;
    breaker(&layer).force_open();
    for _ in 0..1000 {
        for clone in [&a, &b] {
            let start = Instant::now();
            assert!(call(clone, get("/")).await.unwrap_err().is_open());
            assert!(start.elapsed() <= 100 * MS);
        }
    }
    breaker(&layer).reset();
    assert!(call(&b, get("/")).await.is_ok(), "no refusal holds the one permit");
    assert!(call(&a, get("/")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn time_in_a_queue_before_the_server_is_not_the_servers_slowness() {
    let peer = Peer::new().times(10, Reply::ok("").after(SECOND)).forever(Reply::hang());
    let layer = judged(steady().ratio(Ratio::default().slow_after(2 * SECOND)));
    let service = layer.layer(ConcurrencyLimit::new(plain(&peer), 1));
    let mut crowd = JoinSet::new();
    for _ in 0..10 {
        let service = service.clone();
        crowd.spawn(async move { call(&service, get("/")).await.map(drop) });
    }
    crowd.join_all().await;
    let now = breaker(&layer).snapshot();
    assert_eq!((now.phase, now.calls, now.slow), (Phase::Closed, 10, 0));
    // Nor does it make a longer silence look normal.
    assert!(timeout(2 * SECOND - MS, call(&service, get("/"))).await.is_err());
    assert_eq!(state(&layer), (Phase::Closed, 0));
    assert!(timeout(2 * SECOND, call(&service, get("/"))).await.is_err());
    assert_eq!(state(&layer), (Phase::Closed, 1));
}
