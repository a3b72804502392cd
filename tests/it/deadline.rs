//! The deadline of a call and the scopes around it.

use crate::support::*;
use std::convert::Infallible;
use std::future::{Pending, pending};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tower_layer::Layer;
use tower_service::Service;
use unwedge::stack::DeadlineLayer;
use unwedge::testing::{Peer, Reply};
use unwedge::{Body, Deadline, ErrorKind, Limits, Phase, StackLayer, within};

#[tokio::test(start_paused = true)]
async fn silence_ends_each_attempt_and_in_all_the_call_to_the_millisecond() {
    for silence in [Reply::silent(), Reply::hang(), Reply::endless_headers(SECOND)] {
        let peer = Peer::new().forever(silence);
        let layer = built(exact());
        let start = Instant::now();
        let error = call(&stack(&peer, &layer), get("/")).await.unwrap_err();
        assert_eq!(start.elapsed(), 30 * SECOND);
        assert_eq!(
            (error.kind(), error.phase(), error.attempts()),
            (ErrorKind::Deadline, Some(Phase::Headers), 3)
        );
        for attempt in error.journal() {
            assert_eq!((attempt.error, attempt.phase), (Some(ErrorKind::Attempt), Phase::Headers));
            assert_eq!(attempt.took, 10 * SECOND);
            assert_eq!(attempt.phase.to_string(), "waiting for response headers");
        }
        assert_eq!(error.journal().len(), 2);
        assert!(error.is_timeout() && error.is_retriable());
        assert!(layer.in_flight().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_third_call_of_a_scope_ends_with_the_scope() {
    let peer = Peer::new().forever(Reply::ok("x").after(2 * SECOND));
    let service = stack(&peer, &StackLayer::default());
    let start = Instant::now();
    let mut done = 0;
    let scope = within(5 * SECOND, async {
        for _ in 0..3 {
            call(&service, get("/")).await?;
            done += 1;
        }
        Ok::<_, unwedge::Error>(())
    });
    let error = scope.await.and_then(|inner| inner).unwrap_err();
    assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Deadline, 5 * SECOND));
    assert_eq!((done, peer.request_count()), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_a_scope_cuts_off_says_where_it_was() {
    let peer = Peer::new().forever(Reply::hang());
    let service = stack(&peer, &StackLayer::default());
    let error = within(SECOND, call(&service, get("/jobs"))).await.unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "GET http://peer.test/jobs: no response headers after 1 s (deadline; attempt 1 of 4)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_scope_can_only_shorten_and_so_can_a_request() {
    let peer = Peer::new().forever(Reply::hang());
    let service = stack(&peer, &built(exact()));
    for (outer, inner, own, ends) in [(1, 10, 60, 1), (10, 1, 60, 1), (60, 60, 1, 1), (60, 90, 120, 30)] {
        let start = Instant::now();
        let request = with(get("/"), Deadline::after(own * SECOND));
        let ended = within(outer * SECOND, within(inner * SECOND, call(&service, request))).await;
        assert!(ended.and_then(|e| e).and_then(|e| e).unwrap_err().is_deadline());
        assert_eq!(start.elapsed(), ends * SECOND, "{outer} {inner} {own}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_spawned_call_has_no_scope_unless_it_was_handed_on() {
    let peer = Peer::new().forever(Reply::ok("x").after(3 * SECOND));
    let service = stack(&peer, &StackLayer::default());
    let (bare, handed) = within(SECOND, async {
        let (one, two) = (service.clone(), service.clone());
        let bare = tokio::spawn(async move { call(&one, get("/")).await });
        let scope = Deadline::current().unwrap();
        let handed = tokio::spawn(scope.scope(async move { call(&two, get("/")).await }));
        (bare, handed)
    })
    .await
    .unwrap();
    let start = Instant::now();
    assert!(handed.await.unwrap().unwrap().unwrap_err().is_deadline());
    assert_eq!(start.elapsed(), SECOND);
    assert_eq!(bare.await.unwrap().unwrap().status(), 200);
    assert_eq!(start.elapsed(), 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_call_made_in_a_scope_keeps_its_deadline_wherever_it_is_polled() {
    let peer = Peer::new().forever(Reply::hang());
    let mut service = stack(&peer, &StackLayer::default());
    let made = within(SECOND, std::future::poll_fn(|_| Poll::Ready(service.call(get("/"))))).await.unwrap();
    let start = Instant::now();
    assert!(made.await.unwrap_err().is_deadline());
    assert_eq!(start.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_call_made_outside_takes_the_deadline_of_the_scope_that_polls_it_first() {
    let peer = Peer::new().forever(Reply::hang());
    let mut service = stack(&peer, &StackLayer::default());
    let made = service.call(get("/"));
    let start = Instant::now();
    let error = within(SECOND, made).await.expect("the call sees it first").unwrap_err();
    assert_eq!((error.phase(), start.elapsed()), (Some(Phase::Headers), SECOND));
}

#[tokio::test(start_paused = true)]
async fn of_the_scope_it_was_made_in_and_the_one_that_polls_it_the_nearer_binds() {
    let peer = Peer::new().forever(Reply::hang());
    let mut service = stack(&peer, &StackLayer::default());
    for (made, polled) in [(1, 5), (5, 1)] {
        let call = within(made * SECOND, std::future::poll_fn(|_| Poll::Ready(service.call(get("/")))))
            .await
            .unwrap();
        let start = Instant::now();
        assert!(within(polled * SECOND, call).await.unwrap().unwrap_err().is_deadline());
        assert_eq!(start.elapsed(), SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn detached_work_takes_no_deadline_from_the_scope_it_is_polled_in() {
    let peer = Peer::new().forever(Reply::ok("x").drip(1, 8 * SECOND));
    let service = stack(&peer, &StackLayer::default());
    let request = with(get("/"), unwedge::Collect::never());
    let answer = within(5 * SECOND, Deadline::detached(call(&service, request))).await.unwrap().unwrap();
    assert_eq!(
        whole(Ok(answer)).await.unwrap().0,
        200,
        "the body outlives the scope that it did not belong to"
    );
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_sends_nothing() {
    let peer = Peer::new().forever(Reply::ok("x"));
    let layer = StackLayer::default();
    let past = Deadline::at(Instant::now());
    sleep(SECOND).await;
    let error = call(&stack(&peer, &layer), with(get("/"), past)).await.unwrap_err();
    assert!(error.is_deadline());
    assert_eq!((error.attempts(), peer.connects()), (0, 0));
    assert_eq!(layer.breakers().snapshot()[0].consecutive_failures, 0);
    assert!(layer.in_flight().is_empty());
}

/// Never ready, or ready and never done.
#[derive(Clone)]
struct Wedged {
    ready: bool,
}

impl<B> Service<http::Request<B>> for Wedged {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pending<Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.ready { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, _: http::Request<B>) -> Self::Future {
        pending()
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_never_ready_is_bounded_by_the_call_and_no_fault_of_the_origin() {
    let layer = StackLayer::default();
    let service = layer.layer(Wedged { ready: false });
    let start = Instant::now();
    let error = call(&service, get("/")).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Deadline, Some(Phase::Ready)));
    assert_eq!(start.elapsed(), 30 * SECOND);
    for _ in 0..9 {
        let dropped = tokio::time::timeout(5 * SECOND, call(&service, get("/"))).await;
        assert!(dropped.is_err());
    }
    assert_eq!(layer.breakers().snapshot()[0].consecutive_failures, 0, "nothing was ever sent to it");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_layer_alone_binds_readiness_head_and_collected_body() {
    let layer = DeadlineLayer::new(3 * SECOND).unwrap();
    let drip = Peer::new().forever(Reply::sized(1000).drip(1, SECOND));
    for phase in [Phase::Ready, Phase::Headers, Phase::Body] {
        let start = Instant::now();
        let ended = match phase {
            Phase::Body => call(&layer.layer(plain(&drip)), get("/")).await,
            _ => call(&layer.layer(Wedged { ready: phase == Phase::Headers }), get("/")).await,
        };
        let error = ended.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Deadline, Some(phase)));
        assert_eq!(start.elapsed(), 3 * SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_health_check_a_back_off_and_a_connect_end_with_the_call() {
    let total = Limits::default().total(3 * SECOND);
    let health = Peer::new().on("/health", Reply::hang()).forever(Reply::ok("x"));
    let connect = Peer::new().forever(Reply::connect_hang());
    let stack_of = || built(exact().limits(total.clone()));
    for (peer, layer, phase) in [
        (
            &health,
            built(exact().limits(total.clone().attempt(3 * SECOND)).health("/health")),
            Phase::HealthCheck,
        ),
        (&connect, stack_of(), Phase::Headers),
    ] {
        let start = Instant::now();
        let error = call(&stack(peer, &layer), get("/")).await.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Deadline, Some(phase)));
        assert_eq!(start.elapsed(), 3 * SECOND, "{phase}");
        assert!(layer.in_flight().is_empty());
    }
    let down = Peer::new().forever(Reply::refuse());
    let start = Instant::now();
    let layer = built(StackLayer::builder().limits(total).retry(every(2 * SECOND)));
    assert!(call(&stack(&down, &layer), get("/")).await.unwrap_err().is_connect());
    assert_eq!((start.elapsed(), down.connects()), (2 * SECOND, 2), "the second wait is not begun");
}

#[tokio::test(start_paused = true)]
async fn a_health_check_belongs_to_nobodys_scope() {
    let inner = tower::service_fn(|request: http::Request<()>| {
        let made = Deadline::current().is_some();
        async move {
            let scoped = (made, Deadline::current().is_some());
            let expected = request.uri().path() != "/health";
            assert_eq!(scoped, (expected, expected), "{}", request.uri());
            Ok::<_, Infallible>(http::Response::new(String::new()))
        }
    });
    let service = built(exact().health("/health")).layer(inner);
    let request = http::Request::get("http://peer.test/").body(()).unwrap();
    assert_eq!(within(SECOND, call(&service, request)).await.unwrap().unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn ten_years_are_a_limit_like_any_other() {
    let years = Duration::from_secs(10 * 365 * 24 * 60 * 60);
    let limits = Limits::default().total(years).attempt(years).idle(years).stream(years).long_poll(years);
    let layer = built(exact().limits(limits));
    let peer = Peer::new().then(Reply::ok("x")).forever(Reply::hang());
    let service = stack(&peer, &layer);
    assert_eq!(call(&service, get("/")).await.unwrap().status(), 200);
    let request = with(get("/"), Deadline::after(Duration::MAX));
    let silent = within(MINUTE, call(&service, request)).await;
    assert!(silent.and_then(|answer| answer).unwrap_err().is_deadline());
}
