//! What a call that is given up, panics, or merely hangs about says of the server.

use crate::support::*;
use crate::watch::*;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::convert::Infallible;
use std::future::{Future, poll_fn, ready};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tower::limit::ConcurrencyLimit;
use tower_layer::Layer;
use tower_service::Service;
use unwedge::breaker::Phase;
use unwedge::retry::{Evidence, Outcome};
use unwedge::testing::{Peer, Reply};
use unwedge::{Collect, ErrorKind, StackLayer, within};

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

/// Panics at one place.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bomb {
    Ready,
    Call,
    Polled,
    Body,
}

struct Burst;

impl http_body::Body for Burst {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        panic!("in the body")
    }
}

impl Service<Request<Full<Bytes>>> for Bomb {
    type Response = Response<Burst>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Burst>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        assert!(*self != Bomb::Ready, "in poll_ready");
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        match self {
            Bomb::Call => panic!("in call"),
            Bomb::Polled => Box::pin(async { panic!("in the future") }),
            _ => Box::pin(ready(Ok(Response::new(Burst)))),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_inner_service_reaches_the_caller_and_is_a_failure() {
    for bomb in [Bomb::Ready, Bomb::Call, Bomb::Polled, Bomb::Body] {
        let layer = judged(steady());
        let service = layer.layer(bomb);
        for n in 1..=5 {
            let service = service.clone();
            let mut task = JoinSet::new();
            task.spawn(async move { call(&service, get("/")).await.map(drop) });
            assert!(task.join_next().await.unwrap().unwrap_err().is_panic());
            let expected = if n < 5 { (Phase::Closed, n) } else { (Phase::Open, 0) };
            assert_eq!(state(&layer), expected, "{bomb:?}");
        }
        assert!(layer.in_flight().is_empty());
        // The place of a probe is free again as well.
        sleep(5 * SECOND).await;
        let mut task = JoinSet::new();
        task.spawn(async move { call(&service, get("/")).await.map(drop) });
        assert!(task.join_next().await.unwrap().unwrap_err().is_panic());
        let now = breaker(&layer).snapshot();
        assert_eq!((now.phase, now.probes_in_flight), (Phase::Open, 0), "{bomb:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_body_that_streams_reaches_its_reader_and_is_a_failure() {
    let layer = judged(steady());
    let mut request = get("/");
    request.extensions_mut().insert(Collect::never());
    let answer = call(&layer.layer(Bomb::Body), request).await;
    let mut reader = JoinSet::new();
    reader.spawn(async move { whole(answer).await.map(drop) });
    assert!(reader.join_next().await.unwrap().unwrap_err().is_panic());
    assert_eq!(state(&layer), (Phase::Closed, 1));
    assert!(layer.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_users_classifier_frees_the_place_and_is_no_failure_of_the_server() {
    let peer = Peer::new().times(5, Reply::status(500)).forever(Reply::ok(""));
    let rules = |outcome: &Outcome<'_>| match outcome {
        Outcome::Head(head) if head.status == 200 => panic!("in the classifier"),
        _ => None,
    };
    let layer = each_once(steady()).classify(rules).build().unwrap();
    let service = stack(&peer, &layer);
    calls(&service, 5).await;
    sleep(5 * SECOND).await;
    for _ in 0..10 {
        let service = service.clone();
        let mut task = JoinSet::new();
        task.spawn(async move { call(&service, get("/")).await.map(drop) });
        assert!(task.join_next().await.unwrap().unwrap_err().is_panic());
        let now = breaker(&layer).snapshot();
        assert_eq!((now.phase, now.probes_in_flight, now.probes_passed), (Phase::HalfOpen, 0, 0));
    }
    assert!(layer.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_users_classifier_says_what_is_a_failure() {
    let peer = Peer::new().forever(Reply::status(404));
    let rules = |outcome: &Outcome<'_>| match outcome {
        Outcome::Head(head) if head.status == 404 => {
            let mut class = outcome.class();
            class.evidence = Evidence::Failure;
            Some(class)
        }
        _ => None,
    };
    let layer = each_once(steady()).classify(rules).build().unwrap();
    calls(&stack(&peer, &layer), 5).await;
    assert_eq!(phase(&layer), Phase::Open);
}

/// Begins a call, and panics while it is held.
async fn panic_beside<S>(service: S)
where
    S: Service<Request<Full<Bytes>>> + Send + 'static,
    S::Future: Send,
{
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut service = service;
        let mut held = pin!(service.call(get("/")));
        assert!(poll_fn(|cx| Poll::Ready(held.as_mut().poll(cx))).await.is_pending());
        sleep(100 * MS).await;
        panic!("elsewhere");
    });
    assert!(task.join_next().await.unwrap().unwrap_err().is_panic());
}

#[tokio::test(start_paused = true)]
async fn a_panic_elsewhere_in_a_task_that_holds_a_call_is_no_failure() {
    let peer = Peer::new().forever(Reply::headers_then_hang());
    let silent = Peer::new().forever(Reply::silent());
    let strict = || each_once(steady().failures(1));

    let layer = strict().build().unwrap();
    panic_beside(stack(&silent, &layer)).await;
    assert_eq!(state(&layer), (Phase::Closed, 0), "waiting for headers");

    let layer = strict().build().unwrap();
    panic_beside(stack(&peer, &layer)).await;
    assert_eq!(state(&layer), (Phase::Closed, 0), "reading the body");

    let layer = strict().build().unwrap();
    panic_beside(layer.layer(ConcurrencyLimit::new(plain(&peer), 0))).await;
    assert_eq!(state(&layer), (Phase::Closed, 0), "waiting until the service is ready");

    let layer = strict().health("/health").build().unwrap();
    let service = stack(&silent, &layer);
    let leader = service.clone();
    let mut leads = JoinSet::new();
    leads.spawn(async move { call(&leader, get("/")).await.map(drop) });
    settle().await;
    panic_beside(service.clone()).await;
    assert_eq!(state(&layer), (Phase::Closed, 0), "waiting for a health check");
    drop(leads);
    settle().await;
    panic_beside(service).await;
    assert_eq!(state(&layer), (Phase::Closed, 0), "making a health check");
    assert!(layer.in_flight().is_empty());
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
async fn an_open_circuit_over_a_limited_service_refuses_all_clones_at_once_for_ever() {
    let peer = Peer::new().times(5, Reply::status(500)).forever(Reply::ok(""));
    let layer: StackLayer = judged(steady());
    let a = layer.layer(ConcurrencyLimit::new(plain(&peer), 1));
    let b = a.clone();
    calls(&a, 5).await;
    breaker(&layer).force_open();
    let start = Instant::now();
    for _ in 0..1000 {
        assert!(call(&a, get("/")).await.unwrap_err().is_open());
        assert!(call(&b, get("/")).await.unwrap_err().is_open());
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    breaker(&layer).reset();
    assert!(call(&b, get("/")).await.is_ok(), "no refusal holds the one permit");
    assert!(call(&a, get("/")).await.is_ok());
}
