//! When the circuit breaker of a stack opens, how long it stays so, and how it closes.

use crate::support::*;
use crate::watch::*;
use http::Response;
use http_body_util::Full;
use std::convert::Infallible;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tower_layer::Layer;
use unwedge::breaker::{Phase, Ratio, Reason};
use unwedge::retry::Backoff;
use unwedge::testing::{Peer, Reply};
use unwedge::{ErrorKind, Limits};

fn bad() -> Reply {
    Reply::status(500)
}

fn good() -> Reply {
    Reply::ok("fine")
}

#[tokio::test(start_paused = true)]
async fn five_failures_in_a_row_open_the_circuit_and_a_success_in_between_starts_over() {
    let peer = Peer::new().times(100, good()).times(4, bad()).then(good()).forever(bad());
    let layer = judged(steady());
    let service = stack(&peer, &layer);
    calls(&service, 105).await;
    sleep(SECOND).await;
    calls(&service, 4).await;
    assert_eq!(state(&layer), (Phase::Closed, 4));
    calls(&service, 1).await;
    let open = breaker(&layer).snapshot();
    assert_eq!((open.phase, open.consecutive_failures, open.calls, open.failures), (Phase::Open, 0, 0, 0));

    let refused = call(&service, get("/")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Open { retry_in: 5 * SECOND });
    assert_eq!((refused.attempts(), refused.is_refused()), (0, true));
    assert_eq!(peer.request_count(), 110, "a refused call sends nothing");
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_refuses_to_the_millisecond_and_then_admits_a_probe() {
    let peer = Peer::new().times(5, bad()).forever(good());
    let layer = judged(steady().open(Backoff::constant(30 * SECOND)));
    let service = stack(&peer, &layer);
    calls(&service, 5).await;
    sleep(30 * SECOND - MS).await;
    let refused = call(&service, get("/")).await.unwrap_err();
    assert_eq!(refused.retry_in(), Some(MS));
    sleep(MS).await;
    assert!(call(&service, get("/")).await.is_ok());
    assert_eq!(phase(&layer), Phase::Closed, "one success is enough");
}

#[tokio::test(start_paused = true)]
async fn the_first_probe_goes_alone_and_where_three_have_to_succeed_three_may_follow_it() {
    let peer = Peer::new().times(5, bad()).then(good().after(SECOND)).forever(good().after(2 * SECOND));
    let layer = judged(steady().half_open(3, 3));
    let service = stack(&peer, &layer);
    calls(&service, 5).await;
    sleep(5 * SECOND).await;
    let mut probes = JoinSet::new();
    let mut probe = async |n| {
        for _ in 0..n {
            let service = service.clone();
            probes.spawn(async move { call(&service, get("/")).await.map(drop) });
        }
        settle().await;
        let refused = call(&service, get("/")).await.unwrap_err();
        assert_eq!(refused.retry_in(), Some(SECOND), "a place may be free long before a lease ends");
        breaker(&layer).snapshot().probes_in_flight
    };
    assert_eq!(probe(1).await, 1);
    sleep(SECOND).await;
    settle().await;
    assert_eq!(probe(3).await, 3);
    assert_eq!(breaker(&layer).snapshot().probes_passed, 1);
    while let Some(probe) = probes.join_next().await {
        probe.unwrap().unwrap();
    }
    let now = breaker(&layer).snapshot();
    assert_eq!((now.phase, now.consecutive_failures, now.probes_in_flight), (Phase::Closed, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn each_reopening_doubles_the_wait_up_to_its_cap_and_a_close_starts_over() {
    let peer = Peer::new().times(10, bad()).then(good()).forever(bad());
    let layer = judged(steady());
    let service = stack(&peer, &layer);
    // What is called once the circuit lets calls through, and how long it is open after that.
    for (n, wait) in [(5, 5), (1, 10), (1, 20), (1, 40), (1, 60), (1, 60)] {
        calls(&service, n).await;
        let refused = call(&service, get("/")).await.unwrap_err();
        assert_eq!(refused.retry_in(), Some(wait * SECOND));
        sleep(wait * SECOND).await;
    }
    calls(&service, 1).await;
    sleep(SECOND).await;
    calls(&service, 5).await;
    assert_eq!(call(&service, get("/")).await.unwrap_err().retry_in(), Some(5 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn half_of_ten_calls_in_the_window_open_the_circuit_whatever_the_last_one_was() {
    let ratio = || Ratio::default().window(10 * SECOND);
    for (last, failures) in [(good(), 8), (bad(), 9)] {
        let peer = Peer::new().times(4, bad()).then(good()).times(4, bad()).forever(last);
        let layer = each_once(steady().failures(6).ratio(ratio()));
        let layer = layer.limits(Limits::default().total(SECOND).attempt(SECOND)).build().unwrap();
        let mut news = layer.breakers().subscribe();
        let service = stack(&peer, &layer);
        calls(&service, 9).await;
        assert_eq!(phase(&layer), Phase::Closed, "nine calls are too few for a ratio");
        calls(&service, 1).await;
        let reason = news.try_recv().unwrap().reason;
        assert!(
            matches!(reason, Reason::FailureRatio { failures: f, calls: 10, .. } if f == failures),
            "{reason:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn slow_successes_open_the_circuit_and_exactly_the_limit_is_not_slow() {
    let ratio = Ratio::default().min_calls(5).slow_after(4 * SECOND).slow_ratio(0.5);
    let slow = |by: Duration| Peer::new().times(3, good().after(4 * SECOND + by)).forever(good());
    for (by, expected) in [(Duration::ZERO, Phase::Closed), (MS, Phase::Open)] {
        let peer = slow(by);
        let layer = judged(steady().ratio(ratio.clone()));
        let service = stack(&peer, &layer);
        calls(&service, 4).await;
        assert_eq!(phase(&layer), Phase::Closed);
        calls(&service, 1).await;
        assert_eq!(phase(&layer), expected, "{by:?} above the limit");
    }
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_fails_opens_the_circuit_once_and_cannot_extend_it() {
    let layer = judged(steady());
    let mut news = layer.breakers().subscribe();
    // Failure number n comes n ms after the first.
    let service = layer.layer(tower::service_fn(async |request: http::Request<Full<bytes::Bytes>>| {
        let n: u64 = request.uri().path()[1..].parse().unwrap();
        sleep(SECOND / 10 + Duration::from_millis(n)).await;
        let mut answer = Response::new(Full::<bytes::Bytes>::default());
        *answer.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        Ok::<_, Infallible>(answer)
    }));
    let start = Instant::now();
    let mut crowd = JoinSet::new();
    for n in 0..1000 {
        let service = service.clone();
        crowd.spawn(async move { call(&service, get(&format!("/{n}"))).await.map(drop) });
    }
    crowd.join_all().await;
    assert_eq!(start.elapsed(), 1099 * MS);
    assert_eq!(told(&mut news), [(Phase::Closed, Phase::Open)]);
    // What comes within 100 ms is one event: the fifth came after 504 ms.
    let refused = call(&service, get("/0")).await.unwrap_err();
    assert_eq!(refused.retry_in(), Some(5 * SECOND - (1099 - 504) * MS));
}

#[tokio::test(start_paused = true)]
async fn a_throttled_call_neither_adds_to_the_run_nor_ends_it_and_counts_for_the_ratio() {
    let busy = || Reply::status(429);
    let peer = Peer::new().times(4, busy()).then(bad()).then(busy()).then(bad()).forever(busy());
    let layer = judged(steady());
    let service = stack(&peer, &layer);
    for (n, run) in [(4, 0), (1, 1), (1, 1), (1, 2), (10, 2)] {
        calls(&service, n).await;
        assert_eq!(state(&layer), (Phase::Closed, run));
    }

    let peer = Peer::new().forever(busy());
    let layer = judged(steady().ratio(Ratio::default()));
    calls(&stack(&peer, &layer), 10).await;
    assert_eq!(phase(&layer), Phase::Open, "ten of ten were turned away");
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_on_the_opening_failure_keeps_the_circuit_open_for_at_most_five_minutes() {
    for (asked, kept) in [("120", 120), ("86400", 300), ("1", 5)] {
        let peer = Peer::new().forever(Reply::status(503).retry_after(asked));
        let layer = judged(steady());
        let service = stack(&peer, &layer);
        calls(&service, 5).await;
        let refused = call(&service, get("/")).await.unwrap_err();
        assert_eq!(refused.retry_in(), Some(kept * SECOND));
    }
}

#[tokio::test(start_paused = true)]
async fn commands_open_disable_and_reset_the_breaker_of_an_origin() {
    let peer = Peer::new().forever(good().after(SECOND));
    let layer = judged(steady());
    let service = stack(&peer, &layer);
    let handle = breaker(&layer);
    let mut news = layer.breakers().subscribe();

    handle.force_open();
    for _ in 0..3 {
        let refused = call(&service, get("/")).await.unwrap_err();
        assert_eq!(refused.retry_in(), Some(60 * SECOND), "forced open says its longest wait");
        sleep(3600 * SECOND).await;
    }
    handle.reset();
    assert_eq!(state(&layer), (Phase::Closed, 0));
    assert!(call(&service, get("/")).await.is_ok());

    handle.disable();
    let broken = Peer::new().forever(bad());
    let elsewhere = stack(&broken, &layer);
    calls(&elsewhere, 20).await;
    let now = handle.snapshot();
    assert_eq!((now.phase, now.calls, now.consecutive_failures), (Phase::Disabled, 0, 0));
    handle.reset();

    // A call that was admitted before a reset says nothing after it.
    calls(&elsewhere, 4).await;
    assert_eq!(state(&layer), (Phase::Closed, 4));
    let slow = Peer::new().forever(bad().after(SECOND));
    let old = stack(&slow, &layer);
    let mut late = JoinSet::new();
    late.spawn(async move { call(&old, get("/")).await.map(drop) });
    settle().await;
    handle.reset();
    late.join_all().await;
    assert_eq!(state(&layer), (Phase::Closed, 0));
    let commands = [
        (Phase::Closed, Phase::ForcedOpen),
        (Phase::ForcedOpen, Phase::Closed),
        (Phase::Closed, Phase::Disabled),
        (Phase::Disabled, Phase::Closed),
    ];
    assert_eq!(told(&mut news), commands);
}

#[tokio::test(start_paused = true)]
async fn an_open_wait_of_ten_years_neither_overflows_nor_turns_negative() {
    let years = Duration::from_secs(10 * 365 * 24 * 3600);
    let peer = Peer::new().forever(Reply::status(503).retry_after("18446744073709551615"));
    let layer = judged(steady().open(Backoff::constant(years)));
    let service = stack(&peer, &layer);
    calls(&service, 5).await;
    for _ in 0..3 {
        let left = call(&service, get("/")).await.unwrap_err().retry_in().unwrap();
        assert!(left > Duration::ZERO && left <= years, "{left:?}");
        sleep(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_healthy_past_does_not_hide_an_outage() {
    for ratio in [None, Some(Ratio::default())] {
        let peer = Peer::new().times(10_000, good()).forever(bad());
        let settings = steady();
        let settings = match ratio.clone() {
            Some(ratio) => settings.failures(100).ratio(ratio),
            None => settings,
        };
        let layer = each_once(settings).limits(Limits::default()).build().unwrap();
        let service = stack(&peer, &layer);
        calls(&service, 10_000).await;
        if ratio.is_some() {
            sleep(33 * SECOND).await;
            calls(&service, 10).await;
        } else {
            assert_eq!(breaker(&layer).snapshot().calls, 10_000);
            sleep(SECOND).await;
            calls(&service, 5).await;
        }
        assert_eq!(phase(&layer), Phase::Open);
    }
}
